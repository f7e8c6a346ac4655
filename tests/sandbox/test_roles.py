"""Directory roles and their members."""

from __future__ import annotations

import httpx

from sandbox.state import SandboxState
from tests.sandbox.small_world import ADMIN, CONTOSO, DANIEL, DELETED, GLOBAL_ADMINISTRATOR, HELPDESK, fault

ROLES = f"/v1/customers/{CONTOSO}/directoryroles"


def members(role_id: str) -> str:
    return f"{ROLES}/{role_id}/usermembers"


async def test_a_members_page_carries_links_and_continues(client: httpx.AsyncClient, state: SandboxState) -> None:
    state.world.customers[CONTOSO].users[DANIEL].roles.add(HELPDESK)
    state.world.customers[CONTOSO].users[ADMIN].roles.add(HELPDESK)

    first = (await client.get(members(HELPDESK), params={"size": 1})).json()
    headers = {header["key"]: header["value"] for header in first["links"]["next"]["headers"]}
    second = (await client.get(f"/v1{first['links']['next']['uri']}", headers=headers)).json()

    assert [member["id"] for member in first["items"]] == [DANIEL]
    assert [member["id"] for member in second["items"]] == [ADMIN]
    assert "next" not in second["links"]


async def test_a_member_is_added_and_removed(client: httpx.AsyncClient, state: SandboxState) -> None:
    roles = state.world.customers[CONTOSO].users[DANIEL].roles
    body = {"Id": DANIEL.upper(), "DisplayName": "x", "UserPrincipalName": "y"}

    added = await client.post(members(HELPDESK), json=body)
    listed = (await client.get(f"/v1/customers/{CONTOSO}/users/{DANIEL}/directoryroles")).json()["items"]
    held = set(roles)
    removed = await client.delete(f"{members(HELPDESK)}/{DANIEL}")

    assert added.status_code == 201
    assert added.json() == {
        "displayName": "Daniel Tsai",
        "userPrincipalName": "daniel@contoso.onmicrosoft.com",
        "roleId": HELPDESK,
        "id": DANIEL,
        "attributes": {"objectType": "UserMember"},
    }
    assert [role["id"] for role in listed] == [HELPDESK]
    assert held == {HELPDESK}
    assert (removed.status_code, removed.content) == (204, b"")
    assert roles == set()


async def test_what_cannot_be_is_refused(client: httpx.AsyncClient) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"

    present = await client.post(members(GLOBAL_ADMINISTRATOR), json={"id": ADMIN})
    absent = await client.delete(f"{members(HELPDESK)}/{DANIEL}")
    deleted = await client.post(members(HELPDESK), json={"id": DELETED})

    assert fault(present)[:2] == (400, 3000)
    assert "already exist" in present.json()["description"]
    assert fault(absent)[:2] == (404, 1000)
    assert fault(deleted)[:2] == (404, 60002)
    assert fault(await client.get(members(unknown)))[:2] == (404, 1000)
    assert fault(await client.post(members(HELPDESK), json={}))[:2] == (400, 2000)


async def test_the_older_forms_name_role_and_member_in_the_query(
    client: httpx.AsyncClient, state: SandboxState
) -> None:
    roles = state.world.customers[CONTOSO].users[DANIEL].roles

    added = await client.post(ROLES, params={"role_id": HELPDESK}, json={"id": DANIEL})
    held = set(roles)
    removed = await client.delete(ROLES, params={"role_id": HELPDESK, "member_id": DANIEL})

    assert (added.status_code, held, removed.status_code, roles) == (201, {HELPDESK}, 204, set())
