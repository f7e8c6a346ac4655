"""Gates that replicas share, against a real server: after one was told to wait, none calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx
import pytest
from redis import Redis

from services.deadlines import start_deadline
from services.errors import Throttled
from services.partner_center.gates import Gates, GateScope, connect_gates
from services.partner_center.transport import Transport
from services.secret import Secret
from tests.redis_server import running_on_socket
from tests.services.partner_center.scripted import BASE_URL, reply

NAMESPACE = "sandbox:5f8e3f46-8e3b-4b6c-9f7e-1d2c3b4a5968"
USERS = GateScope("x", "customers/users")
OTHER = GateScope("y", "customers/users")

Connect = Callable[[], Gates]


@pytest.fixture
async def replica(redis_url) -> AsyncIterator[Connect]:
    """Makes the gates of one more replica."""
    made: list[Gates] = []

    def connect() -> Gates:
        made.append(connect_gates(Secret(redis_url), NAMESPACE))
        return made[-1]

    yield connect
    for gates in made:
        await gates.disconnect()


async def wait_of(gates: Gates, scope: GateScope) -> float:
    """How long a call has to wait, as it is told where nobody waits."""

    async def enter() -> float:
        start_deadline(0.5)
        started = time.monotonic()
        try:
            gates.leave(await gates.enter(scope), answered=False)
        except Throttled as error:
            return error.retry_after_seconds
        assert time.monotonic() - started < 0.5
        return 0

    return await asyncio.create_task(enter())


async def close(gates: Gates, scope: GateScope, seconds: float | None) -> None:
    await gates.close(scope, seconds, asked_at=gates.now())


async def test_what_closes_for_one_replica_is_closed_for_the_other(replica):
    one, two = replica(), replica()
    assert await wait_of(two, USERS) == 0

    await close(one, USERS, 30)

    assert [await wait_of(each, USERS) for each in (one, two)] == [30, 30]
    assert [await wait_of(each, OTHER) for each in (one, two)] == [0, 0]


async def test_a_replica_that_starts_later_knows_too_and_no_longer_than_the_gate_is_closed(replica, redis_url):
    await close(replica(), USERS, 0.3)
    assert await wait_of(replica(), USERS) == 1

    await asyncio.sleep(0.31)

    assert await wait_of(replica(), USERS) == 0
    with Redis.from_url(redis_url) as client:
        (left,) = client.scan_iter()
        assert left.endswith(b":gate:{partner}:throttled")
        assert 0 < client.ttl(left) <= 10


async def test_the_longer_of_two_waits_holds(replica):
    one, two = replica(), replica()
    await close(one, USERS, 30)
    await close(two, USERS, 3)
    assert await wait_of(replica(), USERS) == 30

    await close(two, USERS, 50)

    assert await wait_of(one, USERS) == 50


async def test_tenants_throttled_at_different_replicas_close_the_partners_gate_together(replica):
    one, two, three = replica(), replica(), replica()
    for gates, tenant in ((one, "a"), (two, "b"), (three, "c")):
        assert await wait_of(one, OTHER) == 0
        await close(gates, GateScope(tenant, "customers/users"), 20)

    assert [await wait_of(each, OTHER) for each in (one, two, three)] == [20, 20, 20]


async def test_gates_of_another_namespace_are_others(replica, redis_url):
    elsewhere = connect_gates(redis_url, "live:x")
    await close(elsewhere, USERS, 30)

    assert await wait_of(replica(), USERS) == 0
    await elsewhere.disconnect()


async def test_a_reset_opens_all_for_every_replica_that_starts(replica):
    one = replica()
    await close(one, USERS, 30)

    await one.reset()

    assert await wait_of(one, USERS) == 0
    assert await wait_of(replica(), USERS) == 0


async def test_without_redis_each_replica_learns_by_itself_and_is_slowed_down_once():
    with running_on_socket() as (url, server):
        one, two = connect_gates(url, NAMESPACE), connect_gates(url, NAMESPACE)
        assert await wait_of(one, USERS) == 0
        server.kill()
        server.wait()
        started = time.monotonic()
        await close(one, USERS, 30)
        for _ in range(100):
            assert await wait_of(one, USERS) == 30
            assert await wait_of(two, USERS) == 0
        took = time.monotonic() - started
        await one.disconnect()
        await two.disconnect()

    assert took < 1


async def test_a_redis_that_does_not_answer_costs_its_time_limit_once():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gates = connect_gates(f"redis://127.0.0.1:{port}/0", NAMESPACE)
    started = time.monotonic()
    for _ in range(50):
        assert await wait_of(gates, USERS) == 0
    took = time.monotonic() - started
    await gates.disconnect()
    server.close()

    assert took < 0.6


class Microsoft(httpx.AsyncBaseTransport):
    """Throttles the tenant x once, when told to, and remembers when and by whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.throttle_next = False
        self.throttled_at = float("inf")

    def of(self, replica: str) -> httpx.AsyncBaseTransport:
        upstream = self

        class Line(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return await upstream.answer(request, replica)

        return Line()

    async def answer(self, request: httpx.Request, replica: str) -> httpx.Response:
        self.asked.append((time.monotonic(), replica))
        if self.throttle_next:
            self.throttle_next = False
            self.throttled_at = time.monotonic()
            return reply(429, None, Retry_After="1")
        await asyncio.sleep(0.003)
        return reply(200, {})


class Tokens:
    async def get(self) -> str:
        return "token"

    def invalidate(self, token: str) -> None: ...


def transport(microsoft: Microsoft, name: str, gates: Gates) -> Transport:
    return Transport(microsoft.of(name), Tokens(), base_url=BASE_URL, gates=gates)


async def test_after_one_429_neither_of_two_replicas_calls_before_the_time_is_over(replica):
    microsoft = Microsoft()
    one, two = transport(microsoft, "one", replica()), transport(microsoft, "two", replica())

    async def ask(through: Transport) -> None:
        await through.request("GET", "/customers/x/users", tenant_id="x")

    await asyncio.gather(ask(one), ask(two))
    microsoft.throttle_next = True
    first = asyncio.create_task(ask(one))
    onlooker = replica()
    while not await wait_of(onlooker, USERS):  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.005)
    await asyncio.gather(first, *(ask(each) for each in (one, two) * 5))

    after = [at - microsoft.throttled_at for at, _ in microsoft.asked if at > microsoft.throttled_at]
    assert len(after) == 11
    assert min(after) >= 1.0
    assert {name for at, name in microsoft.asked if at > microsoft.throttled_at} == {"one", "two"}


async def test_under_load_no_replica_begins_a_call_while_the_gate_is_closed(replica):
    microsoft = Microsoft()
    transports = [transport(microsoft, str(number), replica()) for number in range(2)]
    ends_at = time.monotonic() + 1.8

    async def worker(through: Transport) -> None:
        while time.monotonic() < ends_at:
            await through.request("GET", "/customers/x/users", tenant_id="x")

    async def throttle() -> None:
        await asyncio.sleep(0.3)
        microsoft.throttle_next = True

    await asyncio.gather(throttle(), *(worker(each) for each in transports for _ in range(4)))

    under_way = 0.25  # calls that had begun before the 429 was told; long, for a busy machine
    closed = [at for at, _ in microsoft.asked if microsoft.throttled_at + under_way < at < microsoft.throttled_at + 1.0]
    assert closed == []
    assert sum(at > microsoft.throttled_at + 1.0 for at, _ in microsoft.asked) > 10
