"""Directory roles: of a tenant, and of its people by the cheaper of two plans."""

import asyncio
from collections import Counter

import pytest

from sandbox.directory_roles import DIRECTORY_ROLES, HELPDESK_ADMINISTRATOR
from sandbox.faults import read_rules
from sandbox.people import person, stable_id
from tests.gateway_client import CONTOSO

NORTHWIND = stable_id("tenant", "northwindtraders.onmicrosoft.com")
ADVENTURE = stable_id("tenant", "adventureworks.onmicrosoft.com")

OF_TENANT = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) { roles { id microsoftId name privileged } }
}
"""
OF_PEOPLE = """
query ($tenant: UUID!, $first: Int, $filter: UserFilter) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: $first, filter: $filter) { nodes { displayName roles { name } } }
  }
}
"""


async def roles(gateway, tenant=CONTOSO, first=50, **wanted):
    answer = await gateway.data(OF_PEOPLE, {"tenant": tenant, "first": first, "filter": wanted})
    nodes = answer["tenant"]["users"]["nodes"]
    return {one["displayName"]: [role["name"] for role in one["roles"]] for one in nodes}


async def holders(gateway, role_ids):
    document = """
    query ($tenant: UUID!, $roles: [UUID!]!) {
      tenant(by: {microsoftId: $tenant}) { users(filter: {roleIds: $roles}) { totalCount } }
    }
    """
    return await gateway.data(document, {"tenant": CONTOSO, "roles": role_ids})


def kinds(gateway):
    counted = Counter(call.partition("?")[0].rpartition("/")[2] for call in gateway.calls())
    counted.pop("users", None)
    return dict(counted)


async def test_the_roles_of_a_tenant_stand_in_name_order(gateway):
    listed = (await gateway.data(OF_TENANT, {"tenant": CONTOSO}))["tenant"]["roles"]

    assert [one["name"] for one in listed] == sorted(DIRECTORY_ROLES.values())
    assert {one["microsoftId"]: one["name"] for one in listed} == DIRECTORY_ROLES
    assert [one["name"] for one in listed if not one["privileged"]] == [
        "Billing Administrator",
        "Directory Readers",
        "Exchange Service Administrator",
        "License Administrator",
        "Reports Reader",
        "Service Support Administrator",
        "SharePoint Service Administrator",
        "Teams Service Administrator",
    ]
    assert kinds(gateway) == {"directoryroles": 1}


async def test_people_hold_the_roles_that_they_were_given(gateway):
    held = await roles(gateway)

    assert {name: names for name, names in held.items() if names} == {
        "Megan Bowen": ["Company Administrator"],
        "Grady Archie": ["Helpdesk Administrator"],
        "Isaiah Langer": ["Billing Administrator", "User Account Administrator"],
        "Patti Fernandez": ["Reports Reader"],
    }
    assert len(held) == 32


@pytest.mark.parametrize(
    ("first", "cost"),
    [
        (1, {"directoryroles": 1}),
        (3, {"directoryroles": 3}),
        (16, {"directoryroles": 16}),
        (30, {"directoryroles": 1, "usermembers": 16}),
    ],
)
async def test_roles_cost_the_cheaper_of_a_call_a_user_and_a_call_a_role(gateway, first, cost):
    """The list of roles itself is one call, once, and kept for an hour."""
    held = await roles(gateway, first=first, status=["ACTIVE"])
    assert len(held) == first
    assert kinds(gateway) == cost

    assert await roles(gateway, first=first, status=["ACTIVE"]) == held
    assert kinds(gateway) == {}


async def test_500_of_1200_people_cost_a_call_a_role(gateway):
    held = await roles(gateway, NORTHWIND, first=500)

    assert kinds(gateway) == {"directoryroles": 1, "usermembers": 16}
    assert sum(map(len, held.values())) <= 1


async def test_with_the_list_of_roles_at_hand_a_few_users_are_asked_by_role_too_where_that_is_cheaper(gateway, sandbox):
    sandbox.world.roles = dict(list(DIRECTORY_ROLES.items())[:2])
    await gateway.data(OF_TENANT, {"tenant": CONTOSO})
    gateway.calls()
    await roles(gateway, first=3, status=["ACTIVE"])

    assert kinds(gateway) == {"usermembers": 2}


async def test_users_whose_roles_are_at_hand_do_not_count(gateway, sandbox):
    sandbox.world.roles = dict(list(DIRECTORY_ROLES.items())[:3])
    await roles(gateway, first=2, status=["ACTIVE"])
    await gateway.data(OF_TENANT, {"tenant": CONTOSO})
    gateway.calls()
    await roles(gateway, first=4, status=["ACTIVE"])

    assert kinds(gateway) == {"directoryroles": 2}


async def test_roles_whose_members_are_at_hand_do_not_count(gateway):
    await gateway.data(OF_TENANT, {"tenant": CONTOSO})
    await holders(gateway, list(DIRECTORY_ROLES)[:14])
    gateway.calls()
    await roles(gateway, first=3, status=["ACTIVE"])

    assert kinds(gateway) == {"usermembers": 2}


async def test_with_the_members_of_all_roles_at_hand_everybody_else_costs_nothing(gateway):
    some = await roles(gateway, first=17, status=["ACTIVE"])
    assert kinds(gateway) == {"directoryroles": 1, "usermembers": 16}
    everybody = await roles(gateway, status=["ACTIVE"])

    assert kinds(gateway) == {}
    assert len(everybody) == 30
    assert everybody.items() >= some.items()


async def test_a_list_that_turns_out_long_is_not_followed_by_more_calls_than_users(gateway, sandbox):
    more = {f"00000000-0000-4000-8000-{number:012d}": f"Role {number}" for number in range(4)}
    sandbox.world.roles = dict(DIRECTORY_ROLES) | more
    await roles(gateway, first=18, status=["ACTIVE"])

    assert kinds(gateway) == {"directoryroles": 1 + 18}


async def test_roles_told_by_members_are_as_old_as_these(gateway):
    await gateway.data(OF_TENANT, {"tenant": CONTOSO})
    await holders(gateway, list(DIRECTORY_ROLES))
    await asyncio.sleep(1.1)
    await roles(gateway, first=3, status=["ACTIVE"])
    gateway.calls()
    variables = {"tenant": CONTOSO, "first": 3, "filter": {"status": ["ACTIVE"]}}
    await gateway.data(OF_PEOPLE, variables, Cache_Control="max-age=1")

    assert kinds(gateway) == {"directoryroles": 3}


async def test_deleted_people_hold_no_role_and_are_not_asked_for(gateway):
    assert await roles(gateway, status=["DELETED"]) == {"Enrico Cattaneo": [], "Irvin Sayers": []}
    assert kinds(gateway) == {}


async def test_people_of_two_tenants_are_planned_apart(gateway):
    document = """
    query ($one: UUID!, $other: UUID!) {
      one: tenant(by: {microsoftId: $one}) { users(first: 30, filter: {status: [ACTIVE]}) { nodes { roles { name } } } }
      other: tenant(by: {microsoftId: $other}) { users(first: 2) { nodes { roles { name } } } }
    }
    """
    await gateway.data(document, {"one": CONTOSO, "other": NORTHWIND})

    assert kinds(gateway) == {"directoryroles": 3, "usermembers": 16}


async def test_a_member_list_that_fails_fails_the_roles_of_that_page_and_nothing_else(gateway, sandbox):
    sandbox.faults.rules = read_rules([{"path": f"{HELPDESK_ADMINISTRATOR}/usermembers", "status": 501}])
    answer = await gateway.ask(OF_PEOPLE, {"tenant": CONTOSO, "first": 30, "filter": {"status": ["ACTIVE"]}})

    nodes = answer["data"]["tenant"]["users"]["nodes"]
    assert len(nodes) == 30
    assert {str(one["roles"]) for one in nodes} == {"None"}
    assert [error["path"] for error in answer["errors"]] == [
        ["tenant", "users", "nodes", number, "roles"] for number in range(30)
    ]


async def test_one_user_whose_roles_cannot_be_read_does_not_take_the_others_along(gateway, sandbox):
    lee = stable_id("user", "lee.gu@contoso.onmicrosoft.com")
    sandbox.faults.rules = read_rules([{"path": f"{lee}/directoryroles", "status": 501}])
    variables = {"tenant": CONTOSO, "first": 16, "filter": {"search": "le"}}
    answer = await gateway.ask(OF_PEOPLE, variables)

    nodes = answer["data"]["tenant"]["users"]["nodes"]
    assert len(nodes) > 1
    assert [one["displayName"] for one in nodes if one["roles"] is None] == ["Lee Gu"]
    assert len(answer["errors"]) == 1


async def test_members_beyond_a_page_are_read(gateway, sandbox):
    """A role that everybody holds has more members than a page."""
    role = next(iter(DIRECTORY_ROLES))
    users = sandbox.world.customers[ADVENTURE].users
    for number in range(501):
        new = person("adventureworks.onmicrosoft.com", f"Holder {number:03}", roles={role})
        users[new.id] = new
    held = await roles(gateway, ADVENTURE, first=500)

    assert len(held) == 500
    assert all(held.values())
    assert kinds(gateway) == {"directoryroles": 1, "usermembers": 17}
