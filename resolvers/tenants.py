"""How tenants are found and their own fields answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import strawberry
from graphql import FieldNode, Undefined

from resolvers.context import Info
from resolvers.ordering import folded
from resolvers.paging import DEFAULT_PAGE_SIZE, Order, Page, paginate, read_window
from resolvers.scope import is_in_scope, tenants_in_scope
from resolvers.selection import argument_of, selected_fields
from resolvers.user_filters import statuses_wanted
from schema.enums import OrderDirection, TenantAccessStatus, TenantOrderField, UserStatus
from schema.inputs import TenantBy, TenantOrder, UserFilter
from schema.scalars import CountryCode, parse_guid
from services.authorization import Permission, ViewerKind
from services.errors import AccessMissing, BadInput, TenantNotFound, UpstreamError
from services.global_ids import decode_id
from services.models import DirectoryRole, Tenant, TenantRef, UserRef

LONGEST_SEARCH = 256
LONGEST_DOMAIN = 253

READ_ROLES = ("Directory Readers",)
WRITE_ROLES = (
    "User Administrator",
    "License Administrator",
    "Privileged Role Administrator",
    "Privileged Authentication Administrator",
)
"""Entra roles that, granted to the partner (GDAP), let the gateway do all it can.
Source: learn.microsoft.com/partner-center/developer, "Delegated admin privileges" of each operation's page"""

_OF_THE_RECORD = frozenset({"name", "domain", "asOf", "domains"})
"""Fields that need the tenant's own record; every other one has a look-up of its own."""


@dataclass(frozen=True, slots=True)
class TenantAccess:
    status: TenantAccessStatus
    missing_roles: list[str]


async def resolve_tenant(info: Info, by: TenantBy) -> Tenant | TenantRef | None:
    info.context.caller.require(Permission.READ)
    if by.id:
        decoded = decode_id(by.id.value)
        if decoded is None or decoded.kind != "Tenant" or decoded.microsoft_id:
            return None
        return await find_tenant(info, decoded.tenant_id)
    if by.microsoft_id:
        return await find_tenant(info, by.microsoft_id.value)
    assert by.domain is not None  # a one-of input has exactly one member
    return await _find_by_domain(info, by.domain.value.strip().lower())


async def resolve_tenants(
    info: Info,
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
    search: str | None = None,
    order_by: TenantOrder | None = None,
) -> Page[Tenant]:
    window = read_window(_order(order_by or TenantOrder()), first, after, info.context.max_page_size)
    if search and len(search) > LONGEST_SEARCH:
        raise BadInput(f"search: at most {LONGEST_SEARCH} characters can be searched for.")
    tenants = await tenants_in_scope(info)
    if search:
        wanted = folded(search.strip())
        tenants = [one for one in tenants if wanted in folded(one.name) or wanted in folded(one.domain)]
    return paginate(tenants, window)


async def find_tenant(info: Info, tenant_id: str) -> Tenant | TenantRef | None:
    """The tenant, if the caller manages it and it exists; its record only where a selected field needs it.

    Without the record, whatever else is selected proves that the tenant exists: no call is made for that.
    """
    if not await is_in_scope(info, tenant_id):
        return None
    try:
        return await _known_tenant(info, tenant_id) or await _proven_tenant(info, tenant_id)
    except TenantNotFound:
        return None


def tenant_of(info: Info, tenant_id: str) -> TenantRef | Awaitable[Tenant]:
    """The tenant of something that was just read from it."""
    if not _OF_THE_RECORD.intersection(selected_fields(info)):
        return TenantRef(tenant_id)
    return tenant_record(info, tenant_id)


async def resolve_tenant_domains(root: strawberry.Parent[Any], info: Info) -> list[str]:
    listed = await info.context.loaders.domains_by_tenant.load(root.microsoft_id)
    others = sorted({domain.lower() for domain in listed} - {root.domain.lower()})
    return [root.domain, *others]


async def resolve_tenant_country(root: strawberry.Parent[Any], info: Info) -> CountryCode | None:
    customer = await info.context.loaders.customer_by_tenant.load(root.microsoft_id)
    return CountryCode(customer.country) if customer.country else None


async def resolve_tenant_access(root: strawberry.Parent[Any], info: Info) -> TenantAccess | None:
    """Full where reading works and delegated admin privileges exist, none where reading is refused.

    Else null: what a partner was granted role by role (GDAP) cannot be read from Partner Center, and trying
    a write to find out is out of the question.
    """
    try:
        await info.context.loaders.roles_by_tenant.load(root.microsoft_id)
    except AccessMissing:
        return TenantAccess(TenantAccessStatus.NONE, [*READ_ROLES, *WRITE_ROLES])
    customer = await info.context.loaders.customer_by_tenant.load(root.microsoft_id)
    return TenantAccess(TenantAccessStatus.FULL, []) if customer.delegated_access else None


