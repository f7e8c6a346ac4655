"""Ordered faults, told in process and over a real connection; the rate limit; the memory of request ids."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sandbox.app import create_app
from sandbox.server import SandboxServer
from sandbox.state import SandboxState
from tests.sandbox.small_world import CONTOSO, DANIEL, EMS, V2_TOKEN, fault, small_world, token_form

C = f"/v1/customers/{CONTOSO}"


@pytest.fixture
async def served(state: SandboxState) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a token, over a real connection."""
    async with SandboxServer(state, port=0) as server, httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        token = (await client.post(V2_TOKEN, data=token_form())).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        state.calls.clear()
        yield client


async def order(client: httpx.AsyncClient, *rules: dict[str, Any]) -> None:
    answer = await client.post("/sandbox/faults", json={"rules": list(rules)})
    assert answer.json() == {"rules": list(rules)}


async def test_an_ordered_status_has_partner_centers_shape(client: httpx.AsyncClient) -> None:
    await order(client, {"path": "/v1/", "status": 503, "retry_after": 7})

    answer = await client.get(C)

    assert fault(answer) == (503, 800003, "Unexpected service error")
    assert answer.headers["Retry-After"] == "7"
    assert "MS-RequestId" in answer.headers


async def test_an_ordered_429_has_the_gateways_shape(client: httpx.AsyncClient) -> None:
    await order(client, {"status": 429, "retry_after": 57})

    answer = await client.get(C)

    assert answer.status_code == 429
    assert answer.json() == {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 57 seconds."}
    assert answer.headers["Retry-After"] == "57"
    assert answer.headers["Content-Type"] == "application/json"
    assert not [name for name in answer.headers if name.startswith("ms-")]


@pytest.mark.parametrize(
    ("status", "error"), [(503, "temporarily_unavailable"), (400, "invalid_grant"), (401, "invalid_client")]
)
async def test_an_ordered_status_of_the_token_endpoint_has_its_shape(
    status: int, error: str, client: httpx.AsyncClient
) -> None:
    await order(client, {"path": "/oauth2/", "status": status})

    answer = await client.post(V2_TOKEN, data=token_form())

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert (await client.get(C)).status_code == 200


async def test_rules_are_tried_in_order_and_count_their_matches(client: httpx.AsyncClient) -> None:
    await order(
        client,
        {"method": "GET", "path": "users\\?size", "status": 500, "skip": 1, "times": 2},
        {"path": "/users", "status": 502, "times": 1},
    )

    answers = [(await client.get(f"{C}/users?size=2")).status_code for _ in range(5)]

    assert answers == [502, 500, 500, 200, 200]


async def test_a_rule_is_searched_in_the_decoded_path_too(client: httpx.AsyncClient) -> None:
    await order(client, {"path": '"Field":"UserState"', "status": 500})

    answer = await client.get(f'{C}/users?filter={{"Field":"UserState","Value":"Active","Operator":"equals"}}')

    assert answer.status_code == 500


async def test_other_methods_pass_a_rule(client: httpx.AsyncClient) -> None:
    await order(client, {"method": "POST", "status": 500})

    assert (await client.get(C)).status_code == 200


async def test_a_rule_of_no_probability_never_acts(client: httpx.AsyncClient) -> None:
    await order(client, {"status": 500, "probability": 0})

    assert [(await client.get(C)).status_code for _ in range(20)] == [200] * 20


async def test_a_delay_lets_the_answer_through(client: httpx.AsyncClient) -> None:
    await order(client, {"delay_ms": 60, "times": 1})
    started = time.monotonic()

    assert (await client.get(C)).status_code == 200
    assert time.monotonic() - started >= 0.06


async def test_an_empty_list_heals(client: httpx.AsyncClient) -> None:
    await order(client, {"status": 500})
    await order(client)

    assert (await client.get(C)).status_code == 200


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"status": 200}, "status"),
        ({"status": "500"}, "status"),
        ({"status": True}, "status"),
        ({"path": "(", "status": 500}, "path"),
        ({"path": 7, "status": 500}, "path"),
        ({"method": "G T", "status": 500}, "method"),
        ({"status": 500, "retry_after": -1}, "retry_after"),
        ({"delay_ms": -1}, "delay_ms"),
        ({"reset": 1}, "reset"),
        ({"reset": True, "status": 500}, "reset"),
        ({"lost_answer": True, "truncate": True}, "lost_answer"),
        ({"status": 500, "skip": 1.5}, "skip"),
        ({"status": 500, "times": -1}, "times"),
        ({"status": 500, "probability": 1.1}, "probability"),
        ({"status": 500, "colour": "red"}, "colour"),
    ],
)
async def test_a_rule_that_cannot_be_is_named_and_the_old_ones_stay(
    rule: dict[str, Any], name: str, client: httpx.AsyncClient
) -> None:
    await order(client, {"status": 418})

    answer = await client.post("/sandbox/faults", json={"rules": [{"status": 500}, rule]})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"rules[1].{name}: ")
    assert (await client.get(C)).status_code == 418


