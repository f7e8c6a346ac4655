"""One write to Partner Center that is done once, whatever happens to its answer.

What happened          what follows
never left             sent again under the same MS-RequestId, twice at most
answer lost            sent once more under the same id, to which Microsoft gives the first answer; then read back
408, 502, 503, 504     read back; if not applied, sent once more under a new id
other 5xx              read back, never sent again
429                    waited for as long as the time allows, then sent under a new id
409, under way         after 1, 2 and 4 seconds read back, and sent again under a new id
any other 4xx          Microsoft's word: the change is refused; after a lost answer only if reading back agrees

Source: learn.microsoft.com/partner-center/developer/headers (a request id makes a repeat the same request).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from services.errors import Conflict, GatewayError, RefusedReason, SignInError, Throttled, UpstreamError

T = TypeVar("T")

READ_BACK_WAITS_SECONDS = (0.0, 2.0, 4.0)
CONFLICT_WAITS_SECONDS = (1.0, 2.0, 4.0)
MOST_UNSENT = 2
MOST_THROTTLED = 2
_PASSING = frozenset({408, 502, 503, 504})

log = structlog.get_logger(__name__)


class OutcomeUnknown(GatewayError):
    """A change was sent, and nobody could tell whether it was made."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "Microsoft did not say whether the change was made. Look at the user again before you repeat it."
        )


class NotApplied(UpstreamError):
    """A change was sent and, as was read afterwards, not made."""

    def __init__(self) -> None:
        super().__init__("Microsoft did not make the change. Nothing was written; try again later.")


@dataclass(frozen=True, slots=True)
class Applied(Generic[T]):
    """The state that a write asks for was found; `value` is what the write would have given."""

    value: T


ReadBack = Callable[[], Awaitable[Applied[T] | None]]
"""Looks past the cache: Applied where the state asked for is there, None where it certainly is not."""


async def cannot_be_read_back() -> None:
    """The read-back of what nobody can read, such as a password."""
    raise OutcomeUnknown


async def write_once(
    send: Callable[[str], Awaitable[T]],
    read_back: ReadBack[T],
    request_id: Callable[[int], str],
    deadline: float,
) -> T:
    """Gives what the write gave. `request_id(n)` is the id of the n-th distinct request to Microsoft; `deadline`
    is a time.monotonic() after which nothing is waited for.

    Raises OutcomeUnknown where it cannot be told whether it was done, and otherwise what stands in
    `services.errors`: then it was not done.
    """
    request, unsent, throttled, conflicts, repeated_lost, retried_passing = 1, 0, 0, 0, False, False
    while True:
        try:
            return await send(request_id(request))
        except SignInError:
            raise
        except UpstreamError as error:
            if not error.sent:
                unsent += 1
                if unsent > MOST_UNSENT or not await _wait(0.25 * 2 ** (unsent - 1) * random.random(), deadline):
                    raise
                continue
            if isinstance(error, Throttled):
                throttled += 1
                if throttled > MOST_THROTTLED or not await _wait(error.retry_after_seconds, deadline):
                    raise
                request += 1
                continue
            if isinstance(error, Conflict) and error.reason is RefusedReason.OTHER:
                if conflicts == len(CONFLICT_WAITS_SECONDS):
                    raise
                waited = await _wait(CONFLICT_WAITS_SECONDS[conflicts], deadline)
                conflicts += 1
                if found := await _look(read_back):
                    return found.value
                if not waited:
                    raise
                request += 1
                continue
            if error.status is None or error.status < 300:
                if not repeated_lost:
                    repeated_lost = True
                    continue
                return await _settled(read_back, deadline)
            if error.status in _PASSING and not retried_passing:
                retried_passing = True
                if found := await _settled_or_none(read_back, deadline):
                    return found.value
                request += 1
                continue
            if error.status >= 500 or error.status in _PASSING:
                return await _settled(read_back, deadline)
            # The request before may have been applied: then this refusal ("taken", "not found") is its echo.
            if (repeated_lost or retried_passing) and (found := await _look(read_back)):
                return found.value
            raise


async def _settled(read_back: ReadBack[T], deadline: float) -> T:
    if found := await _settled_or_none(read_back, deadline):
        return found.value
    raise NotApplied


async def _settled_or_none(read_back: ReadBack[T], deadline: float) -> Applied[T] | None:
    """Reads back up to three times over six seconds: Microsoft may show a change a little late."""
    for seconds in READ_BACK_WAITS_SECONDS:
        if seconds and not await _wait(seconds, deadline):
            raise OutcomeUnknown
        if found := await _look(read_back):
            return found
    return None


async def _look(read_back: ReadBack[T]) -> Applied[T] | None:
    try:
        return await read_back()
    except UpstreamError as error:
        log.warning("read_back_failed", error_code=error.code)
        raise OutcomeUnknown from error


async def _wait(seconds: float, deadline: float) -> bool:
    """Waits, unless the time is over before: then at once False."""
    if time.monotonic() + seconds > deadline:
        return False
    await asyncio.sleep(seconds)
    return True