async def resolve_tenant_roles(root: strawberry.Parent[Any], info: Info) -> list[DirectoryRole]:
    roles = await info.context.loaders.roles_by_tenant.load(root.microsoft_id)
    return sorted(roles, key=lambda role: (folded(role.name), role.microsoft_id))


async def _known_tenant(info: Info, tenant_id: str) -> Tenant | None:
    """The tenant with its name and domain, if it is at hand; for a reseller it is, in the list that is its scope."""
    if info.context.caller.kind is not ViewerKind.RESELLER:
        return await info.context.loaders.tenant_at_hand.load(tenant_id)
    return next((tenant for tenant in await tenants_in_scope(info) if tenant.microsoft_id == tenant_id), None)


async def tenant_record(info: Info, tenant_id: str) -> Tenant:
    known = await _known_tenant(info, tenant_id)
    return known or (await info.context.loaders.customer_by_tenant.load(tenant_id)).tenant


async def _proven_tenant(info: Info, tenant_id: str) -> Tenant | TenantRef:
    selected = selected_fields(info)
    look_ups = [] if _OF_THE_RECORD.intersection(selected) else _look_ups(info, tenant_id, selected)
    if not look_ups:
        return (await info.context.loaders.customer_by_tenant.load(tenant_id)).tenant
    try:
        await look_ups[0]
    except TenantNotFound:
        raise
    except UpstreamError:
        pass  # the field that needs this look-up says so at its own path
    return TenantRef(tenant_id)


def _look_ups(info: Info, tenant_id: str, selected: dict[str, list[FieldNode]]) -> list[asyncio.Future[Any]]:
    """Starts what the selected fields will ask for anyway; the loaders give them the same answers."""
    loaders = info.context.loaders
    started: list[asyncio.Future[Any]] = []
    statuses = set[UserStatus]()
    for node in selected.get("users", []):
        statuses |= statuses_wanted(_user_filter(argument_of(info, node, "filter") or {}))
    for node in selected.get("user", []):
        user_id = (argument_of(info, node, "by") or {}).get("microsoftId")
        if user_id:
            started.append(loaders.user_by_ref.load(UserRef(tenant_id, parse_guid(user_id))))
        else:
            statuses |= set(UserStatus)
    if UserStatus.ACTIVE in statuses:
        started.append(loaders.active_users_by_tenant.load(tenant_id))
    if UserStatus.DELETED in statuses:
        started.append(loaders.deleted_users_by_tenant.load(tenant_id))
    if "subscribedSkus" in selected:
        started.append(loaders.subscribed_skus_by_tenant.load(tenant_id))
    if "roles" in selected:
        started.append(loaders.roles_by_tenant.load(tenant_id))
    return started


def _user_filter(given: dict[str, Any]) -> UserFilter:
    """As much of a filter as says whose list is needed."""
    known = {name: value for name, value in given.items() if value is not None and value is not Undefined}
    statuses = known.get("status")
    return UserFilter(
        status=None if statuses is None else [UserStatus[getattr(one, "name", one)] for one in statuses],
        licensed_for=known.get("licensedFor"),
        role_ids=known.get("roleIds"),
        purged_within_days=known.get("purgedWithinDays"),
    )


async def _find_by_domain(info: Info, domain: str) -> Tenant | None:
    if "." not in domain or len(domain) > LONGEST_DOMAIN:
        return None  # Partner Center compares beginnings: half a name would match the domains of many
    tenants = await tenants_in_scope(info)
    for tenant in tenants:
        if tenant.domain.lower() == domain:
            return tenant
    if len(tenants) > 1:
        found = {tenant.microsoft_id for tenant in await info.context.loaders.tenants_by_domain.load(domain)}
        tenants = [tenant for tenant in tenants if tenant.microsoft_id in found]
    domains = await info.context.loaders.domains_by_tenant.load_many(one.microsoft_id for one in tenants)
    for tenant, listed in zip(tenants, domains, strict=True):
        if domain in {one.lower() for one in listed}:
            return tenant
    return None


_MICROSOFT_ID: Callable[[Tenant], str] = attrgetter("microsoft_id")


def _order(order: TenantOrder) -> Order[Tenant]:
    descending = order.direction is OrderDirection.DESC
    key = _by_domain if order.field is TenantOrderField.DOMAIN else _by_name
    return Order(f"tenants {order.field.name} {order.direction.name}", key, _MICROSOFT_ID, descending)


def _by_name(tenant: Tenant) -> str:
    return folded(tenant.name)


def _by_domain(tenant: Tenant) -> str:
    return tenant.domain.lower()