async def test_rules_must_be_a_list_of_objects_that_do_something(client: httpx.AsyncClient) -> None:
    bodies: list[Any] = [{}, {"rules": {}}, {"rules": [7]}, {"rules": [{"path": "x"}]}, {"rules": [], "more": 1}]
    for body in bodies:
        assert (await client.post("/sandbox/faults", json=body)).status_code == 400


@pytest.mark.parametrize("real", [False, True])
async def test_a_reset_drops_the_connection_before_anything_is_done(
    real: bool, client: httpx.AsyncClient, served: httpx.AsyncClient, state: SandboxState
) -> None:
    asked = served if real else client
    await order(asked, {"reset": True, "times": 1})

    with pytest.raises(httpx.ReadError):
        await asked.delete(f"{C}/users/{DANIEL}")

    assert state.world.customers[CONTOSO].users[DANIEL].deleted_at is None
    assert [call.status for call in state.calls] == [None]
    assert (await asked.get(C)).status_code == 200


@pytest.mark.parametrize("real", [False, True])
async def test_a_lost_answer_was_carried_out_and_the_same_request_id_tells_so(
    real: bool, client: httpx.AsyncClient, served: httpx.AsyncClient, state: SandboxState
) -> None:
    asked = served if real else client
    headers = {"MS-RequestId": "5ec0a2a6-5c7e-4a5e-8a54-3b6a2e0f5d11"}
    await order(asked, {"lost_answer": True, "method": "DELETE", "times": 1})

    with pytest.raises(httpx.RemoteProtocolError):
        await asked.delete(f"{C}/users/{DANIEL}", headers=headers)
    deleted_at = state.world.customers[CONTOSO].users[DANIEL].deleted_at
    again = await asked.delete(f"{C}/users/{DANIEL}", headers=headers)
    anew = await asked.delete(f"{C}/users/{DANIEL}")

    assert deleted_at is not None
    assert [call.status for call in state.calls] == [204, 204, 404]
    assert (again.status_code, anew.status_code) == (204, 404)
    assert again.headers["MS-RequestId"] == headers["MS-RequestId"]


@pytest.mark.parametrize("real", [False, True])
async def test_a_truncated_answer_ends_half_way(
    real: bool, client: httpx.AsyncClient, served: httpx.AsyncClient
) -> None:
    asked = served if real else client
    await order(asked, {"truncate": True, "path": "/users", "times": 1})

    with pytest.raises(httpx.RemoteProtocolError):
        await asked.get(f"{C}/users")

    assert (await asked.get(f"{C}/users")).status_code == 200


