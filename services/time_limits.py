"""Time limits of very many waits at once, over one timer: to set one for each, and to stop it, takes longer than most
of what a call does besides."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class TimeLimits:
    """The time limits of one event loop. To begin and to end one touches no timer, unless it is the next to be over."""

    def __init__(self) -> None:
        self._ends: dict[TimeLimit, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._rings_at = math.inf

    def within(self, seconds: float) -> TimeLimit:
        """Gives a block that may take so long, `math.inf` for as long as it likes: `with limits.within(20): await …`.

        When its time is over, what its task waits for is cancelled, and the block raises TimeoutError instead, just as
        with `asyncio.timeout`.
        """
        return TimeLimit(self, seconds)

    def begin(self, limit: TimeLimit, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer, self._rings_at = loop, None, math.inf
        ends_at = self._ends[limit] = loop.time() + seconds
        if ends_at < self._rings_at:
            self._ring_at(ends_at, loop)

    def end(self, limit: TimeLimit) -> None:
        del self._ends[limit]

    def _ring_at(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if at > loop.time():
            self._timer = loop.call_at(at, self._ring, loop)
        else:  # before anything that begins from here on
            self._timer = loop.call_soon(self._ring, loop)
        self._rings_at = at

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        # A loop may ring a little early, and then it means this moment all the same.
        now = max(loop.time(), self._rings_at)
        self._timer, self._rings_at = None, math.inf
        next_at = math.inf
        for limit, ends_at in self._ends.items():
            if ends_at > now:
                next_at = min(next_at, ends_at)
            elif not limit.is_over:
                limit.give_up()
        if next_at < math.inf:  # what the timer was set for has mostly ended long before
            self._ring_at(next_at, loop)


class TimeLimit:
    """One block's limit, of the task that enters it."""

    __slots__ = ("_cancelling", "_limits", "_seconds", "_task", "is_over")

    def __init__(self, limits: TimeLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self.is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._limits.begin(self, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._limits.end(self)
        if not self.is_over:
            return
        # Cancelled by somebody else, too: then that counts.
        if self._task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def give_up(self) -> None:
        self.is_over = True
        self._task.cancel()
