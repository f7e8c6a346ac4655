"""What is outside a caller's scope looks exactly like what does not exist, and is not asked for."""

import pytest

from sandbox.people import stable_id
from sandbox.seed import CITY_POWER_ID, TREY_RESEARCH_ID
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.gateway_client import CONTOSO


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


FABRIKAM, LITWARE, HUMONGOUS = map(tenant_id, ("fabrikam", "litware", "humongousinsurance"))
SOMEBODY = stable_id("user", "nicole.wagner@fabrikam.onmicrosoft.com")
NAMES = "{ tenants { nodes { name } } }"
TREY = bearer("reseller", reseller_id=TREY_RESEARCH_ID)
CITY = bearer("reseller", reseller_id=CITY_POWER_ID)
NARROWED = bearer("reseller", reseller_id=TREY_RESEARCH_ID, tenant_ids=[CONTOSO, FABRIKAM])
DIRECT = bearer("direct-customer", tenant_ids=[CONTOSO])
NARROW_PARTNER = bearer(tenant_ids=[CONTOSO])


async def names(gateway, caller):
    answer = await gateway.data(NAMES, Authorization=caller)
    return [one["name"] for one in answer["tenants"]["nodes"]]


@pytest.mark.parametrize(
    ("caller", "found"),
    [
        (TREY, ["Adventure Works", "Contoso", "Litware", "Northwind Traders", "Woodgrove Bank"]),
        (CITY, ["Alpine Ski House", "Fabrikam", "Fourth Coffee", "Tailspin Toys", "Wingtip Toys"]),
        (NARROWED, ["Contoso"]),
        (DIRECT, ["Contoso"]),
        (NARROW_PARTNER, ["Contoso"]),
        (bearer("reseller"), []),
        (bearer("reseller", reseller_id=stable_id("nobody")), []),
        (bearer("direct-customer"), []),
        (bearer("direct-customer", tenant_ids=[]), []),
        (bearer(tenant_ids=[]), []),
    ],
)
async def test_a_caller_sees_the_tenants_of_its_scope_alone(gateway, caller, found):
    assert await names(gateway, caller) == found
    assert len(gateway.calls()) <= 1


FOREIGN = (
    "query ($id: ID!, $user: ID!, $role: ID!, $sku: ID!, $subscription: ID!, $microsoftId: UUID!) {"
    " a: node(id: $id) { id } b: node(id: $user) { id } c: node(id: $role) { id } d: node(id: $sku) { id }"
    " e: node(id: $subscription) { id } f: nodes(ids: [$id, $user, $sku]) { id }"
    " g: tenant(by: {id: $id}) { id } h: tenant(by: {microsoftId: $microsoftId}) { name users { totalCount } }"
    "}"
)
NOTHING = {**dict.fromkeys("abcdegh"), "f": [None, None, None]}


def foreign(tenant):
    return {
        "id": encode_id("Tenant", tenant),
        "user": encode_id("User", tenant, SOMEBODY),
        "role": encode_id("DirectoryRole", tenant, "62e90394-69f5-4237-9190-012177145e10"),
        "sku": encode_id("SubscribedSku", tenant, "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46"),
        "subscription": encode_id("MicrosoftSubscription", tenant, SOMEBODY),
        "microsoftId": tenant,
    }


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("caller", "calls"), [(TREY, 1), (NARROWED, 1), (DIRECT, 0), (NARROW_PARTNER, 0), (bearer("direct-customer"), 0)]
)
async def test_every_way_to_a_foreign_object_gives_null(gateway, caller, calls, warm):
    """Also from a warm cache; nothing is asked but whom a reseller manages."""
    tenant = HUMONGOUS if caller == NARROWED else FABRIKAM
    if warm:
        await gateway.data(FOREIGN, foreign(tenant))
        gateway.calls()
    answer = await gateway.ask(FOREIGN, foreign(tenant), Authorization=caller)

    assert "errors" not in answer
    assert answer["data"] == NOTHING
    asked = gateway.calls()
    assert [call.partition("?")[0] for call in asked] == ["GET /v1/customers"] * len(asked)
    assert len(asked) <= calls