async def test_requests_are_answered_side_by_side(served: httpx.AsyncClient) -> None:
    await order(served, {"delay_ms": 2000})

    async with asyncio.timeout(20):  # one after the other they would take twice as long
        answers = await asyncio.gather(*(served.get(C) for _ in range(20)))

    assert [answer.status_code for answer in answers] == [200] * 20


async def test_a_write_with_a_known_request_id_is_not_done_again(
    client: httpx.AsyncClient, state: SandboxState
) -> None:
    path = f"{C}/users/{DANIEL}/licenseupdates"
    headers = {"MS-RequestId": "A37D3009-665D-4E12-B76E-1AA10CF80140"}

    first = await client.post(path, json={"licensesToRemove": [EMS]}, headers=headers)
    again = await client.post(path, json={"licensesToRemove": [EMS]}, headers=headers)
    refused = await client.post(path, json={"licensesToRemove": [EMS]}, headers={"MS-RequestId": "2"})
    refused_again = await client.post(path, json={"licensesToRemove": [EMS]}, headers={"MS-RequestId": "2"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (refused.status_code, refused_again.status_code) == (400, 400)
    assert len(state.audit.records) == 1


async def test_a_write_that_breaks_off_within_its_body_is_not_carried_out_nor_remembered(
    served: httpx.AsyncClient, state: SandboxState
) -> None:
    """As of a client that was killed: what it asks for again under the same id is done then."""
    path, body = f"{C}/users/{DANIEL}/licenseupdates", b'{"licensesToRemove": ["' + EMS.encode() + b'"]}'
    headers = {"Authorization": served.headers["Authorization"], "MS-RequestId": "1"}
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json", *(f"{name}: {value}" for name, value in headers.items())]
    for size in (0, 10):
        _, writer = await asyncio.open_connection("127.0.0.1", served.base_url.port)
        writer.write("\r\n".join([*lines, "", ""]).encode() + body[:size])
        await writer.drain()
        writer.transport.abort()
    async with asyncio.timeout(30):
        while len(state.calls) < 2:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)

    again = await served.post(path, content=body, headers=headers | {"Content-Type": "application/json"})

    assert again.status_code == 201
    assert [call.status for call in state.calls] == [None, None, 201]
    assert len(state.audit.records) == 1


async def test_another_path_is_another_request_though_the_id_is_the_same(client: httpx.AsyncClient) -> None:
    headers = {"MS-RequestId": "1"}
    await client.patch(f"{C}/users/{DANIEL}", json={"firstName": "A"}, headers=headers)

    answer = await client.delete(f"{C}/users/{DANIEL}", headers=headers)

    assert answer.status_code == 204


async def test_a_request_id_is_forgotten_in_time(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"MS-RequestId": "1"}
    await client.delete(f"{C}/users/{DANIEL}", headers=headers)
    later = time.monotonic() + 601
    monkeypatch.setattr("sandbox.request_ids.time.monotonic", lambda: later)

    assert (await client.delete(f"{C}/users/{DANIEL}", headers=headers)).status_code == 404


async def test_the_rate_limit_counts_customers_and_subscriptions() -> None:
    state = SandboxState(throttle=True, build=small_world)
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.post("/sandbox/switches", json={"throttle_per_minute": 3})
        token = (await client.post(V2_TOKEN, data=token_form())).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        refused = await client.get(C)
        answers = [
            (await client.get(path, headers=headers)).status_code
            for path in ("/v1/customers", f"{C}/users", f"{C}/subscriptions", f"{C}/subscribedskus")
        ]
        limited = await client.get(C, headers=headers)
        users = await client.get(f"{C}/users", headers=headers)

    assert refused.status_code == 401
    assert answers == [200, 200, 200, 200]
    seconds = int(limited.headers["Retry-After"])
    assert limited.json() == {
        "statusCode": 429,
        "message": f"Rate limit is exceeded. Try again in {seconds} seconds.",
    }
    assert 0 < seconds <= 60
    assert "MS-RequestId" not in limited.headers
    assert users.status_code == 200
