"""Look-ups of people and of the directory roles they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from loaders.read_through import Loader, Reader, fetch_each, read_through
from services.errors import NotFound, TenantNotFound
from services.lookups import ACTIVE_USERS, DELETED_USERS, ROLE_MEMBERS, ROLES, USER, USER_ROLES, K, Lookup
from services.models import DirectoryRole, RoleRef, User, UserRef, UserStatus
from services.partner_center.client import PartnerCenterClient

FEW_USERS = 16
"""So many users are asked for their roles one by one without asking first how many roles there are: about as
many as a tenant has. For more the list is worth its call, since it is kept for an hour."""


def active_users_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[User]]:
    """The active users of a tenant, unordered. One call for each 500."""
    return read_through(reader, ACTIVE_USERS, lambda tenant: partner_center.list_users(tenant, UserStatus.ACTIVE))


def deleted_users_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[User]]:
    """The deleted users that Partner Center still lists, purged late or not. One call for each 500."""
    return read_through(reader, DELETED_USERS, lambda tenant: partner_center.list_users(tenant, UserStatus.DELETED))


def user_by_ref(
    partner_center: PartnerCenterClient, reader: Reader, deleted_users: Loader[str, list[User]]
) -> Loader[UserRef, User]:
    """One user, active or deleted. One call, and for a deleted user the deleted users' list beside it.

    Whether Partner Center gives a deleted user by id is not documented, so both answers are taken.
    """

    async def fetch(ref: UserRef) -> User:
        try:
            return await partner_center.get_user(ref)
        except TenantNotFound:
            raise
        except NotFound:
            for user in await deleted_users.load(ref.tenant_id):
                if user.microsoft_id == ref.user_id:
                    return user
            raise

    return read_through(reader, USER, fetch)


def roles_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[DirectoryRole]]:
    """The directory roles that can be given in a tenant. One call a tenant."""
    return read_through(reader, ROLES, partner_center.list_roles)


def members_by_role(partner_center: PartnerCenterClient, reader: Reader) -> Loader[RoleRef, list[str]]:
    """The ids of the users who hold a role. One call a role."""
    return read_through(reader, ROLE_MEMBERS, partner_center.list_role_members)


def roles_by_user(
    partner_center: PartnerCenterClient,
    reader: Reader,
    roles: Loader[str, list[DirectoryRole]],
    members: Loader[RoleRef, list[str]],
) -> Loader[UserRef, list[DirectoryRole]]:
    """The directory roles of users, by the cheaper of two plans a tenant: a call a user, or a call a role.

    What the members tell is not kept for each user: it would pass for as new as the moment it was put together.
    """

    async def from_members(tenant_id: str, refs: Sequence[UserRef]) -> list[list[DirectoryRole] | Exception]:
        tenant_roles = await roles.load(tenant_id)
        members_of = await members.load_many([RoleRef(tenant_id, role.microsoft_id) for role in tenant_roles])
        held: dict[str, list[DirectoryRole]] = defaultdict(list)
        for role, user_ids in zip(tenant_roles, members_of, strict=True):
            for user_id in user_ids:
                held[user_id].append(role)
        return [held[ref.user_id] for ref in refs]

    async def missing(lookup: Lookup[K, Any], keys: Sequence[K]) -> int:
        return (await reader.at_hand(lookup, keys)).count(None)

    async def fewer_by_role(tenant_id: str, refs: Sequence[UserRef]) -> bool:
        users = await missing(USER_ROLES, refs)
        if users == 0:
            return False
        [known] = await reader.at_hand(ROLES, [tenant_id])
        if known is None and users <= FEW_USERS:
            return False
        tenant_roles = known.value if known is not None else await roles.load(tenant_id)
        return await missing(ROLE_MEMBERS, [RoleRef(tenant_id, role.microsoft_id) for role in tenant_roles]) < users

    async def of_tenant(tenant_id: str, refs: Sequence[UserRef]) -> list[list[DirectoryRole] | Exception]:
        if await fewer_by_role(tenant_id, refs):
            return await from_members(tenant_id, refs)
        return await reader.read_many(USER_ROLES, refs, partner_center.list_user_roles)

    async def batch(refs: list[UserRef]) -> list[list[DirectoryRole] | Exception]:
        by_tenant: dict[str, list[UserRef]] = defaultdict(list)
        for ref in refs:
            by_tenant[ref.tenant_id].append(ref)
        answers: dict[UserRef, list[DirectoryRole] | Exception] = {}
        tenants = list(by_tenant)
        results = await fetch_each(tenants, lambda tenant: of_tenant(tenant, by_tenant[tenant]))
        for tenant, result in zip(tenants, results, strict=True):
            users = by_tenant[tenant]
            # A plan that fails as a whole fails each of its users, and nobody else's.
            answers.update(zip(users, [result] * len(users) if isinstance(result, Exception) else result, strict=True))
        return [answers[ref] for ref in refs]

    return Loader(batch)
