"""What a viewer is told can be done, and what a dry run of it then says: of every person in Contoso."""

from __future__ import annotations

import pytest

from sandbox.contoso import CONTOSO_DOMAIN
from tests.callers import EVERYTHING, bearer, without
from tests.gateway_client import CONTOSO
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = """query ($tenant: UUID!) { tenant(by: {microsoftId: $tenant}) { users(first: 100) { nodes {
  id displayName usageLocation actions { name allowed reason }
  licenseOptions { assigned changeable sku { skuId } blockers { code } } } } } }"""
ASKED = {
    "EDIT": ("updateUser", "UpdateUserInput", lambda user: {"id": user["id"], "usageLocation": "GR"}),
    "MANAGE_LICENSES": (
        "updateUserLicenses",
        "UpdateUserLicensesInput",
        lambda user: {"userId": user["id"], "usageLocation": "GR"},
    ),
    "RESET_PASSWORD": ("resetUserPassword", "ResetUserPasswordInput", lambda user: {"id": user["id"], "password": {}}),
    "DELETE": ("deleteUser", "DeleteUserInput", lambda user: {"id": user["id"]}),
    "RESTORE": ("restoreUser", "RestoreUserInput", lambda user: {"id": user["id"]}),
}
"""How each action is asked for, so that nothing but who asks and whom it concerns can stand in the way."""
NEEDED = {
    "EDIT": "WRITE_USERS",
    "MANAGE_LICENSES": "WRITE_LICENSES",
    "RESET_PASSWORD": "RESET_PASSWORDS",
    "DELETE": "DELETE_USERS",
    "RESTORE": "DELETE_USERS",
}
TOLD_AS = {
    "NONE_AVAILABLE": {"NONE_AVAILABLE"},
    "USAGE_LOCATION_MISSING": {"USAGE_LOCATION_REQUIRED"},
    "NOT_USER_ASSIGNABLE": {"INVALID"},
    "USER_DELETED": {"USER_DELETED"},
    "NOT_PERMITTED": {"NOT_PERMITTED", "PRIVILEGED_TARGET"},
}
"""What a change is refused with where a license toggle has a blocker."""
SOME = {
    "Megan Bowen",
    "Grady Archie",
    "Patti Fernandez",
    "Adele Vance",
    "Debra Berger",
    "Robert Lindqvist",
    "Enrico Cattaneo",
}
"""Privileged ones, one with another role, plain ones, one without a location, one synced, one deleted."""


async def people(gateway, caller):  # noqa: F811
    answer = await gateway.data(PEOPLE, {"tenant": CONTOSO}, Authorization=caller)
    return answer["tenant"]["users"]["nodes"]


async def dry_run(gateway, caller, action, user, **more):  # noqa: F811
    """The codes of what stands in the way."""
    name, input_type, given = ASKED[action]
    query = f"mutation ($input: {input_type}!) {{ {name}(input: $input) {{ userErrors {{ code }} }} }}"
    answer = await gateway.data(query, {"input": given(user) | more | {"dryRun": True}}, Authorization=caller)
    return {error["code"] for error in answer[name]["userErrors"]}


async def compare_actions(gateway, permissions, names=None):  # noqa: F811
    caller = bearer(permissions=permissions)
    compared = 0
    for user in await people(gateway, caller):
        for action in user["actions"] if names is None or user["displayName"] in names else ():
            codes = await dry_run(gateway, caller, action["name"], user)
            about = f"{action['name']} {user['displayName']}: {action['reason']}, {codes}"
            compared += 1
            if NEEDED[action["name"]] not in permissions:
                # Permissions are looked at before it is known what state the user is in.
                assert codes == {"NOT_PERMITTED"}, about
                assert action["reason"] in ("NOT_PERMITTED", "USER_DELETED", "USER_ACTIVE"), about
            elif is_last_administrator(user) and action["name"] == "DELETE" and action["allowed"]:
                # Not the viewer's lack of anything: nobody can, and finding it out would cost every list a call.
                assert codes == {"PRIVILEGED_TARGET"}, about
            else:
                assert codes == ({action["reason"]} if action["reason"] else set()), about
    return compared


def is_last_administrator(user):
    return user["displayName"] == "Megan Bowen"


@pytest.mark.parametrize("lacking", [(), ("MANAGE_ADMINS",)], ids=["everything", "all but MANAGE_ADMINS"])
async def test_actions_hold_for_everybody(gateway, lacking):  # noqa: F811
    assert await compare_actions(gateway, without(*lacking)) == 32 * 5


@pytest.mark.parametrize("permissions", [("READ",), *(without(each) for each in EVERYTHING[1:6])], ids="+".join)
async def test_actions_hold_for_whoever_lacks_permissions(gateway, permissions):  # noqa: F811
    assert await compare_actions(gateway, permissions, SOME) == len(SOME) * 5


async def test_nobody_is_told_to_be_able_to_delete_himself(gateway):  # noqa: F811
    caller = bearer(subject=f"Adele.Vance@{CONTOSO_DOMAIN}")
    [adele] = [user for user in await people(gateway, caller) if user["displayName"] == "Adele Vance"]

    assert {one["name"]: one["reason"] for one in adele["actions"] if not one["allowed"]} == {
        "DELETE": "NOT_PERMITTED",
        "RESTORE": "USER_ACTIVE",
    }
    assert await dry_run(gateway, caller, "DELETE", adele) == {"NOT_PERMITTED"}


@pytest.mark.parametrize("lacking", [(), ("MANAGE_ADMINS",), ("WRITE_LICENSES",)], ids="+".join)
async def test_license_toggles_hold(gateway, lacking):  # noqa: F811
    """A toggle that can be moved is moved in a dry run; one that cannot is refused for what its blockers say."""
    caller = bearer(permissions=without(*lacking))
    users = [each for each in await people(gateway, caller) if each["displayName"] in SOME]
    moved = 0
    for user in users:
        for option in user["licenseOptions"]:
            sku_id = option["sku"]["skuId"]
            change = {"remove": [sku_id]} if option["assigned"] else {"assign": [{"skuId": sku_id}]}
            codes = await dry_run(
                gateway, caller, "MANAGE_LICENSES", user, usageLocation=user["usageLocation"], **change
            )
            expected = [TOLD_AS[blocker["code"]] for blocker in option["blockers"]]
            about = f"{user['displayName']} {sku_id}: {option['blockers']}, {codes}"
            assert option["changeable"] is (codes == set()), about
            assert codes <= set().union(*expected), about
            moved += 1
    assert len(users) == len(SOME)
    assert moved >= 3 * len(SOME)