@pytest.mark.parametrize("domain", ["fabrikam.onmicrosoft.com", "fabrikam.com", "unknown.example"])
@pytest.mark.parametrize("caller", [TREY, DIRECT, NARROWED])
async def test_a_foreign_domain_is_null_and_looks_like_an_unknown_one(gateway, caller, domain):
    asked = "query ($domain: String!) { tenant(by: {domain: $domain}) { id } }"
    answer = await gateway.data(asked, {"domain": domain}, Authorization=caller)

    assert answer == {"tenant": None}
    calls = [call.removeprefix("GET /v1/customers").partition("?")[0] for call in gateway.calls()]
    assert (
        calls
        == {
            TREY: ["", ""],
            DIRECT: [f"/{CONTOSO}", f"/{CONTOSO}/customDomains"],
            NARROWED: ["", f"/{CONTOSO}/customDomains"],
        }[caller]
    )


@pytest.mark.parametrize("caller", [TREY, DIRECT, NARROW_PARTNER, NARROWED])
async def test_an_own_tenant_is_answered_whole(gateway, caller):
    asked = """
    query ($id: ID!, $domain: String!) {
      node(id: $id) { ... on Tenant { name } }
      tenant(by: {domain: $domain}) { microsoftId users { totalCount nodes { tenant { name } } } }
    }
    """
    variables = {"id": encode_id("Tenant", CONTOSO), "domain": "contoso.com"}
    answer = await gateway.data(asked, variables, Authorization=caller)

    assert answer["node"] == {"name": "Contoso"}
    assert (answer["tenant"]["microsoftId"], answer["tenant"]["users"]["totalCount"]) == (CONTOSO, 32)


async def test_a_reseller_needs_no_record_of_a_tenant_beside_the_list_that_is_its_scope(gateway):
    asked = '{ tenant(by: {microsoftId: "%s"}) { name domain asOf users { nodes { tenant { name } } } } }'
    answer = await gateway.data(asked.replace("%s", CONTOSO), Authorization=TREY)

    assert answer["tenant"]["name"] == "Contoso"
    assert len(gateway.calls()) == 1 + 2


async def test_the_tenants_of_a_direct_customer_are_found_without_reading_anybody_elses(gateway):
    gone = "00000000-aaaa-4bbb-8ccc-000000000000"
    caller = bearer("direct-customer", tenant_ids=[CONTOSO, FABRIKAM, gone])

    assert await names(gateway, caller) == ["Contoso", "Fabrikam"]
    assert sorted(gateway.calls()) == sorted(f"GET /v1/customers/{one}" for one in (CONTOSO, FABRIKAM, gone))
    assert await gateway.data("{ viewer { tenantCount } }", Authorization=caller) == {"viewer": {"tenantCount": 2}}


async def test_many_named_tenants_are_found_in_the_list(gateway):
    ids = [stable_id("nobody", str(number)) for number in range(10)]

    assert await names(gateway, bearer("direct-customer", tenant_ids=[CONTOSO, *ids])) == ["Contoso"]
    assert gateway.calls() == ["GET /v1/customers?size=500"]


async def test_a_direct_customer_whose_tenant_is_gone_sees_nothing(gateway):
    gone = "00000000-aaaa-4bbb-8ccc-000000000000"
    caller = bearer("direct-customer", tenant_ids=[gone])
    asked = f'{{ tenant(by: {{microsoftId: "{gone}"}}) {{ users {{ totalCount }} }} }}'

    assert await gateway.data(asked, Authorization=caller) == {"tenant": None}


@pytest.mark.parametrize(
    ("field", "answer"),
    [
        ('node(id: "x") { id }', {"node": None}),
        ('nodes(ids: ["x", "y"]) { id }', {"nodes": [None, None]}),
        (f'tenant(by: {{microsoftId: "{CONTOSO}"}}) {{ id }}', {"tenant": None}),
        ('tenant(by: {domain: "contoso.com"}) { id }', {"tenant": None}),
    ],
)
async def test_without_read_only_the_viewer_answers(gateway, field, answer):
    caller = bearer(permissions=without("READ"))
    found = await gateway.ask(f"{{ viewer {{ kind }} {field} }}", Authorization=caller)

    assert found["data"] == {"viewer": {"kind": "PARTNER"}, **answer}
    assert {error["extensions"]["code"] for error in found["errors"]} == {"NOT_PERMITTED"}
    assert gateway.calls() == []


async def test_without_read_there_are_no_tenants(gateway):
    """The list is never null by the schema, so the whole answer is."""
    answer = await gateway.ask(NAMES, Authorization=bearer(permissions=()))

    assert answer.get("data") is None
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]) == (["tenants"], {"code": "NOT_PERMITTED"})
    assert error["message"] == "This needs the permission READ, which your token does not carry."
    assert gateway.calls() == []
