"""Editing people: only what differs is written, all problems are told together, and a refusal writes nothing."""

import asyncio

import httpx
import pytest

from sandbox.directory_roles import (
    COMPANY_ADMINISTRATOR,
    HELPDESK_ADMINISTRATOR,
    REPORTS_READER,
)
from tests.callers import bearer, without
from tests.changes import (
    UPDATE,
    change,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    short,
    tenant_named,
    world_of,
    writes,
)
from tests.gateway_client import CONTOSO

ADELE, PATTI, SYNCED = "Adele Vance", "Patti Fernandez", "Robert Lindqvist"
ROLES_NOT_GIVEN = "Giving a privileged role needs the permission MANAGE_ADMINS, which your token does not carry."
NO_ACCESS = (
    "The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it. Nothing was written."
)
UNKNOWN_ROLE = "11111111-2222-4333-8444-555555555555"


def path_of(sandbox, name, tenant=CONTOSO):
    return f"users/{person_of(sandbox, name, tenant).id}"


async def edit(gateway, name, authorization=None, tenant=CONTOSO, **input):
    return await change(gateway, UPDATE, authorization, id=id_of(gateway.sandbox, name, tenant), **input)


async def version_of(gateway, id):
    data = await gateway.data("query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { version } } }", {"ids": [id]})
    return data["nodes"][0]["version"]


async def refusal(gateway, name, authorization=None, tenant=CONTOSO, **input):
    """The errors of a change that is refused; checks that it is refused as a whole."""
    before = world_of(gateway.sandbox)
    payload = await edit(gateway, name, authorization, tenant, **input)
    assert (payload["user"], payload["changedFields"]) == (None, [])
    assert world_of(gateway.sandbox) == before
    return payload["userErrors"]


async def test_only_what_differs_is_written_and_the_answer_is_microsofts(gateway, sandbox):
    payload = await edit(gateway, ADELE, firstName="Ada", lastName="Vance", displayName="Ada Vance", usageLocation="gr")

    assert payload == {
        "user": {
            "id": id_of(sandbox, "Ada Vance"),
            "userPrincipalName": "adele.vance@contoso.onmicrosoft.com",
            "displayName": "Ada Vance",
            "firstName": "Ada",
            "lastName": "Vance",
            "usageLocation": "GR",
            "status": "ACTIVE",
            "version": payload["user"]["version"],
        },
        "changedFields": ["firstName", "displayName", "usageLocation"],
        "userErrors": [],
    }
    path = path_of(sandbox, "Ada Vance")
    assert short(gateway.calls()) == [f"GET {path}", f"PATCH {path}"]
    known = await version_of(gateway, payload["user"]["id"])
    assert known == payload["user"]["version"]


async def test_members_that_do_not_differ_are_not_sent(sandbox):
    bodies = []

    def look(request):
        if request.method == "PATCH":
            bodies.append(request.content)

    async with running_gateway(sandbox, bend=look) as gateway:
        await edit(gateway, ADELE, firstName="Adele", lastName="Vans", usageLocation="US")

    assert [body for body in bodies if b"firstName" in body or b"usageLocation" in body] == []
    assert [b'"lastName":"Vans"' in body for body in bodies] == [True]


async def test_what_is_left_out_stays_and_null_clears_a_name(gateway, sandbox):
    payload = await edit(gateway, ADELE, lastName=None)

    assert payload["changedFields"] == ["lastName"]
    assert (payload["user"]["firstName"], payload["user"]["lastName"]) == ("Adele", None)
    assert person_of(sandbox, ADELE).last_name is None
    assert (await edit(gateway, ADELE, lastName=""))["changedFields"] == []


async def test_an_edit_without_a_difference_writes_nothing(gateway, sandbox):
    before = world_of(sandbox)
    payload = await edit(gateway, PATTI, firstName="Patti", usageLocation="us", roleIds=[REPORTS_READER])

    assert payload["user"]["displayName"] == PATTI
    assert (payload["changedFields"], payload["userErrors"]) == ([], [])
    path = path_of(sandbox, PATTI)
    assert short(gateway.calls()) == [f"GET {path}", f"GET {path}/directoryroles"]
    assert world_of(sandbox) == before


async def test_a_dry_run_shows_what_would_be_and_writes_nothing(gateway, sandbox):
    before = world_of(sandbox)
    payload = await edit(gateway, PATTI, firstName="Pat", roleIds=[], dryRun=True)

    assert (payload["user"]["firstName"], payload["user"]["lastName"]) == ("Pat", "Fernandez")
    assert payload["changedFields"] == ["firstName", "roleIds"]
    assert payload["userErrors"] == []
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


