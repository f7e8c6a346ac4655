"""When what fails is left alone, and when it is asked again."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.deadlines import start_deadline
from services.errors import SignInUnavailable, Timeout, UpstreamError
from services.partner_center.breakers import (
    MOST_IDLE,
    Breaker,
    Breakers,
    BreakerState,
    GuardedTokenEndpoint,
    LeftAlone,
    Outcome,
)
from services.partner_center.refresh_tokens import MemoryRefreshTokens
from services.partner_center.tokens import TokenSource
from tests.services.partner_center.fake_time import FakeTime, settle
from tests.services.partner_center.scripted import (
    CREDENTIALS,
    TOKEN_URL,
    Clock,
    Reply,
    ScriptedUpstream,
    Wired,
    raw,
    reply,
)
from tests.virtual_time import run_in_virtual_time

FAILED, ANSWERED, NOTHING = Outcome.FAILED, Outcome.ANSWERED, Outcome.NOTHING


def run(breaker: Breaker, *outcomes: Outcome, tenant_id: str | None = "x") -> None:
    for outcome in outcomes:
        assert not breaker.refuses()
        breaker.leave(outcome, tenant_id, is_probe=breaker.enter())


def state_of(breaker: Breaker) -> BreakerState:
    return breaker.state


def script(*replies: Reply, **options: object) -> Wired:
    wired = Wired(transport_options=options)
    wired.upstream.replies = list(replies)
    return wired


def test_five_failures_in_a_row_open_it():
    breaker = Breaker("x", clock=FakeTime())

    run(breaker, *[FAILED] * 4, ANSWERED, *[FAILED] * 4)
    assert state_of(breaker) is BreakerState.CLOSED
    run(breaker, FAILED)

    assert state_of(breaker) is BreakerState.OPEN
    assert breaker.refuses()


def test_half_of_twenty_calls_in_thirty_seconds_open_it():
    time = FakeTime()
    breaker = Breaker("x", clock=time)

    run(breaker, *[ANSWERED, FAILED] * 9, ANSWERED)
    assert state_of(breaker) is BreakerState.CLOSED
    run(breaker, FAILED)

    assert state_of(breaker) is BreakerState.OPEN


def test_what_was_more_than_thirty_seconds_ago_is_forgotten():
    time = FakeTime()
    breaker = Breaker("x", clock=time)
    run(breaker, *[FAILED, ANSWERED] * 9)
    time.advance(30)

    run(breaker, *[FAILED, ANSWERED] * 9)

    assert state_of(breaker) is BreakerState.CLOSED


def test_what_says_nothing_is_not_counted():
    breaker = Breaker("x", clock=FakeTime())

    run(breaker, *[FAILED] * 4, *[NOTHING] * 30)

    assert state_of(breaker) is BreakerState.CLOSED
    run(breaker, FAILED)
    assert state_of(breaker) is BreakerState.OPEN


def test_one_call_probes_and_closes_it():
    time = FakeTime()
    breaker = Breaker("x", clock=time)
    run(breaker, *[FAILED] * 5)
    time.advance(9.9)
    assert breaker.refuses()
    time.advance(0.1)

    assert not breaker.refuses()
    assert breaker.enter()
    assert breaker.refuses()  # while the probe is under way
    breaker.leave(ANSWERED, is_probe=True)

    assert state_of(breaker) is BreakerState.CLOSED
    run(breaker, *[FAILED] * 4)
    assert state_of(breaker) is BreakerState.CLOSED


def test_each_failed_probe_doubles_the_time_up_to_a_minute():
    time = FakeTime()
    breaker = Breaker("x", clock=time)
    run(breaker, *[FAILED] * 5)
    waited = []
    for _ in range(5):
        before = time.now
        while breaker.refuses():
            time.advance(1)
        waited.append(time.now - before)
        run(breaker, FAILED)
    time.advance(60)
    run(breaker, ANSWERED, *[FAILED] * 5)
    time.advance(10)

    assert waited == [10, 20, 40, 60, 60]
    assert not breaker.refuses()  # after it was closed the first time is short again


def test_a_probe_that_was_given_up_leaves_its_place_to_the_next():
    time = FakeTime()
    breaker = Breaker("x", clock=time)
    run(breaker, *[FAILED] * 5)
    time.advance(10)

    run(breaker, NOTHING)

    assert state_of(breaker) is BreakerState.PROBING
    assert not breaker.refuses()


def test_the_common_one_needs_failures_from_five_tenants():
    breakers = Breakers(clock=FakeTime())
    for tenant in "abcd":
        run(breakers.common, *[FAILED] * 20, tenant_id=tenant)
    assert state_of(breakers.common) is BreakerState.CLOSED

    run(breakers.common, FAILED, tenant_id="e")

    assert state_of(breakers.common) is BreakerState.OPEN
    assert breakers.refuses("never asked")


def test_a_dead_tenant_among_others_does_not_open_the_common_one():
    breakers = Breakers(clock=FakeTime())
    for tenant in "abcd":
        run(breakers.common, ANSWERED, tenant_id=tenant)

    run(breakers.common, *[FAILED] * 50, tenant_id="dead")

    assert state_of(breakers.common) is BreakerState.CLOSED


def test_breakers_of_many_tenants_are_not_kept_for_ever():
    time = FakeTime()
    breakers = Breakers(clock=time)
    for number in range(MOST_IDLE * 3):
        time.advance(0.1)
        breakers.enter(str(number)).leave(ANSWERED)

    assert len(breakers._of_tenants) <= MOST_IDLE


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (lambda: raw(500, b""), True),
        (lambda: raw(503, b""), True),
        (lambda: httpx.ConnectError("refused"), True),
        (lambda: httpx.ReadTimeout("slow"), True),
        (lambda: httpx.ReadError("reset"), True),
        (lambda: httpx.PoolTimeout("ours"), False),
        (lambda: raw(400, b""), False),
        (lambda: raw(404, b""), False),
        (lambda: reply(429, None, Retry_After="0"), False),
        (lambda: raw(302, b""), False),
    ],
)
async def test_it_is_opened_by_broken_connections_time_limits_and_5xx_only(answer, opens):
    wired = script(*(answer() for _ in range(5)), reply(200, {}), reply(200, {}))
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await wired.transport.request("GET", "/customers/x", tenant_id="x")

    for method in ("GET", "POST"):
        if opens:
            with pytest.raises(LeftAlone) as caught:
                await wired.transport.request(method, "/customers/x", tenant_id="x")
            assert not caught.value.sent
            assert caught.value.code == "UPSTREAM_ERROR"
        else:
            await wired.transport.request(method, "/customers/x", tenant_id="x")
    assert len(wired.upstream.requests) == (5 if opens else 7)
    assert wired.transport.health().tenants_left_alone == (1 if opens else 0)


async def test_a_dead_tenant_is_left_alone_and_the_others_are_asked():
    wired = script(*(httpx.ConnectError("refused") for _ in range(5)), reply(200, {}))
    for _ in range(8):
        with pytest.raises(UpstreamError):
            await wired.transport.request("GET", "/customers/dead", tenant_id="dead")

    await wired.transport.request("GET", "/customers/alive", tenant_id="alive")

    assert len(wired.upstream.requests) == 6


async def test_a_call_that_had_hardly_any_time_says_nothing_by_its_time_limit():
    wired = script(*[hangs] * 5, reply(200, {}))

    async def ask() -> None:
        start_deadline(1.5)
        with pytest.raises(Timeout) as caught:
            await wired.transport.request("GET", "/customers/x", tenant_id="x")
        assert caught.value.sent

    await asyncio.gather(*(asyncio.create_task(ask()) for _ in range(5)))

    assert wired.transport.health().tenants_left_alone == 0
    await wired.transport.request("GET", "/customers/x", tenant_id="x")


async def test_after_its_time_one_call_is_sent_and_the_others_are_refused():
    time = FakeTime()
    go_on = asyncio.Event()

    async def probe(request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return reply(200, {})

    wired = script(*[raw(503, b"")] * 5, probe, reply(200, {}), breakers=Breakers(clock=time))

    async def ask() -> object:
        try:
            return (await wired.transport.request("GET", "/customers/x", tenant_id="x")).status
        except UpstreamError as error:
            return type(error)

    assert [await ask() for _ in range(6)] == [UpstreamError] * 5 + [LeftAlone]
    time.advance(10)
    probing = asyncio.create_task(ask())
    await settle()
    assert [await ask() for _ in range(3)] == [LeftAlone] * 3
    go_on.set()

    assert await probing == 200
    assert await ask() == 200
    assert len(wired.upstream.requests) == 7


async def test_a_reset_closes_all():
    wired = script(*[raw(503, b"")] * 5, reply(200, {}))
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await wired.transport.request("GET", "/customers/x", tenant_id="x")

    await wired.transport.reset()

    await wired.transport.request("GET", "/customers/x", tenant_id="x")


async def hangs(request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(60)
    raise AssertionError


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (raw(503, b""), True),
        (httpx.ConnectError("refused"), True),
        (hangs, True),
        (reply(400, {"error": "invalid_grant"}), False),
    ],
)
def test_a_token_endpoint_that_fails_is_left_alone_and_probed(answer: Reply, opens):
    run_in_virtual_time(ask_for_tokens(answer, opens))


async def ask_for_tokens(answer: Reply, opens: bool) -> None:
    time = FakeTime()
    breakers = Breakers(clock=time)
    upstream = ScriptedUpstream()
    tokens = TokenSource(
        GuardedTokenEndpoint(upstream, breakers.token_endpoint),
        CREDENTIALS,
        store=MemoryRefreshTokens(),
        now=Clock(),
        token_url=TOKEN_URL,
    )
    upstream.token_replies = [answer] * 8
    for _ in range(8):
        with pytest.raises(UpstreamError) as caught:
            await tokens.get()

    assert len(upstream.token_requests) == (5 if opens else 8)
    assert not caught.value.sent
    upstream.token_replies.clear()
    if opens:
        assert isinstance(caught.value, SignInUnavailable)
        time.advance(10)
    assert (await tokens.get()).startswith("token-")
    assert state_of(breakers.token_endpoint) is BreakerState.CLOSED
