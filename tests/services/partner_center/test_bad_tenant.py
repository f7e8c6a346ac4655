"""One tenant that is throttled, dead or broken among fifty: the others do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from services.deadlines import start_deadline
from services.errors import UpstreamError
from services.partner_center.transport import Transport
from services.upstream_turns import ask_in_turn
from tests.services.partner_center.scripted import BASE_URL, reply
from tests.virtual_time import run_in_virtual_time

TENANTS = 50
CALLS = 8
LATENCY_SECONDS = 0.05
BAD = "tenant-7"

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


async def healthy(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(LATENCY_SECONDS)
    return reply(200, {})


async def throttled(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(LATENCY_SECONDS)
    return reply(429, None, Retry_After="60")


async def broken(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(LATENCY_SECONDS)
    return reply(503, None)


async def refused(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


async def silent(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(600)
    raise AssertionError


class Tokens:
    async def get(self) -> str:
        return "token"

    def at_hand(self) -> str:
        return "token"

    def invalidate(self, token: str) -> None: ...


class Upstream(httpx.AsyncBaseTransport):
    def __init__(self, bad: Answer) -> None:
        self.bad = bad
        self.bad_calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if BAD in request.url.path:
            self.bad_calls += 1
            return await self.bad(request)
        return await healthy(request)


async def ask_all(bad: Answer) -> tuple[float, int, list[object]]:
    """Gives how long the good tenants took, how often the bad one was asked, and what came of that."""
    upstream = Upstream(bad)
    transport = Transport(upstream, Tokens(), base_url=BASE_URL)

    async def ask(tenant_id: str) -> int:
        return (await transport.request("GET", f"/customers/{tenant_id}/users", tenant_id=tenant_id)).status

    start_deadline(10)
    ask_in_turn("portal")
    clock = asyncio.get_running_loop().time
    started = clock()
    tasks = {
        f"tenant-{number}": [asyncio.create_task(ask(f"tenant-{number}")) for _ in range(CALLS)]
        for number in range(TENANTS)
    }
    bad_tasks = tasks.pop(BAD)
    good = await asyncio.gather(*(task for of_tenant in tasks.values() for task in of_tenant))
    took = clock() - started
    assert set(good) == {200}
    answers: list[object] = list(await asyncio.gather(*bad_tasks, return_exceptions=True))
    assert transport.health().calls_in_flight == 0
    return took, upstream.bad_calls, answers


@pytest.mark.parametrize(
    ("bad", "code", "most_calls"),
    [
        (throttled, "THROTTLED", 8),
        (broken, "UPSTREAM_ERROR", 13),
        (refused, "UPSTREAM_ERROR", 13),
        (silent, "TIMEOUT", 24),  # its deadline goes by the real clock, so each call is tried three times
    ],
)
def test_the_other_tenants_take_hardly_longer(bad, code, most_calls):
    usual, _, _ = run_in_virtual_time(ask_all(healthy))

    took, bad_calls, answers = run_in_virtual_time(ask_all(bad))

    assert took < 1.2 * usual
    assert bad_calls <= most_calls
    assert all(isinstance(answer, UpstreamError) for answer in answers)
    assert code in {answer.code for answer in answers if isinstance(answer, UpstreamError)}
