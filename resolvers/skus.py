"""The monitoring list: products of a tenant, the subscriptions behind them, who holds them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

import strawberry

from execution.many import for_many
from loaders.joined import Joined
from resolvers.context import Info
from resolvers.ordering import folded
from resolvers.paging import DEFAULT_PAGE_SIZE
from resolvers.tenants import tenant_of
from resolvers.user_filters import licenses_of
from resolvers.users import UserPage, covering_one, shown_users, user_page, user_window
from schema.enums import ProductType, UserStatus
from schema.inputs import SkuFilter, UserOrder
from services.models import MicrosoftSubscription, SubscribedSku, Tenant, TenantRef

LICENSE_TYPES = (ProductType.CLOUD_SERVICES, ProductType.DYNAMICS)
"""The product types whose subscriptions give licenses to people."""


_LISTED: Joined[list[SubscribedSku]] = Joined(most=2_048)
"""By tenant, from the cached list of its products: what the default filter leaves of it, in order."""


async def _many_tenants_skus(
    tenants: Sequence[Any], info: Info, filter: SkuFilter | None = None
) -> list[list[SubscribedSku] | Exception]:
    lists = await info.context.loaders.subscribed_skus_by_tenant.many([tenant.microsoft_id for tenant in tenants])
    return [skus if isinstance(skus, Exception) else _listed(skus, filter) for skus in lists]


@for_many(_many_tenants_skus)
async def resolve_tenant_subscribed_skus(
    root: strawberry.Parent[Any], info: Info, filter: SkuFilter | None = None
) -> list[SubscribedSku]:
    skus = await info.context.loaders.subscribed_skus_by_tenant.load(root.microsoft_id)
    return _listed(skus, filter)


def _listed(skus: list[SubscribedSku], filter: SkuFilter | None) -> list[SubscribedSku]:
    if filter is not None:
        return listed_skus(skus, filter)
    if not skus:
        return []
    return _LISTED.get(skus[0].tenant_id, skus, None, lambda: listed_skus(skus, SkuFilter()))


def listed_skus(skus: Sequence[SubscribedSku], wanted: SkuFilter) -> list[SubscribedSku]:
    """The products that a filter leaves, in name order; by default those that give licenses to people."""
    left = [sku for sku in skus if is_listed(sku, wanted)]
    return sorted(left, key=lambda sku: (folded(sku.product_name), sku.sku_id))


def is_listed(sku: SubscribedSku, wanted: SkuFilter) -> bool:
    """Whether the filter leaves the product."""
    types = LICENSE_TYPES if wanted.product_types is None else wanted.product_types
    return sku.product_type in types and _matches(sku, wanted)


async def _many_skus_subscriptions(
    skus: Sequence[SubscribedSku], info: Info
) -> list[list[MicrosoftSubscription] | Exception]:
    tenant_ids = list(dict.fromkeys(sku.tenant_id for sku in skus))
    joined = dict(zip(tenant_ids, await info.context.loaders.subscriptions_by_sku.many(tenant_ids), strict=True))
    return [
        by_sku if isinstance(by_sku := joined[sku.tenant_id], Exception) else by_sku.get(sku.sku_id, _NONE)
        for sku in skus
    ]


@for_many(_many_skus_subscriptions)
async def resolve_sku_subscriptions(root: strawberry.Parent[Any], info: Info) -> list[MicrosoftSubscription]:
    by_sku = await info.context.loaders.subscriptions_by_sku.load(root.tenant_id)
    return by_sku.get(root.sku_id, _NONE)


_NONE: list[MicrosoftSubscription] = []


async def resolve_sku_holders(
    root: strawberry.Parent[Any], info: Info, first: int | None = DEFAULT_PAGE_SIZE, after: str | None = None
) -> UserPage:
    window = user_window(info, UserOrder(), first, after)
    users = await shown_users(info, root.tenant_id, {UserStatus.ACTIVE})
    held = await licenses_of(info, users)
    holders = [
        user for user, licenses in zip(users, held, strict=True) if any(one.sku_id == root.sku_id for one in licenses)
    ]
    return user_page(holders, window, covering_one(info, root.tenant_id, users))


def resolve_sku_tenant(root: strawberry.Parent[Any], info: Info) -> TenantRef | Awaitable[Tenant]:
    return tenant_of(info, root.tenant_id)


def _matches(sku: SubscribedSku, wanted: SkuFilter) -> bool:
    if wanted.min_available_units is not None and sku.available_units < wanted.min_available_units:
        return False
    return not wanted.over_assigned or sku.consumed_units > sku.total_units
