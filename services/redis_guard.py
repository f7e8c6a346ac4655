"""Redis that may be in trouble: nobody waits for it longer than a moment, and it is left alone while it fails.

An operation whose caller no longer waits goes on for up to a second, so that connecting, and finding another
master, come to an end. After five troubles in ten seconds Redis is left alone; every five seconds it is tried by
writing, which a server that is loading or read-only refuses, and used again when that works.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from services.redis_client import CONNECTIONS

WHOLE_SECONDS: Final = 1.0
"""Longest that an operation goes on, with reconnecting and finding the master or node."""
TROUBLES: Final = 5
TROUBLE_SECONDS: Final = 10.0
REST_SECONDS: Final = 5.0
SOON_SECONDS: Final = 0.5
QUIET_SECONDS: Final = 5.0
"""Shortest time between two log lines about trouble."""
LAG_SECONDS: Final = 0.02
"""A timer that is later than this says nothing about Redis: this process was busy."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


async def _nothing() -> None:
    return None


class RedisGuard:
    """Runs operations of the cache, at most `CONNECTIONS` at once. None of them raises anything but cancellation."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        operation_seconds: float,
        close: Callable[[], Awaitable[None]],
        *,
        rest_seconds: float = REST_SECONDS,
        whole_seconds: float = WHOLE_SECONDS,
    ) -> None:
        self.client: Any = client  # commands of the two clients are typed differently, and answer alike
        self.on_cluster = isinstance(client, RedisCluster)
        self.before_return: Callable[[], Awaitable[None]] = _nothing
        """What has to be done first when Redis answers again; where that fails, it is still left alone."""
        self.probe_name = ""
        self._operation_seconds = operation_seconds
        self._close = close
        self._rest_seconds = rest_seconds
        self._whole_seconds = whole_seconds
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._running: set[asyncio.Task[Any]] = set()
        self._troubles: deque[float] = deque(maxlen=TROUBLES)
        self._recovery: asyncio.Task[None] | None = None
        self._needed = False
        self.resting = False
        self._logged_at = float("-inf")
        self._unlogged = 0

    async def attempt(
        self,
        operation: str,
        do: Callable[[], Awaitable[T]],
        *,
        otherwise: Any = None,  # what the caller takes for trouble
        insist: bool = False,
        whole_seconds: float | None = None,
        size: int = 1,
    ) -> T | Any:
        """Gives what Redis answers, or `otherwise` when there was trouble, or Redis is left alone.

        With `insist` it is asked even then, and waited for until the operation ends. One that does the work of several
        others, `size`, has their time, and counts as so many when it fails, though never as trouble enough by itself.
        """
        if self.resting and not insist:
            return otherwise
        whole = self._whole_seconds if whole_seconds is None else whole_seconds
        task = asyncio.create_task(self._run(do, whole))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_take_note)
        try:
            await _done_within(task, whole + LAG_SECONDS if insist else self._operation_seconds * size)
            return task.result() if task.done() else self._note(operation, TimeoutError(), otherwise, size)
        except OutOfMemoryError as error:  # reads go on
            self._tell(operation, error)
            return otherwise
        except Exception as error:  # beside RedisError: OSError, the cluster's own, uvloop's RuntimeError
            return self._note(operation, error, otherwise, size)

    async def _run(self, do: Callable[[], Awaitable[T]], seconds: float) -> T:
        async with asyncio.timeout(seconds), self._slots:
            return await do()

    def _note(self, operation: str, error: Exception, otherwise: T, size: int) -> T:
        self._tell(operation, error)
        now = time.monotonic()
        self._troubles.extend([now] * min(size, TROUBLES - 1))
        many = len(self._troubles) == TROUBLES and now - self._troubles[0] < TROUBLE_SECONDS
        if many or isinstance(error, ReadOnlyError):
            self.resting = True
            self.recover()
        return otherwise

    def recover(self) -> None:
        """Sees to it that what has to be done before Redis is used again is done soon."""
        self._needed = True
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._until_it_works())

    async def _until_it_works(self) -> None:
        while self._needed:
            await asyncio.sleep(self._rest_seconds if self.resting else min(SOON_SECONDS, self._rest_seconds))
            self._needed = False
            try:
                async with asyncio.timeout(WHOLE_SECONDS):
                    await self._probe()
                    await self.before_return()
            except Exception as error:
                self._needed = True
                self._tell("return", error)
        self._troubles.clear()
        self.resting = False

    async def _probe(self) -> None:
        try:
            await self.client.set(self.probe_name, "1", px=1000)
        except OutOfMemoryError:
            return

    async def ping(self) -> None:
        """Raises whatever keeps Redis from answering."""
        async with asyncio.timeout(WHOLE_SECONDS):
            await self.client.ping()

    async def close(self) -> None:
        """Gives what is under way its last second, then closes the connections."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        if self._running:
            await asyncio.wait(set(self._running))
        await self._close()

    def _tell(self, operation: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at < QUIET_SECONDS:
            self._unlogged += 1
            return
        _log.warning(
            "cache_unavailable",
            operation=operation,
            error=type(error).__name__,
            detail=str(error)[:200],
            unlogged_before=self._unlogged,
        )
        self._logged_at = now
        self._unlogged = 0


async def _done_within(task: asyncio.Task[Any], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done or loop.time() - began < seconds + LAG_SECONDS:
            return


def _take_note(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
