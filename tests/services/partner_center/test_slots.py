"""Who has a slot, who is next, and that nothing is lost when somebody gives up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextvars import copy_context

import pytest

from services.deadlines import start_deadline
from services.errors import Timeout
from services.partner_center.slots import Slot, Slots
from services.upstream_turns import MOST_WAITING, MOST_WAITING_PER_TENANT, ask_in_turn
from services.upstream_use import start_counting
from tests.services.partner_center.fake_time import FakeTime, settle


class Office:
    """Takes slots for requests of named callers, and remembers to whom they were given, in order."""

    def __init__(self, total: int, per_tenant: int = 8) -> None:
        self.time = FakeTime()
        self.slots = Slots(total, per_tenant, clock=self.time)
        self.given: list[tuple[str, str | None]] = []
        self.held: list[Slot] = []

    async def ask(
        self, caller: str, tenants: Sequence[str | None], *, is_job: bool = False
    ) -> list[asyncio.Task[None]]:
        """One request with a call to each of the tenants."""

        async def take(tenant_id: str | None) -> None:
            self.held.append(await self.slots.take(tenant_id))
            self.given.append((caller, tenant_id))

        context = copy_context()
        context.run(lambda: ask_in_turn(caller, is_job=is_job))
        tasks = [asyncio.create_task(take(tenant_id), context=context) for tenant_id in tenants]
        await settle()
        return tasks

    async def give_back(self, count: int = 1) -> None:
        for _ in range(count):
            self.slots.give_back(self.held.pop(0))
            await settle()

    async def finish(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        while self.held:
            await self.give_back()
        await asyncio.gather(*tasks)


async def test_the_next_slot_is_for_whom_a_large_request_would_keep_waiting():
    office = Office(total=4)
    large = await office.ask("portal", [str(number % 50) for number in range(2500)])
    small = await office.ask("shop", ["one"])
    assert ("shop", "one") not in office.given

    await office.give_back()

    assert office.given[4:] == [("shop", "one")]
    await office.finish([*large, *small])
    assert len(office.given) == 2501


async def test_callers_take_turns_and_the_tenants_of_each_do_too():
    office = Office(total=1)
    tasks = await office.ask("first", ["x"])
    for caller, tenants in (("a", "xxy"), ("b", "xy"), ("c", "z")):
        tasks += await office.ask(caller, tenants)

    await office.finish(tasks)

    assert office.given[1:] == [("a", "x"), ("b", "x"), ("c", "z"), ("a", "y"), ("b", "y"), ("a", "x")]


async def test_two_requests_of_one_caller_share_its_turn():
    office = Office(total=1)
    tasks = await office.ask("first", ["x"])
    tasks += await office.ask("a", ["x"])
    tasks += await office.ask("a", ["x"])
    tasks += await office.ask("b", ["x"])

    await office.finish(tasks)

    assert [caller for caller, _ in office.given] == ["first", "a", "b", "a"]


async def test_calls_to_one_tenant_keep_their_order():
    office = Office(total=1)
    order: list[int] = []

    async def numbered(number: int) -> None:
        slot = await office.slots.take("x")
        order.append(number)
        office.slots.give_back(slot)

    await asyncio.gather(*(numbered(number) for number in range(30)))

    assert order == list(range(30))


async def test_a_tenant_that_does_not_answer_gathers_no_slots_that_others_wait_for():
    office = Office(total=6)
    tasks = await office.ask("portal", [tenant for _ in range(10) for tenant in ("dead", "b", "c", "d", "e", "f")])

    for _ in range(30):
        answered = next(slot for slot in office.held if slot.tenant_id != "dead")
        office.held.remove(answered)
        office.slots.give_back(answered)
        await settle()

    assert [slot.tenant_id for slot in office.held].count("dead") == 1
    for task in tasks:
        task.cancel()


async def test_jobs_have_a_quarter_of_the_slots_at_most():
    office = Office(total=8)

    tasks = await office.ask("job", [None] * 5, is_job=True)

    assert len(office.given) == 2
    await office.finish(tasks)


async def test_jobs_come_after_everybody_else():
    office = Office(total=1)
    tasks = await office.ask("first", ["x"])
    tasks += await office.ask("a", ["x"], is_job=True)
    tasks += await office.ask("b", ["x", "x"])

    await office.finish(tasks)

    assert [caller for caller, _ in office.given] == ["first", "b", "b", "a"]


async def test_a_request_keeps_64_calls_waiting_and_8_for_one_tenant():
    office = Office(total=1, per_tenant=1)
    tasks = await office.ask("first", ["x"])

    tasks += await office.ask("a", ["x"] * 100)
    assert office.slots.waiting == MOST_WAITING_PER_TENANT == 8
    tasks += await office.ask("b", [str(number) for number in range(100)])
    assert office.slots.waiting == MOST_WAITING_PER_TENANT + MOST_WAITING == 72

    await office.finish(tasks)
    assert len(office.given) == 201


async def test_after_a_429_half_the_slots_are_left_and_come_back_one_by_one():
    office = Office(total=32)
    seen = []
    office.slots.halve("x")
    for seconds in (0, 9, 1, 10, 20):
        office.time.advance(seconds)
        tasks = await office.ask("a", ["x"] * 20)
        seen.append(len(office.given))
        await office.finish(tasks)
        office.given.clear()

    assert seen == [4, 4, 5, 6, 8]


async def test_slots_can_be_halved_down_to_one():
    office = Office(total=32)
    limits = []
    for _ in range(7):
        office.slots.halve(None)
        limits.append(office.slots.limit)
    office.time.advance(10)
    limits.append(office.slots.limit)
    office.time.advance(1000)

    assert limits == [16, 8, 4, 2, 1, 1, 1, 2]
    assert office.slots.limit == 32


async def test_half_the_slots_of_one_tenant_are_no_matter_to_another():
    office = Office(total=32)
    office.slots.halve("x")

    tasks = await office.ask("a", ["y"] * 20)

    assert len(office.given) == 8
    await office.finish(tasks)


async def test_who_is_cancelled_leaves_the_queue_and_who_is_given_a_slot_in_that_moment_gives_it_back():
    office = Office(total=1)
    tasks = await office.ask("a", ["x", "x", "y"])
    _, second, third = tasks
    office.slots.give_back(office.held.pop())  # given to the second now, which has not run yet
    second.cancel()
    await settle()

    assert office.given == [("a", "x"), ("a", "y")]
    await office.finish([third])
    assert (office.slots.in_flight, office.slots.waiting) == (0, 0)


async def test_nothing_is_lost_however_calls_are_cancelled():
    chance = random.Random(4)
    office = Office(total=3, per_tenant=2)

    async def call(tenant_id: str) -> None:
        slot = await office.slots.take(tenant_id)
        try:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
        finally:
            office.slots.give_back(slot)

    tasks = [asyncio.create_task(call(chance.choice("xyz"))) for _ in range(500)]
    for task in tasks:
        if chance.random() < 0.3:
            task.cancel()
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (office.slots.in_flight, office.slots.waiting, office.slots._turns) == (0, 0, {})


async def test_who_waits_for_a_slot_until_the_time_is_over_has_sent_nothing():
    office = Office(total=1)
    await office.ask("a", ["x"])
    use = start_counting()
    start_deadline(0.52)

    with pytest.raises(Timeout) as caught:
        await office.slots.take("x")

    assert not caught.value.sent
    assert office.slots.waiting == 0
    assert use.waited_seconds == 0  # by the clock that stands still
