"""Following a job: server-sent events and WebSocket, from the state now to the end, through any replica."""

import asyncio
import json
import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from gateway.event_streams import Subscriber, TooSlow
from sandbox.issuer import AUDIENCE, ISSUER, sign_token
from tests.callers import EVERYTHING, bearer, without
from tests.changes import change, id_of, order_fault, running_gateway, sku_of, tenant_named
from tests.gateway_client import CONTOSO
from tests.jobs import BULK, ENDED, PROGRESS, came_to
from tests.program import running
from tests.redis_server import running_on_socket
from tests.served_gateway import served

ADELE = "Adele Vance"
EVENTS = {"Accept": "text/event-stream"}


def everybody(sandbox, sku_id):
    tenant = {"scope": {"all": True}, "filter": {"licensedFor": [sku_id], "search": "contoso"}}
    return {"users": {"matching": tenant}, "remove": [sku_id]}


async def begun(gateway, sandbox, sku_id, delay_ms=40):
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=delay_ms)
    payload = await change(gateway, BULK, **everybody(sandbox, sku_id))
    return payload["job"]["id"]


async def events(gateway, id, **headers):
    """What the stream said: names of its events, and their data."""
    body = {"query": PROGRESS, "variables": {"id": id}}
    answer = await gateway.http.post("/graphql", json=body, headers=EVENTS | headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store, no-transform"
    return read(answer.text)


def read(text):
    found = []
    for block in text.split("\r\n\r\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\r\n") if ": " in line and not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"]) if lines["data"].strip() else None))
    return found


def states(found):
    return [data["data"]["jobProgress"] for name, data in found if name == "next"]


async def test_a_stream_tells_the_state_now_then_what_changes_and_at_last_the_end(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3)
    started_at = time.monotonic()
    found = await events(gateway, id)
    seconds = time.monotonic() - started_at

    told = states(found)
    assert found[-1] == ("complete", None)
    assert told[0]["state"] in ("QUEUED", "RUNNING")
    assert (told[-1]["state"], told[-1]["done"], told[-1]["total"]) == ("SUCCEEDED", 20, 20)
    assert told[-1]["endedAt"] is not None
    assert all(one["id"] == id for one in told)
    assert [one["done"] for one in told] == sorted(one["done"] for one in told)
    assert 2 <= len(told) <= 2 + 2 * seconds  # at most two a second


async def test_an_ended_job_is_told_once(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3, delay_ms=1)
    await events(gateway, id)
    found = await events(gateway, id)

    assert [one["state"] for one in states(found)] == ["SUCCEEDED"]
    assert [name for name, _ in found] == ["next", "complete"]


async def test_what_the_caller_does_not_reach_looks_absent(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3, delay_ms=1)
    stranger = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])
    foreign = await events(gateway, id, Authorization=stranger)
    absent = await events(gateway, "nonsense")
    unread = await events(gateway, id, Authorization=bearer(permissions=without("READ")))

    assert [(name, data and data["errors"][0]["extensions"]["code"]) for name, data in foreign] == [
        ("next", "NOT_FOUND"),
        ("complete", None),
    ]
    assert foreign[0][1]["errors"] == absent[0][1]["errors"]
    assert unread[0][1]["errors"][0]["extensions"]["code"] == "NOT_PERMITTED"
    assert states(await events(gateway, id, Authorization=bearer("direct-customer", tenant_ids=[CONTOSO])))


async def test_a_subscription_that_asks_for_no_stream_is_told_what_to_do(gateway):
    answer = await gateway.http.post("/graphql", json={"query": PROGRESS, "variables": {"id": "x"}})

    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {
            "message": "Subscriptions are answered over a WebSocket, or to Accept: text/event-stream.",
            "extensions": {"code": "BAD_REQUEST"},
        }
    ]


async def test_a_stream_asked_through_another_replica_tells_the_same(sandbox, redis_url, e3):
    async with (
        running_gateway(sandbox, redis_url=redis_url) as one,
        running_gateway(sandbox, redis_url=redis_url) as other,
    ):
        id = await begun(one, sandbox, e3)
        told = await asyncio.gather(events(one, id), events(other, id))

    assert [states(found)[-1] for found in told] == [states(told[0])[-1]] * 2
    assert states(told[1])[-1]["state"] == "SUCCEEDED"


async def test_a_stream_ends_with_its_token(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3, delay_ms=500)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "short", "name": "Short", "kind": "partner"}
    soon = int(time.time()) - 26  # tokens are taken for 30 seconds more
    token = sign_token({**claims, "exp": soon, "permissions": list(EVERYTHING)})
    found = await events(gateway, id, Authorization=f"Bearer {token}")

    assert states(found[:1])[0]["state"] == "RUNNING"
    assert found[-2][1]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert found[-1] == ("complete", None)


