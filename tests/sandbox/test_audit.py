"""The audit records of what was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from sandbox import settings
from sandbox.state import SandboxState
from tests.sandbox.small_world import CONTOSO, DANIEL, EMS, FABRIKAM, HELPDESK, NCE, V2_TOKEN, fault, token_form

C = f"/v1/customers/{CONTOSO}"
U = f"{C}/users/{DANIEL}"


async def records(client: httpx.AsyncClient, **params: str) -> list[dict[str, Any]]:
    answer = await client.get("/v1/auditrecords", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_every_write_leaves_a_record_the_newest_first(client: httpx.AsyncClient) -> None:
    password = {"passwordProfile": {"password": "Renew456*", "forceChangePassword": True}}
    new = {
        "userPrincipalName": "eve@contoso.com",
        "displayName": "Eve",
        "usageLocation": "US",
        "passwordProfile": {"password": "abCD123*"},
    }
    await client.post(f"{C}/users", json=new)
    await client.patch(U, json={"firstName": "Dan"})
    await client.patch(U, json={"userPrincipalName": "dan@contoso.com"})
    await client.patch(f"{U}/resetpassword", json=password)
    await client.post(f"{U}/licenseupdates", json={"licensesToRemove": [EMS]})
    await client.post(f"{C}/directoryroles/{HELPDESK}/usermembers", json={"id": DANIEL})
    await client.delete(f"{C}/directoryroles/{HELPDESK}/usermembers/{DANIEL}")
    await client.delete(U)
    await client.patch(U, json={"state": "active"})
    await client.patch(f"{C}/subscriptions/{NCE}", json={"quantity": 9})

    found = await records(client)

    assert [(record["resourceType"], record["operationType"]) for record in reversed(found)] == [
        ("customer_user", "create_customer_user"),
        ("customer_user", "update_customer_user"),
        ("customer_user", "update_customer_user_principal_name"),
        ("customer_user", "reset_customer_user_password"),
        ("license", "update_customer_user_licenses"),
        ("customer_directory_role", "add_user_member"),
        ("customer_directory_role", "remove_user_member"),
        ("customer_user", "delete_customer_user"),
        ("customer_user", "restore_customer_user"),
        ("subscription", "update_subscription_quantity"),
    ]
    assert "Renew456*" not in json.dumps(found)
    assert "abCD123*" not in json.dumps(found)


async def test_a_record_tells_who_did_what_where(client: httpx.AsyncClient, state: SandboxState) -> None:
    await client.post(f"{U}/licenseupdates", json={"licensesToRemove": [EMS]})

    (record,) = await records(client)

    assert record["customerId"] == CONTOSO
    assert record["customerName"] == "Contoso"
    assert record["partnerId"] == state.world.partner_id
    assert record["userPrincipalName"] == settings.AGENT_UPN
    assert record["operationStatus"] == "succeeded"
    assert json.loads(record["resourceNewValue"]) == {
        "LicensesToRemove": [EMS],
        "LicenseWarnings": [],
        "Attributes": {"ObjectType": "LicenseUpdate"},
    }
    assert record["customizedData"] == [
        {"key": "CustomerUserId", "value": DANIEL},
        {"key": "RemovedLicenseSkuId", "value": EMS},
    ]
    assert (await client.get(f"/v1/auditrecords/{record['id']}")).json() == record
    assert fault(await client.get("/v1/auditrecords/nothing"))[:2] == (404, 1000)


async def test_what_was_refused_leaves_no_record(client: httpx.AsyncClient) -> None:
    await client.patch(U, json={"usageLocation": "USA"})

    assert await records(client) == []


async def test_records_are_filtered(client: httpx.AsyncClient) -> None:
    await client.delete(U)
    await client.patch(f"/v1/customers/{FABRIKAM}", json={"relationshipToPartner": "none"})

    async def customers(field: str, value: str, operator: str) -> list[str]:
        text = json.dumps({"Field": field, "Value": value, "Operator": operator})
        return [record["customerName"] for record in await records(client, filter=text)]

    assert await customers("CustomerId", CONTOSO.upper(), "equals") == ["Contoso"]
    assert await customers("CompanyName", "brik", "substring") == ["Fabrikam"]
    assert await customers("ResourceType", "CustomerUser", "equals") == ["Contoso"]
    assert await customers("ResourceType", "customer", "equals") == ["Fabrikam"]


async def test_the_window_is_thirty_days_and_ninety_at_most(client: httpx.AsyncClient, state: SandboxState) -> None:
    await client.delete(U)
    state.clock.advance(40 * 86_400)
    token = (await client.post(V2_TOKEN, data=token_form())).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    today = datetime.now(UTC) + timedelta(days=40)
    start = today - timedelta(days=41)
    too_old = (today - timedelta(days=92)).strftime("%Y-%m-%d")

    assert await records(client) == []
    assert len(await records(client, startDate=start.strftime("%Y-%m-%d"))) == 1
    assert len(await records(client, startDate=start.strftime("%m/%d/%Y 12:00:00 AM"))) == 1
    before = (start - timedelta(days=1)).strftime("%Y-%m-%d")
    assert await records(client, startDate=before, endDate=before) == []
    assert fault(await client.get("/v1/auditrecords", params={"startDate": too_old}))[:2] == (400, 800002)
    assert fault(await client.get("/v1/auditrecords?startDate=soon"))[:2] == (400, 800002)
