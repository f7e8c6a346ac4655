"""The token endpoint, v1 and v2: what it gives, what it refuses and how."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from sandbox import settings
from sandbox.state import SandboxState
from tests.sandbox.small_world import CONTOSO, V1_TOKEN, V2_TOKEN, token_form

API = "https://api.partnercenter.microsoft.com"


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def v1_form(**changes: str) -> dict[str, str]:
    return token_form(scope="", resource=API, **changes)


async def test_v2_gives_numbers_a_scope_and_a_new_refresh_token(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post(V2_TOKEN, data=token_form())

    body = answer.json()
    assert answer.status_code == 200
    assert (body["token_type"], body["expires_in"], body["ext_expires_in"]) == ("Bearer", 3599, 3599)
    assert body["scope"] == f"{API}/user_impersonation {API}/.default"
    assert body["refresh_token"] != settings.REFRESH_TOKEN
    assert "id_token" not in body
    assert answer.headers["Cache-Control"] == "no-store, no-cache"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "MS-RequestId" not in answer.headers


async def test_v1_gives_texts_and_the_resource(anonymous: httpx.AsyncClient) -> None:
    body = (await anonymous.post(V1_TOKEN, data=v1_form())).json()

    assert (body["expires_in"], body["ext_expires_in"], body["resource"]) == ("3600", "3600", API)
    assert body["scope"] == "user_impersonation"
    assert int(body["expires_on"]) == claims(body["access_token"])["exp"]
    assert body["not_before"].isdigit()


async def test_an_app_user_token_has_the_claims_of_a_partner_user_with_mfa(
    anonymous: httpx.AsyncClient,
) -> None:
    found = claims((await anonymous.post(V2_TOKEN, data=token_form())).json()["access_token"])

    assert found["aud"] == API
    assert found["iss"] == f"https://sts.windows.net/{settings.PARTNER_TENANT_ID}/"
    assert found["amr"] == ["pwd", "mfa"]
    assert (found["tid"], found["appid"]) == (settings.PARTNER_TENANT_ID, settings.CLIENT_ID)
    assert (found["upn"], found["scp"], found["ver"]) == (settings.AGENT_UPN, "user_impersonation", "1.0")
    assert found["exp"] - found["iat"] == 3600


async def test_client_credentials_give_a_token_of_the_application_alone(anonymous: httpx.AsyncClient) -> None:
    form = token_form(grant_type="client_credentials", refresh_token="")

    body = (await anonymous.post(V2_TOKEN, data=form)).json()

    assert set(body) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert {"upn", "amr", "scp"}.isdisjoint(claims(body["access_token"]))


async def test_the_secret_may_come_by_http_basic(anonymous: httpx.AsyncClient) -> None:
    form = token_form(client_id="", client_secret="")

    answer = await anonymous.post(V2_TOKEN, data=form, auth=(settings.CLIENT_ID, settings.CLIENT_SECRET))

    assert answer.status_code == 200


async def test_the_tenant_may_be_named_by_domain(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post(f"/{settings.PARTNER_DOMAIN}/oauth2/v2.0/token", data=token_form())

    assert answer.status_code == 200


async def test_the_authorization_code_gives_tokens_and_an_identity(anonymous: httpx.AsyncClient) -> None:
    form = token_form(
        grant_type="authorization_code",
        code=settings.AUTHORIZATION_CODE,
        refresh_token="",
        scope=f"{API}/user_impersonation offline_access openid",
    )

    body = (await anonymous.post(V2_TOKEN, data=form)).json()

    assert claims(body["id_token"])["aud"] == settings.CLIENT_ID
    assert body["refresh_token"].startswith("1.")


async def test_a_used_refresh_token_stays_valid_and_its_successor_works(anonymous: httpx.AsyncClient) -> None:
    first = (await anonymous.post(V2_TOKEN, data=token_form())).json()["refresh_token"]

    again = await anonymous.post(V2_TOKEN, data=token_form())
    next_one = await anonymous.post(V2_TOKEN, data=token_form(refresh_token=first))

    assert (again.status_code, next_one.status_code) == (200, 200)
    assert next_one.json()["refresh_token"] not in (first, settings.REFRESH_TOKEN)


async def test_ninety_days_without_use_end_a_refresh_token(anonymous: httpx.AsyncClient, state: SandboxState) -> None:
    state.clock.advance(89 * 86_400)
    kept = await anonymous.post(V2_TOKEN, data=token_form())
    state.clock.advance(89 * 86_400)
    still_kept = await anonymous.post(V2_TOKEN, data=token_form())
    state.clock.advance(91 * 86_400)
    ended = await anonymous.post(V2_TOKEN, data=token_form())

    assert (kept.status_code, still_kept.status_code) == (200, 200)
    assert (ended.status_code, ended.json()["error"]) == (400, "invalid_grant")
    assert ended.json()["error_codes"] == [700082]
    assert "was inactive for 90.00:00:00" in ended.json()["error_description"]


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, 400, "unauthorized_client", 700016),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"grant_type": ""}, 400, "invalid_request", 900144),
        ({"refresh_token": ""}, 400, "invalid_request", 900144),
        ({"refresh_token": "garbage"}, 400, "invalid_grant", 9002313),
        ({"refresh_token": "1.9.9"}, 400, "invalid_grant", 9002313),
        ({"refresh_token": "1.é.é"}, 400, "invalid_grant", 9002313),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant", 9002313),
        ({"scope": "https://foo.microsoft.com/mail.read"}, 400, "invalid_scope", 70011),
        ({"scope": f"{API}/everything"}, 400, "invalid_scope", 70011),
        ({"scope": ".default"}, 400, "invalid_scope", 70011),
        ({"grant_type": "client_credentials", "scope": ""}, 400, "invalid_request", 900144),
        ({"grant_type": "client_credentials", "scope": f"{API}/user_impersonation"}, 400, "invalid_scope", 70011),
    ],
)
async def test_a_refusal_is_microsofts(
    changes: dict[str, str], status: int, error: str, number: int, anonymous: httpx.AsyncClient
) -> None:
    answer = await anonymous.post(V2_TOKEN, data=token_form(**changes))

    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (status, error, [number])
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert body["trace_id"] in body["error_description"]
    assert body["correlation_id"] in body["error_description"]
    assert body["timestamp"] in body["error_description"]
    assert body["error_uri"] == f"https://login.microsoftonline.com/error?code={number}"


async def test_an_unknown_tenant_is_refused(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/nobody.example/oauth2/v2.0/token", data=token_form())

    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


async def test_v1_refuses_a_resource_that_the_tenant_does_not_know(anonymous: httpx.AsyncClient) -> None:
    unknown = await anonymous.post(V1_TOKEN, data=v1_form() | {"resource": "https://foo.example"})
    missing = await anonymous.post(V1_TOKEN, data=token_form(scope=""))

    assert (unknown.json()["error"], unknown.json()["error_codes"]) == ("invalid_resource", [500011])
    assert (missing.json()["error"], missing.json()["error_codes"]) == ("invalid_request", [900144])


async def test_a_token_for_graph_is_no_token_for_partner_center(anonymous: httpx.AsyncClient) -> None:
    form = token_form(scope="https://graph.microsoft.com/.default")
    graph = await anonymous.post(f"/{CONTOSO}/oauth2/v2.0/token", data=form)
    headers = {"Authorization": f"Bearer {graph.json()['access_token']}"}

    answer = await anonymous.get("/v1/customers", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, 900420)


async def test_sign_in_libraries_find_the_endpoints_of_this_authority(anonymous: httpx.AsyncClient) -> None:
    tenant = settings.PARTNER_TENANT_ID
    v2 = (await anonymous.get(f"/{tenant}/v2.0/.well-known/openid-configuration")).json()
    v1 = (await anonymous.get(f"/{tenant}/.well-known/openid-configuration")).json()
    keys = (await anonymous.get(v2["jwks_uri"])).json()["keys"]
    instance = (await anonymous.get("/common/discovery/instance?api-version=1.1")).json()

    assert v2["token_endpoint"] == f"http://127.0.0.1{V2_TOKEN}"
    assert v2["issuer"] == f"http://127.0.0.1/{tenant}/v2.0"
    assert v2["authorization_endpoint"] == f"http://127.0.0.1/{tenant}/oauth2/v2.0/authorize"
    assert v1["token_endpoint"] == f"http://127.0.0.1{V1_TOKEN}"
    assert [key["alg"] for key in keys] == ["ES256"]
    assert "d" not in keys[0]
    assert instance["metadata"][0]["aliases"] == ["127.0.0.1"]
