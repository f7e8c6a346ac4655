"""Follows jobs, wherever they run: looks at the record and tells what changed.

Every follower has its own pace and nothing is kept for it: who is slow misses what lay in between, and sees the
last state all the same. Followers of one job in a process share their looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from services.errors import GatewayError
from services.jobs import Job, JobStore
from services.store_errors import StoreUnavailable

EVENT_SECONDS: Final = 0.5
"""Shortest time between two events of a follower."""
PATIENCE_SECONDS: Final = 30.0
"""How long a follower waits for a store that is away."""


class FeedStopped(GatewayError):
    """The process stops before the job has ended."""

    code = "UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The gateway is stopping. Subscribe again: another one answers.")


class JobFeed:
    """Follows jobs until they end, or `stopping` is set: then the follower asks another replica."""

    def __init__(self, store: JobStore, stopping: asyncio.Event, *, event_seconds: float = EVENT_SECONDS) -> None:
        self._store = store
        self._stopping = stopping
        self._event_seconds = event_seconds
        self._looks: dict[str, asyncio.Task[Job | None]] = {}

    async def follow(self, job_id: str) -> AsyncGenerator[Job, None]:
        """Gives the job as it is now, then whenever it has changed, and at last as it ended."""
        last: Job | None = None
        seen_at = time.monotonic()
        while not self._stopping.is_set():
            try:
                job = await self._look(job_id)
                seen_at = time.monotonic()
            except StoreUnavailable:
                if time.monotonic() - seen_at > PATIENCE_SECONDS:
                    raise
                job = last
            else:
                if job is None:
                    return
            if job is not None and job != last:
                yield job
                last = job
            if job is not None and job.state.is_end:
                return
            await self._pause()
        raise FeedStopped

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._event_seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _look(self, job_id: str) -> Job | None:
        look = self._looks.get(job_id)
        if look is None:
            look = self._looks[job_id] = asyncio.create_task(self._store.find(job_id))
            look.add_done_callback(partial(self._looked, job_id))
        return await asyncio.shield(look)

    def _looked(self, job_id: str, look: asyncio.Task[Job | None]) -> None:
        self._looks.pop(job_id, None)
        if not look.cancelled():
            look.exception()  # seen by whoever waits, if anybody still does
