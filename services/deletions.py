"""Deleting people, and bringing them back within 30 days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.authorization import Caller, Permission
from services.changes import Change, require, require_for_privileged
from services.deletion_memory import DeletionMemory
from services.directory import find_deleted_user, find_holder, find_user, require_active_user
from services.errors import NotFound
from services.license_options import find_sku
from services.locks import Locks, sku_lock, user_lock
from services.lookups import ACTIVE_USERS, DELETED_USERS, LICENSES, SUBSCRIBED_SKUS, USER, USER_ROLES
from services.models import RESTORE_WINDOW, License, RoleRef, SubscribedSku, User, UserRef, UserStatus
from services.outcomes import Field, LicenseEffect, Outcome, Problem, ProblemCode, Refusal, effect_on
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
        require(change.caller, Permission.DELETE_USERS)
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            if change.resumed and (deleted := await find_deleted_user(self.partner_center, ref)):
                return Outcome(user=deleted)
            user = await require_active_user(self.partner_center, ref, _ID)
            change.user_principal_name = user.user_principal_name
            await self._refuse_risky_deletion(change.caller, user)
            held, skus = await asyncio.gather(
                self.partner_center.list_licenses(ref), self.partner_center.list_subscribed_skus(ref.tenant_id)
            )
            change.before = {"status": "ACTIVE", "skuIds": sorted(one.sku_id for one in held)}
            change.after = {"status": "DELETED", "skuIds": []}
            effects = _effects(skus, [one.sku_id for one in held], -1, forecast=change.dry_run)
            if change.dry_run:
                return Outcome(user=user, effects=effects)
            names = [sku_lock(ref.tenant_id, one.sku_id) for one in held]
            async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
                await self._delete(change, user, held)
            deleted = await find_deleted_user(self.partner_center, ref)
            return Outcome(user=deleted, effects=effects)

    async def _delete(self, change: Change, user: User, held: Sequence[License]) -> None:
        ref = user.ref
        _makes_stale(change, ref)

        async def read_back() -> Applied[None] | None:
            return Applied(None) if await find_deleted_user(self.partner_center, ref) else None

        await change.write(
            "delete", lambda request_id: self.partner_center.delete_user(ref, request_id=request_id), read_back
        )
        await self.deletions.remember(ref, [one.sku_id for one in held])

    async def _refuse_risky_deletion(self, caller: Caller, user: User) -> None:
        if not caller.may(Permission.MANAGE_ADMINS):
            require_for_privileged(caller, await self.partner_center.list_user_roles(user.ref), _ID)
        own_names = {caller.subject.casefold(), caller.name.casefold()}
        if user.microsoft_id in own_names or user.user_principal_name.casefold() in own_names:
            message = "You cannot delete yourself."
            raise Refusal(Problem(code=ProblemCode.NOT_PERMITTED, message=message, field=_ID))
        role = RoleRef(user.tenant_id, GLOBAL_ADMINISTRATOR)
        try:
            administrators = await self.partner_center.list_role_members(role)
        except NotFound:  # nobody was ever given the role here
            administrators = []
        if administrators == [user.microsoft_id]:
            message = f"{user.display_name} is the tenant's last global administrator. Give the role to another first."
            raise Refusal(Problem(code=ProblemCode.PRIVILEGED_TARGET, message=message, field=_ID))

    async def restore(self, change: Change, ref: UserRef) -> Outcome:
        """Brings a deleted user back. Which licenses come back is Microsoft's decision: the effects say which did."""
        require(change.caller, Permission.DELETE_USERS)
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            user = await self._require_restorable(change, ref)
            change.user_principal_name = user.user_principal_name
            if user.status is UserStatus.ACTIVE:
                return Outcome(user=user)
            await self._refuse_taken_name(user)
            skus = await self.partner_center.list_subscribed_skus(ref.tenant_id)
            change.before, change.after = {"status": "DELETED"}, {"status": "ACTIVE"}
            if change.dry_run:
                remembered = await self.deletions.recall(ref) or ()
                free = [sku.sku_id for sku in skus if sku.sku_id in remembered and sku.available_units > 0]
                return Outcome(user=user, effects=_effects(skus, free, 1, forecast=True))
            restored = await self._restore(change, ref)
            held = await self.partner_center.list_licenses(ref)
            change.after["skuIds"] = sorted(one.sku_id for one in held)
            return Outcome(user=restored, effects=_effects(skus, [one.sku_id for one in held], 1, forecast=False))

    async def _restore(self, change: Change, ref: UserRef) -> User:
        _makes_stale(change, ref)

        async def read_back() -> Applied[User] | None:
            now = await find_user(self.partner_center, ref)
            return Applied(now) if now is not None and now.status is UserStatus.ACTIVE else None

        restored = await change.write(
            "restore", lambda request_id: self.partner_center.restore_user(ref, request_id=request_id), read_back
        )
        await self.deletions.forget(ref)
        return restored

    async def _require_restorable(self, change: Change, ref: UserRef) -> User:
        user = await find_user(self.partner_center, ref)
        if user is None:
            raise Refusal(Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.", field=_ID))
        if user.status is UserStatus.ACTIVE and not change.resumed:
            message = f"{user.display_name} is not deleted."
            raise Refusal(Problem(code=ProblemCode.USER_ACTIVE, message=message, field=_ID))
        if not is_restorable(user, self.now()) and user.deleted_at is not None:
            ended_at = user.deleted_at + RESTORE_WINDOW
            message = f"{user.display_name} could be restored for 30 days, which are over."
            raise Refusal(
                Problem(code=ProblemCode.RESTORE_WINDOW_OVER, message=message, field=_ID, window_ended_at=ended_at)
            )
        return user

    async def _refuse_taken_name(self, user: User) -> None:
        holder = await find_holder(self.partner_center, user.tenant_id, user.user_principal_name)
        if holder is not None:
            message = f"{holder.display_name} has the sign-in name {user.user_principal_name} now. Change it first."
            raise Refusal(Problem(code=ProblemCode.NAME_TAKEN, message=message, field=_ID, holder=holder))


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
