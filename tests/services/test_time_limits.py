"""Time limits over one timer: what `asyncio.timeout` promises holds for each of them."""

from __future__ import annotations

import asyncio
import math

import pytest

from services.time_limits import TimeLimits
from tests.virtual_time import run_in_virtual_time


@pytest.fixture
def limits() -> TimeLimits:
    return TimeLimits()


def now() -> float:
    return asyncio.get_running_loop().time()


async def over_after(limits: TimeLimits, seconds: float) -> float:
    """When a block that waits for ever was ended."""
    with pytest.raises(TimeoutError), limits.within(seconds):
        await asyncio.Event().wait()
    return now()


def test_a_block_that_takes_too_long_is_ended_at_its_time(limits):
    assert run_in_virtual_time(over_after(limits, 20)) == pytest.approx(20)


def test_a_block_that_is_done_in_time_is_left_alone_and_so_is_what_comes_after_it(limits):
    async def work() -> str:
        with limits.within(5):
            await asyncio.sleep(4)
        await asyncio.sleep(60)
        return "done"

    assert run_in_virtual_time(work()) == "done"


def test_each_of_many_is_ended_at_its_own_time_in_whatever_order_they_began(limits):
    async def work() -> list[float]:
        return await asyncio.gather(*(over_after(limits, seconds) for seconds in (7, 3, 20, 3, 11)))

    assert run_in_virtual_time(work()) == pytest.approx([7, 3, 20, 3, 11])


def test_one_that_begins_when_another_has_ended_is_ended_at_its_own_time(limits):
    async def work() -> float:
        with limits.within(20):
            await asyncio.sleep(15)
        return await over_after(limits, 20)

    assert run_in_virtual_time(work()) == pytest.approx(35)


def test_no_time_at_all_is_over_at_the_first_wait_and_no_limit_never_is(limits):
    async def work() -> tuple[float, float]:
        at_once = await over_after(limits, -1)
        with limits.within(math.inf):
            await asyncio.sleep(10_000)
        return at_once, now()

    assert run_in_virtual_time(work()) == pytest.approx((0, 10_000))


def test_where_no_time_is_left_nothing_that_the_block_starts_gets_to_run(limits):
    async def work() -> list[str]:
        done: list[str] = []

        async def begin() -> None:
            done.append("begun")

        with pytest.raises(TimeoutError), limits.within(0):
            await asyncio.create_task(begin())
        return done

    assert run_in_virtual_time(work()) == []


def test_a_limit_within_another_ends_its_own_block_alone(limits):
    async def work() -> tuple[float, float]:
        with limits.within(10):
            inner = await over_after(limits, 4)
            await asyncio.sleep(5)
        return inner, now()

    assert run_in_virtual_time(work()) == pytest.approx((4, 9))


def test_the_outer_one_of_two_ends_both(limits):
    async def work() -> float:
        with pytest.raises(TimeoutError), limits.within(4), limits.within(10):
            await asyncio.Event().wait()
        await asyncio.sleep(60)
        return now()

    assert run_in_virtual_time(work()) == pytest.approx(64)


def test_who_is_cancelled_is_cancelled_also_where_the_time_is_over_in_the_same_moment(limits):
    async def work() -> tuple[bool, bool]:
        waiting = [asyncio.create_task(over_after(limits, seconds)) for seconds in (5, 50)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(5, waiting[0].cancel)
        await asyncio.sleep(4)
        waiting[1].cancel()
        await asyncio.wait(waiting)
        return waiting[0].cancelled(), waiting[1].cancelled()

    assert run_in_virtual_time(work()) == (True, True)


def test_an_error_of_the_block_itself_is_what_it_raises(limits):
    async def work() -> None:
        with limits.within(5):
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        run_in_virtual_time(work())


def test_ten_thousand_set_one_timer(limits, monkeypatch):
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        set_for: list[float] = []
        call_at = loop.call_at

        def count(when, *rest, **named):
            set_for.append(when)
            return call_at(when, *rest, **named)

        monkeypatch.setattr(loop, "call_at", count)
        for _ in range(10_000):
            with limits.within(20):
                pass
        return set_for

    assert run_in_virtual_time(work()) == [20]


def test_another_event_loop_has_limits_of_its_own(limits):
    run_in_virtual_time(over_after(limits, 3600))

    async def leave_one_behind() -> None:
        with limits.within(3):
            await asyncio.sleep(1)

    run_in_virtual_time(leave_one_behind())
    assert run_in_virtual_time(over_after(limits, 2)) == pytest.approx(2)
