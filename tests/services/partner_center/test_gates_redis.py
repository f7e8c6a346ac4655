"""Gates that replicas share, against a real server: after one was told to wait, none calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

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
PATIENCE_SECONDS = 20.0

Connect = Callable[[], Gates]


@pytest.fixture
async def replica(redis_url) -> AsyncIterator[Connect]:
    """Makes the gates of one more replica, which waits long for Redis since the machine may be loaded."""
    made: list[Gates] = []

    def connect() -> Gates:
        made.append(connect_gates(Secret(redis_url), NAMESPACE, look_seconds=PATIENCE_SECONDS))
        return made[-1]

    yield connect
    for gates in made:
        await gates.disconnect()


async def wait_of(gates: Gates, scope: GateScope) -> float:
    """How long a call has to wait, as it is told where nobody waits."""

    async def enter() -> float:
        start_deadline(0.5)
        try:
            gates.leave(await gates.enter(scope), answered=False)
        except Throttled as error:
            return error.retry_after_seconds
        return 0

    return await asyncio.create_task(enter())


def about(seconds: float) -> Any:
    """What is left of so many seconds a little later; on a loaded machine that may be a while."""
    return pytest.approx(seconds - PATIENCE_SECONDS / 2, abs=PATIENCE_SECONDS / 2)


async def close(gates: Gates, scope: GateScope, seconds: float | None) -> None:
    await gates.close(scope, seconds, asked_at=gates.now())


async def test_what_closes_for_one_replica_is_closed_for_the_other(replica):
    one, two = replica(), replica()
    assert await wait_of(two, USERS) == 0

    await close(one, USERS, 300)

    assert [await wait_of(each, USERS) for each in (one, two)] == [about(300)] * 2
    assert [await wait_of(each, OTHER) for each in (one, two)] == [0, 0]


async def test_a_replica_that_starts_later_knows_too_and_no_longer_than_the_gate_is_closed(replica, redis_url):
    await close(replica(), USERS, 2)
    later = replica()
    assert 1 <= await wait_of(later, USERS) <= 2

    await asyncio.sleep(2.01)

    assert await wait_of(later, USERS) == 0
    assert await wait_of(replica(), USERS) == 0
    with Redis.from_url(redis_url) as client:
        (left,) = client.scan_iter()
        assert left.endswith(b":gate:{partner}:throttled")
        assert 0 < client.ttl(left) <= 10


async def test_the_longer_of_two_waits_holds(replica):
    one, two = replica(), replica()
    await close(one, USERS, 300)
    await close(two, USERS, 30)
    assert await wait_of(replica(), USERS) == about(300)

    await close(two, USERS, 500)

    assert await wait_of(one, USERS) == about(500)


async def test_tenants_throttled_at_different_replicas_close_the_partners_gate_together(replica):
    one, two, three = replica(), replica(), replica()
    for gates, tenant in ((one, "a"), (two, "b"), (three, "c")):
        assert await wait_of(one, OTHER) == 0
        await close(gates, GateScope(tenant, "customers/users"), 200)

    assert [await wait_of(each, OTHER) for each in (one, two, three)] == [about(200)] * 3


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
        async with asyncio.timeout(20):  # looked for each time, a server that is away takes 50 ms and more
            await close(one, USERS, 300)
            for _ in range(1000):
                assert await wait_of(one, USERS) == about(300)
                assert await wait_of(two, USERS) == 0
        await one.disconnect()
        await two.disconnect()


async def test_a_redis_that_does_not_answer_is_asked_again_and_again_only_by_and_by():
    connections = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gates = connect_gates(f"redis://127.0.0.1:{port}/0", NAMESPACE)
    for _ in range(100):
        assert await wait_of(gates, USERS) == 0
    await gates.disconnect()
    server.close()

    assert len(connections) < 10


class Microsoft(httpx.AsyncBaseTransport):
    """Throttles the tenant x once, for two seconds, and remembers when and by whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.throttles = 0
        """The number of the call that is throttled."""
        self.throttled_at = float("inf")

    def of(self, replica: str) -> httpx.AsyncBaseTransport:
        upstream = self

        class Line(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return await upstream.answer(request, replica)

        return Line()

    async def answer(self, request: httpx.Request, replica: str) -> httpx.Response:
        self.asked.append((time.monotonic(), replica))
        if len(self.asked) == self.throttles:
            self.throttled_at = time.monotonic()
            return reply(429, None, Retry_After="2")
        await asyncio.sleep(0.003)
        return reply(200, {})


class Tokens:
    async def get(self) -> str:
        return "token"

    def at_hand(self) -> str:
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
    microsoft.throttles = 3
    first = asyncio.create_task(ask(one))
    onlooker = replica()
    while not await wait_of(onlooker, USERS):  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.005)
    await asyncio.gather(first, *(ask(each) for each in (one, two) * 5))

    after = [at - microsoft.throttled_at for at, _ in microsoft.asked if at > microsoft.throttled_at]
    assert len(after) == 11
    assert min(after) >= 2
    assert {name for at, name in microsoft.asked if at > microsoft.throttled_at} == {"one", "two"}


async def test_under_load_no_replica_begins_a_call_while_the_gate_is_closed(replica):
    microsoft = Microsoft()
    transports = [transport(microsoft, str(number), replica()) for number in range(2)]

    def asked(since: float, until: float = float("inf")) -> int:
        return sum(microsoft.throttled_at + since < at < microsoft.throttled_at + until for at, _ in microsoft.asked)

    async def worker(through: Transport) -> None:
        while asked(2) < 20:
            await through.request("GET", "/customers/x/users", tenant_id="x")

    microsoft.throttles = 40
    await asyncio.gather(*(worker(each) for each in transports for _ in range(4)))

    assert asked(0, 2) < 40  # by those who had looked before the 429 was written; otherwise there are hundreds
