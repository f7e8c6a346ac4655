"""Unit totals over many tenants."""

from __future__ import annotations

import strawberry

from resolvers.portfolio import resolve_line_subscribed_skus
from schema.binding import resolved_by
from schema.enums import ProductType
from schema.pages import PageInfo
from schema.scalars import UUID
from schema.skus import SubscribedSku
from schema.users import Coverage


@strawberry.type(description="A tenant's subscribed SKU in a page")
class SubscribedSkuEdge:
    cursor: str = strawberry.field(description="Place of the entry in the list, for `after`")
    node: SubscribedSku = strawberry.field(description="The tenant's entry")


@strawberry.type(description="One page of tenants' subscribed SKUs")
class SubscribedSkuConnection:
    edges: list[SubscribedSkuEdge] = strawberry.field(description="Entries of the page, each with its cursor")
    nodes: list[SubscribedSku] = strawberry.field(description="Entries of the page")
    page_info: PageInfo = strawberry.field(description="Where the page lies in the list")
    total_count: int | None = strawberry.field(description="Entries of the whole list")


@strawberry.type(description="One product over many tenants. Each figure is the sum of the tenants' own")
class PortfolioLine:
    sku_id: UUID = strawberry.field(description="Product SKU id")
    sku_part_number: str | None = strawberry.field(description="Short name of the product, such as ENTERPRISEPACK")
    product_name: str = strawberry.field(description="Name as Partner Center gives it")
    product_type: ProductType = strawberry.field(description="Kind of product")
    active_units: int = strawberry.field(description="Sum of the tenants' active units")
    consumed_units: int = strawberry.field(description="Sum of the tenants' assigned units")
    available_units: int = strawberry.field(
        description="Sum of the tenants' available units; over-assigned tenants count against the others"
    )
    suspended_units: int = strawberry.field(description="Sum of the tenants' suspended units")
    unused_units: int = strawberry.field(
        description="Seats paid for and held by nobody: the sum of the tenants' positive available units"
    )
    tenant_count: int = strawberry.field(description="Tenants that hold the product")
    subscribed_skus: SubscribedSkuConnection = resolved_by(
        resolve_line_subscribed_skus, description="The tenants' own entries of this product, most available first"
    )


@strawberry.type(description="Unit totals over many tenants, one line a product")
class Portfolio:
    coverage: Coverage = strawberry.field(description="Which tenants the totals speak of")
    lines: list[PortfolioLine] = strawberry.field(description="One line a product, in name order")
