"""What a change set of license toggles comes to for one user, and what stands in its way. Nothing is asked here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.license_options import find_sku
from services.models import (
    License,
    LicenseAssignment,
    LicenseChange,
    ProductType,
    SubscribedSku,
    User,
)
from services.outcomes import Field, LicenseEffect, Problem, ProblemCode, effect_on, effect_seen
from services.users import location_problem

MOST_TOGGLES = 50
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Toggle:
    """A product to assign. `disabled_plan_ids` None leaves the plans as they are, or all on for a new license."""

    sku_id: str
    disabled_plan_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LicenseEdit:
    """One press of Update in the Manage Licenses dialog."""

    assign: Sequence[Toggle]
    remove: Sequence[str]
    usage_location: str | None = None


@dataclass(frozen=True, slots=True)
class LicensePlan:
    """A change set that may be made. `change` is what differs, of all license groups; `held` and `skus` by SKU id.

    `user` is None where the record decides nothing and was not read.
    """

    user: User | None
    held: Mapping[str, License]
    skus: Mapping[str, SubscribedSku]
    new_location: str | None
    change: LicenseChange

    def groups(self) -> list[tuple[str, LicenseChange]]:
        """The change set by license group; those that only take come first."""
        found: dict[str, LicenseChange] = defaultdict(LicenseChange)
        for one in self.change.assign:
            name = self._group_of(one.sku_id)
            found[name] = replace(found[name], assign=(*found[name].assign, one))
        for sku_id in self.change.remove:
            name = self._group_of(sku_id)
            found[name] = replace(found[name], remove=(*found[name].remove, sku_id))
        return sorted(found.items(), key=lambda item: (bool(item[1].assign), item[0]))

    def _group_of(self, sku_id: str) -> str:
        known = self.held.get(sku_id) or self.skus[sku_id]
        return known.license_group_id

    def effects(self, group: LicenseChange, *, forecast: bool) -> tuple[LicenseEffect, ...]:
        """What these toggles do to the units; a product of which only service plans change has none."""
        moved = {one.sku_id: 1 for one in group.assign if one.sku_id not in self.held}
        moved |= dict.fromkeys(group.remove, -1)
        found = ((self.skus.get(sku_id), units) for sku_id, units in moved.items())
        return tuple(effect_on(sku, units, forecast=forecast) for sku, units in found if sku is not None)

    def effects_of(self, edit: LicenseEdit) -> tuple[LicenseEffect, ...]:
        """What an earlier run of the same change did, whose end is not known: all of it that is so already."""
        moved = {one.sku_id: 1 for one in edit.assign if one.sku_id in self.held}
        moved |= {sku_id: -1 for sku_id in edit.remove if sku_id not in self.held}
        found = ((self.skus.get(sku_id), units) for sku_id, units in moved.items())
        return tuple(effect_seen(sku, units) for sku, units in found if sku is not None)

    def plans_on(self, group: LicenseChange) -> dict[str, set[str]]:
        """The service plans on afterwards, of products that the user has already."""
        return {
            one.sku_id: _plans_for_users(self.skus[one.sku_id]) - set(one.disabled_plan_ids)
            for one in group.assign
            if one.sku_id in self.held and one.sku_id in self.skus
        }

    def before(self) -> dict[str, Any]:
        found: dict[str, Any] = {"skuIds": sorted(self.held)} if self.change.assign or self.change.remove else {}
        if self.new_location:
            found["usageLocation"] = self.user.usage_location if self.user else None
        for one in self.change.assign:
            if (license := self.held.get(one.sku_id)) is not None:
                off = sorted(_plans_off(license, self.skus.get(one.sku_id)))
                found.setdefault("disabledServicePlanIds", {})[one.sku_id] = off
        return found

    def wanted(self) -> dict[str, Any]:
        found = self.after(self.before(), self.change)
        return found | {"usageLocation": self.new_location} if self.new_location else found

    def after(self, before: Mapping[str, Any], group: LicenseChange) -> dict[str, Any]:
        """What holds once these toggles are made too."""
        if not group.assign and not group.remove:
            return dict(before)
        sku_ids = {*before["skuIds"], *(one.sku_id for one in group.assign)} - set(group.remove)
        found = dict(before) | {"skuIds": sorted(sku_ids)}
        off = {one.sku_id: sorted(set(one.disabled_plan_ids)) for one in group.assign}
        known = before.get("disabledServicePlanIds", {})
        changed = {sku_id: plans for sku_id, plans in off.items() if plans or sku_id in known}
        return found | {"disabledServicePlanIds": known | changed} if changed else found


def planned(
    user: User | None, held_list: Sequence[License], skus: Sequence[SubscribedSku], edit: LicenseEdit
) -> tuple[LicensePlan, list[Problem]]:
    """What a change set comes to for a user, and all that stands in its way. The roles of the user are not
    looked at. Without the record the user is taken to have a location."""
    held = {one.sku_id: one for one in held_list}
    new_location = edit.usage_location if user is None or edit.usage_location != user.usage_location else None
    wanted = _differences(edit, skus, held)
    problems = assignment_problems(edit.assign, skus, held, ("input", "assign"))
    if wanted.assign and user is not None and not (user.usage_location or new_location):
        message = f"{user.display_name} has no usage location, which a license needs. Give one as usageLocation."
        field = ("input", "usageLocation")
        problems.append(Problem(code=ProblemCode.USAGE_LOCATION_REQUIRED, message=message, field=field))
    return LicensePlan(user, held, {sku.sku_id: sku for sku in skus}, new_location, wanted), problems


def is_predicted(effect: LicenseEffect, shown: Sequence[SubscribedSku]) -> bool:
    """Whether the figures after a change are not those that Microsoft shows."""
    now = find_sku(shown, effect.sku.sku_id)
    return now is None or now.consumed_units != effect.consumed_units_after


def assignment_problems(
    assign: Sequence[Toggle], skus: Sequence[SubscribedSku], held: Collection[str], field: Field
) -> list[Problem]:
    """What stands in the way of assigning these products of a tenant, all of it together."""
    found = []
    for index, toggle in enumerate(assign):
        at = (*field, str(index), "skuId")
        sku = find_sku(skus, toggle.sku_id)
        if sku is None:
            if toggle.sku_id not in held:
                message = f"The tenant does not hold the product {toggle.sku_id}."
                found.append(Problem(code=ProblemCode.NOT_FOUND, message=message, field=at))
            continue
        if sku.product_type is ProductType.OTHER:
            message = f"{sku.product_name} belongs to the organization as a whole, not to a person."
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=at))
        elif toggle.sku_id not in held and sku.available_units <= 0:
            found.append(none_available(sku, at))
        plans = {plan.id for plan in sku.service_plans}
        for number, plan_id in enumerate(toggle.disabled_plan_ids or ()):
            if plan_id not in plans:
                message = f"{sku.product_name} has no service plan {plan_id}."
                plan_field = (*field, str(index), "disabledServicePlanIds", str(number))
                found.append(Problem(code=ProblemCode.INVALID, message=message, field=plan_field))
    return found


def none_available(sku: SubscribedSku, field: Field) -> Problem:
    """No unit is left to assign."""
    return Problem(
        code=ProblemCode.NONE_AVAILABLE,
        message=f"No unit of {sku.product_name} is left.",
        field=field,
        retryable=True,
        sku=sku,
        available_units=sku.available_units,
    )


def _differences(edit: LicenseEdit, skus: Sequence[SubscribedSku], held: Mapping[str, License]) -> LicenseChange:
    """What the change set asks for and is not so already."""
    assign = []
    for toggle in edit.assign:
        license, plans = held.get(toggle.sku_id), tuple(dict.fromkeys(toggle.disabled_plan_ids or ()))
        if license is None:
            assign.append(LicenseAssignment(toggle.sku_id, plans))
        elif toggle.disabled_plan_ids is not None:
            sku = find_sku(skus, toggle.sku_id)
            wanted = set(plans) & _plans_for_users(sku) if sku else set(plans)
            if _plans_off(license, sku) != wanted:
                assign.append(LicenseAssignment(toggle.sku_id, plans))
    return LicenseChange(tuple(assign), tuple(sku_id for sku_id in dict.fromkeys(edit.remove) if sku_id in held))


def _plans_for_users(sku: SubscribedSku) -> set[str]:
    return {plan.id for plan in sku.service_plans if plan.for_users}


def _plans_off(license: License, sku: SubscribedSku | None) -> set[str]:
    """The service plans of a license that are switched off: whatever the product has for people and it lacks."""
    if sku is None:
        return {plan.id for plan in license.disabled_plans}
    return _plans_for_users(sku) - {plan.id for plan in license.assigned_plans}


def named_product(text: str, group: LicenseChange, skus: Mapping[str, SubscribedSku]) -> str | None:
    """The product of a license group that a refusal is about: named by its id, its name or one of its service plans,
    else without a unit, else the only one of its kind."""
    assigned = [one.sku_id for one in group.assign]
    candidates = [*assigned, *group.remove]
    guids: list[str] = [found[0].lower() for found in _GUID.finditer(text)]
    if by_id := [guid for guid in guids if guid in candidates]:
        return by_id[0]
    known = [skus[sku_id] for sku_id in candidates if sku_id in skus]
    words = text.casefold()
    for sku in known:
        names = [name for name in (sku.product_name, sku.sku_part_number) if name]
        if any(re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", words) for name in names):
            return sku.sku_id
    by_plan = [sku.sku_id for sku in known if any(plan.id in guids for plan in sku.service_plans)]
    without = [sku_id for sku_id in assigned if sku_id in skus and skus[sku_id].available_units <= 0]
    for found in (by_plan, without, assigned, candidates):
        if len(found) == 1:
            return found[0]
    return None


def field_of(sku_id: str, edit: LicenseEdit) -> Field:
    for index, toggle in enumerate(edit.assign):
        if toggle.sku_id == sku_id:
            return ("input", "assign", str(index), "skuId")
    return ("input", "remove", str(list(edit.remove).index(sku_id)))


def invalid_edit(edit: LicenseEdit) -> list[Problem]:
    found = []
    for name, toggles in (("assign", edit.assign), ("remove", edit.remove)):
        if len(toggles) > MOST_TOGGLES:
            message = f"At most {MOST_TOGGLES} products can be named here."
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=("input", name)))
    assigned = [toggle.sku_id for toggle in edit.assign]
    for index, sku_id in enumerate(assigned):
        if sku_id in edit.remove or sku_id in assigned[:index]:
            where = "both assigned and removed" if sku_id in edit.remove else "assigned twice"
            message = f"The product {sku_id} is {where}. Name it once."
            field = ("input", "assign", str(index), "skuId")
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=field))
    if edit.usage_location is not None and (problem := location_problem(edit.usage_location)):
        found.append(problem)
    return found
