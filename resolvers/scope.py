"""The one place that decides which tenants a caller reaches.

What is outside looks exactly like what does not exist: the same answer, and Partner Center is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from loaders.tenants import EVERY_TENANT
from resolvers.context import Info
from services.authorization import Permission, ViewerKind
from services.errors import TenantNotFound
from services.models import Tenant

FEW_TENANTS = 10
"""So many named tenants are looked up one by one, without reading the list of everybody else's."""


async def tenants_in_scope(info: Info) -> list[Tenant]:
    """Every tenant that the caller manages, unordered."""
    caller, loaders = info.context.caller, info.context.loaders
    caller.require(Permission.READ)
    if caller.kind is ViewerKind.RESELLER:
        if caller.reseller_id is None:
            return []
        tenants = await loaders.tenants_by_reseller.load(caller.reseller_id)
    elif caller.tenant_ids is not None and len(caller.tenant_ids) <= FEW_TENANTS:
        found = await asyncio.gather(*(_existing_tenant(info, tenant_id) for tenant_id in caller.tenant_ids))
        return [tenant for tenant in found if tenant is not None]
    else:
        [found_all] = await loaders.all_tenants.many([EVERY_TENANT])
        if isinstance(found_all, Exception):
            raise found_all
        tenants = found_all
    if caller.tenant_ids is None:
        return tenants
    return [tenant for tenant in tenants if tenant.microsoft_id in caller.tenant_ids]


async def _existing_tenant(info: Info, tenant_id: str) -> Tenant | None:
    loaders = info.context.loaders
    known = await loaders.tenant_at_hand.load(tenant_id)
    if known is not None:
        return known
    try:
        return (await loaders.customer_by_tenant.load(tenant_id)).tenant
    except TenantNotFound:
        return None


async def is_in_scope(info: Info, tenant_id: str) -> bool:
    """Whether the caller manages the tenant; for a partner without asking whether it exists."""
    caller = info.context.caller
    caller.require(Permission.READ)
    if caller.tenant_ids is not None and tenant_id not in caller.tenant_ids:
        return False
    if caller.kind is ViewerKind.PARTNER:
        return True
    if caller.kind is ViewerKind.DIRECT_CUSTOMER:
        return caller.tenant_ids is not None
    return any(tenant.microsoft_id == tenant_id for tenant in await tenants_in_scope(info))


async def reaches_every(info: Info, tenant_ids: Collection[str]) -> bool:
    """Whether the caller manages all of these tenants. It asks the same whichever they are, and if there are none: a
    thing that belongs to others does not show in the figures of an answer."""
    caller = info.context.caller
    caller.require(Permission.READ)
    if caller.kind is ViewerKind.RESELLER:
        return {tenant.microsoft_id for tenant in await tenants_in_scope(info)}.issuperset(tenant_ids)
    return all([await is_in_scope(info, tenant_id) for tenant_id in tenant_ids])
