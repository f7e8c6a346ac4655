"""A pause that many take together."""

from __future__ import annotations

import asyncio

from services.partner_center.pauses import SharedPause
from tests.virtual_time import run_in_virtual_time


def test_a_pause_ends_for_all_who_came_within_it_and_the_next_one_begins_with_the_next_who_comes():
    async def work() -> list[float]:
        pause = SharedPause(2)

        async def come_after(seconds: float) -> float:
            await asyncio.sleep(seconds)
            await pause.take()
            return asyncio.get_running_loop().time()

        return await asyncio.gather(*(come_after(seconds) for seconds in (0, 1, 1.5, 3, 4)))

    assert run_in_virtual_time(work()) == [2, 2, 2, 5, 5]


def test_who_is_cancelled_in_it_leaves_it_to_the_others():
    async def work() -> list[bool]:
        pause = SharedPause(2)
        taking = [asyncio.create_task(pause.take()) for _ in range(3)]
        await asyncio.sleep(1)
        taking[0].cancel()
        await asyncio.wait(taking)
        return [one.cancelled() for one in taking]

    assert run_in_virtual_time(work()) == [True, False, False]
