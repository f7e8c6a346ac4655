"""The products that the sandbox knows are Microsoft's."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

import pytest

from sandbox.products import UNKNOWN_PRODUCT_ID, all_products, by_part_number, legacy_offer_names, licenses

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PUBLISHED = Path(__file__).parents[3] / "shared" / "partner-center" / "skus.csv"
OFFERS = PUBLISHED.with_name("offers-us-2019.csv")
MINECRAFT = "984df360-9a74-4647-8cf8-696749f6247a"


@pytest.mark.parametrize(
    ("part_number", "product_id", "name"),
    [
        ("ENTERPRISEPACK", "6fd2c87f-b296-42f0-b197-1e91e994b900", "Office 365 E3"),
        ("SPE_E3", "05e9a617-0261-4cee-bb44-138d3ef5d965", "Microsoft 365 E3"),
        ("SPE_E5", "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "Microsoft 365 E5"),
        ("SPB", "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "Microsoft 365 Business Premium"),
        ("O365_BUSINESS_PREMIUM", "f245ecc8-75af-4f8e-b61f-27d8114de5f3", "Microsoft 365 Business Standard"),
        ("O365_BUSINESS_ESSENTIALS", "3b555118-da6a-4418-894f-7df1e2096870", "Microsoft 365 Business Basic"),
        ("EMS", "efccb6f7-5641-4e0e-bd10-b4976e1bf68e", "Enterprise Mobility + Security E3"),
        ("POWER_BI_PRO", "f8a1db68-be16-40ed-86d5-cb42ce701560", "Power BI Pro"),
    ],
)
def test_a_well_known_product_has_its_own_id_and_name(part_number: str, product_id: str, name: str) -> None:
    product = by_part_number(all_products())[part_number]

    assert (product.id, product.name) == (product_id, name)


def test_there_are_forty_two_products_and_one_that_no_table_knows() -> None:
    products = all_products()

    assert len(products) == 43
    assert products[UNKNOWN_PRODUCT_ID].part_number == "WINGTIP_PILOT_2031"
    assert products[UNKNOWN_PRODUCT_ID].plans == ()


def test_every_id_is_a_lower_case_guid() -> None:
    for product in all_products().values():
        ids = [product.id, *(plan.id for plan in product.plans), product.legacy_offer or product.id]
        assert all(GUID.fullmatch(each) for each in ids), product


def test_no_two_products_share_a_part_number_an_offer_or_a_catalog_product() -> None:
    products = all_products().values()

    for values in (
        [product.part_number for product in products],
        [product.legacy_offer for product in products if product.legacy_offer],
        [product.catalog_product for product in products if product.catalog_product],
    ):
        assert len(values) == len(set(values))


def test_a_product_lists_each_plan_once() -> None:
    for product in all_products().values():
        assert len({plan.id for plan in product.plans}) == len(product.plans), product.part_number


def test_exchange_foundation_works_for_the_tenant_and_power_bi_for_the_person() -> None:
    plans = by_part_number(all_products())["POWER_BI_PRO"].plans

    assert {(plan.service_name, plan.display_name, plan.id, plan.target_type) for plan in plans} == {
        ("EXCHANGE_S_FOUNDATION", "Exchange Foundation", "113feb6c-3fe4-4440-bddc-54d774bf0318", "Tenant"),
        ("BI_AZURE_P2", "Power BI Pro", "70d33638-9c74-4d01-bfd3-562de28bd4ba", "User"),
    }


def test_three_products_are_held_by_the_tenant_as_a_whole() -> None:
    assert {product.part_number for product in all_products().values() if product.target_type == "Tenant"} == {
        "CDS_DB_CAPACITY",
        "CRMSTORAGE",
        "SHAREPOINTSTORAGE",
    }


def test_only_minecraft_is_of_the_second_license_group_and_has_no_plans() -> None:
    second = [product for product in all_products().values() if product.license_group == "group2"]

    assert [(product.id, product.part_number, product.plans) for product in second] == [
        (MINECRAFT, "CFQ7TTC0K5DR/0002", ())
    ]


def test_licenses_are_written_short_with_the_plans_switched_off() -> None:
    parts = by_part_number(all_products())

    assert licenses(parts, "EMS POWER_BI_PRO:BI_AZURE_P2") == {
        "efccb6f7-5641-4e0e-bd10-b4976e1bf68e": set(),
        "f8a1db68-be16-40ed-86d5-cb42ce701560": {"70d33638-9c74-4d01-bfd3-562de28bd4ba"},
    }


def test_what_is_stated_agrees_with_the_published_list() -> None:
    """Beside the project there may be Microsoft's whole list. It spells a plan's friendly name in several ways."""
    names, plans, spellings = published()
    for product in all_products().values():
        if not names or product.id in (UNKNOWN_PRODUCT_ID, MINECRAFT):
            continue
        assert names[product.id] == (product.part_number, product.name)
        assert plans[product.id] == {(plan.id, plan.service_name) for plan in product.plans}
        for plan in product.plans:
            assert plan.display_name in spellings[plan.id]


def test_a_legacy_offer_gives_the_product_it_gave_when_recorded() -> None:
    if not OFFERS.exists():
        return
    with OFFERS.open(encoding="utf-8") as lines:
        recorded = {
            row["Offer_Id"].lower(): (row["Product_Id"].lower(), row["Offer_Name"]) for row in csv.DictReader(lines)
        }
    for product in all_products().values():
        if product.legacy_offer is not None:
            offer_name = legacy_offer_names()[product.legacy_offer]
            assert recorded[product.legacy_offer] == (product.id, offer_name)


def published() -> tuple[dict[str, tuple[str, str]], dict[str, set[tuple[str, str]]], dict[str, set[str]]]:
    names: dict[str, tuple[str, str]] = {}
    plans: dict[str, set[tuple[str, str]]] = defaultdict(set)
    spellings: dict[str, set[str]] = defaultdict(set)
    if PUBLISHED.exists():
        with PUBLISHED.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                product_id, plan_id = row["GUID"].lower(), row["Service_Plan_Id"].lower()
                names[product_id] = (row["String_Id"], row["Product_Display_Name"])
                plans[product_id].add((plan_id, row["Service_Plan_Name"]))
                spellings[plan_id].add(row["Service_Plans_Included_Friendly_Names"].strip())
    return names, plans, spellings
