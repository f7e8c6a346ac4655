"""Deleting people, and bringing them back within 30 days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec import structs

from services.authorization import Caller, Permission
from services.changes import Change, privileged_problems
from services.deletion_memory import DeletionMemory
from services.directory import find_deleted_user, find_holder, find_user, read_skus, require_active_user
from services.errors import Conflict, NotFound, Refused, RefusedReason, TenantNotFound, UpstreamError
from services.license_options import find_sku, restore_forecast
from services.locks import Locks, sku_lock, user_lock
from services.lookups import ACTIVE_USERS, DELETED_USERS, LICENSES, SUBSCRIBED_SKUS, USER, USER_ROLES
from services.models import RESTORE_WINDOW, RoleRef, SubscribedSku, User, UserRef, UserStatus
from services.outcomes import Field, LicenseEffect, Outcome, Problem, ProblemCode, Refusal, effect_on, effect_seen
from services.partner_center.client import PartnerCenterClient
from services.user_actions import is_restorable
from services.writes import Applied

GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
"""Role template of Global Administrator, which Partner Center calls Company Administrator.
Source: learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference"""
_ID: Field = ("input", "id")


@dataclass(frozen=True, slots=True)
class DeletionService:
    """Deletes and restores people. `now` is the service's clock, by which the 30 days are counted."""

    partner_center: PartnerCenterClient
    deletions: DeletionMemory
    locks: Locks
    now: Callable[[], datetime]

    async def delete(self, change: Change, ref: UserRef) -> Outcome:
        """Deletes a user; the licenses come free at once, and what was held is remembered for the forecast."""
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            if change.resumed and (deleted := await find_deleted_user(self.partner_center, ref)):
                return await self._deleted_before(change, deleted)
            user = await require_active_user(self.partner_center, ref, _ID, self.now())
            change.user_principal_name = user.user_principal_name
            problems, held = await asyncio.gather(
                self._risks(change.caller, user), self.partner_center.list_licenses(ref)
            )
            if problems:
                raise Refusal(*problems)
            sku_ids = sorted(one.sku_id for one in held)
            names = [sku_lock(ref.tenant_id, sku_id) for sku_id in sku_ids]
            async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
                skus = await self.partner_center.list_subscribed_skus(ref.tenant_id) if held else []
                effects = _effects(skus, sku_ids, -1, forecast=change.dry_run)
                change.plans({"status": "ACTIVE", "skuIds": sku_ids}, {"status": "DELETED", "skuIds": []})
                if change.dry_run:
                    return Outcome(user=user, effects=effects)
                await self._delete(change, user, sku_ids)
            return Outcome(user=await self._deleted(user), effects=effects)

    async def _delete(self, change: Change, user: User, sku_ids: Sequence[str]) -> None:
        ref = user.ref
        _makes_stale(change, ref)

        async def read_back() -> Applied[None] | None:
            return Applied(None) if await find_deleted_user(self.partner_center, ref) else None

        await self.deletions.remember(ref, sku_ids)  # first: nobody could tell afterwards
        try:
            await change.write(
                "delete",
                lambda request_id: self.partner_center.delete_user(ref, request_id=request_id),
                read_back,
                lambda _: change.after.update(change.wanted),
            )
        except UpstreamError:
            await self.deletions.forget(ref)
            raise

    async def _deleted_before(self, change: Change, user: User) -> Outcome:
        """The answer where an earlier run of the same change, whose end is not known, deleted the user."""
        change.user_principal_name = user.user_principal_name
        remembered = await self.deletions.recall(user.ref) or ()
        change.plans({"status": "ACTIVE", "skuIds": sorted(remembered)}, {"status": "DELETED", "skuIds": []})
        change.after = dict(change.wanted)
        skus = await self.partner_center.list_subscribed_skus(user.tenant_id) if remembered else []
        found = (find_sku(skus, sku_id) for sku_id in remembered)
        return Outcome(user=user, effects=tuple(effect_seen(sku, -1) for sku in found if sku is not None))

    async def _deleted(self, user: User) -> User:
        """The user as Microsoft lists it among the deleted; where it does not yet, by our own clock."""
        try:
            deleted = await find_deleted_user(self.partner_center, user.ref)
        except UpstreamError:
            deleted = None
        return deleted or structs.replace(user, status=UserStatus.DELETED, deleted_at=self.now())

    async def _risks(self, caller: Caller, user: User) -> list[Problem]:
        """Why nobody should delete this user, or not this caller."""
        found = []
        if caller.is_person(user.microsoft_id, user.user_principal_name):
            message = "You cannot delete yourself."
            found.append(Problem(code=ProblemCode.NOT_PERMITTED, message=message, field=_ID))
        if not caller.may(Permission.MANAGE_ADMINS):
            # Whoever is out of reach is not deleted anyway; anybody else is no administrator.
            held = await self.partner_center.list_user_roles(user.ref)
            return found + privileged_problems(caller, held, _ID)
        if await self._is_last_administrator(user):
            message = f"{user.display_name} is the tenant's last global administrator. Give the role to another first."
            found.append(Problem(code=ProblemCode.PRIVILEGED_TARGET, message=message, field=_ID))
        return found

    async def _is_last_administrator(self, user: User) -> bool:
        try:
            administrators = await self.partner_center.list_role_members(RoleRef(user.tenant_id, GLOBAL_ADMINISTRATOR))
        except TenantNotFound:
            raise
        except NotFound:  # nobody was ever given the role here
            return False
        return set(administrators) == {user.microsoft_id}

    async def restore(self, change: Change, ref: UserRef) -> Outcome:
        """Brings a deleted user back. Which licenses come back is Microsoft's decision: the effects say which did."""
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            user = await self._restorable(change, ref)
            change.user_principal_name = user.user_principal_name
            if user.status is UserStatus.ACTIVE:
                return await self._restored_before(change, user)
            remembered = await self.deletions.recall(ref)
            names = [sku_lock(ref.tenant_id, sku_id) for sku_id in remembered or ()]
            async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
                holder, skus = await asyncio.gather(
                    find_holder(self.partner_center, user.tenant_id, user.user_principal_name),
                    read_skus(change.cache, self.partner_center, ref.tenant_id),
                )
                if holder is not None:
                    raise Refusal(_taken(user, holder))
                change.plans({"status": "DELETED", "skuIds": []}, {"status": "ACTIVE"})
                if change.dry_run:
                    lines = restore_forecast(user, remembered or (), skus)
                    free = [line.sku.sku_id for line in lines if not line.short_by]
                    return Outcome(user=user, effects=_effects(skus, free, 1, forecast=True))
                restored = await self._restore(change, user)
                return Outcome(user=restored, effects=await self._came_back(change, ref, skus, remembered or ()))

    async def _restore(self, change: Change, user: User) -> User:
        ref = user.ref
        _makes_stale(change, ref)

        async def read_back() -> Applied[User] | None:
            now = await find_user(self.partner_center, ref)
            return Applied(now) if now is not None and now.status is UserStatus.ACTIVE else None

        try:
            restored = await change.write(
                "restore",
                lambda request_id: self.partner_center.restore_user(ref, request_id=request_id),
                read_back,
                lambda _: change.after.update(change.wanted),
            )
        except TenantNotFound:
            raise
        except NotFound as error:  # it was listed a moment ago: Microsoft gives it back no more
            raise Refusal(_over(user, None)) from error
        except (Refused, Conflict) as error:
            if error.reason is not RefusedReason.NAME_TAKEN:
                raise
            raise Refusal(_taken(user, await self._holder(user))) from error
        await self.deletions.forget(ref)
        return restored

    async def _came_back(
        self, change: Change, ref: UserRef, skus: Sequence[SubscribedSku], remembered: Sequence[str]
    ) -> tuple[LicenseEffect, ...]:
        """What Microsoft gave back: a deleted user holds nothing, so all that the user holds now came by this."""
        try:
            held = sorted(one.sku_id for one in await self.partner_center.list_licenses(ref))
        except UpstreamError:
            # The user is back, and that is what counts; what came too is computed from what was remembered.
            lines = (find_sku(skus, sku_id) for sku_id in remembered)
            held = [sku.sku_id for sku in lines if sku is not None and sku.available_units > 0]
            return _effects(skus, held, 1, forecast=True)
        change.after["skuIds"] = held
        return _effects(skus, held, 1, forecast=False)

    async def _restored_before(self, change: Change, user: User) -> Outcome:
        """The answer where an earlier run of the same change, whose end is not known, restored the user."""
        held, skus = await asyncio.gather(
            self.partner_center.list_licenses(user.ref), self.partner_center.list_subscribed_skus(user.tenant_id)
        )
        sku_ids = sorted(one.sku_id for one in held)
        change.plans({"status": "DELETED", "skuIds": []}, {"status": "ACTIVE"})
        change.after = {"status": "ACTIVE", "skuIds": sku_ids}
        found = (find_sku(skus, sku_id) for sku_id in sku_ids)
        return Outcome(user=user, effects=tuple(effect_seen(sku, 1) for sku in found if sku is not None))

    async def _restorable(self, change: Change, ref: UserRef) -> User:
        user = await find_deleted_user(self.partner_center, ref) or await find_user(self.partner_center, ref)
        if user is None:
            raise Refusal(Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.", field=_ID))
        if user.status is UserStatus.ACTIVE and not change.resumed:
            message = f"{user.display_name} is not deleted."
            raise Refusal(Problem(code=ProblemCode.USER_ACTIVE, message=message, field=_ID))
        if user.deleted_at is not None and not is_restorable(user, self.now()):
            raise Refusal(_over(user, user.deleted_at + RESTORE_WINDOW))
        return user

    async def _holder(self, user: User) -> User | None:
        try:
            return await find_holder(self.partner_center, user.tenant_id, user.user_principal_name)
        except UpstreamError:
            return None


def _over(user: User, ended_at: datetime | None) -> Problem:
    message = f"{user.display_name} could be restored for 30 days, which are over."
    return Problem(code=ProblemCode.RESTORE_WINDOW_OVER, message=message, field=_ID, window_ended_at=ended_at)


def _taken(user: User, holder: User | None) -> Problem:
    name = user.user_principal_name
    message = f"{holder.display_name if holder else 'Somebody'} has the sign-in name {name} now. Change it first."
    return Problem(code=ProblemCode.NAME_TAKEN, message=message, field=_ID, holder=holder)


def _makes_stale(change: Change, ref: UserRef) -> None:
    change.makes_stale(USER, ref)
    change.makes_stale(LICENSES, ref)
    change.makes_stale(USER_ROLES, ref)
    change.makes_stale(ACTIVE_USERS, ref.tenant_id)
    change.makes_stale(DELETED_USERS, ref.tenant_id)
    change.makes_stale(SUBSCRIBED_SKUS, ref.tenant_id)


def _effects(
    skus: Sequence[SubscribedSku], sku_ids: Sequence[str], units: int, *, forecast: bool
) -> tuple[LicenseEffect, ...]:
    found = (find_sku(skus, sku_id) for sku_id in sku_ids)
    return tuple(effect_on(sku, units, forecast=forecast) for sku in found if sku is not None)
