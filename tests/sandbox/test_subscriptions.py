"""Subscriptions: how each kind is written, and what an update moves."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sandbox.state import SandboxState
from sandbox.world import Customer
from tests.sandbox.small_world import (
    AZURE_LEGACY,
    AZURE_PLAN,
    CONTOSO,
    EMS,
    LEGACY,
    NCE,
    RESELLER,
    SOFTWARE,
    fault,
)

BASE = f"/v1/customers/{CONTOSO}/subscriptions"


@pytest.fixture
def contoso(state: SandboxState) -> Customer:
    return state.world.customers[CONTOSO]


async def get(client: httpx.AsyncClient, subscription_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await client.get(f"{BASE}/{subscription_id}")).json()
    return body


async def units(client: httpx.AsyncClient) -> tuple[int, int, str]:
    """Active units, suspended units and status of the product."""
    ems = (await client.get(f"/v1/customers/{CONTOSO}/subscribedskus")).json()["items"][0]
    return ems["activeUnits"], ems["suspendedUnits"], ems["capabilityStatus"]


async def test_all_kinds_are_listed_whatever_their_status(client: httpx.AsyncClient, contoso: Customer) -> None:
    contoso.subscriptions[SOFTWARE].status = "expired"

    body = (await client.get(BASE)).json()

    assert [item["id"] for item in body["items"]] == [
        NCE,
        LEGACY.upper(),
        AZURE_LEGACY.upper(),
        SOFTWARE,
        AZURE_PLAN,
    ]
    assert body["links"]["self"]["uri"] == f"/customers/{CONTOSO}/subscriptions"


async def test_new_commerce_is_told_by_its_product_type(client: httpx.AsyncClient) -> None:
    found = await get(client, NCE.upper())

    assert found["productType"] == {"id": "OnlineServicesNCE", "displayName": "OnlineServicesNCE"}
    assert (found["billingType"], found["unitType"], found["termDuration"]) == ("license", "Licenses", "P1Y")
    assert found["links"]["availability"]["uri"] == (
        "/products/CFQ7TTC0LH18/skus/0001/availabilities/CFQ7TTC0K971?country=US"
    )
    assert found["commitmentEndDate"].endswith("T00:00:00Z")
    assert found["commitmentEndDateTime"].endswith("T23:59:59Z")
    assert found["partnerId"] == "4847383"
    assert "etag" not in found["attributes"]
    assert "entitlementId" not in found


async def test_legacy_has_upper_case_ids_an_offer_and_an_etag(client: httpx.AsyncClient) -> None:
    found = await get(client, LEGACY)

    assert found["id"] == found["entitlementId"] == LEGACY.upper()
    assert found["orderId"] == "06035D39-E52A-4B00-A0B4-4D2EB96E131B"
    assert "productType" not in found
    assert found["links"]["offer"]["uri"] == "/offers/79C29AF7-3CD0-4A6F-B182-A81E31DEC84E?country=US"
    assert json.loads(base64.b64decode(found["attributes"]["etag"])) == {"id": LEGACY, "version": 2}


async def test_usage_has_no_end(client: httpx.AsyncClient) -> None:
    legacy, plan = await get(client, AZURE_LEGACY), await get(client, AZURE_PLAN)

    assert (legacy["offerId"], legacy["unitType"], legacy["billingType"]) == ("MS-AZR-0145P", "Usage-based", "usage")
    assert plan["productType"] == {"id": "Azure", "displayName": "Azure"}
    assert legacy["commitmentEndDate"] == plan["commitmentEndDate"] == "9999-12-14T00:00:00Z"


async def test_a_fresh_purchase_is_refundable(
    client: httpx.AsyncClient, contoso: Customer, state: SandboxState
) -> None:
    assert "refundOptions" not in await get(client, NCE)
    contoso.subscriptions[NCE].cancellable_until = state.clock.now() + timedelta(days=3)

    found = await get(client, NCE)

    until = found["cancellationAllowedUntilDate"]
    assert found["refundOptions"] == [{"type": "Full", "expiresAt": until}]
    assert found["refundableQuantity"] == {
        "totalQuantity": 3,
        "details": [{"quantity": 3, "allowedUntilDateTime": until}],
    }


async def test_they_are_found_by_order_reseller_and_parent(client: httpx.AsyncClient, contoso: Customer) -> None:
    contoso.subscriptions[SOFTWARE].parent_id = NCE

    by_order = (await client.get(BASE, params={"order_id": "34B37D7340CC"})).json()["items"]
    by_reseller = (await client.get(BASE, params={"mpn_id": "4847383"})).json()["items"]
    by_other = (await client.get(BASE, params={"mpn_id": "1"})).json()["items"]
    addons = (await client.get(f"{BASE}/{NCE}/addons")).json()["items"]

    assert [item["id"] for item in by_order] == [NCE]
    assert (len(by_reseller), by_other) == (5, [])
    assert [item["parentSubscriptionId"] for item in addons] == [NCE]
    assert addons[0]["links"]["parentSubscription"]["uri"] == f"/customers/{CONTOSO}/subscriptions/{NCE}"
    assert contoso.reseller_id == RESELLER


async def test_provisioning_gives_the_sku_in_upper_case(client: httpx.AsyncClient, contoso: Customer) -> None:
    found = (await client.get(f"{BASE}/{LEGACY}/provisioningstatus")).json()

    assert (found["skuId"], found["status"], found["quantity"]) == (EMS.upper(), "success", 2)
    contoso.subscriptions[NCE].provisioning = "missing"
    assert fault(await client.get(f"{BASE}/{NCE}/provisioningstatus"))[:2] == (404, 800007)
    assert fault(await client.get(f"{BASE}/{AZURE_PLAN}/provisioningstatus"))[:2] == (404, 800007)


async def test_a_new_quantity_moves_the_products_units(client: httpx.AsyncClient) -> None:
    answer = await client.patch(f"{BASE}/{NCE}", json={"Quantity": 10, "AutoRenewEnabled": True})

    assert (answer.status_code, answer.json()["quantity"]) == (200, 10)
    assert answer.json()["autoRenewEnabled"] is True
    assert await units(client) == (12, 0, "Enabled")


async def test_suspending_moves_units_aside_and_resuming_brings_them_back(client: httpx.AsyncClient) -> None:
    for subscription_id in (NCE, LEGACY):
        answer = await client.patch(f"{BASE}/{subscription_id}", json={"status": "suspended"})
    suspended = await units(client)
    resumed = await client.patch(f"{BASE}/{NCE}", json={"status": "active"})

    assert answer.json()["status"] == "suspended"
    assert answer.json()["suspensionReasons"] == ["CustomerCancellation"]
    assert suspended == (0, 5, "Suspended")
    assert "suspensionReasons" not in resumed.json()
    assert await units(client) == (3, 2, "Enabled")


async def test_a_stale_etag_is_refused_and_a_fresh_one_is_not(client: httpx.AsyncClient) -> None:
    etag = (await get(client, LEGACY))["attributes"]["etag"]
    body = {"FriendlyName": "New", "Attributes": {"Etag": etag}}

    first = await client.patch(f"{BASE}/{LEGACY}", json=body)
    stale = await client.patch(f"{BASE}/{LEGACY}", json=body)
    header = {"If-Match": f'"{first.json()["attributes"]["etag"]}"'}
    fresh = await client.patch(f"{BASE}/{LEGACY}", json={"friendlyName": "Newer"}, headers=header)

    assert first.json()["friendlyName"] == "New"
    assert fault(stale) == (400, 2055, "Etag is no longer valid")
    assert fresh.json()["friendlyName"] == "Newer"


async def test_renewal_ends_when_it_is_left_out_unless_switched(
    client: httpx.AsyncClient, change_switches: Callable[..., Awaitable[None]]
) -> None:
    await change_switches(omitted_auto_renew_resets=False)
    kept = await client.patch(f"{BASE}/{NCE}", json={"friendlyName": "A"})
    await change_switches(omitted_auto_renew_resets=True)
    ended = await client.patch(f"{BASE}/{NCE}", json={"friendlyName": "B"})

    assert (kept.json()["autoRenewEnabled"], ended.json()["autoRenewEnabled"]) == (True, False)


async def test_enums_that_the_sdk_left_alone_change_nothing(client: httpx.AsyncClient) -> None:
    body = {"Status": "none", "BillingCycle": "unknown", "BillingType": "none", "UnitType": "none", "PartnerId": None}

    answer = await client.patch(f"{BASE}/{LEGACY}", json=body | {"AutoRenewEnabled": True, "Quantity": 4})

    assert (answer.json()["status"], answer.json()["billingCycle"], answer.json()["quantity"]) == (
        "active",
        "monthly",
        4,
    )


@pytest.mark.parametrize(
    ("subscription_id", "body", "code"),
    [
        (NCE, {"quantity": 0}, 2002),
        (NCE, {"quantity": 2}, 800090),
        (NCE, {"quantity": "many"}, 800002),
        (NCE, {"quantity": 9, "status": "suspended"}, 2001),
        (NCE, {"status": "asleep"}, 900126),
        (NCE, {"status": "deleted"}, 900213),
        (LEGACY, {"status": "deleted"}, 800096),
        (LEGACY, {"billingCycle": "annual"}, 2054),
        (AZURE_PLAN, {"quantity": 2}, 800095),
    ],
)
async def test_an_update_that_cannot_be_changes_nothing(
    subscription_id: str, body: dict[str, Any], code: int, client: httpx.AsyncClient
) -> None:
    before = await get(client, subscription_id)

    answer = await client.patch(f"{BASE}/{subscription_id}", json=body)

    assert fault(answer)[:2] == (400, code)
    assert await get(client, subscription_id) == before
    assert await units(client) == (5, 0, "Enabled")


async def test_what_ended_cannot_be_updated(client: httpx.AsyncClient, contoso: Customer) -> None:
    contoso.subscriptions[NCE].status = "deleted"
    contoso.subscriptions[SOFTWARE].status = "expired"

    assert fault(await client.patch(f"{BASE}/{NCE}", json={}))[:2] == (400, 2011)
    assert fault(await client.patch(f"{BASE}/{SOFTWARE}", json={}))[:2] == (400, 900279)


async def test_a_fresh_purchase_can_be_cancelled_and_its_units_go(
    client: httpx.AsyncClient, contoso: Customer, state: SandboxState
) -> None:
    contoso.subscriptions[NCE].cancellable_until = state.clock.now() + timedelta(days=3)

    answer = await client.patch(f"{BASE}/{NCE}", json={"status": "deleted"})

    assert answer.json()["status"] == "deleted"
    assert await units(client) == (2, 0, "Enabled")
