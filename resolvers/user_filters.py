"""Which users a filter leaves: what is at hand first, what costs a call a user last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from resolvers.context import Info
from resolvers.ordering import folded
from schema.enums import UserStatus
from schema.inputs import UserFilter
from services.errors import BadInput, NotFound, TenantNotFound
from services.models import RESTORE_WINDOW, License, RoleRef, User

LONGEST_SEARCH = 256
LONGEST_LIST = 100


async def filtered(info: Info, tenant_id: str, users: Sequence[User], wanted: UserFilter) -> list[User]:
    """The users of one tenant for whom every part of the filter holds; `check_filter` has let it pass."""
    left = list(filter(matcher(info, wanted), users))
    return await filtered_by_look_ups(info, tenant_id, left, wanted) if needs_look_ups(wanted) else left


def needs_look_ups(wanted: UserFilter) -> bool:
    """Whether the filter asks for more than a user's own record tells."""
    return wanted.role_ids is not None or wanted.licensed_for is not None or bool(wanted.unlicensed)


async def filtered_by_look_ups(info: Info, tenant_id: str, users: Sequence[User], wanted: UserFilter) -> list[User]:
    """Those of the users for whom the rest of the filter holds: a call a role, and then a call a user."""
    left = list(users)
    if wanted.role_ids is not None and left:
        members = [_members(info, RoleRef(tenant_id, role_id)) for role_id in wanted.role_ids]
        holders = {user_id for user_ids in await asyncio.gather(*members) for user_id in user_ids}
        left = [user for user in left if user.status is UserStatus.ACTIVE and user.microsoft_id in holders]
    if wanted.licensed_for is not None or wanted.unlicensed:
        held = await licenses_of(info, left)
        left = [user for user, licenses in zip(left, held, strict=True) if _licensed_as_wanted(licenses, wanted)]
    return left


async def licenses_of(info: Info, users: Sequence[User]) -> list[list[License]]:
    """The licenses of each user, in order. A deleted user holds none, and is not asked for."""
    refs = [user.ref for user in users if user.status is UserStatus.ACTIVE]
    answers = await info.context.loaders.licenses_by_user.many(refs)
    for answer in answers:
        if isinstance(answer, TenantNotFound) or (isinstance(answer, Exception) and not isinstance(answer, NotFound)):
            raise answer
    # Who is not found any more was deleted since the list was read.
    held = {ref: [] if isinstance(one, Exception) else one for ref, one in zip(refs, answers, strict=True)}
    return [held.get(user.ref, []) for user in users]


async def _members(info: Info, role: RoleRef) -> list[str]:
    try:
        return await info.context.loaders.members_by_role.load(role)
    except TenantNotFound:
        raise
    except NotFound:
        return []  # no role of this tenant


def matcher(info: Info, wanted: UserFilter) -> Callable[[User], bool]:
    """Says of a user whether all of the filter holds that the user's own record tells. Made once for many users."""
    text = None if wanted.search is None else folded(wanted.search.strip())
    locations = None if wanted.usage_locations is None else frozenset(wanted.usage_locations)
    days = wanted.purged_within_days
    deleted_until = None if days is None else info.context.now() + timedelta(days=days) - RESTORE_WINDOW

    def matches(user: User) -> bool:
        if text is not None and not _says(text, user):
            return False
        if locations is not None and user.usage_location not in locations:
            return False
        return deleted_until is None or (user.deleted_at is not None and user.deleted_at <= deleted_until)

    return matches


def _says(text: str, user: User) -> bool:
    return text in folded(user.display_name) or text in folded(user.user_principal_name)


def _licensed_as_wanted(licenses: Sequence[License], wanted: UserFilter) -> bool:
    if wanted.unlicensed and licenses:
        return False
    return wanted.licensed_for is None or any(one.sku_id in wanted.licensed_for for one in licenses)


def statuses_wanted(wanted: UserFilter) -> set[UserStatus]:
    """Whom the filter can leave at all: so only the lists that can hold a match are read."""
    statuses = set(UserStatus) if wanted.status is None else set(wanted.status)
    if wanted.role_ids is not None or wanted.licensed_for is not None:
        statuses.discard(UserStatus.DELETED)
    if wanted.purged_within_days is not None:
        statuses.discard(UserStatus.ACTIVE)
    return statuses


def check_filter(wanted: UserFilter) -> None:
    """Refuses what cannot be searched for, before anything is asked."""
    if wanted.search is not None and len(wanted.search) > LONGEST_SEARCH:
        raise BadInput(f"filter.search: at most {LONGEST_SEARCH} characters can be searched for.")
    lists = {
        "licensedFor": wanted.licensed_for,
        "roleIds": wanted.role_ids,
        "usageLocations": wanted.usage_locations,
    }
    for name, values in lists.items():
        if values is not None and len(values) > LONGEST_LIST:
            raise BadInput(f"filter.{name}: at most {LONGEST_LIST} values can be given.")
    if wanted.purged_within_days is not None and not 0 <= wanted.purged_within_days <= RESTORE_WINDOW.days:
        raise BadInput(f"filter.purgedWithinDays: give a number of days from 0 to {RESTORE_WINDOW.days}.")
