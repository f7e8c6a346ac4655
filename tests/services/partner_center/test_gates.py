"""What a 429 closes, for whom and how long, and how it opens again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from services.deadlines import start_deadline
from services.errors import Throttled, Timeout
from services.partner_center.gates import FORGOTTEN_AFTER_SECONDS, Gate, Gates, GateScope, connect_gates, scope_of
from services.partner_center.transport import Transport
from services.upstream_use import start_counting
from tests.services.partner_center.fake_time import FakeTime, settle
from tests.services.partner_center.scripted import Reply, Wired, reply

USERS = GateScope("x", "customers/users")
LICENSES = GateScope("x", "customers/users/licenses")
OTHER = GateScope("y", "customers/users")


class Scene:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.gates = Gates(clock=self.time, sleep=self.time.sleep)

    async def throttle(self, scope: GateScope, seconds: float | None = 5.0) -> None:
        self.time.advance(0.001)
        await self.gates.close(scope, seconds, asked_at=self.time.now)

    async def wait_of(self, scope: GateScope) -> float:
        """How long a call to the scope has to wait now."""
        return max(0.0, self.gates.seconds_closed(scope))


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/customers", "customers"),
        ("/customers?size=500", "customers"),
        ("/customers/x", "customers"),
        ("/customers/x/users?size=500", "customers/users"),
        ("/customers/x/users/u", "customers/users"),
        ("/customers/x/users/u/licenses", "customers/users/licenses"),
        ("/customers/x/products/0001/skus/2", "customers/products/skus"),
        ("/" + "a/b/" * 1000, ("a/" * 1000)[:100]),
    ],
)
def test_a_scope_is_a_tenant_and_the_words_of_a_path(path, resource):
    assert scope_of("x", path) == ("x", resource)


async def test_a_429_closes_its_tenant_and_resource_and_no_other():
    scene = Scene()

    await scene.throttle(USERS)

    assert [await scene.wait_of(scope) for scope in (USERS, LICENSES, OTHER)] == [5, 0, 0]
    assert (scene.gates.closed, scene.gates.partner_closed_seconds) == (1, 0)


async def test_three_tenants_within_ten_seconds_close_the_partners_gate():
    scene = Scene()
    for tenant in "abc":
        assert await scene.wait_of(OTHER) == 0
        await scene.throttle(GateScope(tenant, "customers/users"))
        scene.time.advance(4)

    assert await scene.wait_of(OTHER) == 1
    assert await scene.wait_of(GateScope(None, "customers")) == 1


async def test_three_tenants_over_a_longer_time_do_not():
    scene = Scene()
    for tenant in "abc":
        await scene.throttle(GateScope(tenant, "customers/users"), 30)
        scene.time.advance(5.1)

    assert await scene.wait_of(OTHER) == 0


async def test_one_tenant_on_three_resources_does_not():
    scene = Scene()
    for resource in "abc":
        await scene.throttle(GateScope("x", resource))

    assert await scene.wait_of(OTHER) == 0


async def test_without_a_usable_time_the_waits_are_two_four_and_eight_seconds():
    scene = Scene()
    waits = []
    for _ in range(4):
        await scene.throttle(USERS, None)
        waits.append(await scene.wait_of(USERS))
        scene.gates.leave(await scene.gates.enter(USERS), answered=False)

    assert waits == [2, 4, 8, 8]


async def test_calls_that_were_under_way_together_count_once():
    scene = Scene()
    asked_at = scene.time.now
    is_new = [await scene.gates.close(USERS, None, asked_at) for _ in range(8)]

    assert is_new == [True] + [False] * 7
    assert await scene.wait_of(USERS) == 2


async def test_a_shorter_wait_does_not_open_a_gate_earlier():
    scene = Scene()
    await scene.throttle(USERS, 10)
    await scene.throttle(USERS, 1)

    assert await scene.wait_of(USERS) == pytest.approx(10, abs=0.01)


async def test_a_wait_that_does_not_fit_the_time_is_an_error_at_once_that_says_how_long():
    scene = Scene()
    await scene.throttle(USERS, 6.2)
    start_deadline(6)

    with pytest.raises(Throttled) as caught:
        await scene.gates.enter(USERS)

    assert caught.value.retry_after_seconds == 7
    assert caught.value.extensions() == {"code": "THROTTLED", "retryAfterSeconds": 7}
    assert not caught.value.sent
    assert scene.time.slept == []


async def test_a_wait_that_fits_is_waited_and_counted():
    scene = Scene()
    await scene.throttle(USERS, 5)
    start_deadline(6)
    use = start_counting()

    await scene.gates.enter(USERS)

    assert scene.time.slept == [5]
    assert use.throttled_seconds == 5


async def test_after_a_gate_opens_calls_start_one_by_one():
    scene = Scene()
    await scene.throttle(USERS)
    entered: list[Sequence[Gate]] = []

    async def call() -> None:
        entered.append(await scene.gates.enter(USERS))

    tasks = [asyncio.create_task(call()) for _ in range(40)]
    running = []
    for _ in range(8):
        await settle()
        running.append(len(entered))
        scene.gates.leave(entered.pop(0), answered=True)

    assert running == [1, 2, 3, 4, 5, 6, 7, 33]  # seven answers, and the gate is forgotten
    await asyncio.gather(*tasks)


async def test_a_call_that_failed_lets_no_more_in_than_before():
    scene = Scene()
    await scene.throttle(USERS)
    first = await scene.gates.enter(USERS)
    others = [asyncio.create_task(scene.gates.enter(USERS)) for _ in range(3)]

    scene.gates.leave(first, answered=False)
    await settle()

    assert [task.done() for task in others] == [True, False, False]
    for task in others:
        task.cancel()


@pytest.mark.parametrize("when", ["waiting", "told"])
async def test_who_gives_up_waiting_for_a_turn_leaves_it_to_the_next(when):
    scene = Scene()
    await scene.throttle(USERS)
    first = await scene.gates.enter(USERS)
    second, third = (asyncio.create_task(scene.gates.enter(USERS)) for _ in range(2))
    await settle()

    if when == "waiting":
        second.cancel()
        await settle()
        scene.gates.leave(first, answered=False)
    else:
        scene.gates.leave(first, answered=False)
        second.cancel()
    await settle()

    assert second.cancelled()
    assert third.done()
    assert not third.cancelled()


async def test_who_waits_for_a_turn_until_the_time_is_over_has_sent_nothing():
    scene = Scene()
    await scene.throttle(USERS)
    await scene.gates.enter(USERS)
    start_deadline(0.55)

    with pytest.raises(Timeout) as caught:
        await scene.gates.enter(USERS)

    assert not caught.value.sent


async def test_a_gate_is_forgotten_a_minute_after_it_opened():
    scene = Scene()
    await scene.throttle(USERS, 5)
    scene.time.advance(5 + FORGOTTEN_AFTER_SECONDS)

    assert [await scene.gates.enter(USERS) for _ in range(3)] == [(), (), ()]
    await scene.throttle(OTHER)
    assert len(scene.gates._gates) == 1


async def test_who_entered_before_a_429_enters_again():
    scene = Scene()
    entered = await scene.gates.enter(USERS)
    assert await scene.gates.may_go(USERS, entered)

    await scene.throttle(USERS, 0)

    assert not await scene.gates.may_go(USERS, entered)  # it is open again, and others may go first
    scene.gates.leave(entered, answered=False)
    assert await scene.gates.may_go(USERS, await scene.gates.enter(USERS))


async def test_without_an_address_gates_are_of_this_process():
    gates = connect_gates(None, "sandbox:x")
    await gates.close(USERS, 60, asked_at=gates.now())

    assert gates.closed == 1
    await gates.reset()
    assert gates.closed == 0
    await gates.disconnect()


def throttled_transport(*replies: Reply) -> tuple[Wired, FakeTime]:
    time = FakeTime()
    wired = Wired(transport_options={"gates": Gates(clock=time, sleep=time.sleep)})
    wired.upstream.replies = list(replies)
    return wired, time


async def users_of(transport: Transport, tenant_id: str, method: str = "GET") -> int:
    answer = await transport.request(method, f"/customers/{tenant_id}/users", tenant_id=tenant_id)
    return answer.status


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_after_a_429_nothing_is_sent_to_that_scope_until_the_time_is_over(method):
    wired, time = throttled_transport(reply(429, None, Retry_After="30"), reply(200, {}), reply(200, {}))

    async def with_little_time() -> None:
        start_deadline(20)
        with pytest.raises(Throttled) as caught:
            await users_of(wired.transport, "x", method)
        assert caught.value.retry_after_seconds == 30

    for _ in range(5):
        await asyncio.create_task(with_little_time())
    assert len(wired.upstream.requests) == 1
    assert await users_of(wired.transport, "y", method) == 200

    time.advance(30)
    assert await users_of(wired.transport, "x", method) == 200
    assert len(wired.upstream.requests) == 3


async def test_calls_that_waited_for_a_slot_when_the_gate_closed_are_not_sent():
    go_on = asyncio.Event()

    async def throttle(request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return reply(429, None, Retry_After="30")

    wired, _ = throttled_transport(*[throttle] * 8)
    start_deadline(20)
    calls = [asyncio.create_task(users_of(wired.transport, "x")) for _ in range(50)]
    await settle()

    go_on.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [Throttled] * 50
    assert len(wired.upstream.requests) == 8
    health = wired.transport.health()
    assert (health.calls_in_flight, health.calls_waiting, health.gates_closed, health.slots) == (0, 0, 1, 32)


async def test_a_429_leaves_its_tenant_half_the_slots():
    in_flight = peak = 0

    async def count(request: httpx.Request) -> httpx.Response:
        nonlocal in_flight, peak
        in_flight += 1
        peak = max(peak, in_flight)
        await asyncio.sleep(0.001)
        in_flight -= 1
        return reply(200, {})

    wired, _ = throttled_transport(reply(429, None, Retry_After="0"), *[count] * 40)
    with pytest.raises(Throttled):
        await users_of(wired.transport, "x")
    await asyncio.gather(*(users_of(wired.transport, "x") for _ in range(40)))

    assert peak == 4


async def test_a_429_of_the_partner_leaves_half_the_slots_of_the_process():
    wired, _ = throttled_transport(*(reply(429, None, Retry_After="1") for _ in range(3)))
    slots = []
    for tenant in "abc":
        with pytest.raises(Throttled):
            await users_of(wired.transport, tenant)
        slots.append(wired.transport.health().slots)

    assert slots == [32, 32, 16]
