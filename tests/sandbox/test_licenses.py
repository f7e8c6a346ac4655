"""Subscribed SKUs, users' licenses and changes to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sandbox.state import SandboxState
from sandbox.world import Customer
from tests.sandbox.small_world import (
    ADMIN,
    CONTOSO,
    DANIEL,
    EMS,
    HOMELESS,
    MINECRAFT,
    PLAN_INTUNE,
    PLAN_RMS,
    POWER_BI,
    SYNCED,
    TENANT_WIDE,
    fault,
)

SKUS = f"/v1/customers/{CONTOSO}/subscribedskus"
NO_LOCATION = "License assignment cannot be done for user with invalid usage location."


def updates(user_id: str) -> str:
    return f"/v1/customers/{CONTOSO}/users/{user_id}/licenseupdates"


def assign(*sku_ids: str, excluded: list[str] | None = None) -> dict[str, Any]:
    return {"licensesToAssign": [{"skuId": sku_id, "excludedPlans": excluded} for sku_id in sku_ids]}


@pytest.fixture
def contoso(state: SandboxState) -> Customer:
    return state.world.customers[CONTOSO]


async def skus(client: httpx.AsyncClient, query: str = "") -> list[str]:
    return [item["productSku"]["id"] for item in (await client.get(SKUS + query)).json()["items"]]


async def test_units_add_up(client: httpx.AsyncClient, contoso: Customer) -> None:
    contoso.holdings[EMS].warning_units = 2
    contoso.holdings[EMS].suspended_units = 7

    ems = (await client.get(SKUS)).json()["items"][0]

    units = {name: value for name, value in ems.items() if name.endswith("Units")}
    assert units == {
        "availableUnits": 6,
        "activeUnits": 5,
        "consumedUnits": 1,
        "suspendedUnits": 7,
        "totalUnits": 7,
        "warningUnits": 2,
    }


async def test_units_held_elsewhere_count_as_consumed(client: httpx.AsyncClient) -> None:
    tenant_wide = (await client.get(SKUS)).json()["items"][2]

    assert tenant_wide["productSku"]["targetType"] == "Tenant"
    assert (tenant_wide["consumedUnits"], tenant_wide["availableUnits"]) == (1, 0)


async def test_license_groups_come_repeated_or_in_a_list_and_the_first_is_the_default(
    client: httpx.AsyncClient,
) -> None:
    first, both = [EMS, POWER_BI, TENANT_WIDE], [EMS, POWER_BI, MINECRAFT, TENANT_WIDE]

    assert await skus(client) == first
    assert await skus(client, "?licenseGroupIds=Group1") == first
    assert await skus(client, "?licenseGroupIds=Group1&licenseGroupIds=Group2") == both
    assert await skus(client, "?licensegroupids=group1,group2") == both
    assert await skus(client, "?licenseGroupIds=group2") == [MINECRAFT]
    assert await skus(client, "?licenseGroupIds=group3") == []
    assert fault(await client.get(f"{SKUS}?licenseGroupIds=group9"))[:2] == (400, 900126)


async def test_a_users_license_leaves_switched_off_plans_out_unless_switched(
    client: httpx.AsyncClient, change_switches: Callable[..., Awaitable[None]]
) -> None:
    path = f"/v1/customers/{CONTOSO}/users/{DANIEL}/licenses"

    by_default = (await client.get(path)).json()["items"][0]
    await change_switches(list_disabled_plans=True)
    whole = (await client.get(path)).json()["items"][0]

    assert [(plan["id"], plan["capabilityStatus"]) for plan in by_default["servicePlans"]] == [(PLAN_RMS, "Assigned")]
    assert [(plan["id"], plan["capabilityStatus"]) for plan in whole["servicePlans"]] == [
        (PLAN_RMS, "Assigned"),
        (PLAN_INTUNE, "Disabled"),
    ]
    assert "targetType" not in by_default["productSku"]


async def test_an_assignment_is_echoed_and_takes_a_unit(client: httpx.AsyncClient, contoso: Customer) -> None:
    body = assign(EMS, excluded=[PLAN_RMS]) | {"licensesToRemove": None, "licenseWarnings": None}

    answer = await client.post(updates(SYNCED), json=body)

    assert answer.status_code == 201
    assert answer.json() == {
        "licensesToAssign": [{"excludedPlans": [PLAN_RMS], "skuId": EMS}],
        "licenseWarnings": [],
        "attributes": {"objectType": "LicenseUpdate"},
    }
    assert contoso.users[SYNCED].licenses == {EMS: {PLAN_RMS}}
    assert (await client.get(SKUS)).json()["items"][0]["availableUnits"] == 3


async def test_assigning_again_replaces_the_switched_off_plans_and_takes_no_unit(
    client: httpx.AsyncClient, contoso: Customer
) -> None:
    contoso.holdings[EMS].active_units = 1

    answer = await client.post(updates(DANIEL), json=assign(EMS.upper(), excluded=[PLAN_RMS.upper()]))

    assert answer.status_code == 201
    assert contoso.users[DANIEL].licenses == {EMS: {PLAN_RMS}}


async def test_removing_and_assigning_go_in_one_call(client: httpx.AsyncClient, contoso: Customer) -> None:
    contoso.holdings[POWER_BI].active_units = 2

    answer = await client.post(updates(DANIEL), json=assign(POWER_BI) | {"licensesToRemove": [EMS]})

    assert answer.json()["licensesToRemove"] == [EMS]
    assert contoso.users[DANIEL].licenses == {POWER_BI: set()}


async def test_without_a_free_unit_nothing_of_the_call_happens(client: httpx.AsyncClient, contoso: Customer) -> None:
    answer = await client.post(updates(DANIEL), json=assign(POWER_BI) | {"licensesToRemove": [EMS]})

    assert fault(answer) == (
        400,
        60012,
        "We are sorry, it looks like you have run out of licenses. Buy more licenses, and then try again.",
    )
    assert answer.json()["data"] == [
        f"LicenseQuotaExceededException : Subscription with Account {CONTOSO} and SKU {POWER_BI} "
        "does not have any available licenses left."
    ]
    assert contoso.users[DANIEL].licenses == {EMS: {PLAN_INTUNE}}


@pytest.mark.parametrize(
    ("user_id", "body", "code", "text"),
    [
        (HOMELESS, assign(EMS), 3000, NO_LOCATION),
        (DANIEL, assign(EMS, MINECRAFT), 800002, None),
        (DANIEL, assign("6fd2c87f-b296-42f0-b197-1e91e994b900"), 3000, None),
        (DANIEL, assign("rubbish"), 3000, None),
        (DANIEL, assign(TENANT_WIDE), 3000, None),
        (DANIEL, assign(EMS, excluded=["70d33638-9c74-4d01-bfd3-562de28bd4ba"]), 3000, None),
        (DANIEL, assign(EMS) | {"licensesToRemove": [EMS.upper()]}, 3000, None),
        (DANIEL, {"licensesToRemove": [POWER_BI]}, 3000, "User does not have a corresponding license."),
        (DANIEL, {}, 2001, "Both licensesToAssign and licensesToRemove cannot be empty."),
        (DANIEL, {"licensesToAssign": [], "licensesToRemove": []}, 2001, None),
        (DANIEL, {"licensesToAssign": ["x"]}, 800002, None),
        (DANIEL, {"licensesToAssign": {}}, 800002, None),
        (DANIEL, {"licensesToRemove": [7]}, 800002, None),
    ],
)
async def test_a_change_that_cannot_be_is_refused(
    user_id: str,
    body: dict[str, Any],
    code: int,
    text: str | None,
    client: httpx.AsyncClient,
    contoso: Customer,
) -> None:
    before = dict(contoso.users[user_id].licenses)

    answer = await client.post(updates(user_id), json=body)

    assert fault(answer)[:2] == (400, code)
    assert text is None or answer.json()["description"] == text
    assert contoso.users[user_id].licenses == before


async def test_a_user_without_a_location_can_still_lose_a_license(client: httpx.AsyncClient, contoso: Customer) -> None:
    contoso.users[HOMELESS].licenses = {EMS: set()}

    answer = await client.post(updates(HOMELESS), json={"licensesToRemove": [EMS]})

    assert answer.status_code == 201
    assert contoso.users[HOMELESS].licenses == {}


async def test_removing_an_absent_license_does_nothing_when_switched(
    client: httpx.AsyncClient, change_switches: Callable[..., Awaitable[None]]
) -> None:
    await change_switches(remove_absent_license_status=201)

    assert (await client.post(updates(DANIEL), json={"licensesToRemove": [POWER_BI]})).status_code == 201


async def test_a_user_may_be_named_by_sign_in_name(client: httpx.AsyncClient, contoso: Customer) -> None:
    answer = await client.post(updates("Admin@contoso.onmicrosoft.com"), json=assign(EMS))

    assert answer.status_code == 201
    assert contoso.users[ADMIN].licenses == {POWER_BI: set(), EMS: set()}
