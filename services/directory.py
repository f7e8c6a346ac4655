"""Finding people past the cache: what a change decides on is read fresh, always."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.cache import Kept, Looked, LookupCache
from services.errors import NotFound, TenantNotFound
from services.lookups import ACTIVE_USERS, SUBSCRIBED_SKUS, USER
from services.models import SubscribedSku, User, UserRef, UserStatus
from services.outcomes import Field, Problem, ProblemCode, Refusal
from services.partner_center.client import PartnerCenterClient
from services.user_actions import is_shown


async def find_user(partner_center: PartnerCenterClient, ref: UserRef) -> User | None:
    """The user as Partner Center has it now, active or deleted; None where there is none."""
    try:
        return await partner_center.get_user(ref)
    except TenantNotFound:
        return None
    except NotFound:
        return await find_deleted_user(partner_center, ref)


async def find_deleted_user(partner_center: PartnerCenterClient, ref: UserRef) -> User | None:
    """The deleted user as Partner Center lists it now, purged late or not."""
    try:
        deleted = await partner_center.list_users(ref.tenant_id, UserStatus.DELETED)
    except TenantNotFound:
        return None
    return next((user for user in deleted if user.microsoft_id == ref.user_id), None)


async def require_active_user(partner_center: PartnerCenterClient, ref: UserRef, field: Field, now: datetime) -> User:
    """The active user; refuses a change to one that is deleted, or is not there, or no longer by the 30 days."""
    user = await find_user(partner_center, ref)
    if user is None or not is_shown(user, now):
        raise Refusal(Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.", field=field))
    if user.status is UserStatus.DELETED:
        message = f"{user.display_name} is deleted and can only be restored."
        raise Refusal(Problem(code=ProblemCode.USER_DELETED, message=message, field=field))
    return user


async def known_user(cache: LookupCache, ref: UserRef) -> User | None:
    """The active user from the cache, by itself or in its tenant's list, as far as that is fresh."""
    return await _copy(cache, ref, lambda looked: looked.fresh(cache.clock()))


async def name_at_hand(cache: LookupCache, ref: UserRef) -> str | None:
    """The sign-in name in whatever copy the cache has of the user, however old: for records, never for decisions."""
    user = await _copy(cache, ref, lambda looked: looked.kept if looked.kept and not looked.kept.absent else None)
    return user.user_principal_name if user is not None else None


async def _copy(cache: LookupCache, ref: UserRef, usable: Callable[[Looked[Any]], Kept[Any] | None]) -> User | None:
    [looked] = await cache.look_up(USER, [ref])
    if kept := usable(looked):
        user: User = kept.value
        return user if user.status is UserStatus.ACTIVE else None
    [listed] = await cache.look_up(ACTIVE_USERS, [ref.tenant_id])
    users: list[User] = kept_list.value if (kept_list := usable(listed)) else []
    return next((user for user in users if user.microsoft_id == ref.user_id), None)


async def read_skus(cache: LookupCache, partner_center: PartnerCenterClient, tenant_id: str) -> list[SubscribedSku]:
    """The tenant's products, read past the cache and kept there: what else a payload says of them agrees."""
    [looked] = await cache.look_up(SUBSCRIBED_SKUS, [tenant_id])
    skus = await partner_center.list_subscribed_skus(tenant_id)
    if looked.storable:
        await cache.store_many(SUBSCRIBED_SKUS, {tenant_id: skus}, {tenant_id: looked.generation})
    return skus


async def find_holder(partner_center: PartnerCenterClient, tenant_id: str, name: str) -> User | None:
    """The active user who has the sign-in name now; Partner Center has no search, so all are listed."""
    wanted = name.casefold()
    for user in await partner_center.list_users(tenant_id, UserStatus.ACTIVE):
        if user.user_principal_name.casefold() == wanted:
            return user
    return None
