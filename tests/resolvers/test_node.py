"""Objects by their global ids: whatever the id says, the answer is the object, null or a clear error."""

from base64 import urlsafe_b64encode

import pytest

from sandbox.contoso import CONTOSO_DOMAIN
from sandbox.directory_roles import COMPANY_ADMINISTRATOR
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.gateway_client import CONTOSO

UNKNOWN = "00000000-aaaa-4bbb-8ccc-000000000000"
FABRIKAM = stable_id("tenant", "fabrikam.onmicrosoft.com")
ADELE = stable_id("user", f"adele.vance@{CONTOSO_DOMAIN}")
E3 = "6fd2c87f-b296-42f0-b197-1e91e994b900"
KINDS = ("User", "DirectoryRole", "SubscribedSku", "MicrosoftSubscription")

NODE = """
query ($id: ID!) {
  node(id: $id) {
    __typename
    id
    ... on Tenant { microsoftId name }
    ... on User { microsoftId displayName tenant { name } }
    ... on DirectoryRole { microsoftId roleName: name }
    ... on SubscribedSku { skuId productName tenant { microsoftId } }
    ... on MicrosoftSubscription { microsoftId boughtSku: skuId quantity }
  }
}
"""
ALL = """
{
  tenants {
    nodes {
      id
      users { nodes { id } }
      roles { id }
      subscribedSkus(filter: {productTypes: [CLOUD_SERVICES, DYNAMICS, OTHER]}) { id subscriptions { id } }
    }
  }
}
"""


async def node(gateway, kind, tenant, microsoft_id=""):
    return (await gateway.data(NODE, {"id": encode_id(kind, tenant, microsoft_id)}))["node"]


async def test_every_kind_of_object_is_fetched_again_by_its_id(gateway, sandbox):
    subscription = next(one for one in sandbox.world.customers[CONTOSO].subscriptions.values() if one.quantity == 15)

    assert await node(gateway, "Tenant", CONTOSO) == {
        "__typename": "Tenant",
        "id": encode_id("Tenant", CONTOSO),
        "microsoftId": CONTOSO,
        "name": "Contoso",
    }
    assert await node(gateway, "User", CONTOSO, ADELE) == {
        "__typename": "User",
        "id": encode_id("User", CONTOSO, ADELE),
        "microsoftId": ADELE,
        "displayName": "Adele Vance",
        "tenant": {"name": "Contoso"},
    }
    assert await node(gateway, "DirectoryRole", CONTOSO, COMPANY_ADMINISTRATOR) == {
        "__typename": "DirectoryRole",
        "id": encode_id("DirectoryRole", CONTOSO, COMPANY_ADMINISTRATOR),
        "microsoftId": COMPANY_ADMINISTRATOR,
        "roleName": "Company Administrator",
    }
    assert await node(gateway, "SubscribedSku", CONTOSO, E3) == {
        "__typename": "SubscribedSku",
        "id": encode_id("SubscribedSku", CONTOSO, E3),
        "skuId": E3,
        "productName": "Office 365 E3",
        "tenant": {"microsoftId": CONTOSO},
    }
    assert await node(gateway, "MicrosoftSubscription", CONTOSO, subscription.id) == {
        "__typename": "MicrosoftSubscription",
        "id": encode_id("MicrosoftSubscription", CONTOSO, subscription.id),
        "microsoftId": subscription.id,
        "boughtSku": E3,
        "quantity": 15,
    }


async def test_every_id_that_is_answered_leads_back_to_its_object(gateway):
    answer = await gateway.ask(ALL)
    found = []
    for tenant in answer["data"]["tenants"]["nodes"]:
        found.append(tenant["id"])
        found += [one["id"] for one in (tenant["users"] or {"nodes": []})["nodes"][:3]]
        found += [one["id"] for one in (tenant["roles"] or [])[:2]]
        for sku in tenant["subscribedSkus"] or []:
            found += [sku["id"], *(one["id"] for one in sku["subscriptions"])]

    assert len(found) > 100
    for start in range(0, len(found), 100):
        ids = found[start : start + 100]
        nodes = await gateway.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})
        assert [one["id"] for one in nodes["nodes"]] == ids


