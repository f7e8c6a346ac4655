"""Customers and what is told of them; relationships and domains."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sandbox.state import SandboxState
from sandbox.world import User
from tests.sandbox.small_world import CONTOSO, FABRIKAM, GLOBAL_ADMINISTRATOR, RESELLER, fault

CONTOSO_URL = f"/v1/customers/{CONTOSO}"
FABRIKAM_URL = f"/v1/customers/{FABRIKAM}"


def filtered(field: str, value: str, operator: str = "starts_with") -> dict[str, str]:
    return {"filter": json.dumps({"Field": field, "Value": value, "Operator": operator})}


async def ids(client: httpx.AsyncClient, **params: str) -> list[str]:
    return [item["id"] for item in (await client.get("/v1/customers", params=params)).json()["items"]]


async def test_customers_are_found_by_name_domain_and_reseller(client: httpx.AsyncClient) -> None:
    assert await ids(client) == [CONTOSO, FABRIKAM]
    assert await ids(client, **filtered("CompanyName", "CONT")) == [CONTOSO]
    assert await ids(client, **filtered("CompanyName", "tos")) == []
    assert await ids(client, **filtered("Domain", "federated.con")) == [CONTOSO]
    assert await ids(client, **filtered("Domain", "fabrikam")) == [FABRIKAM]
    assert await ids(client, **filtered("IndirectReseller", RESELLER.upper())) == [CONTOSO]
    assert await ids(client, **filtered("CompanyName", "cont", "StartsWith")) == [CONTOSO]


async def test_other_filters_are_refused(client: httpx.AsyncClient) -> None:
    for params, code in (
        (filtered("CompanyName", "x", "equals"), 800002),
        (filtered("Country", "x"), 3000),
        (filtered("Domain", "x", "resembles"), 900126),
        ({"filter": '{"Field":"Domain","Operator":"starts_with"}'}, 800002),
        ({"filter": "rubbish"}, 800002),
    ):
        assert fault(await client.get("/v1/customers", params=params))[:2] == (400, code)


async def test_address_mail_and_domains_need_delegated_access(client: httpx.AsyncClient) -> None:
    contoso, fabrikam = (await client.get(CONTOSO_URL)).json(), (await client.get(FABRIKAM_URL)).json()

    assert contoso["allowDelegatedAccess"] is True
    assert contoso["customDomains"] == ["contoso.onmicrosoft.com", "contoso.com", "federated.contoso.com"]
    assert contoso["companyProfile"]["email"] == "info@contoso.com"
    assert contoso["associatedPartnerId"] == RESELLER
    assert fabrikam["allowDelegatedAccess"] is False
    assert "customDomains" not in fabrikam
    assert {"address", "email"}.isdisjoint(fabrikam["companyProfile"])
    assert fabrikam["billingProfile"]["defaultAddress"]["country"] == "GB"


async def test_the_billing_profile_is_replaced_with_its_etag(client: httpx.AsyncClient) -> None:
    path = f"{CONTOSO_URL}/profiles/billing"
    before = (await client.get(path)).json()
    body = {
        "CompanyName": "Contoso Ltd",
        "Email": "pay@contoso.com",
        "DefaultAddress": {"Country": "US", "City": "Seattle", "AddressLine1": "2nd Street", "Region": None},
        "Attributes": {"Etag": before["attributes"]["etag"]},
    }

    replaced = await client.put(path, json=body)
    stale = await client.put(path, json=body)
    invalid = await client.put(path, json={"companyName": "x", "defaultAddress": {"country": "US"}})

    assert replaced.json()["companyName"] == "Contoso Ltd"
    assert replaced.json()["defaultAddress"] == {"country": "US", "city": "Seattle", "addressLine1": "2nd Street"}
    assert replaced.json()["attributes"]["etag"] != before["attributes"]["etag"]
    assert fault(stale)[:2] == (400, 2055)
    assert fault(invalid)[:2] == (400, 2007)
    assert (await client.get(path)).json() == replaced.json()


async def test_a_created_customer_has_an_administrator(client: httpx.AsyncClient, state: SandboxState) -> None:
    body: dict[str, Any] = {
        "CompanyProfile": {"Domain": "relecloud.onmicrosoft.com"},
        "BillingProfile": {"CompanyName": "Relecloud", "DefaultAddress": {"Country": "US"}},
    }

    answer = await client.post("/v1/customers", json=body)
    taken = await client.post("/v1/customers", json=body)

    assert answer.status_code == 201
    customer = state.world.customers[answer.json()["id"]]
    assert answer.json()["userCredentials"]["userName"] == "admin"
    assert [(user.user_principal_name, user.roles) for user in customer.users.values()] == [
        ("admin@relecloud.onmicrosoft.com", {GLOBAL_ADMINISTRATOR})
    ]
    assert (await client.get(f"/v1/customers/{customer.id}")).status_code == 200
    assert fault(taken)[:2] == (400, 3000)


async def test_a_relationship_ends_once_nothing_is_active(client: httpx.AsyncClient, state: SandboxState) -> None:
    body = {"RelationshipToPartner": "none", "Attributes": {"ObjectType": "Customer"}}

    refused = await client.patch(CONTOSO_URL, json=body)
    for subscription in state.world.customers[CONTOSO].subscriptions.values():
        subscription.status = "suspended"
    ended = await client.patch(CONTOSO_URL, json=body)

    assert fault(refused)[:2] == (400, 800002)
    assert ended.json()["RelationshipToPartner"] == "none"
    assert ended.json()["CompanyProfile"] is None
    assert fault(await client.get(CONTOSO_URL))[:2] == (403, 20002)


async def test_a_customer_is_deleted_in_the_integration_sandbox_only(
    client: httpx.AsyncClient, change_switches: Callable[..., Awaitable[None]]
) -> None:
    await change_switches(customers_deletable=False)
    refused = await client.delete(FABRIKAM_URL)
    await change_switches(customers_deletable=True)
    deleted = await client.delete(FABRIKAM_URL)

    assert fault(refused)[:2] == (403, 600006)
    assert (deleted.status_code, await ids(client)) == (204, [CONTOSO])


async def test_resellers_are_listed_by_kind_and_name(client: httpx.AsyncClient) -> None:
    kind = {"relationship_type": "IsIndirectCloudSolutionProviderOf"}

    async def names(**params: str) -> list[str]:
        answer = await client.get("/v1/relationships", params=params)
        return [item["name"] for item in answer.json()["items"]]

    assert await names(**kind) == ["First Up Consultants"]
    assert await names(**kind, **filtered("Name", "up con", "substring")) == ["First Up Consultants"]
    assert await names(**kind, **filtered("Name", "up con")) == []
    assert await names(relationship_type="is_indirect_reseller_of") == []
    assert fault(await client.get("/v1/relationships"))[:2] == (400, 800002)
    assert fault(await client.get("/v1/relationships?relationship_type=Friend"))[:2] == (400, 900126)


async def test_a_customer_without_a_reseller_has_no_relationships(client: httpx.AsyncClient) -> None:
    of_contoso = (await client.get(f"{CONTOSO_URL}/relationships")).json()["items"]
    of_fabrikam = (await client.get(f"{FABRIKAM_URL}/relationships")).json()

    assert [(item["id"], "state" in item, "location" in item) for item in of_contoso] == [(RESELLER, False, False)]
    assert (of_fabrikam["totalCount"], of_fabrikam["items"]) == (0, [])


async def test_the_invitation_is_no_customer(client: httpx.AsyncClient, state: SandboxState) -> None:
    answer = await client.get("/v1/customers/relationshiprequests")

    assert f"partnerId={state.world.partner_id}" in answer.json()["url"]


@pytest.mark.parametrize(
    ("domain", "status"),
    [("contoso.com", 200), ("FABRIKAM.onmicrosoft.com", 200), ("free.onmicrosoft.com", 404)],
)
async def test_a_taken_domain_answers_200_and_a_free_one_404(
    domain: str, status: int, client: httpx.AsyncClient
) -> None:
    answer = await client.head(f"/v1/domains/{domain}")

    assert (answer.status_code, answer.headers["Content-Length"]) == (status, "0")
    assert "MS-RequestId" in answer.headers


async def test_pages_follow_each_other_by_link_and_by_token_alone(client: httpx.AsyncClient) -> None:
    path = f"{CONTOSO_URL}/users"
    query = {"size": "3", "sortField": "DisplayName", "sortDirection": "Descending"}

    first = (await client.get(path, params=query)).json()
    link = first["links"]["next"]
    headers = {header["key"]: header["value"] for header in link["headers"]}
    by_link = (await client.get(f"/v1{link['uri']}", headers=headers)).json()
    token = {"MS-ContinuationToken": first["continuationToken"]}
    by_token = (await client.get(f"{path}?seekOperation=next", headers=token)).json()
    back = by_link["links"]["previous"]
    headers = {header["key"]: header["value"] for header in back["headers"]}
    previous = (await client.get(f"/v1{back['uri']}", headers=headers)).json()

    assert link["uri"].endswith("users?size=3&sortField=DisplayName&sortDirection=Descending&seekOperation=Next")
    assert [item["displayName"] for item in first["items"]] == ["Without Location", "Synced Person", "Daniel Tsai"]
    assert [item["displayName"] for item in by_link["items"]] == ["Admin Istrator"]
    assert by_link == by_token
    assert "continuationToken" not in by_link
    assert "next" not in by_link["links"]
    assert by_link["links"]["self"] == first["links"]["self"]
    assert previous == first


async def test_the_other_seek_operations_work(client: httpx.AsyncClient) -> None:
    path = f"{CONTOSO_URL}/users"

    async def names(**params: str) -> list[str]:
        answer = await client.get(path, params={"size": "3", **params})
        return [item["displayName"].split()[0] for item in answer.json()["items"]]

    assert await names(seekOperation="First") == ["Daniel", "Without", "Synced"]
    assert await names(seekOperation="Last") == ["Admin"]
    assert await names(seekOperation="PageIndex", offset="1") == ["Admin"]
    assert await names(offset="2") == ["Synced", "Admin"]
    assert await names(size="0") == ["Daniel", "Without", "Synced", "Admin"]


async def test_a_page_loses_nobody_when_others_are_deleted_meanwhile(
    client: httpx.AsyncClient, state: SandboxState
) -> None:
    path = f"{CONTOSO_URL}/users"
    first = (await client.get(path, params={"size": 2})).json()
    for item in first["items"]:
        await client.delete(f"{path}/{item['id']}")

    token = {"MS-ContinuationToken": first["continuationToken"]}
    second = (await client.get(f"{path}?seekOperation=Next", headers=token)).json()

    assert [item["displayName"] for item in second["items"]] == ["Synced Person", "Admin Istrator"]


async def test_bad_tokens_sizes_and_operations_are_refused(client: httpx.AsyncClient) -> None:
    path = f"{CONTOSO_URL}/users"
    other = (await client.get("/v1/customers?size=1")).json()["continuationToken"]

    for headers, query, code in (
        ({}, "seekOperation=Next", 800002),
        ({"MS-ContinuationToken": "rubbish"}, "seekOperation=Next", 800002),
        ({"MS-ContinuationToken": "AQAAAA=="}, "seekOperation=Next", 800002),
        ({"MS-ContinuationToken": other}, "seekOperation=Next", 800002),
        ({}, "seekOperation=Sideways", 900126),
        ({}, "size=-1", 800002),
        ({}, "size=many", 800002),
    ):
        assert fault(await client.get(f"{path}?{query}", headers=headers))[:2] == (400, code)


async def test_sizes_are_clipped_at_five_hundred(client: httpx.AsyncClient, state: SandboxState) -> None:
    users = state.world.customers[FABRIKAM].users
    for number in range(1203):
        users[str(number)] = User(str(number), f"{number}@fabrikam.onmicrosoft.com", f"User {number}")

    sizes, path = [], f"/customers/{FABRIKAM}/users?size=9999"
    headers: dict[str, str] = {}
    while path:
        page = (await client.get(f"/v1{path}", headers=headers)).json()
        sizes.append(page["totalCount"])
        link = page["links"].get("next")
        path = link["uri"] if link else ""
        headers = {header["key"]: header["value"] for header in link["headers"]} if link else {}

    assert sizes == [500, 500, 203]