async def test_streams_take_no_turn_of_requests_but_count_with_the_sockets(sandbox):
    limits = {"GATEWAY_MAX_RUNNING": "1", "GATEWAY_MAX_CALLER_RUNNING": "1", "GATEWAY_MAX_CALLER_SOCKETS": "1"}
    e3 = sku_of(sandbox, "ENTERPRISEPACK")
    async with served(sandbox, **limits) as gateway:
        order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=3000)
        input = {"users": {"ids": [id_of(sandbox, ADELE)]}, "remove": [e3]}
        id = (await gateway.ask(BULK, {"input": input})).json()["data"]["updateLicensesInBulk"]["job"]["id"]
        body = {"query": PROGRESS, "variables": {"id": id}}
        async with gateway.http.stream("POST", "/graphql", json=body, headers=EVENTS) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: next"
            beside = await gateway.ask("{ viewer { name } }")
            second = await gateway.http.post("/graphql", json=body, headers=EVENTS)
        async with asyncio.timeout(60):
            third = second
            while third.status_code == 429:  # until it is noticed that the first has hung up
                await asyncio.sleep(0.05)
                third = await gateway.http.post("/graphql", json=body, headers=EVENTS)

    assert beside.json()["data"] == {"viewer": {"name": "Demo partner"}}
    assert (second.status_code, second.json()["errors"][0]["extensions"]["code"]) == (429, "THROTTLED")
    assert (third.status_code, states(read(third.text))[-1]["state"]) == (200, "SUCCEEDED")


async def test_a_process_that_stops_ends_its_streams(sandbox):
    e3 = sku_of(sandbox, "ENTERPRISEPACK")
    async with served(sandbox, GATEWAY_DRAIN_QUERY_SECONDS="100", GATEWAY_DRAIN_WRITE_SECONDS="100") as gateway:
        order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=1000)
        people = [id_of(sandbox, name) for name in (ADELE, "Alex Wilber", "Diego Siciliani")] * 2
        input = {"users": {"ids": people}, "remove": [e3]}
        id = (await gateway.ask(BULK, {"input": input})).json()["data"]["updateLicensesInBulk"]["job"]["id"]
        body = {"query": PROGRESS, "variables": {"id": id}}
        async with gateway.http.stream("POST", "/graphql", json=body, headers=EVENTS) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: next"
            gateway.stop()
            async with asyncio.timeout(50):  # less than a query would be given
                await asyncio.shield(gateway.ended)


async def test_a_subscriber_that_takes_nothing_is_dropped():
    async def never(_: object) -> None:
        await asyncio.sleep(60)

    async def nothing() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    subscriber = Subscriber(nothing, never, seconds=0.05)
    with pytest.raises(TooSlow):
        await subscriber.send({"type": "http.response.body"})
    await subscriber.send_or_drop({"type": "websocket.send"})
    assert (await subscriber.receive())["type"] == "websocket.disconnect"
    subscriber.close()


# ── over a WebSocket, asked of the program itself ──────────────────────────────────────────────


@pytest.fixture(scope="module")
def program():
    with running_on_socket() as (redis, _):
        settings = {"GATEWAY_REDIS_URL": redis}
        with running("serve", "--sandbox", "--port", "0", "--sandbox-port", "0", lines=2, settings=settings) as program:
            yield program.lines[0].split()[-1].replace("http://", "ws://")


@contextmanager
def opened(url, authorization):
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        tell(socket, {"type": "connection_init", "payload": {"authorization": authorization}})
        assert heard(socket) == {"type": "connection_ack"}
        yield socket


def tell(socket, message):
    socket.send(json.dumps(message))


def heard(socket):
    return json.loads(socket.recv(timeout=60))


def ask(socket, query, variables, id="1"):
    tell(socket, {"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})


def test_a_socket_tells_the_state_now_and_then_to_the_end_to_whom_connection_init_names(program, sandbox):
    e3 = sku_of(sandbox, "ENTERPRISEPACK")
    with opened(program, bearer()) as socket:
        ask(socket, BULK, {"input": everybody(sandbox, e3)}, "begin")
        id = heard(socket)["payload"]["data"]["updateLicensesInBulk"]["job"]["id"]
        assert heard(socket) == {"id": "begin", "type": "complete"}
        ask(socket, PROGRESS, {"id": id}, "follow")
        told = []
        while (message := heard(socket))["type"] == "next":
            assert message["id"] == "follow"
            told.append(message["payload"]["data"]["jobProgress"])
        assert message == {"id": "follow", "type": "complete"}
        assert told[-1]["state"] in ENDED
        assert told[-1]["done"] == told[-1]["total"] == 20
    with opened(program, bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])) as socket:
        ask(socket, PROGRESS, {"id": id})
        [error] = heard(socket)["payload"]["errors"]
        assert (error["message"], error["extensions"]["code"]) == ("There is no such job.", "NOT_FOUND")


def test_a_socket_is_closed_when_its_token_expires(program, sandbox):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "short", "name": "Short", "kind": "partner"}
    token = sign_token({**claims, "exp": int(time.time()) - 26, "permissions": list(EVERYTHING)})
    with opened(program, f"Bearer {token}") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            heard(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


async def test_a_job_goes_on_when_its_followers_hang_up(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3)
    task = asyncio.create_task(events(gateway, id))
    await came_to(gateway, id, 3)
    task.cancel()
    found = await events(gateway, id)

    assert states(found)[-1]["state"] == "SUCCEEDED"
