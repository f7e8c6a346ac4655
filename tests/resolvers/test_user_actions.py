"""What can be done with a user and why not, as callers see it."""

import pytest

from sandbox.faults import read_rules
from sandbox.people import stable_id
from tests.callers import bearer, without
from tests.gateway_client import CONTOSO

ACTIONS = ("EDIT", "MANAGE_LICENSES", "RESET_PASSWORD", "DELETE", "RESTORE")
ACTIVE = {"EDIT": None, "MANAGE_LICENSES": None, "RESET_PASSWORD": None, "DELETE": None, "RESTORE": "USER_ACTIVE"}
DELETED = dict.fromkeys(ACTIONS, "USER_DELETED") | {"RESTORE": None}
GUARDED = dict.fromkeys(ACTIONS, "PRIVILEGED_TARGET") | {"RESTORE": "USER_ACTIVE"}

ASK = """
query ($tenant: UUID!, $search: String) {
  tenant(by: {microsoftId: $tenant}) {
    users(filter: {search: $search}) { nodes { displayName actions { name allowed reason } } }
  }
}
"""


async def actions(gateway, search, caller=None, tenant=CONTOSO):
    headers = {"Authorization": caller} if caller else {}
    answer = await gateway.data(ASK, {"tenant": tenant, "search": search}, **headers)
    [user] = answer["tenant"]["users"]["nodes"]
    assert [one["name"] for one in user["actions"]] == list(ACTIONS)
    assert all(one["allowed"] is (one["reason"] is None) for one in user["actions"])
    return {one["name"]: one["reason"] for one in user["actions"]}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("Adele Vance", ACTIVE),
        ("Megan Bowen", ACTIVE),
        ("Enrico Cattaneo", DELETED),
        ("Robert Lindqvist", ACTIVE | {"RESET_PASSWORD": "DIRECTORY_SYNCED"}),
    ],
)
async def test_a_caller_with_every_permission_is_held_up_by_the_user_alone(gateway, search, expected):
    """And no call is made for it beside those of the list."""
    assert await actions(gateway, search) == expected
    assert len(gateway.calls()) == 2


@pytest.mark.parametrize(
    ("lacking", "blocked"),
    [
        ("WRITE_USERS", ["EDIT"]),
        ("WRITE_LICENSES", ["MANAGE_LICENSES"]),
        ("RESET_PASSWORDS", ["RESET_PASSWORD"]),
        ("DELETE_USERS", ["DELETE"]),
        ("WRITE_ROLES", []),
        ("READ_AUDIT", []),
    ],
)
async def test_each_action_needs_its_permission(gateway, lacking, blocked):
    caller = bearer(permissions=without(lacking))

    assert await actions(gateway, "Adele", caller) == ACTIVE | dict.fromkeys(blocked, "NOT_PERMITTED")


async def test_restoring_needs_the_permission_to_delete(gateway):
    caller = bearer(permissions=without("DELETE_USERS"))

    assert await actions(gateway, "Enrico", caller) == DELETED | {"RESTORE": "NOT_PERMITTED"}


@pytest.mark.parametrize("search", ["Megan Bowen", "Grady Archie", "Isaiah Langer"])
async def test_without_manage_admins_a_privileged_user_cannot_be_changed(gateway, search):
    assert await actions(gateway, search, bearer(permissions=without("MANAGE_ADMINS"))) == GUARDED


@pytest.mark.parametrize("search", ["Patti Fernandez", "Adele Vance"])
async def test_other_roles_do_not_matter(gateway, search):
    assert await actions(gateway, search, bearer(permissions=without("MANAGE_ADMINS"))) == ACTIVE


async def test_a_missing_permission_is_named_before_the_privilege(gateway):
    caller = bearer(permissions=("READ",))

    assert await actions(gateway, "Megan", caller) == dict.fromkeys(ACTIONS, "NOT_PERMITTED") | {
        "RESTORE": "USER_ACTIVE"
    }


async def test_while_the_roles_cannot_be_read_everybody_is_taken_for_privileged(gateway, sandbox):
    """The list stands all the same: `actions` is never null, and a null would take the whole page along."""
    sandbox.faults.rules = read_rules([{"path": "directoryroles", "status": 403}])

    assert await actions(gateway, "Adele", bearer(permissions=without("MANAGE_ADMINS"))) == GUARDED


async def test_users_of_a_synced_tenant_cannot_have_their_passwords_reset(gateway):
    humongous = stable_id("tenant", "humongousinsurance.onmicrosoft.com")

    assert (await actions(gateway, "Karen Berg", tenant=humongous))["RESET_PASSWORD"] == "DIRECTORY_SYNCED"


async def test_actions_of_a_deleted_user_cost_no_call(gateway):
    await actions(gateway, "Enrico", bearer(permissions=without("MANAGE_ADMINS")))

    assert len(gateway.calls()) == 2
