"""Changing a user's licenses: one change set, applied as a whole for each license group."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from services.authorization import Permission
from services.changes import Change, problem_of, require, require_for_privileged
from services.directory import known_user, require_active_user
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
from services.outcomes import Field, LicenseEffect, Outcome, Problem, ProblemCode, Refusal, effect_on
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
        require(change.caller, Permission.WRITE_LICENSES)
        problems = _invalid_edit(edit)
        if problems:
            raise Refusal(*problems)
        sku_ids = [toggle.sku_id for toggle in edit.assign] + list(edit.remove)
        names = [user_lock(ref), *(sku_lock(ref.tenant_id, sku_id) for sku_id in sku_ids)]
        async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
            return await self._update(change, ref, edit)

    async def _update(self, change: Change, ref: UserRef, edit: LicenseEdit) -> Outcome:
        user, held_list, skus = await self._read(change, ref)
        held = {one.sku_id: one for one in held_list}
        change.user_principal_name = user.user_principal_name
        if not change.caller.may(Permission.MANAGE_ADMINS):
            require_for_privileged(change.caller, await self.partner_center.list_user_roles(ref), _USER_ID)
        new_location = edit.usage_location if edit.usage_location != user.usage_location else None
        assign, remove = _differences(edit, skus, held)
        problems = assignment_problems(edit.assign, skus, held, ("input", "assign"))
        if assign and not (user.usage_location or new_location):
            message = f"{user.display_name} has no usage location, which a license needs. Give one as usageLocation."
            field = ("input", "usageLocation")
            problems.append(Problem(code=ProblemCode.USAGE_LOCATION_REQUIRED, message=message, field=field))
        if problems:
            raise Refusal(*problems)
        after = replace(user, usage_location=new_location) if new_location else user
        change.before = {"skuIds": sorted(held), "usageLocation": user.usage_location}
        change.after = {
            "skuIds": sorted({*held, *(one.sku_id for one in assign)} - set(remove)),
            "usageLocation": after.usage_location,
        }
        if change.dry_run:
            return Outcome(user=after, effects=_effects(assign, remove, held, skus, forecast=True))
        if new_location:
            change.makes_stale(USER, ref)
            change.makes_stale(ACTIVE_USERS, ref.tenant_id)
            await self.users.write_information(change, user, {"usage_location": new_location})
        change.makes_stale(LICENSES, ref)
        change.makes_stale(SUBSCRIBED_SKUS, ref.tenant_id)
        return await self._write_groups(change, after, edit, assign, remove, held, skus)

    async def _read(self, change: Change, ref: UserRef) -> tuple[User, list[License], list[SubscribedSku]]:
        """What the change is decided on. The user's record may be a fresh copy from the cache: a usage location
        cannot be taken away, and whether the user is still there is told by the read of the licenses."""
        known = await known_user(change.cache, ref)
        if known is None or not known.usage_location:
            known = await require_active_user(self.partner_center, ref, _USER_ID)
        try:
            held, skus = await asyncio.gather(
                self.partner_center.list_licenses(ref), self.partner_center.list_subscribed_skus(ref.tenant_id)
            )
        except NotFound:
            await require_active_user(self.partner_center, ref, _USER_ID)
            raise
        return known, held, skus

    async def _write_groups(
        self,
        change: Change,
        user: User,
        edit: LicenseEdit,
        assign: Sequence[LicenseAssignment],
        remove: Sequence[str],
        held: Mapping[str, License],
        skus: Sequence[SubscribedSku],
    ) -> Outcome:
        """One call a license group, since Microsoft takes no more; effects only for what was done."""
        group_of = {sku.sku_id: sku.license_group_id for sku in skus}
        group_of.update({sku_id: one.license_group_id for sku_id, one in held.items()})
        groups: dict[str, LicenseChange] = defaultdict(LicenseChange)
        for one in assign:
            group = groups[group_of[one.sku_id]]
            groups[group_of[one.sku_id]] = replace(group, assign=(*group.assign, one))
        for sku_id in remove:
            group = groups[group_of[sku_id]]
            groups[group_of[sku_id]] = replace(group, remove=(*group.remove, sku_id))
        effects: tuple[LicenseEffect, ...] = ()
        for name, group in sorted(groups.items()):
            try:
                await self.write_group(change, user, f"licenses-{name}", group)
            except (UpstreamError, OutcomeUnknown) as error:
                problem = self._problem(error, edit, group, skus)
                if not effects and not isinstance(error, OutcomeUnknown):
                    # Nothing of the set holds, save a usage location that was set first.
                    return Outcome(user=user, user_errors=(problem,))
                return Outcome(user=user, effects=effects, user_errors=(problem,))
            effects += _effects(group.assign, group.remove, held, skus, forecast=False)
        return Outcome(user=user, effects=effects)

    async def write_group(self, change: Change, user: User, step: str, group: LicenseChange) -> None:
        """One call with assignments and removals of one license group."""

        async def read_back() -> Applied[None] | None:
            now = {one.sku_id for one in await self.partner_center.list_licenses(user.ref)}
            wanted = {one.sku_id for one in group.assign}
            return Applied(None) if wanted <= now and now.isdisjoint(group.remove) else None

        await change.write(
            step,
            lambda request_id: self.partner_center.update_licenses(user.ref, group, request_id=request_id),
            read_back,
        )

    def _problem(
        self,
        error: UpstreamError | OutcomeUnknown,
        edit: LicenseEdit,
        group: LicenseChange,
        skus: Sequence[SubscribedSku],
    ) -> Problem:
        """What Microsoft refused, with the product that its text names, else the only one that was to be assigned."""
        problem = problem_of(error, ("input",))
        if not isinstance(error, Refused):
            return problem
        named = [sku_id.lower() for sku_id in _GUID.findall(error.detail)]
        wanted = [one.sku_id for one in group.assign]
        about = next((sku_id for sku_id in named if sku_id in wanted), wanted[0] if len(wanted) == 1 else None)
        if about is None:
            return problem
        index = next(number for number, toggle in enumerate(edit.assign) if toggle.sku_id == about)
        field = ("input", "assign", str(index), "skuId")
        sku = find_sku(skus, about)
        if sku is None:
            return replace(problem, field=field)
        if error.reason is RefusedReason.NO_LICENSE_LEFT:
            return none_available(replace(sku, available_units=min(sku.available_units, 0)), field)
        return replace(problem, field=field, message=f"{sku.product_name}: {problem.message}")


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


def _differences(
    edit: LicenseEdit, skus: Sequence[SubscribedSku], held: Mapping[str, License]
) -> tuple[list[LicenseAssignment], list[str]]:
    """What the change set asks for and is not so already."""
    assign = []
    for toggle in edit.assign:
        license = held.get(toggle.sku_id)
        if license is None:
            assign.append(LicenseAssignment(toggle.sku_id, toggle.disabled_plan_ids or ()))
        elif toggle.disabled_plan_ids is not None:
            sku = find_sku(skus, toggle.sku_id)
            on = {plan.id for plan in license.assigned_plans}
            off = {plan.id for plan in sku.service_plans if plan.for_users and plan.id not in on} if sku else set()
            if off != set(toggle.disabled_plan_ids):
                assign.append(LicenseAssignment(toggle.sku_id, toggle.disabled_plan_ids))
    return assign, [sku_id for sku_id in dict.fromkeys(edit.remove) if sku_id in held]


def _effects(
    assign: Sequence[LicenseAssignment],
    remove: Sequence[str],
    held: Collection[str],
    skus: Sequence[SubscribedSku],
    *,
    forecast: bool,
) -> tuple[LicenseEffect, ...]:
    moved = {one.sku_id: 1 for one in assign if one.sku_id not in held} | dict.fromkeys(remove, -1)
    found = ((find_sku(skus, sku_id), units) for sku_id, units in moved.items())
    return tuple(effect_on(sku, units, forecast=forecast) for sku, units in found if sku is not None)


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
