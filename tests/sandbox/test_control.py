"""The control routes: clock, calls, reset, switches, and who may use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.app import create_app
from sandbox.control import ControlEndpoint
from sandbox.state import SandboxState
from sandbox.switches import Switches
from tests.sandbox.small_world import CONTOSO, DANIEL, V2_TOKEN, small_world, token_form

C = f"/v1/customers/{CONTOSO}"


def moment(answer: httpx.Response) -> datetime:
    return datetime.fromisoformat(answer.json()["now"])


async def test_the_clock_runs_and_is_moved_on(anonymous: httpx.AsyncClient) -> None:
    before = moment(await anonymous.get("/sandbox/clock"))
    moved = moment(await anonymous.post("/sandbox/clock", json={"advance_seconds": 86_400}))

    assert timedelta(days=1) <= moved - before < timedelta(days=1, minutes=5)


@pytest.mark.parametrize("seconds", [None, "60", True, -1, 1e30])
async def test_the_clock_is_not_moved_by_nonsense(seconds: Any, anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/sandbox/clock", json={"advance_seconds": seconds})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("advance_seconds: ")


async def test_every_request_is_recorded_tokens_included_and_control_left_out(
    anonymous: httpx.AsyncClient,
) -> None:
    token = (await anonymous.post(V2_TOKEN, data=token_form())).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "MS-RequestId": "r", "MS-CorrelationId": "c"}
    await anonymous.get(f"{C}/users?size=1", headers=headers)
    await anonymous.get("/v1/customers/nobody", headers=headers)

    body = (await anonymous.get("/sandbox/calls")).json()

    assert body["total"] == 3
    assert [(call["method"], call["path"], call["status"]) for call in body["calls"]] == [
        ("POST", V2_TOKEN, 200),
        ("GET", f"{C}/users?size=1", 200),
        ("GET", "/v1/customers/nobody", 400),
    ]
    assert (body["calls"][1]["request_id"], body["calls"][1]["correlation_id"]) == ("r", "c")
    assert set(body["calls"][0]) == {"method", "path", "status", "request_id", "correlation_id", "at"}


async def test_the_record_of_calls_is_cleared(client: httpx.AsyncClient) -> None:
    await client.get(C)
    cleared = await client.delete("/sandbox/calls")

    assert cleared.status_code == 200
    assert (await client.get("/sandbox/calls")).json() == {"total": 0, "calls": []}


async def test_a_reset_brings_everything_back(client: httpx.AsyncClient, state: SandboxState) -> None:
    await client.delete(f"{C}/users/{DANIEL}")
    await client.post("/sandbox/clock", json={"advance_seconds": 1000})
    await client.post("/sandbox/faults", json={"rules": [{"status": 500}]})
    await client.post("/sandbox/switches", json={"create_user_status": 200})

    answer = await client.post("/sandbox/reset")

    assert answer.status_code == 200
    assert state.switches == Switches()
    assert state.faults.rules == []
    assert state.audit.records == []
    assert (await client.get("/sandbox/calls")).json()["total"] == 0
    assert (await client.get(f"{C}/users/{DANIEL}")).status_code == 200


async def test_whoever_mounts_the_control_routes_is_told_of_a_reset() -> None:
    resets = []

    async def after_reset() -> None:
        resets.append("reset")

    transport = httpx.ASGITransport(ControlEndpoint(SandboxState(build=small_world), after_reset))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.get("/sandbox/clock")
        await client.post("/sandbox/reset")

    assert resets == ["reset"]


async def test_switches_are_shown_and_turned(anonymous: httpx.AsyncClient, state: SandboxState) -> None:
    shown = (await anonymous.get("/sandbox/switches")).json()
    turned = (await anonymous.post("/sandbox/switches", json={"restore_conflict_status": 400})).json()

    assert shown == Switches().as_dict()
    assert turned == {**shown, "restore_conflict_status": 400}
    assert state.switches.restore_conflict_status == 400


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"no_such": 1}, "no_such"),
        ({"create_user_status": "201"}, "create_user_status"),
        ({"create_user_status": True}, "create_user_status"),
        ({"create_user_status": 42}, "create_user_status"),
        ({"multi_factor": 1}, "multi_factor"),
        ({"users_page_size": 0}, "users_page_size"),
    ],
)
async def test_a_switch_that_cannot_be_turned_is_named(
    change: dict[str, Any], name: str, anonymous: httpx.AsyncClient, state: SandboxState
) -> None:
    answer = await anonymous.post("/sandbox/switches", json=change)

    assert (answer.status_code, answer.json()["error"].split(":")[0]) == (400, name)
    assert state.switches == Switches()


@pytest.fixture
async def stranger(state: SandboxState) -> AsyncIterator[httpx.AsyncClient]:
    """A client on another machine."""
    transport = httpx.ASGITransport(create_app(state), client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_strangers_are_refused(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/sandbox/clock")).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_browsers_are_not_led_here_from_elsewhere(
    headers: dict[str, str], anonymous: httpx.AsyncClient, state: SandboxState
) -> None:
    answer = await anonymous.post("/sandbox/switches", json={"multi_factor": False}, headers=headers)

    assert answer.status_code == 403
    assert state.switches.multi_factor is True


@pytest.mark.parametrize("host", ["localhost:8010", "127.0.0.1", "[::1]:8010", "127.8.8.8"])
async def test_loopback_has_many_names(host: str, anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/sandbox/clock", headers={"Host": host})).status_code == 200


async def test_bodies_are_json_objects_only(anonymous: httpx.AsyncClient) -> None:
    form = await anonymous.post("/sandbox/switches", data={"multi_factor": "false"})
    text = await anonymous.post("/sandbox/switches", content=b'{"multi_factor": false}')
    array = await anonymous.post("/sandbox/faults", json=[])
    broken = await anonymous.post("/sandbox/faults", content=b"{", headers={"Content-Type": "application/json"})

    assert [answer.status_code for answer in (form, text, array, broken)] == [415, 415, 400, 400]


async def test_other_routes_and_methods_are_refused(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/sandbox/nothing")).status_code == 404
    assert (await anonymous.put("/sandbox/clock")).status_code == 405