async def test_all_problems_of_an_input_are_told_together(gateway, sandbox):
    errors = await refusal(
        gateway,
        SYNCED,
        firstName="Rob",
        lastName="x" * 65,
        displayName=None,
        usageLocation="ZZ",
        roleIds=[REPORTS_READER, UNKNOWN_ROLE],
        expectedVersion="an older one",
    )

    synced = "Robert Lindqvist is mastered in the customer's own directory; names have to be changed there."
    assert [error for error in errors if error["code"] != "STALE_VERSION"] == [
        refused("INVALID", "lastName can have at most 64 characters, all on one line.", "input", "lastName"),
        refused("INVALID", "A display name cannot be empty.", "input", "displayName"),
        refused("INVALID", "ZZ is no country code of ISO 3166-1 alpha-2, such as GR.", "input", "usageLocation"),
        refused("DIRECTORY_SYNCED", synced, "input", "firstName"),
        refused("DIRECTORY_SYNCED", synced, "input", "lastName"),
        refused("DIRECTORY_SYNCED", synced, "input", "displayName"),
        refused("NOT_FOUND", f"The tenant has no directory role {UNKNOWN_ROLE}.", "input", "roleIds", "1"),
    ]
    assert [error["field"] for error in errors if error["code"] == "STALE_VERSION"] == [["input", "expectedVersion"]]
    assert writes(gateway.calls()) == []


async def test_problems_of_the_input_are_told_although_microsoft_does_not_answer(gateway, sandbox):
    order_fault(sandbox, method="GET", path="/users/", status=500)

    errors = await refusal(gateway, ADELE, usageLocation=None)

    assert errors == [refused("INVALID", "A usage location cannot be cleared.", "input", "usageLocation")]


@pytest.mark.parametrize("name", [None, "", "   "])
async def test_a_display_name_cannot_be_cleared(gateway, name):
    assert await refusal(gateway, ADELE, displayName=name) == [
        refused("INVALID", "A display name cannot be empty.", "input", "displayName")
    ]


async def test_a_location_that_is_no_country_is_refused_by_its_form_alone(gateway, sandbox):
    answer = await gateway.ask(UPDATE, {"input": {"id": id_of(sandbox, ADELE), "usageLocation": "GRC"}})

    assert "errors" in answer
    assert gateway.calls() == []


async def test_the_location_and_roles_of_a_synced_user_can_be_changed(gateway, sandbox):
    payload = await edit(gateway, SYNCED, firstName="Robert", usageLocation="NO", roleIds=[REPORTS_READER])

    assert (payload["changedFields"], payload["userErrors"]) == (["usageLocation", "roleIds"], [])
    robert = person_of(sandbox, SYNCED)
    assert (robert.usage_location, robert.roles) == ("NO", {REPORTS_READER})


async def test_a_version_that_no_longer_matches_gives_the_current_user(gateway, sandbox):
    known = await version_of(gateway, id_of(sandbox, ADELE))
    person_of(sandbox, ADELE).last_name = "Vans"
    errors = await refusal(gateway, ADELE, firstName="Ada", expectedVersion=known)

    message = "Adele Vance was changed in the meantime. Look at the current state and decide anew."
    [error] = errors
    current = error.pop("current")
    assert error == refused("STALE_VERSION", message, "input", "expectedVersion")
    assert (current["id"], current["displayName"]) == (id_of(sandbox, ADELE), ADELE)
    again = await edit(gateway, ADELE, firstName="Ada", expectedVersion=current["version"])
    assert (again["changedFields"], again["userErrors"]) == (["firstName"], [])


async def test_two_edits_on_one_version_are_one_success_and_one_stale_version(gateway, sandbox):
    known = await version_of(gateway, id_of(sandbox, ADELE))
    payloads = await asyncio.gather(
        *(edit(gateway, ADELE, firstName=name, expectedVersion=known) for name in ("Ada", "Adi"))
    )

    codes = sorted(tuple(error["code"] for error in payload["userErrors"]) for payload in payloads)
    assert codes == [(), ("STALE_VERSION",)]


# ── who may ──


@pytest.mark.parametrize(
    ("lacking", "input", "message"),
    [
        ("WRITE_USERS", {"firstName": "A"}, "This needs the permission WRITE_USERS, which your token does not carry."),
        ("READ", {"firstName": "A"}, "This needs the permission READ, which your token does not carry."),
        ("WRITE_ROLES", {"roleIds": []}, "This needs the permission WRITE_ROLES, which your token does not carry."),
    ],
)
async def test_a_missing_permission_is_told_and_nothing_is_asked(gateway, sandbox, lacking, input, message):
    errors = await refusal(gateway, ADELE, bearer(permissions=without(lacking)), **input)

    assert errors == [refused("NOT_PERMITTED", message)]
    assert gateway.calls() == []


async def test_the_information_alone_needs_no_right_to_roles(gateway):
    payload = await edit(gateway, ADELE, bearer(permissions=without("WRITE_ROLES")), firstName="Ada")

    assert (payload["changedFields"], payload["userErrors"]) == (["firstName"], [])


async def test_giving_a_privileged_role_needs_more_and_nothing_is_asked(gateway):
    roles = [REPORTS_READER, HELPDESK_ADMINISTRATOR]
    errors = await refusal(gateway, ADELE, bearer(permissions=without("MANAGE_ADMINS")), roleIds=roles)

    assert errors == [refused("NOT_PERMITTED", ROLES_NOT_GIVEN, "input", "roleIds", "1")]
    assert gateway.calls() == []


