"""Who is let in: bearer tokens, MFA, app-only, delegated roles, headers, paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx
import pytest

from sandbox.state import SandboxState
from tests.sandbox.small_world import (
    ADMIN,
    CONTOSO,
    DANIEL,
    EMS,
    FABRIKAM,
    GLOBAL_ADMINISTRATOR,
    HELPDESK,
    NCE,
    V2_TOKEN,
    fault,
    token_form,
)

C = f"/v1/customers/{CONTOSO}"
NO_APPLICATION = (403, 900329, "This resource does not support application-only authentication.")
NO_ROLE = (403, 900308, "Insufficient privileges to complete the operation.")


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer rubbish", "Bearer a.b.c", "Basic YTpi"])
async def test_without_a_token_of_ours_the_answer_is_401(
    authorization: str | None, anonymous: httpx.AsyncClient
) -> None:
    headers = {"Authorization": authorization} if authorization else {}

    answer = await anonymous.get("/v1/customers", headers=headers)

    assert fault(answer) == (401, 400, "Access denied")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_a_token_expires_by_the_sandbox_clock(client: httpx.AsyncClient, state: SandboxState) -> None:
    state.clock.advance(3599)
    assert (await client.get("/v1/customers")).status_code == 200
    state.clock.advance(2)
    assert (await client.get("/v1/customers")).status_code == 401


async def test_a_token_outlives_a_restart(client: httpx.AsyncClient, state: SandboxState) -> None:
    state.reset()

    assert (await client.get("/v1/customers")).status_code == 200


async def test_without_mfa_every_call_is_refused(
    client: httpx.AsyncClient, change_switches: Callable[..., Awaitable[None]]
) -> None:
    await change_switches(multi_factor=False)
    token = (await client.post(V2_TOKEN, data=token_form())).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "ValidateMfa": "true"}

    answer = await client.get(f"{C}/users", headers=headers)
    compliant = await client.get(f"{C}/users", headers={"ValidateMfa": "true"})

    assert (answer.status_code, answer.json()["code"]) == (401, 900421)
    assert answer.headers["isMfaCompliant"] == "false"
    assert compliant.headers["isMfaCompliant"] == "true"


@pytest.fixture
async def application(client: httpx.AsyncClient) -> httpx.AsyncClient:
    form = token_form(grant_type="client_credentials", refresh_token="")
    token = (await client.post(V2_TOKEN, data=form)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.mark.parametrize(
    "path",
    ["", "/profiles/billing", "/organization", "/customDomains", "/subscriptions", f"/subscriptions/{NCE}"],
)
async def test_an_application_alone_may_read_customers_and_subscriptions(
    path: str, application: httpx.AsyncClient
) -> None:
    assert (await application.get(C + path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", f"/users/{DANIEL}"),
        ("PATCH", f"/users/{DANIEL}"),
        ("DELETE", f"/users/{DANIEL}"),
        ("PATCH", f"/users/{DANIEL}/resetpassword"),
        ("GET", f"/users/{DANIEL}/licenses"),
        ("POST", f"/users/{DANIEL}/licenseupdates"),
        ("GET", f"/users/{DANIEL}/directoryroles"),
        ("GET", "/directoryroles"),
        ("GET", "/subscribedskus"),
        ("GET", "/profiles/company"),
        ("GET", "/entitlements"),
        ("GET", f"/subscriptions/{NCE}/provisioningstatus"),
        ("GET", "/validationStatus?type=account"),
        ("GET", "/relationships"),
        ("PATCH", ""),
    ],
)
async def test_an_application_alone_may_not_touch_what_belongs_to_a_user(
    method: str, path: str, application: httpx.AsyncClient
) -> None:
    assert fault(await application.request(method, C + path, json={})) == NO_APPLICATION


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        (
            "Directory Readers",
            [("GET", "/users"), ("GET", "/directoryroles"), ("GET", "/subscribedskus")],
            [("POST", "/users"), ("DELETE", f"/users/{DANIEL}"), ("POST", f"/users/{DANIEL}/licenseupdates")],
        ),
        (
            "License Administrator",
            [("GET", "/subscribedskus"), ("GET", f"/users/{DANIEL}/licenses")],
            [("GET", "/users"), ("PATCH", f"/users/{DANIEL}"), ("GET", f"/users/{DANIEL}/directoryroles")],
        ),
        (
            "Global Reader",
            [("GET", "/users"), ("GET", "/organization"), ("GET", "/customDomains")],
            [("GET", "/directoryroles"), ("GET", f"/users/{DANIEL}/licenses")],
        ),
        (
            "User Administrator",
            [("GET", "/users"), ("GET", f"/users/{ADMIN}/directoryroles")],
            [("POST", f"/directoryroles/{HELPDESK}/usermembers"), ("GET", "/organization")],
        ),
    ],
)
async def test_a_delegated_role_opens_what_its_page_says(
    role: str,
    allowed: list[tuple[str, str]],
    refused: list[tuple[str, str]],
    client: httpx.AsyncClient,
    state: SandboxState,
) -> None:
    state.world.customers[CONTOSO].granted_roles = frozenset({role})

    for method, path in allowed:
        assert (await client.request(method, C + path)).status_code == 200
    for method, path in refused:
        assert fault(await client.request(method, C + path, json={})) == NO_ROLE
    assert (await client.get(f"{C}/subscriptions")).status_code == 200


async def test_passwords_of_administrators_need_the_stronger_role(
    client: httpx.AsyncClient, state: SandboxState
) -> None:
    contoso = state.world.customers[CONTOSO]
    body = {"passwordProfile": {"password": "Renew456*", "forceChangePassword": True}}
    contoso.granted_roles = frozenset({"User Administrator"})

    plain = await client.patch(f"{C}/users/{DANIEL}/resetpassword", json=body)
    administrator = await client.patch(f"{C}/users/{ADMIN}/resetpassword", json=body)
    by_update = await client.patch(f"{C}/users/{ADMIN}", json=body)
    contoso.granted_roles = frozenset({"Privileged Authentication Administrator"})
    by_the_right_role = await client.patch(f"{C}/users/{ADMIN}/resetpassword", json=body)

    assert plain.status_code == 200
    assert fault(administrator) == fault(by_update) == NO_ROLE
    assert by_the_right_role.status_code == 200
    assert contoso.users[ADMIN].password == "Renew456*"


async def test_a_customer_without_a_relationship_is_out_of_reach(
    client: httpx.AsyncClient, state: SandboxState
) -> None:
    state.world.customers[FABRIKAM].relationship = "none"

    listed = (await client.get("/v1/customers")).json()["items"]
    answer = await client.get(f"/v1/customers/{FABRIKAM}/users")

    assert [customer["id"] for customer in listed] == [CONTOSO]
    assert (answer.status_code, answer.json()["code"]) == (403, 20002)


async def test_unknown_and_malformed_ids_are_told_apart(client: httpx.AsyncClient) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"

    assert fault(await client.get(f"/v1/customers/{nobody}")) == (404, 60003, "Tenant not found")
    assert fault(await client.get("/v1/customers/contoso")) == (400, 2000, "Tenant Id must be a GUID.")
    assert fault(await client.get(f"{C}/users/{nobody}")) == (404, 60002, "User object ID isn't found")
    assert fault(await client.get(f"{C}/users/daniel")) == (400, 2000, "User Id must be a GUID.")
    assert fault(await client.get(f"{C}/subscriptions/{nobody}"))[:2] == (404, 20003)


async def test_request_and_correlation_ids_are_echoed_or_made(client: httpx.AsyncClient) -> None:
    sent = {"MS-RequestId": "3705fc6d-4127-4a87-bdba-9658f73fe019", "MS-CorrelationId": "b12260fb"}

    echoed = await client.get(C, headers=sent)
    made = await client.get(C)

    assert {name: echoed.headers[name] for name in sent} == sent
    assert UUID(made.headers["MS-RequestId"]).version == 4
    assert UUID(made.headers["MS-CorrelationId"]).version == 4
    assert made.headers["MS-CV"].endswith(".0")
    assert len(made.headers["MS-CV"]) == 18
    assert made.headers["MS-ServerId"] == "0000112D"


@pytest.mark.parametrize(
    "path",
    [
        f"/v1//customers/{CONTOSO}/users",
        f"/v1/customers/{CONTOSO}/users/",
        f"/V1/Customers/{CONTOSO.upper()}/Users",
        f"/v1/customers/{CONTOSO}%20/users",
        f"/v1.0/customers/{CONTOSO}/users",
    ],
)
async def test_paths_are_matched_generously(path: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(path)

    assert answer.status_code == 200
    assert answer.json()["links"]["self"]["uri"] == f"/customers/{CONTOSO}/users"


async def test_what_is_not_there_is_refused_by_the_gateway(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/v1/wonders")
    method = await client.put(f"{C}/users/{DANIEL}", json={})
    form = await client.post(f"{C}/users", data={"displayName": "x"})

    assert unknown.json() == {"statusCode": 404, "message": "Resource not found"}
    assert "MS-RequestId" not in unknown.headers
    assert (method.status_code, form.status_code) == (405, 415)


async def test_members_may_be_pascal_case_at_every_level(client: httpx.AsyncClient, state: SandboxState) -> None:
    body = {"LicensesToAssign": [{"ExcludedPlans": [], "SKUID": EMS.upper()}], "Attributes": {"X": None}}

    answer = await client.post(f"{C}/users/{DANIEL}/licenseupdates", json=body)

    assert answer.status_code == 201
    assert state.world.customers[CONTOSO].users[DANIEL].licenses == {EMS: set()}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff"])
async def test_a_body_that_is_no_object_is_refused(content: bytes, client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}

    answer = await client.post(f"{C}/users", content=content, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, 800002)


async def test_a_body_may_begin_with_a_byte_order_mark(client: httpx.AsyncClient) -> None:
    content = b'\xef\xbb\xbf{"firstName": "Dan"}'

    answer = await client.patch(f"{C}/users/{DANIEL}", content=content)

    assert answer.json()["firstName"] == "Dan"


async def test_the_granted_roles_are_the_partners_not_the_users(client: httpx.AsyncClient, state: SandboxState) -> None:
    state.world.customers[CONTOSO].granted_roles = frozenset({"Global Administrator"})
    path = f"{C}/directoryroles/{GLOBAL_ADMINISTRATOR}/usermembers"

    answer = await client.post(path, json={"id": DANIEL})

    assert answer.status_code == 201
