"""Shared reads over an empty cache, with an upstream that a test holds back and a clock that it moves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from loaders.shared_reads import SharedReads
from services.cache_memory import MemoryCache
from services.lookups import Lookup, Volatile

NUMBERS: Lookup[str, int] = Lookup(
    "numbers", int, 60, lambda key: key, lambda _: "", 120, 3600, volatile=Volatile.USERS
)


class Upstream:
    """Answers with how often it was asked so far, or fails; is held back until it is let go on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.failure: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def fetch(self, key: str) -> int:
        self.asked.append(key)
        number = len(self.asked)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        if self.failure is not None:
            raise self.failure
        return number


class Bench:
    """Shared reads over an empty cache, an upstream, and a clock to move."""

    def __init__(self) -> None:
        self.later = 0.0
        began = time.time()  # and stands still, so that a busy machine makes nothing older
        self.cache = MemoryCache(clock=lambda: began + self.later)
        self.reads = SharedReads(self.cache)
        self.upstream = Upstream()

    async def read(self, *keys: str, max_age: float | None = None) -> list[Any]:
        return await self.reads.read_many(NUMBERS, keys or ("a",), self.upstream.fetch, max_age)


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)
