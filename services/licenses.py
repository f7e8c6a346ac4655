"""Changing a user's licenses: one change set, applied as a whole for each license group."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.authorization import Permission
from services.changes import Change, privileged_problems, problem_of, together_with
from services.directory import known_user, read_skus, require_active_user
from services.errors import NotFound, Refused, RefusedReason, UpstreamError
from services.license_options import find_sku
from services.locks import Locks, sku_lock, user_lock
from services.lookups import ACTIVE_USERS, LICENSES, SUBSCRIBED_SKUS, USER
from services.models import (
    License,
    LicenseAssignment,
    LicenseChange,
    ProductType,
    SubscribedSku,
    User,
    UserRef,
)
from services.outcomes import Field, LicenseEffect, Outcome, Problem, ProblemCode, Refusal, effect_on, effect_seen
from services.partner_center.client import PartnerCenterClient
from services.users import UserService, location_problem
from services.writes import Applied, OutcomeUnknown

MOST_TOGGLES = 50
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_USER_ID: Field = ("input", "userId")


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
class LicenseService:
    """Changes licenses. Changes of one product in one tenant are made one after the other."""

    partner_center: PartnerCenterClient
    users: UserService
    locks: Locks

    async def update(self, change: Change, ref: UserRef, edit: LicenseEdit) -> Outcome:
        sku_ids = [toggle.sku_id for toggle in edit.assign] + list(edit.remove)
        names = [user_lock(ref), *(sku_lock(ref.tenant_id, sku_id) for sku_id in sku_ids)]
        async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
            with together_with(_invalid_edit(edit)):
                plan = await self._checked(change, ref, edit)
            change.plans(plan.before(), plan.wanted())
            user, new_location = plan.user, plan.new_location
            if change.dry_run:
                after = replace(user, usage_location=new_location) if new_location else user
                return Outcome(user=after, effects=plan.effects(plan.change, forecast=True))
            if new_location:
                change.makes_stale(USER, ref)
                change.makes_stale(ACTIVE_USERS, ref.tenant_id)
                user = await self.users.write_information(change, user, {"usage_location": new_location})
            change.makes_stale(LICENSES, ref)
            change.makes_stale(SUBSCRIBED_SKUS, ref.tenant_id)
            return await self._made(change, user, edit, plan)

    async def compared(self, change: Change, outcome: Outcome) -> Outcome:
        """Looks whether Microsoft shows the figures by now. A repeat under the same key is told what was seen then."""
        if not outcome.effects or change.dry_run:
            return outcome
        try:
            shown = await read_skus(change.cache, self.partner_center, change.tenant_id)
        except UpstreamError:
            shown = []
        effects = (replace(one, predicted=is_predicted(one, shown)) for one in outcome.effects)
        return replace(outcome, effects=tuple(effects))

    async def _checked(self, change: Change, ref: UserRef, edit: LicenseEdit) -> _Plan:
        """What is to be written, decided on fresh reads; refuses with all that stands in the way."""
        user, held_list, skus = await self._read(change, ref, edit)
        change.user_principal_name = user.user_principal_name
        held = {one.sku_id: one for one in held_list}
        problems = []
        if not change.caller.may(Permission.MANAGE_ADMINS):
            roles = await self.partner_center.list_user_roles(ref)
            problems += privileged_problems(change.caller, roles, _USER_ID)
        new_location = edit.usage_location if edit.usage_location != user.usage_location else None
        wanted = _differences(edit, skus, held)
        problems += assignment_problems(edit.assign, skus, held, ("input", "assign"))
        if wanted.assign and not (user.usage_location or new_location):
            message = f"{user.display_name} has no usage location, which a license needs. Give one as usageLocation."
            field = ("input", "usageLocation")
            problems.append(Problem(code=ProblemCode.USAGE_LOCATION_REQUIRED, message=message, field=field))
        if problems:
            raise Refusal(*problems)
        return _Plan(user, held, {sku.sku_id: sku for sku in skus}, new_location, wanted)

    async def _read(
        self, change: Change, ref: UserRef, edit: LicenseEdit
    ) -> tuple[User, list[License], list[SubscribedSku]]:
        """What the change is decided on. The user's record may be a fresh copy from the cache, unless its location
        is to be changed or is missing: it cannot be taken away, and whether the user is still there is told by the
        read of the licenses."""
        known = await known_user(change.cache, ref)
        if known is None or not known.usage_location or edit.usage_location is not None:
            known = await require_active_user(self.partner_center, ref, _USER_ID)
        try:
            held, skus = await asyncio.gather(
                self.partner_center.list_licenses(ref), self.partner_center.list_subscribed_skus(ref.tenant_id)
            )
        except NotFound:
            await require_active_user(self.partner_center, ref, _USER_ID)
            raise
        return known, held, skus

    async def _made(self, change: Change, user: User, edit: LicenseEdit, plan: _Plan) -> Outcome:
        """One call a license group, since Microsoft takes no more; effects only for what was done."""
        effects = plan.effects_of(edit) if change.resumed else ()
        for name, group in plan.groups():
            try:
                await self.write_group(change, user, f"licenses-{name}", group, plan.plans_on(group))
            except (UpstreamError, OutcomeUnknown) as error:
                problem = await self._problem(change, error, edit, group, plan)
                if not change.applied:
                    raise Refusal(problem) from error
                return Outcome(user=user, effects=effects, user_errors=(problem,))
            effects += plan.effects(group, forecast=False)
            change.after = plan.after(change.after, group)
        return Outcome(user=user, effects=effects)

    async def write_group(
        self,
        change: Change,
        user: User,
        step: str,
        group: LicenseChange,
        plans_on: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """One call with assignments and removals of one license group. `plans_on` are the service plans that are on
        afterwards, for products whose plans change; the license alone says nothing there."""

        async def read_back() -> Applied[None] | None:
            now = {one.sku_id: one for one in await self.partner_center.list_licenses(user.ref)}
            on = {sku_id: {plan.id for plan in one.assigned_plans} for sku_id, one in now.items()}
            applied = (
                all(one.sku_id in now and on[one.sku_id].isdisjoint(one.disabled_plan_ids) for one in group.assign)
                and all(on.get(sku_id, set()) >= set(wanted) for sku_id, wanted in (plans_on or {}).items())
                and now.keys().isdisjoint(group.remove)
            )
            return Applied(None) if applied else None

        await change.write(
            step,
            lambda request_id: self.partner_center.update_licenses(user.ref, group, request_id=request_id),
            read_back,
        )

    async def _problem(
        self,
        change: Change,
        error: UpstreamError | OutcomeUnknown,
        edit: LicenseEdit,
        group: LicenseChange,
        plan: _Plan,
    ) -> Problem:
        """What Microsoft refused, with the product that it is about: the one that its text names, or the only one."""
        problem = problem_of(error, nothing_written=not change.applied)
        if not isinstance(error, Refused):
            return problem
        skus: Mapping[str, SubscribedSku] = plan.skus
        if error.reason is RefusedReason.NO_LICENSE_LEFT:
            skus = await self._counted_again(plan)
        about = _named_product(error.detail, group, skus)
        if about is None:
            return replace(problem, field=("input",))
        field = _field_of(about, edit)
        sku = skus.get(about)
        if sku is None:
            return replace(problem, field=field)
        if error.reason is RefusedReason.NO_LICENSE_LEFT:
            return none_available(replace(sku, available_units=min(sku.available_units, 0)), field)
        return replace(problem, field=field, message=f"{sku.product_name}: {problem.message}")

    async def _counted_again(self, plan: _Plan) -> dict[str, SubscribedSku]:
        """The units as they are now that Microsoft says there are none; where it does not answer, as they were."""
        try:
            now = await self.partner_center.list_subscribed_skus(plan.user.tenant_id)
        except UpstreamError:
            return dict(plan.skus)
        return {sku.sku_id: sku for sku in now}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A change set that may be made. `change` is what differs, of all license groups; `held` and `skus` by SKU id."""

    user: User
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
            found["usageLocation"] = self.user.usage_location
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


def _named_product(text: str, group: LicenseChange, skus: Mapping[str, SubscribedSku]) -> str | None:
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


def _field_of(sku_id: str, edit: LicenseEdit) -> Field:
    for index, toggle in enumerate(edit.assign):
        if toggle.sku_id == sku_id:
            return ("input", "assign", str(index), "skuId")
    return ("input", "remove", str(list(edit.remove).index(sku_id)))


def _invalid_edit(edit: LicenseEdit) -> list[Problem]:
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
