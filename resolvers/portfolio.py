"""Unit totals over many tenants: a line a product, and each tenant's own entry behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.coverage import Coverage
from resolvers.many_tenants import answers_of, coverage_of, read_each, tenants_of_scope
from resolvers.ordering import folded
from resolvers.paging import DEFAULT_PAGE_SIZE, Order, Page, paginate, read_window
from resolvers.skus import is_listed
from schema.inputs import SkuFilter, TenantScope
from services.lookups import SUBSCRIBED_SKUS
from services.models import ProductType, SubscribedSku, Tenant

_HIGHEST = 10**12
"""More units than any tenant holds: taken from it, the most available come first as text, too."""


@dataclass(frozen=True, slots=True)
class PortfolioLine:
    """One product over all tenants that answered: each figure is the sum of their own."""

    sku_id: str
    sku_part_number: str | None
    product_name: str
    product_type: ProductType
    active_units: int
    consumed_units: int
    available_units: int
    suspended_units: int
    unused_units: int
    entries: tuple[SubscribedSku, ...]

    @property
    def tenant_count(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class Portfolio:
    coverage: Coverage
    lines: list[PortfolioLine]


@dataclass(frozen=True, slots=True)
class FoundSkus:
    """The products that a filter leaves, unordered, by tenant; and which tenants answered."""

    by_tenant: list[tuple[Tenant, list[SubscribedSku]]]
    coverage: Coverage


async def resolve_portfolio(info: Info, scope: TenantScope | None = None, filter: SkuFilter | None = None) -> Portfolio:
    found = await find_skus(info, scope, filter or SkuFilter())
    entries: dict[str, list[SubscribedSku]] = defaultdict(list)
    for _, skus in found.by_tenant:
        for sku in skus:
            entries[sku.sku_id].append(sku)
    lines = [_line(held) for held in entries.values()]
    lines.sort(key=lambda line: (folded(line.product_name), line.sku_id))
    return Portfolio(found.coverage, lines)


async def find_skus(info: Info, scope: TenantScope | None, wanted: SkuFilter) -> FoundSkus:
    """Every product in the scope that the filter leaves."""
    tenants = await tenants_of_scope(info, scope)
    held = await read_each(tenants, info.context.loaders.subscribed_skus_by_tenant)
    answers = answers_of(tenants, held)
    as_ofs = (skus[0].as_of for _, skus in answers.given if skus)
    coverage = coverage_of(info, answers, [SUBSCRIBED_SKUS], as_ofs)
    left = [(tenant, [sku for sku in skus if is_listed(sku, wanted)]) for tenant, skus in answers.given]
    return FoundSkus(left, coverage)


async def resolve_line_subscribed_skus(
    root: strawberry.Parent[Any], info: Info, first: int | None = DEFAULT_PAGE_SIZE, after: str | None = None
) -> Page[SubscribedSku]:
    window = read_window(_MOST_AVAILABLE_FIRST, first, after, info.context.max_page_size)
    return paginate(root.entries, window)


def _line(entries: Sequence[SubscribedSku]) -> PortfolioLine:
    # Tenants may see a product under different names while Microsoft renames it: one of them, always the same.
    named = min(entries, key=lambda sku: (sku.product_name, sku.tenant_id))
    return PortfolioLine(
        sku_id=named.sku_id,
        sku_part_number=named.sku_part_number,
        product_name=named.product_name,
        product_type=named.product_type,
        active_units=sum(sku.active_units for sku in entries),
        consumed_units=sum(sku.consumed_units for sku in entries),
        available_units=sum(sku.available_units for sku in entries),
        suspended_units=sum(sku.suspended_units for sku in entries),
        unused_units=sum(max(sku.available_units, 0) for sku in entries),
        entries=tuple(entries),
    )


def _fewest_last(sku: SubscribedSku) -> str:
    return f"{_HIGHEST - sku.available_units:014}"


_MOST_AVAILABLE_FIRST: Order[SubscribedSku] = Order(
    "subscribed SKUs by available units", _fewest_last, attrgetter("tenant_id")
)
