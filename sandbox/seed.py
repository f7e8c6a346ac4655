"""The world at start: the named tenants, two indirect resellers, and as many generated tenants as are asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sandbox.contoso import build_contoso
from sandbox.directory_roles import DIRECTORY_ROLES
from sandbox.generated_tenants import build_generated_tenants
from sandbox.named_tenants import build_named_tenants
from sandbox.people import stable_id
from sandbox.products import all_products, by_part_number
from sandbox.world import Reseller, World

PARTNER_ID = "b3f2a6f0-5d0e-4c6b-8f1e-2f4c9a7d1e01"
TREY_RESEARCH_ID = stable_id("reseller", "Trey Research")
CITY_POWER_ID = stable_id("reseller", "City Power & Light")


def build_world(now: Callable[[], datetime], tenants: int = 0, users: int = 0) -> World:
    """The same after every start, but for times, which are counted back from now.

    `tenants` more tenants with `users` people each stand beside the named ones.
    """
    started_at = now().replace(microsecond=0)
    products = all_products()
    parts = by_part_number(products)
    resellers = [
        Reseller(TREY_RESEARCH_ID, "Trey Research", "4847383", "US"),
        Reseller(CITY_POWER_ID, "City Power & Light", "4847433", "GB"),
    ]
    share = (TREY_RESEARCH_ID, CITY_POWER_ID, TREY_RESEARCH_ID, CITY_POWER_ID, None)
    customers = [
        build_contoso(parts, started_at, TREY_RESEARCH_ID),
        *build_named_tenants(parts, started_at, TREY_RESEARCH_ID, CITY_POWER_ID),
        *build_generated_tenants(parts, started_at, share, tenants, users),
    ]
    return World(
        now=now,
        partner_id=PARTNER_ID,
        customers={customer.id: customer for customer in customers},
        resellers={reseller.id: reseller for reseller in resellers},
        products=products,
        roles=dict(DIRECTORY_ROLES),
    )
