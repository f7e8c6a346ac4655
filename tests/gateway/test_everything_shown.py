"""Every field of the schema, asked for by those who reach one tenant: nothing of another is anywhere in the answers."""

from __future__ import annotations

import json
import re
from uuid import UUID

import pytest
from graphql import GraphQLObjectType

from sandbox.contoso import CONTOSO_DOMAIN
from sandbox.people import stable_id
from sandbox.seed import TREY_RESEARCH_ID
from schema.build import build_schema
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.gateway.access_names import Others
from tests.gateway.access_queries import documents
from tests.gateway_client import CONTOSO
from tests.one_gateway import gateway  # noqa: F401  # fixture
from tests.served_gateway import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = build_schema()._schema
E3, POWER_BI = "6fd2c87f-b296-42f0-b197-1e91e994b900", "f8a1db68-be16-40ed-86d5-cb42ce701560"
TENANT = encode_id("Tenant", CONTOSO)
ONE_TENANT = {
    "direct customer": bearer("direct-customer", tenant_ids=[CONTOSO]),
    "narrowed partner": bearer(tenant_ids=[CONTOSO]),
    "narrowed reseller": bearer("reseller", reseller_id=TREY_RESEARCH_ID, tenant_ids=[CONTOSO]),
}
NOT_MET = {"ThrottledError", "RestoreWindowOverError", "TenantFailure", "RestoreForecastLine"}
"""Microsoft would have to ask to wait, time to pass, Microsoft to fail, and somebody to be deleted here."""


def user(name):
    return encode_id("User", CONTOSO, stable_id("user", f"{name}@{CONTOSO_DOMAIN}"))


NODES = {
    "Tenant": TENANT,
    "User": user("enrico.cattaneo"),
    "SubscribedSku": encode_id("SubscribedSku", CONTOSO, E3),
    "MicrosoftSubscription": "SUBSCRIPTION",
    "Job": "JOB",
    "DirectoryRole": encode_id("DirectoryRole", CONTOSO, "62e90394-69f5-4237-9190-012177145e10"),
}
DRY = "dryRun: true"
ARGUMENTS = {
    "Query.tenant": f'by: {{microsoftId: "{CONTOSO}"}}',
    "Query.nodes": f'ids: ["{TENANT}", "{user("enrico.cattaneo")}", "{NODES["SubscribedSku"]}"]',
    "Tenant.user": f'by: {{userPrincipalName: "adele.vance@{CONTOSO_DOMAIN}"}}',
    "Mutation.updateUser": f'input: {{id: "{user("adele.vance")}", firstName: "Ada", {DRY}}}',
    "Mutation.updateUserLicenses": f'input: {{userId: "{user("adele.vance")}", remove: ["{E3}"], {DRY}}}',
    "Mutation.updateLicensesInBulk": f'input: {{users: {{ids: ["{user("adele.vance")}"]}}, remove: ["{E3}"], {DRY}}}',
    "Mutation.cancelJob": f'input: {{id: "{TENANT}"}}',
    "Mutation.deleteUser": f'input: {{id: "{user("adele.vance")}", {DRY}}}',
    "Mutation.restoreUser": f'input: {{id: "{user("enrico.cattaneo")}", {DRY}}}',
    "Mutation.resetUserPassword": f'input: {{id: "{user("adele.vance")}", password: {{}}, {DRY}}}',
    "Mutation.createUser": f'input: {{tenantId: "{TENANT}", username: "adele.vance", domain: "{CONTOSO_DOMAIN}", '
    f'displayName: "Ada", usageLocation: "GB", password: {{}}, sendPasswordTo: ["a@b.example"], {DRY}}}',
}
TO_MEET = {
    (
        "Mutation.updateUser",
        "StaleVersionError",
    ): f'input: {{id: "{user("adele.vance")}", expectedVersion: "x", {DRY}}}',
    ("Mutation.updateUserLicenses", "NoneAvailableError"): f'input: {{userId: "{user("debra.berger")}", '
    f'assign: [{{skuId: "{POWER_BI}"}}], {DRY}}}',
    ("Mutation.resetUserPassword", "PasswordPolicyError"): f'input: {{id: "{user("adele.vance")}", '
    f'password: {{value: "short"}}, {DRY}}}',
    ("Mutation.resetUserPassword", "Delivery"): f'input: {{id: "{user("adele.vance")}", password: {{}}, '
    f'sendPasswordTo: ["a@b.example"], {DRY}}}',
    ("Mutation.cancelJob", "GenericError"): 'input: {id: "x"}',
}


