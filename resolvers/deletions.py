"""What a deleted user held, and what of it a restore can bring back."""

from __future__ import annotations

from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.ordering import folded
from services.license_options import RestoreForecastLine, restore_forecast


async def resolve_deletion_forecast(root: strawberry.Parent[Any], info: Info) -> list[RestoreForecastLine] | None:
    """In product name order; None where nobody remembers, since Partner Center does not tell."""
    sku_ids = await info.context.changes.deletion_memory.recall(root.user.ref)
    if not sku_ids:
        return None if sku_ids is None else []
    skus = await info.context.loaders.subscribed_skus_by_tenant.load(root.user.tenant_id)
    lines = restore_forecast(root.user, sku_ids, skus)
    return sorted(lines, key=lambda line: (folded(line.sku.product_name), line.sku.sku_id))