@pytest.mark.parametrize("input", [{"firstName": "G"}, {"roleIds": []}, {"usageLocation": "DE"}])
async def test_a_privileged_user_is_out_of_reach_without_manage_admins(gateway, input):
    errors = await refusal(gateway, "Grady Archie", bearer(permissions=without("MANAGE_ADMINS")), **input)

    message = "The user is Helpdesk Administrator. Changing such a user needs the permission MANAGE_ADMINS."
    assert errors == [refused("PRIVILEGED_TARGET", message, "input", "id")]
    assert writes(gateway.calls()) == []


async def test_with_manage_admins_a_privileged_user_is_changed_like_any_other(gateway, sandbox):
    payload = await edit(gateway, "Grady Archie", firstName="G", roleIds=[COMPANY_ADMINISTRATOR])

    assert (payload["changedFields"], payload["userErrors"]) == (["firstName", "roleIds"], [])
    assert person_of(sandbox, "Grady Archie").roles == {COMPANY_ADMINISTRATOR}


# ── whom ──


async def test_foreign_unknown_and_garbled_ids_look_alike(gateway, sandbox):
    caller = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])
    known = id_of(sandbox, ADELE)
    absent = refused("NOT_FOUND", "There is no such user.", "input", "id")
    for id, authorization in ((known, caller), ("nonsense", None), (known[:-1], None), ("", None)):
        payload = await change(gateway, UPDATE, authorization, id=id, firstName="A")
        assert payload == {"user": None, "changedFields": [], "userErrors": [absent]}
        assert gateway.calls() == []


async def test_a_garbled_id_tells_nothing_to_whom_may_not_ask(gateway):
    authorization = bearer(permissions=without("WRITE_USERS"))
    payload = await change(gateway, UPDATE, authorization, id="nonsense", firstName="A")

    message = "This needs the permission WRITE_USERS, which your token does not carry."
    assert payload["userErrors"] == [refused("NOT_PERMITTED", message)]


async def test_a_deleted_user_can_only_be_restored(gateway):
    errors = await refusal(gateway, "Enrico Cattaneo", firstName="E")

    message = "Enrico Cattaneo is deleted and can only be restored."
    assert errors == [refused("USER_DELETED", message, "input", "id")]


async def test_a_user_who_is_gone_is_not_found(gateway, sandbox):
    id = id_of(sandbox, ADELE)
    del sandbox.world.customers[CONTOSO].users[person_of(sandbox, ADELE).id]
    payload = await change(gateway, UPDATE, id=id, firstName="A", displayName=None)

    assert payload["userErrors"] == [
        refused("INVALID", "A display name cannot be empty.", "input", "displayName"),
        refused("NOT_FOUND", "There is no such user.", "input", "id"),
    ]


# ── what Microsoft answers ──


async def test_without_access_to_the_tenant_the_change_is_refused(gateway):
    errors = await refusal(gateway, "Roxanne Kenison", tenant=tenant_named("adatum"), firstName="R")

    assert errors == [refused("TENANT_ACCESS_MISSING", NO_ACCESS)]


async def test_reading_rights_alone_do_not_write(gateway):
    errors = await refusal(gateway, "Marc Dubois", tenant=tenant_named("proseware"), firstName="M")

    assert [error["code"] for error in errors] == ["TENANT_ACCESS_MISSING"]


async def test_a_throttled_write_says_how_long_to_wait(gateway, sandbox):
    order_fault(sandbox, method="PATCH", status=429, retry_after=120)
    errors = await refusal(gateway, ADELE, firstName="Ada")

    message = "Microsoft asks to wait 120 seconds. Nothing was written."
    assert errors == [refused("THROTTLED", message, retryable=True, retryAfterSeconds=120)]


async def test_a_read_that_fails_refuses_the_change(gateway, sandbox):
    order_fault(sandbox, method="GET", path="/users/", status=500)
    errors = await refusal(gateway, ADELE, firstName="Ada")

    message = "Microsoft could not answer. Try again later. Nothing was written."
    assert errors == [refused("UPSTREAM_ERROR", message, retryable=True)]


async def test_a_refusal_that_nobody_foresaw_is_told_at_its_field(sandbox):
    texts = iter(["on-premises mastered Directory Sync objects", "usage location is invalid", "Nonsense"])

    def refuse(request):
        if request.method == "PATCH":
            return httpx.Response(400, json={"code": 3000, "description": next(texts)})
        return None

    async with running_gateway(sandbox, bend=refuse) as gateway:
        found = [await refusal(gateway, ADELE, firstName="Ada", usageLocation="GR") for _ in range(3)]

    assert [(error["code"], error["field"]) for [error] in found] == [
        ("DIRECTORY_SYNCED", ["input", "firstName"]),
        ("USAGE_LOCATION_REQUIRED", ["input", "usageLocation"]),
        ("UPSTREAM_ERROR", None),
    ]
