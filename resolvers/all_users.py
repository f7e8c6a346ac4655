"""People in any tenant of the scope."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from resolvers.context import Info
from resolvers.coverage import Coverage
from resolvers.many_tenants import Answers, answers_of, ask_each, coverage_of, read_each, tenants_of_scope
from resolvers.paging import DEFAULT_PAGE_SIZE
from resolvers.user_filters import check_filter, filtered_by_look_ups, matcher, needs_look_ups, statuses_wanted
from resolvers.users import UserPage, user_page, user_window, users_of
from schema.enums import UserStatus
from schema.inputs import TenantScope, UserFilter, UserOrder
from services.errors import UpstreamError
from services.lookups import ACTIVE_USERS, DELETED_USERS, LICENSES, ROLE_MEMBERS
from services.models import Tenant, User

_MOST_AT_A_TIME = 5_000
"""Users that are looked at before others have their turn: some milliseconds."""
_MANY = 20_000
"""So many users are put in order beside the loop, which others need meanwhile."""


@dataclass(frozen=True, slots=True)
class FoundUsers:
    """The users that a filter finds, unordered, by tenant; and which tenants were searched."""

    by_tenant: list[tuple[Tenant, list[User]]]
    coverage: Coverage


async def resolve_users(
    info: Info,
    scope: TenantScope | None = None,
    filter: UserFilter | None = None,
    order_by: UserOrder | None = None,
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
) -> UserPage:
    window = user_window(info, order_by or UserOrder(), first, after)
    found = await find_users(info, scope, filter or UserFilter())
    users = [user for _, users in found.by_tenant for user in users]
    if len(users) < _MANY:
        return user_page(users, window, found.coverage)
    return await asyncio.to_thread(user_page, users, window, found.coverage)


async def find_users(info: Info, scope: TenantScope | None, wanted: UserFilter) -> FoundUsers:
    """Everybody in the scope for whom the filter holds. A tenant that fails in part fails as a whole."""
    check_filter(wanted)
    tenants = await tenants_of_scope(info, scope)
    read = await _lists_of(info, tenants, statuses_wanted(wanted))
    as_ofs = [users[0].as_of for _, lists in read.given for users in lists if users]
    answers = await _matching(info, read, wanted)
    coverage = coverage_of(info, answers, (ACTIVE_USERS, DELETED_USERS, ROLE_MEMBERS, LICENSES), as_ofs)
    return FoundUsers(answers.given, coverage)


async def _lists_of(info: Info, tenants: Sequence[Tenant], statuses: set[UserStatus]) -> Answers[list[list[User]]]:
    """Partner Center's lists of each tenant that can hold a match: one, or both."""
    loaders = info.context.loaders
    wanted = [
        loader
        for status, loader in (
            (UserStatus.ACTIVE, loaders.active_users_by_tenant),
            (UserStatus.DELETED, loaders.deleted_users_by_tenant),
        )
        if status in statuses
    ]
    by_list = await asyncio.gather(*(read_each(tenants, loader) for loader in wanted))
    by_tenant = zip(*by_list, strict=True) if by_list else [()] * len(tenants)
    return answers_of(tenants, [_lists_or_failure(lists) for lists in by_tenant])


def _lists_or_failure(lists: Sequence[list[User] | UpstreamError]) -> list[list[User]] | UpstreamError:
    read: list[list[User]] = []
    for one in lists:
        if isinstance(one, UpstreamError):
            return one
        read.append(one)
    return read


async def _matching(info: Info, read: Answers[list[list[User]]], wanted: UserFilter) -> Answers[list[User]]:
    matches, now = matcher(info, wanted), info.context.now
    found: dict[str, list[User]] = {}
    looked_at = 0
    for tenant, lists in read.given:
        users = users_of(lists, now)
        found[tenant.microsoft_id] = [user for user in users if matches(user)]
        looked_at += len(users)
        if looked_at > _MOST_AT_A_TIME:
            looked_at = 0
            await asyncio.sleep(0)
    searched = [tenant for tenant, _ in read.given]
    if not needs_look_ups(wanted):
        return Answers([(tenant, found[tenant.microsoft_id]) for tenant in searched], read.failed)

    async def looked_up(tenant: Tenant) -> list[User]:
        return await filtered_by_look_ups(info, tenant.microsoft_id, found[tenant.microsoft_id], wanted)

    answers = await ask_each(searched, looked_up)
    return Answers(answers.given, read.failed + answers.failed)
