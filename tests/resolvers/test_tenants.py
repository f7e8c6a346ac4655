"""Finding tenants: by id, Microsoft id and domain, and what a tenant's own fields say and cost."""

import pytest

from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.gateway_client import CONTOSO

UNKNOWN = "00000000-aaaa-4bbb-8ccc-000000000000"


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


FIND = "query ($by: TenantBy!) { tenant(by: $by) { id microsoftId name domain } }"
CONTOSO_FOUND = {
    "id": encode_id("Tenant", CONTOSO),
    "microsoftId": CONTOSO,
    "name": "Contoso",
    "domain": "contoso.onmicrosoft.com",
}
LIST = """
query ($search: String, $orderBy: TenantOrder, $first: Int = 50, $after: String) {
  tenants(search: $search, orderBy: $orderBy, first: $first, after: $after) {
    totalCount nodes { name domain } edges { cursor node { name } } pageInfo { hasNextPage endCursor }
  }
}
"""
NAMES = [
    "Adatum Corporation",
    "Adventure Works",
    "Alpine Ski House",
    "Contoso",
    "Fabrikam",
    "Fourth Coffee",
    "Humongous Insurance",
    "Litware",
    "Northwind Traders",
    "Proseware",
    "Tailspin Toys",
    "Wingtip Toys",
    "Woodgrove Bank",
]


async def names(gateway, **variables):
    tenants = (await gateway.data(LIST, variables))["tenants"]
    assert tenants["totalCount"] == len(tenants["nodes"])
    return [one["name"] for one in tenants["nodes"]]


def paths(gateway):
    return [call.removeprefix("GET /v1/customers") for call in gateway.calls()]


@pytest.mark.parametrize(
    "by",
    [
        {"id": encode_id("Tenant", CONTOSO)},
        {"microsoftId": CONTOSO},
        {"microsoftId": CONTOSO.upper()},
        {"domain": "contoso.onmicrosoft.com"},
        {"domain": "Contoso.OnMicrosoft.COM"},
        {"domain": " contoso.com "},
        {"domain": "CONTOSO.com"},
    ],
)
async def test_a_tenant_is_found_by_id_and_by_any_of_its_domains(gateway, by):
    assert await gateway.data(FIND, {"by": by}) == {"tenant": CONTOSO_FOUND}


@pytest.mark.parametrize(
    ("by", "calls"),
    [
        ({"id": ""}, 0),
        ({"id": "nonsense"}, 0),
        ({"id": encode_id("User", CONTOSO, UNKNOWN)}, 0),
        ({"id": encode_id("Tenant", CONTOSO, UNKNOWN)}, 0),
        ({"id": encode_id("Tenant", UNKNOWN)}, 1),
        ({"microsoftId": UNKNOWN}, 1),
        ({"domain": ""}, 0),
        ({"domain": "contoso"}, 0),
        ({"domain": "c" * 250 + ".com"}, 0),
        ({"domain": "contoso.co"}, 3),
        ({"domain": "unknown.example"}, 2),
        ({"domain": '"},{"Field":"CompanyName'}, 0),
        ({"domain": "..//.."}, 2),
    ],
)
async def test_what_does_not_exist_is_null(gateway, by, calls):
    """Half a domain is not searched for: Partner Center compares beginnings, and one letter would match hundreds."""
    assert await gateway.data(FIND, {"by": by}) == {"tenant": None}
    assert len(gateway.calls()) == calls


@pytest.mark.parametrize("status", [404, 403])
@pytest.mark.parametrize(
    "selected",
    [
        "id",
        "__typename",
        "microsoftId",
        "name",
        "domains",
        "country",
        "access { status }",
        "users { totalCount }",
        "users(filter: {status: [DELETED]}) { totalCount }",
        "users(filter: {status: []}) { totalCount }",
        "subscribedSkus { id }",
        "roles { id }",
        f'user(by: {{microsoftId: "{UNKNOWN}"}}) {{ id }}',
        'user(by: {userPrincipalName: "a@b.c"}) { id }',
        "users { totalCount } subscribedSkus { id } roles { id } access { status } country",
        "...A } } fragment A on Tenant { ... on Node { id } ... { users { totalCount }",
    ],
)
async def test_a_tenant_that_does_not_exist_is_null_whatever_is_selected(gateway, sandbox, selected, status):
    sandbox.switches = sandbox.switches.changed({"unknown_customer_status": status})

    assert await gateway.data(f'{{ tenant(by: {{microsoftId: "{UNKNOWN}"}}) {{ {selected} }} }}') == {"tenant": None}