def arguments(coordinate, target):
    if coordinate == "Query.node":
        kind = "Job" if target.startswith("Job") else target
        return f'id: "{NODES.get(kind, NODES["User"])}"'
    if (coordinate, target) in TO_MEET:
        return TO_MEET[coordinate, target]
    type_name, _, name = coordinate.partition(".")
    kind = SCHEMA.type_map[type_name]
    assert isinstance(kind, GraphQLObjectType)
    field = kind.fields[name]
    return ARGUMENTS.get(coordinate, "first: 3" if "first" in field.args else "")


DOCUMENTS = list(documents(SCHEMA, arguments))


async def test_every_field_of_every_type_is_asked_for():
    """A new one is by itself; what it needs to be asked may have to be given above."""
    roots = {SCHEMA.subscription_type}
    fields = {
        f"{kind.name}.{name}"
        for kind in SCHEMA.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__") and kind not in roots
        for name in kind.fields
    }
    assert fields - set().union(*(asked for _, asked, _ in DOCUMENTS)) == set()


async def a_job(gateway):  # noqa: F811
    """The id of a change of many that has ended."""
    given = {"users": {"ids": [user("adele.vance")]}, "remove": [str(UUID(int=7))]}
    change = "mutation ($input: UpdateLicensesInBulkInput!) { updateLicensesInBulk(input: $input) { job { id } } }"
    job = (await gateway.data(change, {"input": given}))["updateLicensesInBulk"]["job"]["id"]

    async def ended():
        state = await gateway.data("query ($id: ID!) { node(id: $id) { ... on Job { endedAt } } }", {"id": job})
        return state["node"]["endedAt"] is not None

    await until(ended)
    return job


@pytest.mark.parametrize("who", ONE_TENANT)
async def test_nothing_of_another_tenant_is_shown(gateway, who):  # noqa: F811
    """Also from a cache that a partner has filled."""
    others = Others(gateway.sandbox.world, [CONTOSO])
    await gateway.ask("{ tenants { nodes { domains users(first: 1) { totalCount } subscribedSkus { id } } } }")
    job, subscription = await a_job(gateway), next(iter(gateway.sandbox.world.customers[CONTOSO].subscriptions))
    met = set()
    for kind, _, asked in DOCUMENTS:
        document = asked.replace("JOB", job)
        document = document.replace("SUBSCRIPTION", encode_id("MicrosoftSubscription", CONTOSO, subscription))
        answer = await gateway.ask(document, Authorization=ONE_TENANT[who])
        codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
        assert codes == set(), f"{document} {answer}"
        text = json.dumps(answer, ensure_ascii=False)
        assert others.seen_in(text) == set(), f"{document} {text}"
        if f'"__typename": "{kind}"' in text:
            met.add(kind)
    assert {kind for kind, _, _ in DOCUMENTS} - met <= NOT_MET


async def test_without_read_nothing_of_any_tenant_is_shown(gateway):  # noqa: F811
    everybody = Others(gateway.sandbox.world, [])
    for _, _, document in DOCUMENTS:
        response = await gateway.http.post(
            "/graphql",
            json={"query": document},
            headers={"Authorization": bearer(permissions=without("READ"))},
        )
        assert everybody.seen_in(response.text) == set(), document


@pytest.mark.parametrize("who", ONE_TENANT)
@pytest.mark.parametrize("name", ["users.csv", "users.jsonl", "portfolio.csv", "portfolio.jsonl"])
async def test_an_export_shows_nothing_of_another_tenant_and_knows_it_as_little_as_nobodys(gateway, who, name):  # noqa: F811
    others = Others(gateway.sandbox.world, [CONTOSO])
    told = []
    for tenant in (None, stable_id("tenant", "fabrikam.onmicrosoft.com"), stable_id("tenant", "nobody")):
        given = {} if tenant is None else {"tenantIds": encode_id("Tenant", tenant)}
        headers = {"Authorization": ONE_TENANT[who]}
        response = await gateway.http.get(f"/export/{name}", params=given, headers=headers)
        assert others.seen_in(f"{response.text} {response.headers}") == set()
        told.append((response.status_code, re.sub(r'"requestId":"[^"]*"', "", response.text)))

    assert told[0][0] == 200
    assert told[1] == told[2]
    assert told[1][0] == 400
