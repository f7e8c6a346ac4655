"""How people are found, and the fields of a person that cost a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.ordering import folded
from resolvers.paging import DEFAULT_PAGE_SIZE, Order, Page, Place, page_size, paginate
from resolvers.tenants import tenant_of
from resolvers.user_filters import filtered
from schema.enums import OrderDirection, UserOrderField, UserStatus
from schema.inputs import UserBy, UserFilter, UserOrder
from services.authorization import Permission
from services.errors import NotFound, TenantNotFound
from services.models import DirectoryRole, Tenant, TenantRef, User, UserRef
from services.user_actions import Deletion, UserAction, actions_on, deletion_of, is_shown


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which tenants an answer speaks of. `asked` is the sum of `answered` and the failed ones."""

    asked: int
    answered: int
    stale: int
    failed: list[Any]
    oldest_as_of: datetime | None


@dataclass(frozen=True, slots=True)
class UserPage(Page[User]):
    """One page of people, and the tenants that it speaks of."""

    coverage: Coverage


async def resolve_tenant_users(
    root: strawberry.Parent[Any],
    info: Info,
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
    filter: UserFilter | None = None,
    order_by: UserOrder | None = None,
) -> UserPage:
    size = page_size(first, info.context.max_page_size)
    wanted = filter or UserFilter()
    statuses = set(wanted.status or UserStatus)
    users = await shown_users(info, root.microsoft_id, statuses)
    oldest = min((user.as_of for user in users), default=None)
    matching = await filtered(info, root.microsoft_id, users, wanted)
    return user_page(matching, order_by or UserOrder(), size, after, Coverage(1, 1, 0, [], oldest))


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
    now = info.context.now()
    found: dict[str, User] = {}
    for waiting in lists:
        for user in await waiting:
            # A user who was deleted or restored between the two calls stands in both lists: the later one holds.
            known = found.get(user.microsoft_id)
            if is_shown(user, now) and (known is None or known.as_of <= user.as_of):
                found[user.microsoft_id] = user
    return list(found.values())


def user_page(users: Sequence[User], order: UserOrder, size: int, after: str | None, coverage: Coverage) -> UserPage:
    """One page of the users, in order."""
    page = paginate(users, _order(order), size, after)
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
    return user if is_shown(user, info.context.now()) else None


async def resolve_user_tenant(root: strawberry.Parent[Any], info: Info) -> Tenant | TenantRef:
    return await tenant_of(info, root.tenant_id)


def resolve_user_deletion(root: strawberry.Parent[Any], info: Info) -> Deletion | None:
    return deletion_of(root, info.context.now())


async def resolve_user_roles(root: strawberry.Parent[Any], info: Info) -> list[DirectoryRole]:
    if root.status is UserStatus.DELETED:
        return []
    roles = await info.context.loaders.roles_by_user.load(root.ref)
    return sorted(roles, key=lambda role: (folded(role.name), role.microsoft_id))


async def resolve_user_actions(root: strawberry.Parent[Any], info: Info) -> list[UserAction]:
    caller = info.context.caller
    privileged = False
    if root.status is UserStatus.ACTIVE and not caller.may(Permission.MANAGE_ADMINS):
        roles = await info.context.loaders.roles_by_user.load(root.ref)
        privileged = any(role.privileged for role in roles)
    return actions_on(root, info.context.now(), caller, privileged=privileged)


def _order(order: UserOrder) -> Order[User]:
    descending = order.direction is OrderDirection.DESC
    places = {
        UserOrderField.DISPLAY_NAME: _place_by_name,
        UserOrderField.USER_PRINCIPAL_NAME: _place_by_sign_in_name,
        UserOrderField.DELETED_AT: _place_by_deletion_last if descending else _place_by_deletion,
    }
    return Order(f"users {order.field.name} {order.direction.name}", places[order.field], descending)


def _place_by_name(user: User) -> Place:
    return Place(folded(user.display_name), user.microsoft_id)


def _place_by_sign_in_name(user: User) -> Place:
    return Place(folded(user.user_principal_name), user.microsoft_id)


def _place_by_deletion(user: User) -> Place:
    return Place(user.deleted_at.isoformat() if user.deleted_at else "~", user.microsoft_id)


def _place_by_deletion_last(user: User) -> Place:
    # Downwards, too, the users that are not deleted come last.
    return Place(user.deleted_at.isoformat() if user.deleted_at else "", user.microsoft_id)
