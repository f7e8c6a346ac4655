"""Which people a filter leaves, and what each part of it costs."""

import pytest

from sandbox.directory_roles import BILLING_ADMINISTRATOR, COMPANY_ADMINISTRATOR, HELPDESK_ADMINISTRATOR, REPORTS_READER
from sandbox.faults import read_rules
from sandbox.people import stable_id
from tests.gateway_client import CONTOSO

NORTHWIND = stable_id("tenant", "northwindtraders.onmicrosoft.com")
VISIO = "c5928f49-12ba-48f7-ada3-0d743a3601d5"
SALES = "1e1a282c-9c54-43a2-9310-98ef728faace"
EXCHANGE = "4b9405b0-7788-4568-add1-99614e613b69"

LIST = """
query ($tenant: UUID!, $filter: UserFilter) {
  tenant(by: {microsoftId: $tenant}) { users(filter: $filter, first: 500) { totalCount nodes { displayName } } }
}
"""

UNLICENSED = [
    "Allan Deyoung",
    "Brian Johnson",
    "Christie Cline",
    "Debra Berger",
    "Enrico Cattaneo",
    "Irvin Sayers",
    "Mara Lindt",
    "Raúl Razo",
    "Svetlana Omelchenko",
    "Ελένη Παπαδοπούλου",
]


def kinds(calls):
    """How many calls there were of each kind, ids left out."""
    counted: dict[str, int] = {}
    for call in calls:
        path = call.removeprefix("GET /v1/customers/")
        parts = path.partition("?")[0].split("/")[1:]
        kind = "/".join(part for part in parts if len(part) != 36) + (" deleted" if "Inactive" in path else "")
        counted[kind] = counted.get(kind, 0) + 1
    return counted


async def names(gateway, tenant=CONTOSO, **wanted):
    users = (await gateway.data(LIST, {"tenant": tenant, "filter": wanted}))["tenant"]["users"]
    assert users["totalCount"] == len(users["nodes"])
    return [one["displayName"] for one in users["nodes"]]


@pytest.mark.parametrize(
    ("wanted", "found", "cost"),
    [
        ({"status": ["DELETED"]}, ["Enrico Cattaneo", "Irvin Sayers"], {"users deleted": 1}),
        ({"status": []}, [], {"": 1}),
        ({"status": ["ACTIVE"], "search": "cattaneo"}, [], {"users": 1}),
        ({"purgedWithinDays": 1}, ["Irvin Sayers"], {"users deleted": 1}),
        ({"purgedWithinDays": 0}, [], {"users deleted": 1}),
        ({"purgedWithinDays": 29}, ["Enrico Cattaneo", "Irvin Sayers"], {"users deleted": 1}),
        ({"purgedWithinDays": 30, "status": ["ACTIVE"]}, [], {"": 1}),
        ({"usageLocations": ["SE", "PL"]}, ["Łukasz Żak", "Robert Lindqvist", "Zoë Ångström"], None),
        ({"usageLocations": ["gr"]}, ["Ελένη Παπαδοπούλου"], {"users": 1, "users deleted": 1}),
        ({"usageLocations": []}, [], {"users": 1, "users deleted": 1}),
        ({"roleIds": [HELPDESK_ADMINISTRATOR]}, ["Grady Archie"], {"users": 1, "directoryroles/usermembers": 1}),
        (
            {"roleIds": [BILLING_ADMINISTRATOR, COMPANY_ADMINISTRATOR.upper(), REPORTS_READER]},
            ["Isaiah Langer", "Megan Bowen", "Patti Fernandez"],
            {"users": 1, "directoryroles/usermembers": 3},
        ),
        ({"roleIds": []}, [], {"users": 1}),
        ({"licensedFor": [VISIO]}, ["Johanna Lorenz", "Lee Gu"], {"users": 1, "users/licenses": 30}),
        ({"licensedFor": [VISIO.upper(), SALES]}, None, {"users": 1, "users/licenses": 30}),
        ({"licensedFor": [EXCHANGE]}, [], {"users": 1, "users/licenses": 30}),
        ({"unlicensed": True}, UNLICENSED, {"users": 1, "users deleted": 1, "users/licenses": 30}),
        ({"unlicensed": False, "search": "lind"}, ["Mara Lindt", "Robert Lindqvist"], {"users": 1, "users deleted": 1}),
        (
            {"unlicensed": True, "usageLocations": ["MX", "GR"]},
            ["Raúl Razo", "Ελένη Παπαδοπούλου"],
            {"users": 1, "users deleted": 1, "users/licenses": 2},
        ),
        (
            {"licensedFor": [SALES], "usageLocations": ["DE"], "search": "lorenz", "status": ["ACTIVE"]},
            ["Johanna Lorenz"],
            {"users": 1, "users/licenses": 1},
        ),
        ({"unlicensed": True, "licensedFor": [SALES], "search": "lorenz"}, [], {"users": 1, "users/licenses": 1}),
        ({"roleIds": [COMPANY_ADMINISTRATOR], "status": ["DELETED"]}, [], {"": 1}),
    ],
)
async def test_a_filter_leaves_whom_it_names_at_the_least_cost(gateway, wanted, found, cost):
    listed = await names(gateway, **wanted)
    calls = kinds(gateway.calls())

    if found is not None:
        assert listed == found
    if cost is not None:
        assert calls == cost
    assert await names(gateway, **wanted) == listed
    assert gateway.calls() == []


