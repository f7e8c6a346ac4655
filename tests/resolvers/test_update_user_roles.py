"""Roles: the list is what the person has afterwards; what fails half-way shows what holds."""

from sandbox.directory_roles import (
    BILLING_ADMINISTRATOR,
    REPORTS_READER,
)
from tests.changes import (
    UPDATE,
    change,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    short,
    world_of,
    writes,
)

ADELE, PATTI = "Adele Vance", "Patti Fernandez"


async def edit(gateway, name, **input):
    return await change(gateway, UPDATE, id=id_of(gateway.sandbox, name), **input)


async def test_the_role_list_is_what_holds_afterwards_additions_first(gateway, sandbox):
    payload = await edit(gateway, PATTI, roleIds=[BILLING_ADMINISTRATOR, BILLING_ADMINISTRATOR])

    assert (payload["changedFields"], payload["userErrors"]) == (["roleIds"], [])
    patti = person_of(sandbox, PATTI)
    assert patti.roles == {BILLING_ADMINISTRATOR}
    assert short(gateway.calls()) == [
        f"GET users/{patti.id}",
        f"GET users/{patti.id}/directoryroles",
        "GET directoryroles",
        f"POST directoryroles/{BILLING_ADMINISTRATOR}/usermembers",
        f"DELETE directoryroles/{REPORTS_READER}/usermembers/{patti.id}",
    ]


async def test_an_empty_role_list_makes_a_plain_user_without_asking_what_roles_there_are(gateway, sandbox):
    payload = await edit(gateway, "Isaiah Langer", roleIds=[])

    assert (payload["changedFields"], payload["userErrors"]) == (["roleIds"], [])
    assert person_of(sandbox, "Isaiah Langer").roles == set()
    assert "GET directoryroles" not in short(gateway.calls())


async def test_changed_roles_are_seen_at_once_by_every_later_query(gateway, sandbox):
    query = """query ($roles: [UUID!]) { tenant(by: {domain: "contoso.onmicrosoft.com"}) {
      users(first: 100, filter: {roleIds: $roles}) { nodes { displayName roles { microsoftId } } } } }"""
    holders = {"roles": [REPORTS_READER]}
    before = (await gateway.data(query, holders))["tenant"]["users"]["nodes"]
    await edit(gateway, ADELE, roleIds=[REPORTS_READER])
    await edit(gateway, PATTI, roleIds=[])
    after = (await gateway.data(query, holders))["tenant"]["users"]["nodes"]

    assert [user["displayName"] for user in before] == [PATTI]
    assert after == [{"displayName": ADELE, "roles": [{"microsoftId": REPORTS_READER}]}]


async def test_a_role_that_fails_after_the_information_shows_what_holds_and_repeating_is_safe(gateway, sandbox):
    order_fault(sandbox, method="POST", path=f"/{BILLING_ADMINISTRATOR}/usermembers", status=403, times=1)
    input = {"firstName": "Pat", "roleIds": [BILLING_ADMINISTRATOR]}
    payload = await edit(gateway, PATTI, **input)

    message = (
        "Not all roles were changed. The partner lacks the Microsoft role for this in the tenant. "
        "Ask the customer to grant it. Repeating the change is safe."
    )
    assert payload["user"]["firstName"] == "Pat"
    assert payload["changedFields"] == ["firstName"]
    assert payload["userErrors"] == [refused("TENANT_ACCESS_MISSING", message, "input", "roleIds")]
    assert person_of(sandbox, PATTI).roles == {REPORTS_READER}
    gateway.calls()
    again = await edit(gateway, PATTI, **input)
    assert (again["changedFields"], again["userErrors"]) == (["roleIds"], [])
    assert [call for call in short(writes(gateway.calls())) if call.startswith("PATCH")] == []
    assert person_of(sandbox, PATTI).roles == {BILLING_ADMINISTRATOR}


async def test_a_role_that_is_not_taken_leaves_the_one_that_was_given(gateway, sandbox):
    order_fault(sandbox, method="DELETE", path=f"/{REPORTS_READER}/usermembers", status=400)
    payload = await edit(gateway, PATTI, roleIds=[BILLING_ADMINISTRATOR])

    assert payload["changedFields"] == ["roleIds"]
    assert [error["field"] for error in payload["userErrors"]] == [["input", "roleIds"]]
    assert person_of(sandbox, PATTI).roles == {BILLING_ADMINISTRATOR, REPORTS_READER}


async def test_a_role_change_that_changed_nothing_is_a_refusal(gateway, sandbox):
    order_fault(sandbox, method="POST", path="/usermembers", status=403)

    before = world_of(sandbox)
    payload = await edit(gateway, ADELE, roleIds=[REPORTS_READER])

    message = "The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it."
    error = refused("TENANT_ACCESS_MISSING", f"{message} Nothing was written.", "input", "roleIds")
    assert payload == {"user": None, "changedFields": [], "userErrors": [error]}
    assert world_of(sandbox) == before


async def test_a_role_given_or_taken_meanwhile_is_no_error(sandbox):
    patti = person_of(sandbox, PATTI)

    def meanwhile(request):
        if request.method == "POST":
            patti.roles.add(BILLING_ADMINISTRATOR)
        elif request.method == "DELETE":
            patti.roles.discard(REPORTS_READER)

    async with running_gateway(sandbox, bend=meanwhile) as gateway:
        payload = await edit(gateway, PATTI, roleIds=[BILLING_ADMINISTRATOR])

    assert (payload["changedFields"], payload["userErrors"]) == (["roleIds"], [])
    assert patti.roles == {BILLING_ADMINISTRATOR}
