"""Tasks that run beside the requests for as long as the process does. None is left to itself."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import structlog

from gateway.metrics import LOOP_LAG_SECONDS, TASK_FAILURES, Sample, set_gauges

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
SAMPLE_SECONDS = 0.5
CANCELLED_AT_MOST = 10
CANCEL_AGAIN_SECONDS = 0.5
GC_THRESHOLDS = (50_000, 100, 1_000)
"""Collections over everything that a server keeps cost 30 ms and find little: so they are rare."""

log = structlog.get_logger(__name__)


class Background:
    """Supervises tasks: one that breaks is told and started again, and all end with the process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs until `work` returns; it is begun anew where it raises."""
        task = asyncio.create_task(self._supervise(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends all. Before Python 3.12 a library that waits with `asyncio.wait_for` may lose a cancellation."""
        for _ in range(CANCELLED_AT_MOST):
            for task in self._tasks:
                task.cancel()
            if not self._tasks:
                return
            await asyncio.wait(set(self._tasks), timeout=CANCEL_AGAIN_SECONDS)
        log.error("background tasks do not end", tasks=sorted(task.get_name() for task in self._tasks))

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await work()
                return
            except Exception:
                TASK_FAILURES.labels(task=name).inc()
                log.exception("background task failed", task=name, again_after_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def watch_loop(sample: Sample) -> None:
    """Measures how late the event loop comes round, and keeps the gauges up to date. Never returns."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        LOOP_LAG_SECONDS.observe(max(0.0, loop.time() - due))
        set_gauges(sample)


def tell_unseen_failures(loop: asyncio.AbstractEventLoop) -> None:
    """Has what nobody waited for told in the log, as an event of ours; the process goes on."""

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        cause = error if isinstance(error, BaseException) else None
        log.error("unseen failure", detail=str(context.get("message"))[:200], exc_info=cause)

    loop.set_exception_handler(tell)


def settle_memory() -> None:
    """Takes what start has made, such as the schema, out of every later collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