@pytest.mark.parametrize(
    "id",
    [
        "",
        " ",
        "nonsense",
        "=" * 10,
        "Łukasz",
        "A" * 512,
        encode_id("Query", CONTOSO),
        encode_id("Viewer", CONTOSO, ADELE),
        encode_id("User", CONTOSO),
        encode_id("Tenant", CONTOSO, ADELE),
        encode_id("User", CONTOSO.upper(), ADELE),
        encode_id("User", CONTOSO, ADELE.upper()),
        encode_id("User", "../..", ADELE),
        encode_id("User", "a", "b"),
        urlsafe_b64encode(f"User:{CONTOSO}:{ADELE}:x".encode()).decode(),
        encode_id("User", CONTOSO, ADELE) + "==",
    ],
)
async def test_what_is_no_id_is_null_and_nothing_is_asked(gateway, id):
    assert await gateway.data(NODE, {"id": id}) == {"node": None}
    assert gateway.calls() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tenant", [CONTOSO, FABRIKAM, UNKNOWN])
@pytest.mark.parametrize("microsoft_id", [UNKNOWN, CONTOSO, ADELE, E3, COMPANY_ADMINISTRATOR])
async def test_an_unknown_object_or_one_of_another_kind_or_tenant_is_null(gateway, kind, tenant, microsoft_id):
    exists = tenant == CONTOSO and (kind, microsoft_id) in {("User", ADELE), ("SubscribedSku", E3)}
    exists = exists or (tenant != UNKNOWN and (kind, microsoft_id) == ("DirectoryRole", COMPANY_ADMINISTRATOR))

    assert (await node(gateway, kind, tenant, microsoft_id) is not None) is exists


async def test_azure_and_software_are_no_subscriptions_here(gateway, sandbox):
    alpine = stable_id("tenant", "alpineskihouse.onmicrosoft.com")
    subscriptions = sandbox.world.customers[alpine].subscriptions.values()

    found = {one.kind: await node(gateway, "MicrosoftSubscription", alpine, one.id) for one in subscriptions}
    assert {kind for kind, answer in found.items() if answer} == {"legacy"}
    assert set(found) == {"legacy", "software", "azure_legacy", "azure_plan", "saas"}


async def test_nodes_answer_in_order_with_null_for_what_is_not_there(gateway):
    ids = [
        encode_id("User", CONTOSO, ADELE),
        "nonsense",
        encode_id("Tenant", UNKNOWN),
        encode_id("SubscribedSku", CONTOSO, E3),
        encode_id("User", CONTOSO, ADELE),
    ]
    asked = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    answer = await gateway.data(asked, {"ids": ids})

    assert answer["nodes"] == [
        {"__typename": "User", "id": ids[0]},
        None,
        None,
        {"__typename": "SubscribedSku", "id": ids[3]},
        {"__typename": "User", "id": ids[0]},
    ]
    assert len(gateway.calls()) == 3


async def test_no_ids_are_no_nodes_and_more_than_100_are_refused(gateway):
    asked = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert await gateway.data(asked, {"ids": []}) == {"nodes": []}
    answer = await gateway.ask(asked, {"ids": ["x"] * 101})

    assert answer.get("data") is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIST_LIMIT"]
    assert gateway.calls() == []


async def test_a_node_that_cannot_be_read_is_an_error_at_its_place_and_the_others_stand(gateway):
    adatum = stable_id("tenant", "adatum.onmicrosoft.com")
    ids = [encode_id("SubscribedSku", adatum, E3), encode_id("SubscribedSku", CONTOSO, E3)]
    answer = await gateway.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})

    assert answer["data"] == {"nodes": [None, {"id": ids[1]}]}
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]) == (["nodes", 0], {"code": "ACCESS_MISSING"})


@pytest.mark.parametrize("field", ["node(id: $id) { id }", "tenant(by: {id: $id}) { id }"])
async def test_an_id_of_a_tenant_finds_it_through_both_fields(gateway, field):
    id = encode_id("Tenant", CONTOSO)

    assert list((await gateway.data(f"query ($id: ID!) {{ {field} }}", {"id": id})).values()) == [{"id": id}]
