"""Forty-two real products of Microsoft's, with their ids, part numbers, names and service plans.

Source of ids, names and plans: learn.microsoft.com/entra/identity/users/licensing-service-plan-reference.
Legacy offers: a recorded `GET /v1/offers?country=US` of January 2019. Of the new-commerce ids, those of Business Basic
(CFQ7TTC0LH18), Business Standard (CFQ7TTC0LDPB), Office 365 E1 (CFQ7TTC0LF8Q) and Minecraft (CFQ7TTC0K5DR) are
Microsoft's; ids beginning with CFQ7TTC0SB are made up in the same form.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from sandbox.world import Plan, Product

UNKNOWN_PRODUCT_ID = "5f3c1f0e-2031-4b1d-9a77-0c6b6a9d2031"
"""Product that no table of Microsoft's lists, as one released yesterday."""

_TENANT_PLANS = frozenset(
    {"EXCHANGE_S_FOUNDATION", "INTUNE_O365", "CDS_DB_CAPACITY", "CRMSTORAGE", "SHAREPOINTSTORAGE"}
)
"""Plans that work for the tenant, not for a person. Source: "Get a list of available licenses" samples."""


@cache
def _read(name: str) -> Any:  # JSON of our own
    return json.loads(files("sandbox").joinpath(name).read_text(encoding="utf-8"))


def all_products() -> dict[str, Product]:
    """Every product by id, the unknown one included; new records on each call."""
    plans = {
        name: Plan(plan_id, name, friendly, "Tenant" if name in _TENANT_PLANS else "User")
        for name, (plan_id, friendly) in _read("service_plans.json").items()
    }
    products = [_product(row, plans) for row in _read("products.json")]
    products.append(
        Product(
            UNKNOWN_PRODUCT_ID,
            "WINGTIP_PILOT_2031",
            "Wingtip Pilot 2031",
            catalog_sku="0001",
            catalog_product="CFQ7TTC0SB99",
        )
    )
    return {product.id: product for product in products}


def by_part_number(products: dict[str, Product]) -> dict[str, Product]:
    """The same products by part number."""
    return {product.part_number: product for product in products.values()}


def licenses(parts: dict[str, Product], text: str) -> dict[str, set[str]]:
    """Licenses written short: `EMS ENTERPRISEPACK:SWAY,TEAMS1` is EMS, and Office 365 E3 with two plans off."""
    held: dict[str, set[str]] = {}
    for word in text.split():
        part_number, _, off = word.partition(":")
        product = parts[part_number]
        plan_ids = {plan.service_name: plan.id for plan in product.plans}
        held[product.id] = {plan_ids[name] for name in off.split(",") if name}
    return held


def legacy_offer_names() -> dict[str, str]:
    """Name of each legacy offer by its lower-case id; often another than the product's."""
    return {row["legacy_offer"]: row["legacy_offer_name"] for row in _read("products.json") if "legacy_offer" in row}


def _product(row: dict[str, Any], plans: dict[str, Plan]) -> Product:  # a row of products.json
    return Product(
        id=row["id"],
        part_number=row["part_number"],
        name=row["name"],
        plans=tuple(plans[name] for name in row["plans"]),
        target_type=row.get("target_type", "User"),
        license_group=row.get("license_group", "group1"),
        catalog_product=row.get("catalog_product"),
        catalog_sku=row.get("catalog_sku"),
        legacy_offer=row.get("legacy_offer"),
    )
