"""The operations that run in this process: how many, and how long queries may still take when it is to stop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class RunningOperations:
    """Counts operations, and cuts queries short. Mutations are never cut here: they may have written."""

    def __init__(self) -> None:
        self._queries: set[asyncio.Timeout] = set()
        self._mutations = 0
        self._queries_end_at = math.inf
        self._none = asyncio.Event()
        self._none.set()

    @property
    def count(self) -> int:
        return len(self._queries) + self._mutations

    @property
    def are_cut(self) -> bool:
        """Whether the time of queries is over since the process stops."""
        return time.monotonic() >= self._queries_end_at

    @contextmanager
    def mutation(self) -> Iterator[None]:
        """Surrounds a mutation."""
        self._mutations += 1
        self._none.clear()
        try:
            yield
        finally:
            self._mutations -= 1
            self._tell()

    @contextmanager
    def query(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """Surrounds a query; its time may be made shorter."""
        self._queries.add(timeout)
        self._none.clear()
        if self._queries_end_at != math.inf:
            _shorten(timeout, self._queries_end_at - time.monotonic())
        try:
            yield
        finally:
            self._queries.discard(timeout)
            self._tell()

    def cut_queries(self, seconds: float) -> None:
        """Leaves so much time to the queries that run, and to those that begin meanwhile."""
        self._queries_end_at = time.monotonic() + seconds
        for timeout in self._queries:
            _shorten(timeout, seconds)

    async def wait_until_none(self, seconds: float) -> None:
        """Returns when no operation runs, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none.wait()

    def _tell(self) -> None:
        if not self._queries and not self._mutations:
            self._none.set()


def _shorten(timeout: asyncio.Timeout, seconds: float) -> None:
    ends_at = asyncio.get_running_loop().time() + seconds
    before = timeout.when()
    if not timeout.expired() and (before is None or ends_at < before):
        timeout.reschedule(ends_at)