async def test_nobody_holds_a_role_that_does_not_exist(gateway):
    assert await names(gateway, roleIds=[stable_id("no role")]) == []
    assert await names(gateway, roleIds=[stable_id("no role"), HELPDESK_ADMINISTRATOR]) == ["Grady Archie"]


async def test_holders_of_any_of_several_products_are_found(gateway):
    assert await names(gateway, licensedFor=[VISIO, SALES]) == [
        "Henrietta Mueller",
        "Johanna Lorenz",
        "José Muñoz",
        "Lee Gu",
        "Lynne Robbins",
    ]


async def test_1200_people_are_searched_and_filtered(gateway, sandbox):
    accounts = sandbox.world.customers[NORTHWIND].users.values()
    swedes = sorted(user.display_name for user in accounts if user.usage_location == "SE")

    assert sorted(await names(gateway, NORTHWIND, usageLocations=["SE"])) == swedes
    assert await names(gateway, NORTHWIND, search="n0777@") == [
        next(user.display_name for user in accounts if user.user_principal_name.startswith("n0777@"))
    ]
    assert kinds(gateway.calls()) == {"users": 3, "users deleted": 1}
    phone = next(
        one.product.id for one in sandbox.world.customers[NORTHWIND].holdings.values() if one.active_units == 150
    )
    holders = await names(gateway, NORTHWIND, licensedFor=[phone])
    assert len(holders) == 120
    assert kinds(gateway.calls()) == {"users/licenses": 1200}


async def test_a_filter_in_the_document_costs_the_same_as_one_in_variables(gateway):
    document = """
    query ($status: [UserStatus!], $unset: Int) {
      tenant(by: {microsoftId: "%s"}) {
        a: users(filter: {status: [DELETED]}) { totalCount }
        b: users(filter: {status: $status, purgedWithinDays: $unset}) { totalCount }
      }
    }
    """
    answer = await gateway.data(document % CONTOSO, {"status": ["DELETED"]})

    assert answer == {"tenant": {"a": {"totalCount": 2}, "b": {"totalCount": 2}}}
    assert kinds(gateway.calls()) == {"users deleted": 1}


async def test_a_user_who_vanished_since_the_list_was_read_does_not_take_the_list_along(gateway, sandbox):
    await names(gateway)
    users = sandbox.world.customers[CONTOSO].users
    del users[stable_id("user", "lee.gu@contoso.onmicrosoft.com")]

    assert await names(gateway, licensedFor=[VISIO]) == ["Johanna Lorenz"]


async def test_one_user_whose_licenses_cannot_be_read_fails_the_filter(gateway, sandbox):
    """Left out silently, somebody who holds the product would look as if they did not."""
    nestor = stable_id("user", "nestor.wilke@contoso.onmicrosoft.com")
    sandbox.faults.rules = read_rules([{"path": f"{nestor}/licenses", "status": 501}])
    answer = await gateway.ask(LIST, {"tenant": CONTOSO, "filter": {"licensedFor": [VISIO]}})

    assert answer["data"] == {"tenant": {"users": None}}
    [error] = answer["errors"]
    assert error["path"] == ["tenant", "users"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"search": "x" * 257},
        {"roleIds": [CONTOSO] * 101},
        {"licensedFor": [CONTOSO] * 101},
        {"usageLocations": ["GR"] * 101},
    ],
)
async def test_a_filter_that_is_too_long_is_refused_and_nothing_is_asked(gateway, wanted):
    answer = await gateway.ask(LIST, {"tenant": CONTOSO, "filter": wanted})

    assert answer.get("data") is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIST_LIMIT"]
    assert gateway.calls() == []


@pytest.mark.parametrize("days", [31, -1])
async def test_a_number_of_days_that_cannot_be_is_refused_at_its_path(gateway, days):
    await gateway.data("{ tenants { totalCount } }")
    gateway.calls()
    answer = await gateway.ask(LIST, {"tenant": CONTOSO, "filter": {"purgedWithinDays": days}})

    assert answer["data"] == {"tenant": {"users": None}}
    [error] = answer["errors"]
    assert error["message"] == "filter.purgedWithinDays: give a number of days from 0 to 30."
    assert (error["path"], error["extensions"]) == (["tenant", "users"], {"code": "BAD_INPUT"})
    assert gateway.calls() == []
