"""The end of a process: who is told to go elsewhere, what is still answered, and what nothing cuts off."""

import asyncio
import json
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.changes import UPDATE, id_of, person_of
from tests.gateway_client import sandbox  # noqa: F401 (fixture)
from tests.program import run, running
from tests.served_gateway import served, until

TENANTS = "{ tenants(first: 1) { nodes { name } } }"
VIEWER = "{ viewer { name } }"
DIEGO = "Diego Siciliani"


async def listener_is_closed(url: str) -> None:
    """Returns when nobody is taken in any more."""

    async def is_closed() -> bool:
        try:
            async with httpx.AsyncClient(timeout=60) as http:
                await http.get(f"{url}/health")
        except httpx.ConnectError:
            return True
        except httpx.TransportError:  # cut off by the end of the listener
            return False
        return False

    await until(is_closed)


async def test_after_the_signal_the_process_is_not_ready_but_takes_requests_for_a_while(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_DRAIN_ACCEPT_SECONDS="4") as it:
        before = await it.http.get("/ready")
        it.stop()
        ready = await it.http.get("/ready")
        answer = await it.ask(VIEWER)

        assert (before.status_code, before.json()["status"]) == (200, "ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert ready.headers["connection"] == "close"
        assert answer.json()["data"] == {"viewer": {"name": "Demo partner"}}
        assert answer.headers["connection"] == "close"
        assert (await it.http.get("/health")).status_code == 200
        await listener_is_closed(it.url)
        await asyncio.wait_for(it.ended, 60)


async def test_a_query_under_way_is_answered_after_the_listener_has_closed(sandbox):  # noqa: F811
    async with served(sandbox) as it:
        it.upstream.hold("GET")
        asked = it.ask(TENANTS, fresh=True)
        await until(lambda: it.upstream.waiting == 1)
        it.stop()
        await listener_is_closed(it.url)
        it.upstream.let_go()

        assert (await asked).json()["data"]["tenants"]["nodes"]
        await asyncio.wait_for(it.ended, 60)


async def test_a_query_that_takes_too_long_for_the_end_is_told_so_and_the_call_is_given_up(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_DRAIN_QUERY_SECONDS="0.2", GATEWAY_DRAIN_WRITE_SECONDS="30") as it:
        it.upstream.hold("GET")
        asked = it.ask(TENANTS, fresh=True)
        await until(lambda: it.upstream.waiting == 1)
        it.stop()
        answer = await asked

        assert answer.status_code == 200
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "UNAVAILABLE"
        await asyncio.wait_for(it.ended, 60)
        assert it.upstream.given_up == 1


async def test_a_write_under_way_outlasts_queries_and_further_signals(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_DRAIN_QUERY_SECONDS="0", GATEWAY_DRAIN_WRITE_SECONDS="30") as it:
        it.upstream.hold("PATCH")
        asked = it.ask(UPDATE, {"input": {"id": id_of(sandbox, DIEGO), "firstName": "Iago"}})
        await until(lambda: it.upstream.waiting == 1)
        it.stop()
        await listener_is_closed(it.url)
        it.stop()
        it.stop()
        await asyncio.sleep(0.3)
        it.upstream.let_go()
        payload = (await asked).json()["data"]["updateUser"]

        assert payload["userErrors"] == []
        assert payload["user"]["firstName"] == "Iago"
        assert person_of(sandbox, DIEGO).first_name == "Iago"
        await asyncio.wait_for(it.ended, 60)


async def test_a_write_whose_caller_hung_up_is_seen_through_before_the_end(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_DRAIN_WRITE_SECONDS="30") as it:
        it.upstream.hold("PATCH")
        asked = it.ask(UPDATE, {"input": {"id": id_of(sandbox, DIEGO), "firstName": "Iago"}})
        await until(lambda: it.upstream.waiting == 1)
        asked.cancel()
        it.stop()
        await listener_is_closed(it.url)
        assert not it.ended.done()
        it.upstream.let_go()
        await asyncio.wait_for(it.ended, 60)

        assert person_of(sandbox, DIEGO).first_name == "Iago"


async def test_a_socket_is_closed_with_1001_after_its_answers(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_DRAIN_QUERY_SECONDS="30", GATEWAY_DRAIN_WRITE_SECONDS="30") as it:
        it.upstream.hold("GET")
        address = it.url.replace("http://", "ws://") + "/graphql"
        async with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send('{"type": "connection_init"}')
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": TENANTS}}))
            await until(lambda: it.upstream.waiting == 1)
            assert await it.metric("gateway_sockets_open") == 1
            it.stop()
            await listener_is_closed(it.url)
            it.upstream.let_go()
            answers = [json.loads(await socket.recv()) for _ in range(2)]
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()

        assert [answer["type"] for answer in answers] == ["next", "complete"]
        assert answers[0]["payload"]["data"]["tenants"]["nodes"]
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        await asyncio.wait_for(it.ended, 60)


def test_a_process_that_is_told_to_stop_under_load_loses_no_answer_and_ends_well(sandbox_settings):
    """Slow writes are under way when SIGTERM comes, and SIGTERM again; each is answered, and done once."""
    token = run("token", "--kind", "partner").stdout.strip()
    settings = sandbox_settings | {"GATEWAY_DRAIN_ACCEPT_SECONDS": "0.5"}
    upstream = settings["GATEWAY_PARTNER_CENTER_URL"]
    headers = {"Authorization": f"Bearer {token}"}
    people = """{ tenant(by: {domain: "contoso.onmicrosoft.com"}) { users(first: 6) { nodes { id displayName } } } }"""
    httpx.post(f"{upstream}/sandbox/reset", json={}, timeout=60)
    with running("serve", "--port", "0", lines=1, settings=settings) as gateway:
        url = gateway.lines[0].split()[1]
        answer = httpx.post(url, json={"query": people}, headers=headers, timeout=60)
        users = answer.json()["data"]["tenant"]["users"]["nodes"]
        rule = {"method": "PATCH", "delay_ms": 5000}
        httpx.post(f"{upstream}/sandbox/faults", json={"rules": [rule]}, timeout=60)
        httpx.delete(f"{upstream}/sandbox/calls", timeout=60)

        def rename(user: dict[str, str]) -> httpx.Response:
            changed = {"id": user["id"], "displayName": f"{user['displayName']} Jr"}
            return httpx.post(url, json={"query": UPDATE, "variables": {"input": changed}}, headers=headers, timeout=60)

        with ThreadPoolExecutor(len(users)) as pool:
            answers = [pool.submit(rename, user) for user in users]
            while figure(url, "gateway_upstream_in_flight") < len(users):
                time.sleep(0.05)
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.send_signal(signal.SIGTERM)
            payloads = [answer.result().json()["data"]["updateUser"] for answer in answers]
            status = gateway.process.wait(75)
        log = gateway.log()
    sent = writes_seen(upstream)
    httpx.post(f"{upstream}/sandbox/reset", json={}, timeout=60)

    assert status == 0
    assert [payload["userErrors"] for payload in payloads] == [[]] * len(users)
    assert [payload["user"]["displayName"] for payload in payloads] == [f"{user['displayName']} Jr" for user in users]
    assert len(sent) == len(users)
    assert not re.search(r'"level": "(error|critical)"', log)


def figure(url: str, name: str) -> float:
    text = httpx.get(url.replace("/graphql", "/metrics"), timeout=60).text
    return float(re.search(rf"^{name} (.+)$", text, re.MULTILINE)[1])  # type: ignore[index]  # it is there


def writes_seen(upstream: str) -> list[str]:
    calls = httpx.get(f"{upstream}/sandbox/calls", timeout=60).json()["calls"]
    return [call["path"] for call in calls if call["method"] == "PATCH"]
