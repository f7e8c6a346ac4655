"""A clock that stands still but for those who sleep by it."""

from __future__ import annotations

import asyncio


class FakeTime:
    """Give `time` for a clock and `time.sleep` for a sleep: sleeping moves the clock on and takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)

    def advance(self, seconds: float) -> None:
        self.now += seconds


async def settle() -> None:
    """Lets everything run that can, without time going on."""
    for _ in range(20):
        await asyncio.sleep(0)
