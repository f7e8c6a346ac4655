"""Which users a filter leaves: what is at hand first, what costs a call a user last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from resolvers.context import Info
from resolvers.ordering import searchable
from schema.enums import UserStatus
from schema.inputs import UserFilter
from services.errors import BadInput
from services.models import RESTORE_WINDOW, License, RoleRef, User

LONGEST_SEARCH = 256
LONGEST_LIST = 100


async def filtered(info: Info, tenant_id: str, users: Sequence[User], wanted: UserFilter) -> list[User]:
    """The users of one tenant for whom every part of the filter holds."""
    _check(wanted)
    left = [user for user in users if _matches(info, user, wanted)]
    if wanted.role_ids is not None:
        refs = [RoleRef(tenant_id, role_id) for role_id in wanted.role_ids]
        members = await info.context.loaders.members_by_role.load_many(refs)
        holders = {user_id for user_ids in members for user_id in user_ids}
        left = [user for user in left if user.status is UserStatus.ACTIVE and user.microsoft_id in holders]
    if wanted.licensed_for is not None or wanted.unlicensed:
        held = await licenses_of(info, left)
        left = [user for user, licenses in zip(left, held, strict=True) if _licensed_as_wanted(licenses, wanted)]
    return left


async def licenses_of(info: Info, users: Sequence[User]) -> list[list[License]]:
    """The licenses of each user, in order. A deleted user holds none, and is not asked for."""
    active = [user.ref for user in users if user.status is UserStatus.ACTIVE]
    held = dict(zip(active, await info.context.loaders.licenses_by_user.load_many(active), strict=True))
    return [held.get(user.ref, []) for user in users]


def _matches(info: Info, user: User, wanted: UserFilter) -> bool:
    if wanted.search is not None:
        text = searchable(wanted.search.strip())
        if text not in searchable(user.display_name) and text not in searchable(user.user_principal_name):
            return False
    if wanted.usage_locations is not None and user.usage_location not in wanted.usage_locations:
        return False
    if wanted.purged_within_days is not None:
        limit = info.context.now() + timedelta(days=wanted.purged_within_days)
        return user.deleted_at is not None and user.deleted_at + RESTORE_WINDOW <= limit
    return True


def _licensed_as_wanted(licenses: Sequence[License], wanted: UserFilter) -> bool:
    if wanted.unlicensed and licenses:
        return False
    return wanted.licensed_for is None or any(one.sku_id in wanted.licensed_for for one in licenses)


def _check(wanted: UserFilter) -> None:
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
