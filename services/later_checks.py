"""Looks again, later, at changes whose end nobody could tell, and completes their audit records.

A process that ends takes its looks with it: such a record stays UNKNOWN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from services.errors import UpstreamError

MOST_WAITING = 1_000
"""More changes than that are left unknown: Microsoft is in trouble then, and is not asked more than it can bear."""

log = structlog.get_logger(__name__)


class LaterChecks:
    """Runs the looks of one process. Each task ends by itself, or with `close`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        waits_seconds: tuple[float, ...],
        look: Callable[[], Awaitable[bool]],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        """Looks at each of these times after now, until `look` gives True: whether all that was asked for is there.

        `settle` is called then, or where the last look saw that it is not. A look that fails tells nothing.
        """
        if len(self._tasks) >= MOST_WAITING:
            log.warning("left unknown: too many changes wait to be looked at", waiting=len(self._tasks))
            return
        # In a context of its own: the deadline and the place in the queue of whoever asked are over by then.
        task = asyncio.get_running_loop().create_task(_check(waits_seconds, look, settle), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends all looks."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1.0)


async def _check(
    waits_seconds: tuple[float, ...], look: Callable[[], Awaitable[bool]], settle: Callable[[], Awaitable[None]]
) -> None:
    there: bool | None = None
    passed = 0.0
    try:
        for seconds in waits_seconds:
            await asyncio.sleep(seconds - passed)
            passed = seconds
            try:
                there = await look()
            except UpstreamError as error:
                there = None
                log.warning("later look failed", error_code=error.code)
            if there:
                break
        if there is not None:
            await settle()
    except Exception:
        log.exception("a change is left unknown")  # a defect of ours, and no reason for others to end
