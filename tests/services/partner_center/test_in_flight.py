"""How many calls are in flight at once, who waits, and what is counted."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.partner_center.transport import Answer
from services.upstream_use import start_counting
from tests.services.partner_center.scripted import ScriptedUpstream, Wired, raw, reply

TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"


async def ask(wired: Wired, tenant_id: str | None = None) -> Answer:
    return await wired.transport.request("GET", "/customers", tenant_id=tenant_id)


@pytest.mark.parametrize(
    ("options", "tenants", "most"),
    [
        ({}, ["one"] * 60, 8),
        ({}, [str(number) for number in range(60)], 32),
        ({}, [None] * 60, 32),
        ({"max_in_flight": 5, "max_in_flight_per_tenant": 2}, ["one"] * 9 + ["two"] * 9 + ["three"] * 9, 5),
        ({"max_in_flight": 5, "max_in_flight_per_tenant": 2}, ["one"] * 9 + ["two"] * 9, 4),
    ],
)
async def test_calls_in_flight_are_bounded_in_all_and_for_each_tenant(options, tenants, most):
    wired = Wired(transport_options=options)
    in_flight = peak = 0

    async def count(request: httpx.Request) -> httpx.Response:
        nonlocal in_flight, peak
        in_flight += 1
        peak = max(peak, in_flight)
        await asyncio.sleep(0.001)
        in_flight -= 1
        return reply(200, {})

    wired.upstream.replies = [count] * len(tenants)
    await asyncio.gather(*(ask(wired, tenant_id=tenant) for tenant in tenants))

    assert peak == most


async def test_a_tenant_that_waits_holds_no_slot_of_the_others():
    wired = Wired(transport_options={"max_in_flight": 3, "max_in_flight_per_tenant": 1})
    go_on = asyncio.Event()

    async def stuck(request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return reply(200, {})

    wired.upstream.replies = [stuck, reply(200, {"id": 2})]
    stuck_calls = [asyncio.create_task(ask(wired, tenant_id="slow")) for _ in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)

    answer = await ask(wired, tenant_id="quick")

    assert answer.json() == {"id": 2}
    wired.upstream.replies = [reply(200, {}), reply(200, {})]
    go_on.set()
    await asyncio.gather(*stuck_calls)
    assert wired.transport.health().calls_in_flight == 0


async def test_calls_and_waits_are_counted_for_the_request_and_tokens_are_not():
    wired = Wired(transport_options={"max_in_flight": 1})

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        return raw(401, b"") if request.headers["Authorization"] == "Bearer token-1" else reply(200, {})

    wired.upstream.replies = [slow] * 3
    use = start_counting()
    await asyncio.gather(ask(wired), ask(wired))

    assert use.calls == 3
    assert use.waited_seconds > 0.03
    assert len(wired.upstream.token_requests) == 2


async def test_a_cancelled_call_gives_its_slot_back():
    wired = Wired(transport_options={"max_in_flight": 1})

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    wired.upstream.replies = [never, reply(200, {})]
    call = asyncio.create_task(ask(wired, tenant_id=TENANT))
    for _ in range(10):
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert (await ask(wired, tenant_id=TENANT)).status == 200


async def test_who_waited_for_a_slot_sends_before_the_answer_that_freed_it_is_read():
    """Reading takes time: while many answers are read one after the other, their slots are in use again."""
    done: list[str] = []

    class Noted(ScriptedUpstream):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            done.append(f"sent {request.url.path.removeprefix('/v1/')}")
            return await super().handle_async_request(request)

    async def read(path: str) -> None:
        await wired.transport.request("GET", f"/{path}", tenant_id=None)
        done.append(f"read {path}")

    wired = Wired(upstream=Noted(), transport_options={"max_in_flight": 1})
    wired.upstream.replies = [reply(200, {})] * 3
    await wired.tokens.get()
    done.clear()
    await asyncio.gather(*map(read, ("a", "b", "c")))

    assert done[:2] == ["sent a", "sent b"]
    assert sorted(done[2:]) == ["read a", "read b", "read c", "sent c"]
