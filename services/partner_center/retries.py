"""Which reads are asked once more, when, and under which request id. Writes are repeated elsewhere, by other rules.

    could not connect, nothing sent            again, same id
    timeout, reset, answer cut short           again, same id
    429                                        again when the gate opens, new id
    408, 502, 503, 504                         again, after Retry-After where given, new id
    500, 501, any other 5xx                    once, new id
    any other answer                           no

At most twice, and within a budget: so a Partner Center that is down gets hardly more calls than otherwise.
Source: learn.microsoft.com/partner-center/developer/headers (a request id makes a repeat the same request).
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar
from uuid import uuid4

import httpx

from services.deadlines import seconds_to_wait
from services.errors import SignInError, UpstreamError
from services.partner_center.wire_errors import find_retry_after
from services.upstream_use import current_use

MOST_RETRIES: Final = 2
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 8.0
BUDGET_WINDOW_SECONDS: Final = 60
BUDGET_PART: Final = 0.1
BUDGET_AT_LEAST: Final = 10
PASSING: Final = frozenset({408, 502, 503, 504})
BROKEN: Final = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    ssl.SSLError,
    OSError,  # TimeoutError among them
)

_chance = random.SystemRandom()


class Answered(Protocol):
    """As much of an answer as decides on a retry."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def received_at(self) -> datetime: ...


A = TypeVar("A", bound=Answered)


@dataclass(frozen=True, slots=True)
class Retry:
    """How a read is asked once more. A throttled one waits for its gate instead of a pause."""

    pause_seconds: float
    new_id: bool


class Retries:
    """Repeats reads. `most` is how often one is repeated, `chance` gives 0 up to 1."""

    def __init__(
        self,
        *,
        most: int = MOST_RETRIES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = _chance.random,
    ) -> None:
        self._most = most
        self._sleep = sleep
        self._chance = chance
        self._budget = RetryBudget(clock=clock)

    async def read(
        self,
        send: Callable[[str], Awaitable[A]],
        request_id: str,
        may_repeat: Callable[[float], bool],
        on_retry: Callable[[], None],
    ) -> A:
        """Gives the last answer, or raises the last failure. `send` takes the request id; `may_repeat` says whether
        a call would be let in within so many seconds."""
        self._budget.count_read()
        repeated = 0
        while True:
            answer: A | None = None
            failure: UpstreamError | None = None
            try:
                answer = await send(request_id)
                if 200 <= answer.status < 300:
                    return answer
                retry = self._after_answer(answer, repeated)
            except UpstreamError as error:
                failure = error
                retry = self._after_failure(error, repeated)
            longest = seconds_to_wait()
            if retry is None or retry.pause_seconds > longest or not may_repeat(longest) or not self._budget.take():
                if answer is not None:
                    return answer
                assert failure is not None
                raise failure
            on_retry()
            if retry.pause_seconds:
                await self._sleep(retry.pause_seconds)
                current_use().waited_seconds += retry.pause_seconds
            repeated += 1
            if retry.new_id:
                request_id = str(uuid4())

    def _after_failure(self, error: UpstreamError, repeated: int) -> Retry | None:
        """What follows where no answer came."""
        if repeated >= self._most or isinstance(error, SignInError) or not isinstance(error.__cause__, BROKEN):
            return None
        return Retry(self._pause(repeated), new_id=False)

    def _after_answer(self, answer: Answered, repeated: int) -> Retry | None:
        """What follows after an answer without success."""
        if repeated >= self._most:
            return None
        if answer.status == 429:
            return Retry(0.0, new_id=True)
        if answer.status in PASSING:
            asked_for = find_retry_after(answer.headers, answer.received_at)
            return Retry(self._pause(repeated) if asked_for is None else asked_for, new_id=True)
        if answer.status >= 500 and repeated == 0:
            return Retry(self._pause(repeated), new_id=True)
        return None

    def _pause(self, repeated: int) -> float:
        """Full jitter: calls that failed together are not repeated together."""
        return min(FIRST_PAUSE_SECONDS * 2.0**repeated, LONGEST_PAUSE_SECONDS) * self._chance()


class RetryBudget:
    """Bounds the retries of a process: a tenth of the reads begun in the last minute, ten at least."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[int]] = deque([[-BUDGET_WINDOW_SECONDS, 0, 0]])
        self._reads = 0
        self._retries = 0

    def count_read(self) -> None:
        """Counts a read that begins; its retries are none."""
        self._this_second()[1] += 1
        self._reads += 1

    def take(self) -> bool:
        """Counts a retry, or says that there must not be one now."""
        second = self._this_second()
        if self._retries + 1 > max(BUDGET_AT_LEAST, self._reads * BUDGET_PART):
            return False
        second[2] += 1
        self._retries += 1
        return True

    def _this_second(self) -> list[int]:
        now = int(self._clock())
        seconds = self._seconds
        if seconds[-1][0] != now:
            seconds.append([now, 0, 0])
            while seconds[0][0] <= now - BUDGET_WINDOW_SECONDS:
                _, reads, retries = seconds.popleft()
                self._reads -= reads
                self._retries -= retries
        return seconds[-1]
