"""What is sent again, when, and under which ids: each cell of the table, with the exact list of calls."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.deadlines import start_deadline
from services.errors import Refused, SignInAgain, Throttled, Timeout, UpstreamError
from services.partner_center.admission import CallEvent
from services.partner_center.breakers import FAILURES_IN_A_ROW, BreakerState
from services.partner_center.gates import Gates
from services.partner_center.retries import Retries, RetryBudget
from services.partner_center.transport import Answer
from services.upstream_use import start_counting
from tests.services.partner_center.fake_time import FakeTime
from tests.services.partner_center.scripted import NOW, Reply, Wired, raw, reply
from tests.virtual_time import run_in_virtual_time

TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
READS = ["GET", "HEAD"]
WRITES = ["POST", "PATCH", "DELETE"]
DATES = {"Date": "Mon, 04 May 2026 12:00:00 GMT", "Retry_After": "Mon, 04 May 2026 12:00:05 GMT"}


class CutShort(httpx.AsyncByteStream):
    async def __aiter__(self):
        yield b'{"items": ['
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def cut_short() -> httpx.Response:
    return httpx.Response(200, stream=CutShort())


def not_gzip() -> httpx.Response:
    return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip"))


class Scene:
    """A transport whose waits take no time, and whose jitter is as long as it can be."""

    def __init__(self, replies: list[Reply]) -> None:
        self.time = FakeTime()
        self.events: list[CallEvent] = []
        self.wired = Wired(
            transport_options={
                "retries": Retries(clock=self.time, sleep=self.time.sleep, chance=lambda: 1.0),
                "gates": Gates(clock=self.time, sleep=self.time.sleep),
                "on_event": self.events.append,
            }
        )
        self.wired.upstream.replies = list(replies)

    async def ask(self, method: str = "GET", tenant_id: str | None = TENANT) -> Any:
        path = f"/customers/{tenant_id}/users" if tenant_id else "/customers"
        return await self.wired.transport.request(method, path, tenant_id=tenant_id, request_id="A")

    @property
    def ids(self) -> str:
        """The request ids of the calls, as letters: the same letter is the same id."""
        letters: dict[str | None, str] = {}
        return "".join(
            letters.setdefault(each, chr(ord("A") + len(letters))) for each in self.wired.upstream.sent("MS-RequestId")
        )


BROKEN = [
    pytest.param(lambda: httpx.ConnectError("refused"), id="refused"),
    pytest.param(lambda: httpx.ConnectTimeout("slow"), id="connect timeout"),
    pytest.param(lambda: httpx.PoolTimeout("full"), id="pool timeout"),
    pytest.param(lambda: httpx.ReadTimeout("slow"), id="read timeout"),
    pytest.param(lambda: httpx.WriteTimeout("slow"), id="write timeout"),
    pytest.param(lambda: httpx.ReadError("reset"), id="reset while reading"),
    pytest.param(lambda: httpx.WriteError("reset"), id="reset while sending"),
    pytest.param(lambda: httpx.RemoteProtocolError("closed"), id="end of file"),
    pytest.param(cut_short, id="cut short"),
]
PASSING = [408, 502, 503, 504]
ONCE = [500, 501, 505, 599]
FINAL = [
    pytest.param(lambda: raw(302, b""), UpstreamError, id="302"),
    pytest.param(lambda: raw(400, b""), Refused, id="400"),
    pytest.param(lambda: raw(403, b""), UpstreamError, id="403"),
    pytest.param(lambda: raw(404, b""), UpstreamError, id="404"),
    pytest.param(lambda: raw(409, b""), UpstreamError, id="409"),
    pytest.param(lambda: raw(422, b""), UpstreamError, id="422"),
    pytest.param(lambda: reply(401, {"code": 900421}), SignInAgain, id="401 without a second factor"),
    pytest.param(not_gzip, UpstreamError, id="unreadable"),
    pytest.param(lambda: httpx.LocalProtocolError("ours"), UpstreamError, id="our fault"),
]


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize("failure", BROKEN)
async def test_a_read_whose_connection_broke_is_repeated_under_its_id(method, failure):
    scene = Scene([failure(), failure(), reply(200, {})])

    await scene.ask(method)

    assert scene.ids == "AAA"
    assert scene.time.slept == [0.25, 0.5]
    assert len(set(scene.wired.upstream.sent("MS-CorrelationId"))) == 3


@pytest.mark.parametrize("failure", BROKEN)
async def test_a_read_is_repeated_twice_at_most(failure):
    scene = Scene([failure(), failure(), failure()])

    with pytest.raises(UpstreamError):
        await scene.ask()

    assert scene.ids == "AAA"


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize("status", PASSING)
async def test_a_read_that_failed_for_the_moment_is_repeated_under_new_ids(method, status):
    scene = Scene([raw(status, b""), raw(status, b""), reply(200, {})])

    await scene.ask(method)

    assert scene.ids == "ABC"
    assert scene.time.slept == [0.25, 0.5]
    assert len(set(scene.wired.upstream.sent("MS-CorrelationId"))) == 3


@pytest.mark.parametrize("status", PASSING)
@pytest.mark.parametrize(
    ("headers", "pause"),
    [({"Retry_After": "3"}, 3), (DATES, 5), ({"Retry_After": "0"}, None), ({"Retry_After": "301"}, 0.25)],
)
async def test_a_retry_after_is_waited_for(status, headers, pause):
    scene = Scene([reply(status, None, **headers), reply(200, {})])

    await scene.ask()

    assert scene.ids == "AB"
    assert scene.time.slept == ([] if pause is None else [pause])


@pytest.mark.parametrize("status", ONCE)
async def test_another_failure_of_the_server_is_repeated_once(status):
    scene = Scene([raw(status, b""), raw(status, b"")])

    with pytest.raises(UpstreamError) as caught:
        await scene.ask()

    assert caught.value.status == status
    assert scene.ids == "AB"
    assert scene.time.slept == [0.25]


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry_After": "7"}, [7, 7]),
        (DATES, [5, 5]),
        ({}, [2, 4]),
        ({"Retry_After": "301"}, [2, 4]),
        ({"Retry_After": "-1"}, [2, 4]),
        ({"Retry_After": "soon"}, [2, 4]),
    ],
)
async def test_a_throttled_read_waits_and_is_repeated_under_new_ids(headers, waits):
    scene = Scene([reply(429, None, **headers), reply(429, None, **headers), reply(200, {})])
    use = start_counting()

    await scene.ask()

    assert scene.ids == "ABC"
    assert scene.time.slept == pytest.approx(waits)
    assert use.calls == 3
    assert use.throttled_seconds == pytest.approx(sum(waits))


async def test_a_read_that_is_throttled_again_and_again_says_how_long_to_wait():
    scene = Scene([raw(429, b"")] * 3)

    with pytest.raises(Throttled) as caught:
        await scene.ask()

    assert caught.value.retry_after_seconds == 8
    assert caught.value.sent
    assert scene.ids == "ABC"


async def test_a_refused_token_is_renewed_beside_the_retries():
    scene = Scene([raw(503, b""), raw(401, b""), raw(503, b""), reply(200, {})])

    await scene.ask()

    assert scene.ids == "ABCD"
    assert len(scene.wired.upstream.token_requests) == 2


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize(("answer", "error"), FINAL)
async def test_what_would_not_change_is_not_asked_again(method, answer, error):
    scene = Scene([answer()])

    with pytest.raises(error):
        await scene.ask(method)

    assert scene.ids == "A"


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize(
    "failure",
    [
        *BROKEN,
        *(pytest.param(lambda status=status: raw(status, b""), id=str(status)) for status in [*PASSING, *ONCE, 429]),
        *(pytest.param(each.values[0], id=each.id) for each in FINAL),
    ],
)
async def test_a_write_is_sent_once(method, failure):
    scene = Scene([failure()])

    with pytest.raises(UpstreamError):
        await scene.ask(method)

    assert scene.ids == "A"
    assert scene.time.slept == []


async def test_a_write_is_sent_again_only_with_a_new_token():
    scene = Scene([raw(401, b""), reply(200, {})])

    await scene.ask("POST")

    assert scene.ids == "AB"


async def test_no_pause_is_begun_that_the_time_does_not_allow():
    scene = Scene([reply(503, None, Retry_After="20")])
    start_deadline(10)

    with pytest.raises(UpstreamError) as caught:
        await scene.ask()

    assert caught.value.status == 503
    assert scene.ids == "A"
    assert scene.time.slept == []


async def test_a_429_whose_wait_does_not_fit_the_time_takes_nothing_from_the_budget():
    scene = Scene([reply(429, None, Retry_After="20")])
    start_deadline(10)

    with pytest.raises(Throttled) as caught:
        await scene.ask()

    assert caught.value.retry_after_seconds == 20
    assert caught.value.sent
    assert [event.value for event in scene.events] == ["throttled"]


async def never(request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(600)
    raise AssertionError


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_is_waited_for_no_longer_than_the_time_allows(method):
    """A quarter of a second is kept back for the answer."""

    async def ask() -> float:
        wired = Wired()
        wired.upstream.token_replies = [never]
        start_deadline(10)
        with pytest.raises(Timeout) as caught:
            await wired.transport.request(method, "/customers", tenant_id=None)
        assert not caught.value.sent
        assert wired.upstream.requests == []
        return asyncio.get_running_loop().time()

    assert 5 < run_in_virtual_time(ask()) <= 9.75


async def test_no_call_is_started_when_the_time_is_over():
    scene = Scene([])
    start_deadline(0.4)
    for method in ("GET", "POST"):
        with pytest.raises(Timeout) as caught:
            await scene.ask(method)
        assert not caught.value.sent

    assert scene.wired.upstream.requests == []
    assert scene.wired.upstream.token_requests == []


def test_a_call_ends_a_quarter_of_a_second_before_its_request():
    async def ask() -> float:
        wired = Wired()
        wired.upstream.replies = [never]
        start_deadline(10)
        with pytest.raises(Timeout) as caught:
            await wired.transport.request("GET", "/customers", tenant_id=None)
        assert caught.value.sent
        assert len(wired.upstream.requests) == 1
        return asyncio.get_running_loop().time()

    assert 5 < run_in_virtual_time(ask()) <= 9.75


async def test_pauses_are_spread_from_nothing_to_their_full_length():
    drawn = iter([0.0, 0.5])
    time_ = FakeTime()
    wired = Wired(transport_options={"retries": Retries(clock=time_, sleep=time_.sleep, chance=lambda: next(drawn))})
    wired.upstream.replies = [raw(503, b""), raw(503, b""), reply(200, {})]

    await wired.transport.request("GET", "/customers", tenant_id=None)

    assert time_.slept == [0.25]


async def test_who_is_cancelled_during_a_pause_asks_no_more():
    pausing = asyncio.Event()

    async def pause(seconds: float) -> None:
        pausing.set()
        await asyncio.sleep(600)

    wired = Wired(transport_options={"retries": Retries(sleep=pause)})
    wired.upstream.replies = [raw(503, b"")]
    call = asyncio.create_task(wired.transport.request("GET", "/customers", tenant_id=None))
    await pausing.wait()

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(wired.upstream.requests) == 1
    assert wired.transport.health().calls_in_flight == 0


@pytest.mark.parametrize(("reads", "most"), [(20, 30), (100, 110), (2000, 2200)])
async def test_a_storm_of_failures_causes_a_tenth_more_calls_or_ten(reads, most):
    sent: list[str] = []
    time_ = FakeTime()
    retries = Retries(clock=time_, sleep=lambda _: asyncio.sleep(0))

    async def send(request_id: str) -> Answer:
        sent.append(request_id)
        return Answer(503, b"", httpx.Headers(), NOW, request_id, "")

    await asyncio.gather(*(retries.read(send, "A", lambda _: True, lambda: None) for _ in range(reads)))

    assert reads < len(sent) <= most


async def test_a_partner_center_that_is_down_gets_no_storm_through_the_transport():
    scene = Scene([raw(503, b"")] * 1000)

    answers = await asyncio.gather(
        *(scene.ask(tenant_id=f"tenant-{number}") for number in range(500)), return_exceptions=True
    )

    assert all(isinstance(answer, UpstreamError) for answer in answers)
    assert len(scene.wired.upstream.requests) <= 1.1 * 500 + 10
    assert scene.wired.transport.health().partner_center is BreakerState.OPEN


def test_the_budget_is_of_the_last_minute():
    time_ = FakeTime()
    budget = RetryBudget(clock=time_)
    for _ in range(200):
        budget.count_read()

    assert [budget.take() for _ in range(21)] == [True] * 20 + [False]
    time_.advance(59)
    assert not budget.take()
    time_.advance(2)
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]


async def test_a_tenant_that_just_failed_too_often_is_not_asked_again():
    scene = Scene([raw(503, b"")] * FAILURES_IN_A_ROW)
    answers = await asyncio.gather(*(scene.ask() for _ in range(FAILURES_IN_A_ROW)), return_exceptions=True)

    assert all(isinstance(answer, UpstreamError) for answer in answers)
    assert len(scene.wired.upstream.requests) == FAILURES_IN_A_ROW


async def test_what_happens_is_told():
    scene = Scene([raw(503, b""), raw(429, b""), reply(200, {})])

    await scene.ask()

    assert [event.value for event in scene.events] == ["failed", "retried", "throttled", "retried", "answered"]
