"""The type of a product is not on the wire; it follows from facts we keep."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sandbox.products import all_products
from services.models import ProductType
from services.product_types import product_type

UNKNOWN = "11111111-2222-3333-4444-555555555555"
PUBLISHED = Path(__file__).parents[3] / "shared" / "partner-center" / "skus.csv"


@pytest.mark.parametrize(
    ("sku_id", "part_number", "name", "target_type", "expected"),
    [
        (
            "efccb6f7-5641-4e0e-bd10-b4976e1bf68e",
            "EMS",
            "Enterprise Mobility + Security E3",
            "User",
            "CLOUD_SERVICES",
        ),
        ("6fd2c87f-b296-42f0-b197-1e91e994b900", "ENTERPRISEPACK", "Office 365 E3", None, "CLOUD_SERVICES"),
        (UNKNOWN, "DYN365_SOMETHING_NEW", "Something new", "User", "DYNAMICS"),
        (UNKNOWN, "Dyn365_Operations_Activity", "Operations - Activity", "User", "DYNAMICS"),
        (UNKNOWN, "AX_TASK_USER", "AX Task", "User", "DYNAMICS"),
        (UNKNOWN, "CRMSTANDARD", "CRM Online", "User", "DYNAMICS"),
        (UNKNOWN, None, "Microsoft Dynamics CRM Online", "User", "DYNAMICS"),
        (UNKNOWN, "GUIDES_USER", "Dynamics 365 Guides", "User", "DYNAMICS"),
        ("E2AE107B-A571-426F-9367-6D4C8F1390BA", "Forms_Pro_USL", "Forms Pro", "User", "DYNAMICS"),
        (UNKNOWN, "WINGTIP_PILOT_2031", "Wingtip Pilot 2031", "User", "CLOUD_SERVICES"),
        (UNKNOWN, None, "Aerodynamics for Teams", None, "CLOUD_SERVICES"),
        (UNKNOWN, "CDS_DB_CAPACITY", "Common Data Service Database Capacity", "tenant", "OTHER"),
        (UNKNOWN, "CRMSTORAGE", "Dynamics 365 - Additional Database Storage", "Tenant", "OTHER"),
    ],
    ids=[
        "new-commerce cloud",
        "legacy cloud",
        "Dynamics by part number",
        "Dynamics by part number in another case",
        "Dynamics AX",
        "Dynamics CRM",
        "Dynamics by name alone",
        "Dynamics by name under another part number",
        "Dynamics by id, in upper case",
        "unknown product",
        "unknown product without a part number",
        "held by the tenant",
        "Dynamics held by the tenant",
    ],
)
def test_a_product_is_of_the_type_its_facts_say(
    sku_id: str, part_number: str | None, name: str, target_type: str | None, expected: str
) -> None:
    assert product_type(sku_id, part_number, name, target_type) is ProductType[expected]


def test_the_sandbox_has_products_of_every_type() -> None:
    found = {product_type(p.id, p.part_number, p.name, p.target_type) for p in all_products().values()}

    assert found == set(ProductType)


def test_the_published_list_holds_no_dynamics_product_that_we_miss() -> None:
    """Beside the project there may be Microsoft's whole list; whatever it calls Dynamics is Dynamics here."""
    for part_number, name, sku_id in published():
        named_so = "dynamics" in name.lower() or part_number.upper().startswith(("DYN", "D365", "CRM"))
        kind = product_type(sku_id, part_number, name, "User")
        assert (kind is ProductType.DYNAMICS) == named_so, (part_number, name)


def published() -> set[tuple[str, str, str]]:
    if not PUBLISHED.exists():
        return set()
    with PUBLISHED.open(encoding="utf-8") as lines:
        return {(row["String_Id"], row["Product_Display_Name"], row["GUID"]) for row in csv.DictReader(lines)}
