"""The monitoring list: products of a tenant, the subscriptions behind them, who holds them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

import strawberry

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


async def resolve_tenant_subscribed_skus(
    root: strawberry.Parent[Any], info: Info, filter: SkuFilter | None = None
) -> list[SubscribedSku]:
    skus = await info.context.loaders.subscribed_skus_by_tenant.load(root.microsoft_id)
    return listed_skus(skus, filter or SkuFilter())


def listed_skus(skus: Sequence[SubscribedSku], wanted: SkuFilter) -> list[SubscribedSku]:
    """The products that a filter leaves, in name order; by default those that give licenses to people."""
    left = [sku for sku in skus if is_listed(sku, wanted)]
    return sorted(left, key=lambda sku: (folded(sku.product_name), sku.sku_id))


def is_listed(sku: SubscribedSku, wanted: SkuFilter) -> bool:
    """Whether the filter leaves the product."""
    types = LICENSE_TYPES if wanted.product_types is None else wanted.product_types
    return sku.product_type in types and _matches(sku, wanted)


async def resolve_sku_subscriptions(root: strawberry.Parent[Any], info: Info) -> list[MicrosoftSubscription]:
    by_sku = await info.context.loaders.subscriptions_by_sku.load(root.tenant_id)
    found = by_sku.get(root.sku_id, [])
    return sorted(found, key=lambda one: (folded(one.friendly_name or one.offer_name or ""), one.microsoft_id))


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
