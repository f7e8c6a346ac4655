"""Products that a tenant holds, and the Microsoft subscriptions behind them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from resolvers.skus import resolve_sku_holders, resolve_sku_subscriptions, resolve_sku_tenant
from schema.binding import resolved_by
from schema.enums import CommerceKind, ProductType, SubscriptionStatus
from schema.node import Node
from schema.scalars import UUID
from services import models

if TYPE_CHECKING:
    from schema.tenants import Tenant
    from schema.users import UserConnection


@strawberry.type(description="One deployable service inside a product, such as Exchange Online in Office 365 E3")
class ServicePlan:
    id: UUID = strawberry.field(description="Microsoft's id of the plan, the same in every tenant")
    name: str = strawberry.field(description="Short name, such as EXCHANGE_S_ENTERPRISE")
    display_name: str | None = strawberry.field(description="Name for people, where Microsoft gives one")


@strawberry.type(description="Subscription as Partner Center knows it, not the storefront's billing system")
class MicrosoftSubscription(Node):
    id: strawberry.ID = strawberry.field(description="Opaque global id of the subscription")
    microsoft_id: UUID = strawberry.field(description="Id of the subscription at Microsoft")
    sku_id: UUID | None = strawberry.field(
        description="Product SKU id that its units go to. Null while it is not provisioned"
    )
    offer_name: str | None = strawberry.field(description="Name of what was bought, as the catalogue had it")
    friendly_name: str | None = strawberry.field(description="Name that the partner gave the subscription")
    commerce: CommerceKind = strawberry.field(description="Bought the old way, or in new commerce")
    quantity: int = strawberry.field(description="Units bought")
    status: SubscriptionStatus = strawberry.field(description="State of the subscription")
    auto_renew: bool | None = strawberry.field(description="Whether it renews itself at the end of its term")
    effective_at: datetime | None = strawberry.field(description="Start of the term")
    commitment_ends_at: datetime | None = strawberry.field(description="End of the term; null where it has none")
    cancellable_until: datetime | None = strawberry.field(
        description="Until when it can be cancelled or reduced; null where Microsoft names no such time"
    )

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, models.MicrosoftSubscription)


@strawberry.type(
    description="A tenant's units of one product: what Microsoft calls a subscribed SKU. "
    "The figures are Microsoft's own, pooled over all subscriptions to the product"
)
class SubscribedSku(Node):
    id: strawberry.ID = strawberry.field(description="Opaque global id of the product in this tenant")
    sku_id: UUID = strawberry.field(description="Product SKU id, the same in every tenant")
    sku_part_number: str | None = strawberry.field(description="Short name of the product, such as ENTERPRISEPACK")
    product_name: str = strawberry.field(
        description="Name as Partner Center gives it, never a friendly name of the storefront"
    )
    product_type: ProductType = strawberry.field(description="Kind of product")
    active_units: int = strawberry.field(description="The storefront's Active column, as Microsoft gives it")
    consumed_units: int = strawberry.field(description="The storefront's Assigned column, as Microsoft gives it")
    available_units: int = strawberry.field(
        description="The storefront's Available column, as Microsoft gives it: may be negative, "
        "and is not active minus consumed while units are in grace"
    )
    suspended_units: int = strawberry.field(description="The storefront's Suspended column, as Microsoft gives it")
    warning_units: int = strawberry.field(description="Units that lapsed and are still in grace")
    total_units: int = strawberry.field(description="Active and warning units")
    service_plans: list[ServicePlan] = strawberry.field(description="Services that the product is made of")
    subscriptions: list[MicrosoftSubscription] | None = resolved_by(
        resolve_sku_subscriptions,
        description="Microsoft subscriptions behind this product; an empty list where none is the partner's. "
        "Costs a call a tenant and one for each of its license subscriptions, kept for a day",
    )
    holders: Annotated[UserConnection, strawberry.lazy("schema.users")] | None = resolved_by(
        resolve_sku_holders,
        description="Who holds the product in this tenant. Costs a call for each of its users",
    )
    tenant: Annotated[Tenant, strawberry.lazy("schema.tenants")] = resolved_by(
        resolve_sku_tenant, description="Tenant that holds the product"
    )
    as_of: datetime = strawberry.field(
        description="When Microsoft gave this data, also when it is served from the cache"
    )

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, models.SubscribedSku)
