"""Users: listing, creating, changing, deleting, restoring, passwords."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sandbox.state import SandboxState
from sandbox.world import Customer, User
from tests.sandbox.small_world import (
    ADMIN,
    CONTOSO,
    DANIEL,
    DELETED,
    EMS,
    EXPIRED,
    GLOBAL_ADMINISTRATOR,
    HOMELESS,
    POWER_BI,
    SYNCED,
    V2_TOKEN,
    fault,
    token_form,
)

USERS = f"/v1/customers/{CONTOSO}/users"
DOMAIN = "contoso.onmicrosoft.com"
DUPLICATE = "Another object with the same value for property userPrincipalName already exists."
BAD_DOMAIN = (
    "The domain portion of the userPrincipalName property is invalid. "
    "You must use one of the verified domain names in your organization."
)
WEAK = (
    "The specified password does not comply with password complexity requirements. Please provide a different password."
)
SYNCED_TEXT = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects "
    "or objects currently undergoing migration."
)
NEW: dict[str, Any] = {
    "usageLocation": "us",
    "userPrincipalName": f"eve@{DOMAIN}",
    "displayName": "Eve Adams",
    "passwordProfile": {"password": "abCD123*", "forceChangePassword": True},
}

ChangeSwitches = Callable[..., Awaitable[None]]


@pytest.fixture
def contoso(state: SandboxState) -> Customer:
    return state.world.customers[CONTOSO]


def filtered(value: str, field: str = "UserState") -> dict[str, str]:
    return {"filter": f'{{"Field":"{field}","Value":"{value}","Operator":"equals"}}'}


async def names(client: httpx.AsyncClient, **params: str) -> list[str]:
    return [user["displayName"] for user in (await client.get(USERS, params=params)).json()["items"]]


async def test_the_list_holds_active_users_only(client: httpx.AsyncClient) -> None:
    body = (await client.get(USERS)).json()

    assert [user["id"] for user in body["items"]] == [DANIEL, HOMELESS, SYNCED, ADMIN]
    assert {user["state"] for user in body["items"]} == {"active"}
    assert body["totalCount"] == 4
    assert "usageLocation" not in body["items"][1]
    assert "lastDirectorySyncTime" in body["items"][2]


@pytest.mark.parametrize("field", ["UserState", "UserStatus", "userstate"])
async def test_deleted_users_are_listed_by_filter_even_past_their_thirty_days(
    field: str, client: httpx.AsyncClient
) -> None:
    body = (await client.get(USERS, params=filtered("Inactive", field))).json()

    assert [user["id"] for user in body["items"]] == [DELETED, EXPIRED]
    assert [user["state"] for user in body["items"]] == ["inactive", "inactive"]
    assert all(user["softDeletionTime"].endswith("Z") for user in body["items"])


async def test_a_late_purge_ends_the_listing(client: httpx.AsyncClient, state: SandboxState) -> None:
    state.clock.advance(10 * 86_400)
    token = (await client.post(V2_TOKEN, data=token_form())).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    body = (await client.get(USERS, params=filtered("Inactive"), headers=headers)).json()

    assert [user["id"] for user in body["items"]] == [DELETED]


async def test_users_deleted_longer_ago_than_the_purge_are_gone(
    client: httpx.AsyncClient, change_switches: ChangeSwitches
) -> None:
    await change_switches(purge_after_days=31)

    body = (await client.get(USERS, params=filtered("Inactive"))).json()

    assert [user["id"] for user in body["items"]] == [DELETED]


async def test_filters_that_make_no_sense_are_refused(client: httpx.AsyncClient) -> None:
    other_field = await client.get(USERS, params=filtered("x", "DisplayName"))
    other_state = await client.get(USERS, params=filtered("Sleeping"))
    operator = '{"Field":"UserState","Value":"Active","Operator":"resembles"}'

    assert fault(other_field)[:2] == (400, 3000)
    assert fault(other_state)[:2] == (400, 900126)
    assert fault(await client.get(USERS, params={"filter": operator}))[:2] == (400, 900126)
    assert fault(await client.get(USERS, params={"filter": "{"}))[:2] == (400, 800002)


async def test_users_are_sorted_on_request(client: httpx.AsyncClient) -> None:
    ascending = ["Admin Istrator", "Daniel Tsai", "Synced Person", "Without Location"]

    assert await names(client, sortField="DisplayName", sortDirection="Ascending") == ascending
    assert await names(client, sortField="displayname", sortDirection="descending") == ascending[::-1]
    older = {"sortOption.sortField": "DisplayName", "sortOption.sortDirection": "descending"}
    assert await names(client, **older) == ascending[::-1]


async def test_a_deleted_user_is_not_found_by_id_unless_switched(
    client: httpx.AsyncClient, change_switches: ChangeSwitches
) -> None:
    refused = await client.get(f"{USERS}/{DELETED}")
    await change_switches(deleted_user_readable=True)
    read = await client.get(f"{USERS}/{DELETED}")

    assert fault(refused) == (404, 60002, "User object ID isn't found")
    assert read.json()["state"] == "inactive"


async def test_a_created_user_is_answered_with_its_password_and_stays(
    client: httpx.AsyncClient, contoso: Customer
) -> None:
    answer = await client.post(f"{USERS}/", json=NEW)

    body = answer.json()
    user_id = body["id"]
    assert answer.status_code == 201
    assert body == {
        "usageLocation": "US",
        "id": user_id,
        "userPrincipalName": f"eve@{DOMAIN}",
        "displayName": "Eve Adams",
        "passwordProfile": {"forceChangePassword": True, "password": "abCD123*"},
        "userDomainType": "none",
        "state": "active",
        "links": {"self": {"uri": f"/customers/{CONTOSO}/users/{user_id}", "method": "GET", "headers": []}},
        "attributes": {"objectType": "CustomerUser"},
    }
    assert "passwordProfile" not in (await client.get(f"{USERS}/{user_id}")).json()
    assert contoso.users[user_id].licenses == {}


async def test_the_status_of_a_creation_can_be_switched(
    client: httpx.AsyncClient, change_switches: ChangeSwitches
) -> None:
    await change_switches(create_user_status=200)

    assert (await client.post(USERS, json=NEW)).status_code == 200


async def test_a_creation_may_do_without_a_password_when_switched(
    client: httpx.AsyncClient, change_switches: ChangeSwitches
) -> None:
    await change_switches(create_needs_password=False)

    answer = await client.post(USERS, json=NEW | {"passwordProfile": None})

    assert answer.status_code == 201
    assert "passwordProfile" not in answer.json()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"userPrincipalName": f"DANIEL@{DOMAIN.upper()}"}, DUPLICATE),
        ({"userPrincipalName": "eve@elsewhere.example"}, BAD_DOMAIN),
        ({"userPrincipalName": "eve@federated.contoso.com"}, BAD_DOMAIN),
        ({"userPrincipalName": "eve"}, BAD_DOMAIN),
        (
            {"userPrincipalName": f"eve adams@{DOMAIN}"},
            "Invalid value specified for property 'userPrincipalName' of resource 'User'.",
        ),
        ({"displayName": None}, "A value is required for property 'displayName' of resource 'User'."),
        ({"displayName": " "}, "A value is required for property 'displayName' of resource 'User'."),
        ({"usageLocation": None}, "A value is required for property 'usageLocation' of resource 'User'."),
        (
            {"displayName": "x" * 257},
            "Invalid value specified for property 'displayName' of resource 'User'.",
        ),
        (
            {"firstName": "x" * 65},
            "Invalid value specified for property 'firstName' of resource 'User'.",
        ),
        (
            {"usageLocation": "USA"},
            "Invalid value specified for property 'usageLocation' of resource 'User'.",
        ),
        ({"passwordProfile": None}, "A value is required for property 'passwordProfile' of resource 'User'."),
        ({"passwordProfile": {"password": "aB1*"}}, WEAK),
        ({"passwordProfile": {"password": "abcdefgh1"}}, WEAK),
        ({"passwordProfile": {"password": "xEve123*"}}, WEAK),
        ({"passwordProfile": {"password": "aB1*" * 65}}, WEAK),
        (
            {"immutableId": "abc=="},
            "Another object with the same value for property onPremisesImmutableId already exists.",
        ),
    ],
)
async def test_a_creation_is_refused_with_graphs_text_and_nothing_is_made(
    changes: dict[str, Any], text: str, client: httpx.AsyncClient, contoso: Customer
) -> None:
    before = len(contoso.users)

    assert fault(await client.post(USERS, json=NEW | changes)) == (400, 3000, text)
    assert len(contoso.users) == before


async def test_a_deleted_users_name_is_free_for_others(client: httpx.AsyncClient) -> None:
    answer = await client.post(USERS, json=NEW | {"userPrincipalName": f"ferdinand@{DOMAIN}"})

    assert answer.status_code == 201


async def test_an_update_merges_and_an_empty_text_clears_a_name(client: httpx.AsyncClient, contoso: Customer) -> None:
    body = {"firstName": "", "displayName": "Dan", "lastName": None, "usageLocation": "gb", "phoneNumber": "1"}

    answer = await client.patch(f"{USERS}/{DANIEL}", json=body)

    assert answer.status_code == 200
    found = answer.json()
    assert "firstName" not in found
    assert (found["displayName"], found["lastName"], found["usageLocation"]) == ("Dan", "Tsai", "GB")
    assert contoso.users[DANIEL].first_name is None


async def test_a_new_sign_in_name_must_be_free_and_of_the_tenant(client: httpx.AsyncClient) -> None:
    path = f"{USERS}/{DANIEL}"

    taken = await client.patch(path, json={"userPrincipalName": f"admin@{DOMAIN}"})
    foreign = await client.patch(path, json={"userPrincipalName": "dan@elsewhere.example"})
    changed = await client.patch(path, json={"userPrincipalName": "dan@contoso.com"})
    cased = await client.patch(path, json={"userPrincipalName": "Dan@contoso.com"})

    assert fault(taken) == (400, 3000, DUPLICATE)
    assert fault(foreign) == (400, 3000, BAD_DOMAIN)
    assert changed.json()["userPrincipalName"] == "dan@contoso.com"
    assert cased.json()["userPrincipalName"] == "Dan@contoso.com"


async def test_a_refused_update_changes_nothing(client: httpx.AsyncClient, contoso: Customer) -> None:
    answer = await client.patch(f"{USERS}/{DANIEL}", json={"firstName": "X", "usageLocation": "USA"})

    assert answer.status_code == 400
    assert contoso.users[DANIEL].first_name == "Daniel"


async def test_names_of_a_synced_user_are_refused_and_its_usage_location_is_not(
    client: httpx.AsyncClient,
) -> None:
    path = f"{USERS}/{SYNCED}"
    same = {"firstName": "Synced", "displayName": "Synced Person", "usageLocation": "DE"}

    assert fault(await client.patch(path, json={"firstName": "Other"})) == (400, 3000, SYNCED_TEXT)
    assert fault(await client.patch(path, json={"lastName": ""})) == (400, 3000, SYNCED_TEXT)
    assert (await client.patch(path, json=same)).json()["usageLocation"] == "DE"


async def test_a_deletion_frees_licenses_and_keeps_roles(client: httpx.AsyncClient, contoso: Customer) -> None:
    answer = await client.delete(f"{USERS}/{ADMIN}")
    again = await client.delete(f"{USERS}/{ADMIN}")
    skus = (await client.get(f"/v1/customers/{CONTOSO}/subscribedskus")).json()["items"]
    members = f"/v1/customers/{CONTOSO}/directoryroles/{GLOBAL_ADMINISTRATOR}/usermembers"

    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (204, b"", "0")
    assert fault(again)[:2] == (404, 60002)
    assert [(sku["productSku"]["id"], sku["consumedUnits"]) for sku in skus][:2] == [(EMS, 1), (POWER_BI, 0)]
    assert (await client.get(members)).json()["items"] == []
    assert contoso.users[ADMIN].roles == {GLOBAL_ADMINISTRATOR}


async def test_a_restored_user_gets_back_the_licenses_that_are_free(
    client: httpx.AsyncClient, contoso: Customer
) -> None:
    answer = await client.patch(f"{USERS}/{DELETED}", json={"State": "active"})

    assert answer.status_code == 200
    assert answer.json()["state"] == "active"
    assert "softDeletionTime" not in answer.json()
    assert contoso.users[DELETED].licenses == {EMS: set()}


async def test_licenses_stay_away_after_a_restore_when_switched(
    client: httpx.AsyncClient, contoso: Customer, change_switches: ChangeSwitches
) -> None:
    await change_switches(restore_assigns_licenses=False)

    await client.patch(f"{USERS}/{DELETED}", json={"State": "active"})

    assert contoso.users[DELETED].licenses == {}


async def test_a_user_deleted_over_thirty_days_ago_cannot_be_restored(client: httpx.AsyncClient) -> None:
    answer = await client.patch(f"{USERS}/{EXPIRED}", json={"state": "active"})

    assert fault(answer) == (404, 60002, "User object ID isn't found")


async def test_a_restore_conflicts_with_a_newer_user_of_that_name(
    client: httpx.AsyncClient, contoso: Customer, change_switches: ChangeSwitches
) -> None:
    contoso.users["x"] = User("x", f"Ferdinand@{DOMAIN}", "Newer")

    by_default = await client.patch(f"{USERS}/{DELETED}", json={"state": "active"})
    await change_switches(restore_conflict_status=400)
    switched = await client.patch(f"{USERS}/{DELETED}", json={"state": "active"})

    assert fault(by_default) == (409, 3000, DUPLICATE)
    assert fault(switched) == (400, 3000, DUPLICATE)


async def test_only_a_restore_reaches_a_deleted_user(client: httpx.AsyncClient) -> None:
    assert fault(await client.patch(f"{USERS}/{DELETED}", json={"firstName": "X"}))[:2] == (404, 60002)
    assert fault(await client.patch(f"{USERS}/{DELETED}", json={"state": "asleep"}))[:2] == (400, 900126)
    assert fault(await client.patch(f"{USERS}/{DANIEL}", json={"state": "inactive"}))[:2] == (400, 3000)
    assert (await client.patch(f"{USERS}/{DANIEL}", json={"state": "active"})).status_code == 200


@pytest.mark.parametrize("path", [f"{USERS}/{DANIEL}/resetpassword", f"{USERS}/{DANIEL}"])
async def test_a_password_is_reset_and_echoed(path: str, client: httpx.AsyncClient, contoso: Customer) -> None:
    body = {"passwordProfile": {"password": "Renew456*", "forceChangePassword": True}}

    answer = await client.patch(path, json=body)

    assert answer.status_code == 200
    assert answer.json()["passwordProfile"] == {"forceChangePassword": False, "password": "Renew456*"}
    assert contoso.users[DANIEL].password == "Renew456*"
    assert contoso.users[DANIEL].force_change_password is True


async def test_a_weak_password_is_refused(client: httpx.AsyncClient, contoso: Customer) -> None:
    body = {"passwordProfile": {"password": "daniel-1A"}}

    assert fault(await client.patch(f"{USERS}/{DANIEL}/resetpassword", json=body)) == (400, 3000, WEAK)
    assert contoso.users[DANIEL].password is None


async def test_the_older_forms_name_the_user_in_the_query(client: httpx.AsyncClient, contoso: Customer) -> None:
    changed = await client.patch(USERS, params={"user_id": DANIEL}, json={"firstName": "Dan"})
    deleted = await client.delete(USERS, params={"user_id": DANIEL})

    assert changed.json()["firstName"] == "Dan"
    assert deleted.status_code == 204
    assert contoso.users[DANIEL].deleted_at is not None
    assert fault(await client.delete(USERS))[:2] == (400, 2000)
