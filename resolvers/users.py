"""How people are found, and the fields of a person that cost a look-up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import strawberry

from execution.many import for_many
from loaders.joined import Joined
from loaders.read_through import fetch_each
from resolvers.context import Info
from resolvers.coverage import Coverage as Coverage
from resolvers.ordering import folded
from resolvers.paging import DEFAULT_PAGE_SIZE, Order, Page, Window, paginate, read_window
from resolvers.tenants import tenant_of
from resolvers.user_filters import check_filter, filtered, statuses_wanted
from schema.enums import OrderDirection, UserOrderField, UserStatus
from schema.inputs import UserBy, UserFilter, UserOrder
from services.authorization import Permission
from services.errors import NotFound, TenantNotFound, UpstreamError
from services.lookups import ACTIVE_USERS, DELETED_USERS, LICENSES, ROLE_MEMBERS, ROLES, USER_ROLES
from services.models import DirectoryRole, Tenant, TenantRef, User, UserRef
from services.user_actions import Deletion, UserAction, actions_on, deletion_of, is_shown


@dataclass(frozen=True, slots=True)
class UserPage(Page[User]):
    """One page of people, and the tenants that it speaks of."""

    coverage: Coverage


class _InOrder(NamedTuple):
    """All active users of a tenant by display name, and when the oldest was read."""

    users: list[User]
    oldest_as_of: datetime | None


_IN_ORDER: Joined[_InOrder] = Joined(most=512)
"""By the cached list of a tenant's active users: neither the caller nor the clock has a say in it."""


async def _many_tenants_users(
    tenants: Sequence[Any],
    info: Info,
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
    filter: UserFilter | None = None,
    order_by: UserOrder | None = None,
) -> list[Any]:
    if after is not None or not _asks_for_active_by_name(filter, order_by):
        return await fetch_each(
            tenants, lambda tenant: resolve_tenant_users(tenant, info, first, after, filter, order_by)
        )
    window = user_window(info, UserOrder(), first, None)
    tenant_ids = [tenant.microsoft_id for tenant in tenants]
    lists = await info.context.loaders.active_users_by_tenant.many(tenant_ids)
    return [
        users if isinstance(users, Exception) else _first_page(info, tenant_id, users, window)
        for tenant_id, users in zip(tenant_ids, lists, strict=True)
    ]


@for_many(_many_tenants_users)
async def resolve_tenant_users(
    root: strawberry.Parent[Any],
    info: Info,
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
    filter: UserFilter | None = None,
    order_by: UserOrder | None = None,
) -> UserPage:
    window = user_window(info, order_by or UserOrder(), first, after)
    if after is None and _asks_for_active_by_name(filter, order_by):
        active = await info.context.loaders.active_users_by_tenant.load(root.microsoft_id)
        return _first_page(info, root.microsoft_id, active, window)
    wanted = filter or UserFilter()
    check_filter(wanted)
    users = await shown_users(info, root.microsoft_id, statuses_wanted(wanted))
    matching = await filtered(info, root.microsoft_id, users, wanted)
    return user_page(matching, window, covering_one(info, root.microsoft_id, users))


def _asks_for_active_by_name(filter: UserFilter | None, order_by: UserOrder | None) -> bool:
    return filter == _ACTIVE_ONLY and (order_by is None or order_by == UserOrder())


_ACTIVE_ONLY = UserFilter(status=[UserStatus.ACTIVE])


def _first_page(info: Info, tenant_id: str, active: list[User], window: Window[User]) -> UserPage:
    """The first page of a tenant's active users by name, from the order that is kept."""

    def in_order() -> _InOrder:
        page = paginate(active, Window(window.order, len(active), None))
        return _InOrder(page.nodes, min((user.as_of for user in active), default=None))

    users, oldest = _IN_ORDER.get(tenant_id, active, None, in_order)
    return UserPage(
        nodes=users[: window.size],
        order=window.order,
        total_count=len(users),
        has_next_page=window.size < len(users),
        has_previous_page=False,
        coverage=Coverage(1, 1, int(_is_stale(info, tenant_id)), [], oldest),
    )


async def shown_users(info: Info, tenant_id: str, statuses: set[UserStatus]) -> list[User]:
    """The users of a tenant that callers see, from Partner Center's two lists, unordered and each once."""
    loaders = info.context.loaders
    lists = [
        loader.load(tenant_id)
        for status, loader in (
            (UserStatus.ACTIVE, loaders.active_users_by_tenant),
            (UserStatus.DELETED, loaders.deleted_users_by_tenant),
        )
        if status in statuses
    ]
    return users_of(await asyncio.gather(*lists), info.context.now)


def users_of(lists: Iterable[Sequence[User]], now: Callable[[], datetime]) -> list[User]:
    """The users of a tenant that callers see, each once, of one list or both. The time is asked for deleted ones."""
    found: dict[str, User] = {}
    for users in lists:
        for user in users:
            # A user who was deleted or restored between the two calls stands in both lists: the later one holds.
            known = found.get(user.microsoft_id)
            if _is_shown(user, now) and (known is None or known.as_of <= user.as_of):
                found[user.microsoft_id] = user
    return list(found.values())


def user_window(info: Info, order: UserOrder, first: int | None, after: str | None) -> Window[User]:
    """Reads which part of a list of people is asked for."""
    return read_window(_order(order), first, after, info.context.max_page_size)