@pytest.mark.parametrize(
    ("selected", "calls"),
    [
        ("id microsoftId", [f"/{CONTOSO}"]),
        ("name", [f"/{CONTOSO}"]),
        ("country name domain asOf", [f"/{CONTOSO}"]),
        ("subscribedSkus { id }", [f"/{CONTOSO}/subscribedskus"]),
        ("id roles { id }", [f"/{CONTOSO}/directoryroles"]),
        ("access { status }", [f"/{CONTOSO}", f"/{CONTOSO}/directoryroles"]),
        ("users { totalCount }", [f"/{CONTOSO}/users"] * 2),
        ('user(by: {userPrincipalName: "x@contoso.com"}) { id }', [f"/{CONTOSO}/users"] * 2),
        ("domains", [f"/{CONTOSO}", f"/{CONTOSO}/customDomains"]),
        ("roles { id } users @skip(if: true) { totalCount }", [f"/{CONTOSO}/directoryroles"]),
        ("roles { id } ... @include(if: false) { users { totalCount } }", [f"/{CONTOSO}/directoryroles"]),
        ("...A } } fragment A on Tenant { roles { id", [f"/{CONTOSO}/directoryroles"]),
    ],
)
async def test_the_record_of_a_tenant_is_read_only_where_a_field_needs_it(gateway, selected, calls):
    await gateway.data(f'{{ tenant(by: {{microsoftId: "{CONTOSO}"}}) {{ {selected} }} }}')

    assert sorted(path.partition("?")[0] for path in paths(gateway)) == calls


async def test_what_a_condition_in_variables_leaves_out_is_not_asked_for(gateway):
    document = """
    query ($tenant: UUID!, $withPeople: Boolean!) {
      tenant(by: {microsoftId: $tenant}) { roles { id } users @include(if: $withPeople) { totalCount } }
    }
    """
    await gateway.data(document, {"tenant": CONTOSO, "withPeople": False})

    assert paths(gateway) == [f"/{CONTOSO}/directoryroles"]


async def test_a_tenant_from_the_list_at_hand_needs_no_record(gateway):
    await names(gateway)
    gateway.calls()

    assert await gateway.data(FIND, {"by": {"microsoftId": CONTOSO}}) == {"tenant": CONTOSO_FOUND}
    assert await gateway.data(FIND, {"by": {"domain": "contoso.onmicrosoft.com"}}) == {"tenant": CONTOSO_FOUND}
    assert gateway.calls() == []


async def test_domains_begin_with_the_default_one(gateway):
    asked = f'{{ tenant(by: {{microsoftId: "{CONTOSO}"}}) {{ domains }} }}'

    assert await gateway.data(asked) == {"tenant": {"domains": ["contoso.onmicrosoft.com", "contoso.com"]}}


@pytest.mark.parametrize(
    ("name", "country", "status"),
    [
        ("contoso", "US", "FULL"),
        ("adatum", "US", "NONE"),
        ("proseware", "CA", None),
        ("woodgrovebank", "CH", None),
    ],
)
async def test_country_and_access_are_told_as_far_as_partner_center_shows_them(gateway, name, country, status):
    asked = f'{{ tenant(by: {{microsoftId: "{tenant_id(name)}"}}) {{ country access {{ status missingRoles }} }} }}'
    found = (await gateway.data(asked))["tenant"]

    assert found["country"] == country
    assert (found["access"] and found["access"]["status"]) == status
    if status == "NONE":
        assert found["access"]["missingRoles"] == [
            "Directory Readers",
            "User Administrator",
            "License Administrator",
            "Privileged Role Administrator",
            "Privileged Authentication Administrator",
        ]
    if status == "FULL":
        assert found["access"]["missingRoles"] == []


async def test_tenants_are_listed_by_name(gateway):
    assert await names(gateway) == NAMES
    assert paths(gateway) == ["?size=500"]
    assert await names(gateway, orderBy={"direction": "DESC"}) == NAMES[::-1]
    assert gateway.calls() == []


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_tenants_are_ordered_by_domain(gateway, direction):
    order = {"field": "DOMAIN", "direction": direction}
    found = [one["domain"] for one in (await gateway.data(LIST, {"orderBy": order}))["tenants"]["nodes"]]

    assert found == sorted(found, reverse=direction == "DESC")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("toys", ["Tailspin Toys", "Wingtip Toys"]),
        (" CONTOSÓ ", ["Contoso"]),
        ("northwindtraders.on", ["Northwind Traders"]),
        ("no such", []),
        ("", NAMES),
    ],
)
async def test_tenants_are_searched_in_name_and_domain(gateway, search, found):
    assert await names(gateway, search=search) == found


async def test_a_search_that_is_too_long_is_refused_before_anything_is_asked(gateway):
    answer = await gateway.ask(LIST, {"search": "x" * 257})

    assert answer.get("data") is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIST_LIMIT"]
    assert gateway.calls() == []


@pytest.mark.parametrize("first", range(1, 14))
async def test_tenants_are_walked_by_pages_of_any_size(gateway, first):
    seen, after, more = [], None, True
    while more:
        page = (await gateway.data(LIST, {"first": first, "after": after}))["tenants"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    assert seen == NAMES
