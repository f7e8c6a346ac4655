"""Changing a user's licenses: one change set, applied as a whole for each license group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from msgspec import structs

from services.authorization import Permission
from services.changes import Change, privileged_problems, problem_of, together_with
from services.directory import known_user, name_at_hand, read_skus, require_active_user
from services.errors import NotFound, Refused, RefusedReason, UpstreamError
from services.license_plans import (
    LicenseEdit,
    LicensePlan,
    field_of,
    invalid_edit,
    is_predicted,
    named_product,
    none_available,
    planned,
)
from services.locks import Locks, sku_lock, user_lock
from services.lookups import ACTIVE_USERS, LICENSES, SUBSCRIBED_SKUS, USER
from services.models import (
    License,
    LicenseChange,
    SubscribedSku,
    User,
    UserRef,
)
from services.outcomes import Field, Outcome, Problem, Refusal
from services.partner_center.client import PartnerCenterClient
from services.users import UserService
from services.writes import Applied, OutcomeUnknown

_USER_ID: Field = ("input", "userId")


@dataclass(frozen=True, slots=True)
class LicenseService:
    """Changes licenses. Changes of one product in one tenant are made one after the other."""

    partner_center: PartnerCenterClient
    users: UserService
    locks: Locks

    async def update(self, change: Change, ref: UserRef, edit: LicenseEdit, *, show_user: bool = True) -> Outcome:
        """`show_user` asks for the record in the outcome; without, it is read only where it decides something."""
        sku_ids = [toggle.sku_id for toggle in edit.assign] + list(edit.remove)
        names = [user_lock(ref), *(sku_lock(ref.tenant_id, sku_id) for sku_id in sku_ids)]
        async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
            with together_with(invalid_edit(edit)):
                # Nobody but the record tells a dry run of a license that came without a location.
                plan = await self._checked(change, ref, edit, show_user=show_user or change.dry_run)
            change.plans(plan.before(), plan.wanted())
            user, new_location = plan.user, plan.new_location
            if change.dry_run:
                after = structs.replace(user, usage_location=new_location) if user and new_location else user
                return replace(_shown(after, ref), effects=plan.effects(plan.change, forecast=True))
            if user and new_location:
                change.makes_stale(USER, ref)
                change.makes_stale(ACTIVE_USERS, ref.tenant_id)
                user = await self.users.write_information(change, user, {"usage_location": new_location})
            change.makes_stale(LICENSES, ref)
            change.makes_stale(SUBSCRIBED_SKUS, ref.tenant_id)
            return await self._made(change, ref, _shown(user, ref), edit, plan)

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

    async def _checked(self, change: Change, ref: UserRef, edit: LicenseEdit, *, show_user: bool) -> LicensePlan:
        """What is to be written, decided on fresh reads; refuses with all that stands in the way."""
        user, held, skus = await self._read(change, ref, edit, show_user=show_user)
        change.user_principal_name = user.user_principal_name if user else await name_at_hand(change.cache, ref)
        problems = []
        if not change.caller.may(Permission.MANAGE_ADMINS):
            roles = await self.partner_center.list_user_roles(ref)
            problems += privileged_problems(change.caller, roles, _USER_ID)
        plan, more = planned(user, held, skus, edit)
        problems += more
        if problems:
            raise Refusal(*problems)
        return plan

    async def _read(
        self, change: Change, ref: UserRef, edit: LicenseEdit, *, show_user: bool
    ) -> tuple[User | None, list[License], list[SubscribedSku]]:
        """What the change is decided on. The user's record may be a fresh copy from the cache, unless its location
        is to be changed or is missing: it cannot be taken away, and whether the user is still there is told by the
        read of the licenses. Nor is the record needed of who holds a license, which nobody gets without a location;
        save from a group, and then Microsoft refuses another."""
        known = await known_user(change.cache, ref)
        unsure = show_user if known is None else not known.usage_location
        if unsure or edit.usage_location is not None:
            known = await require_active_user(self.partner_center, ref, _USER_ID, change.now())
        try:
            held, skus = await asyncio.gather(
                self.partner_center.list_licenses(ref), self.partner_center.list_subscribed_skus(ref.tenant_id)
            )
        except NotFound:
            await require_active_user(self.partner_center, ref, _USER_ID, change.now())
            raise
        if known is None and not held:
            known = await require_active_user(self.partner_center, ref, _USER_ID, change.now())
        return known, held, skus

    async def _made(
        self, change: Change, ref: UserRef, shown: Outcome, edit: LicenseEdit, plan: LicensePlan
    ) -> Outcome:
        """One call a license group, since Microsoft takes no more; effects only for what was done."""
        effects = plan.effects_of(edit) if change.resumed else ()
        for name, group in plan.groups():
            try:
                await self._write(change, ref, f"licenses-{name}", group, plan)
            except (UpstreamError, OutcomeUnknown) as error:
                problem = await self._problem(change, error, edit, group, plan)
                if not change.applied:
                    raise Refusal(problem) from error
                return replace(shown, effects=effects, user_errors=(problem,))
            effects += plan.effects(group, forecast=False)
        return replace(shown, effects=effects)

    async def _write(self, change: Change, ref: UserRef, step: str, group: LicenseChange, plan: LicensePlan) -> None:
        """Writes one license group, and once more where units are free although Microsoft says that none is: it
        gives its answer to a request id again for ten minutes, and a repeat under the same key has the same ids."""

        def made(_: None) -> None:
            change.after = plan.after(change.after, group)

        try:
            await self.write_group(change, ref, step, group, made, plan.plans_on(group))
        except Refused as error:
            if error.reason is not RefusedReason.NO_LICENSE_LEFT:
                raise
            skus = await self._counted_again(change, plan)
            wanted = [one.sku_id for one in group.assign if one.sku_id not in plan.held]
            if not all(sku_id in skus and skus[sku_id].available_units > 0 for sku_id in wanted):
                raise
            await self.write_group(change, ref, f"{step}-{uuid4()}", group, made, plan.plans_on(group))

    async def write_group(
        self,
        change: Change,
        ref: UserRef,
        step: str,
        group: LicenseChange,
        made: Callable[[None], None],
        plans_on: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """One call with assignments and removals of one license group. `plans_on` are the service plans that are on
        afterwards, for products whose plans change; the license alone says nothing there."""

        async def read_back() -> Applied[None] | None:
            now = {one.sku_id: one for one in await self.partner_center.list_licenses(ref)}
            on = {sku_id: {plan.id for plan in one.assigned_plans} for sku_id, one in now.items()}
            applied = (
                all(one.sku_id in now and on[one.sku_id].isdisjoint(one.disabled_plan_ids) for one in group.assign)
                and all(on.get(sku_id, set()) >= set(wanted) for sku_id, wanted in (plans_on or {}).items())
                and now.keys().isdisjoint(group.remove)
            )
            return Applied(None) if applied else None

        await change.write(
            step,
            lambda request_id: self.partner_center.update_licenses(ref, group, request_id=request_id),
            read_back,
            made,
        )

    async def _problem(
        self,
        change: Change,
        error: UpstreamError | OutcomeUnknown,
        edit: LicenseEdit,
        group: LicenseChange,
        plan: LicensePlan,
    ) -> Problem:
        """What Microsoft refused, with the product that it is about: the one that its text names, or the only one."""
        problem = problem_of(error, nothing_written=not change.applied)
        if not isinstance(error, Refused):
            return problem
        skus: Mapping[str, SubscribedSku] = plan.skus
        if error.reason is RefusedReason.NO_LICENSE_LEFT:
            skus = await self._counted_again(change, plan)
        about = named_product(error.detail, group, skus)
        if about is None:
            return replace(problem, field=("input",))
        field = field_of(about, edit)
        sku = skus.get(about)
        if sku is None:
            return replace(problem, field=field)
        if error.reason is RefusedReason.NO_LICENSE_LEFT:
            return none_available(structs.replace(sku, available_units=min(sku.available_units, 0)), field)
        return replace(problem, field=field, message=f"{sku.product_name}: {problem.message}")

    async def _counted_again(self, change: Change, plan: LicensePlan) -> dict[str, SubscribedSku]:
        """The units as they are now that Microsoft says there are none; where it does not answer, as they were."""
        try:
            now = await self.partner_center.list_subscribed_skus(change.tenant_id)
        except UpstreamError:
            return dict(plan.skus)
        return {sku.sku_id: sku for sku in now}


def _shown(user: User | None, ref: UserRef) -> Outcome:
    return Outcome(user=user, unread=ref if user is None else None)