_DECIDING = frozenset(
    lookup.kind for lookup in (ACTIVE_USERS, DELETED_USERS, LICENSES, USER_ROLES, ROLES, ROLE_MEMBERS)
)
"""Look-ups that decide who is on a page: the lists of people, and what filters look at."""


def covering_one(info: Info, tenant_id: str, users: Sequence[User]) -> Coverage:
    """The coverage of an answer that speaks of one tenant, all of whose users were read."""
    return Coverage(1, 1, int(_is_stale(info, tenant_id)), [], min((user.as_of for user in users), default=None))


def _is_stale(info: Info, tenant_id: str) -> bool:
    stale = info.context.upstream_use.stale
    return any(kind in _DECIDING and getattr(key, "tenant_id", key) == tenant_id for kind, key in stale)


def user_page(users: Sequence[User], window: Window[User], coverage: Coverage) -> UserPage:
    """One page of the users, in order."""
    page = paginate(users, window)
    return UserPage(
        nodes=page.nodes,
        order=page.order,
        total_count=page.total_count,
        has_next_page=page.has_next_page,
        has_previous_page=page.has_previous_page,
        coverage=coverage,
    )


async def resolve_tenant_user(root: strawberry.Parent[Any], info: Info, by: UserBy) -> User | None:
    if by.microsoft_id:
        return await find_user(info, UserRef(root.microsoft_id, by.microsoft_id.value))
    assert by.user_principal_name is not None  # a one-of input has exactly one member
    name = by.user_principal_name.value.strip().casefold()
    for user in await shown_users(info, root.microsoft_id, set(UserStatus)):
        if user.user_principal_name.casefold() == name:
            return user
    return None


async def find_user(info: Info, ref: UserRef) -> User | None:
    """The user of a tenant that is in scope; None where there is none, or it was deleted 30 days ago or longer."""
    try:
        user = await info.context.loaders.user_by_ref.load(ref)
    except TenantNotFound:
        raise
    except NotFound:
        return None
    return user if _is_shown(user, info.context.now) else None


def _is_shown(user: User, now: Callable[[], datetime]) -> bool:
    return user.status is UserStatus.ACTIVE or is_shown(user, now())


def resolve_user_tenant(root: strawberry.Parent[Any], info: Info) -> TenantRef | Awaitable[Tenant]:
    return tenant_of(info, root.tenant_id)


def _many_deletions(users: Sequence[User], info: Info) -> list[Deletion | None]:
    return [resolve_user_deletion(user, info) for user in users]


@for_many(_many_deletions)
def resolve_user_deletion(root: strawberry.Parent[Any], info: Info) -> Deletion | None:
    return None if root.status is UserStatus.ACTIVE else deletion_of(root, info.context.now())


def _in_order(roles: Sequence[DirectoryRole]) -> list[DirectoryRole]:
    return sorted(roles, key=lambda role: (folded(role.name), role.microsoft_id))


async def _many_users_roles(users: Sequence[User], info: Info) -> list[list[DirectoryRole] | Exception]:
    refs = [user.ref for user in users if user.status is UserStatus.ACTIVE]
    found = iter(await info.context.loaders.roles_by_user.many(refs))
    roles_of = [next(found) if user.status is UserStatus.ACTIVE else [] for user in users]
    return [roles if isinstance(roles, Exception) else _in_order(roles) for roles in roles_of]


@for_many(_many_users_roles)
async def resolve_user_roles(root: strawberry.Parent[Any], info: Info) -> list[DirectoryRole]:
    if root.status is UserStatus.DELETED:
        return []
    return _in_order(await info.context.loaders.roles_by_user.load(root.ref))


def resolve_user_actions(root: strawberry.Parent[Any], info: Info) -> list[UserAction] | Awaitable[list[UserAction]]:
    caller = info.context.caller
    if root.status is UserStatus.DELETED or caller.may(Permission.MANAGE_ADMINS):
        return actions_on(root, info.context.now, caller, privileged=False)
    return _actions_by_roles(root, info)


async def _actions_by_roles(user: User, info: Info) -> list[UserAction]:
    privileged = await is_guarded(user, info)
    return actions_on(user, info.context.now, info.context.caller, privileged=privileged)


async def is_guarded(user: User, info: Info) -> bool:
    """Whether the caller would need MANAGE_ADMINS to change the user; so it is while the roles cannot be read."""
    if user.status is UserStatus.DELETED or info.context.caller.may(Permission.MANAGE_ADMINS):
        return False
    try:
        roles = await info.context.loaders.roles_by_user.load(user.ref)
    except UpstreamError:
        return True
    return any(role.privileged for role in roles)


_MICROSOFT_ID: Callable[[User], str] = attrgetter("microsoft_id")


def _order(order: UserOrder) -> Order[User]:
    descending = order.direction is OrderDirection.DESC
    keys = {
        UserOrderField.DISPLAY_NAME: _by_name,
        UserOrderField.USER_PRINCIPAL_NAME: _by_sign_in_name,
        UserOrderField.DELETED_AT: _by_deletion_last if descending else _by_deletion,
    }
    return Order(f"users {order.field.name} {order.direction.name}", keys[order.field], _MICROSOFT_ID, descending)


def _by_name(user: User) -> str:
    return folded(user.display_name)


def _by_sign_in_name(user: User) -> str:
    return folded(user.user_principal_name)


def _by_deletion(user: User) -> str:
    return user.deleted_at.isoformat() if user.deleted_at else "~"


def _by_deletion_last(user: User) -> str:
    # Downwards, too, the users that are not deleted come last.
    return user.deleted_at.isoformat() if user.deleted_at else ""
