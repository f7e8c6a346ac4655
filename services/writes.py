"""One write to Partner Center that is done once, whatever happens to its answer.

What happened          what follows
never left             sent again under the same MS-RequestId, twice at most
answer lost            sent once more under the same id, to which Microsoft gives the first answer; then read back
408, 502, 503, 504     read back; if not applied, sent once more under a new id
other 5xx              read back, never sent again
429                    waited for as long as the time allows, then sent under a new id
409, under way         after 1, 2 and 4 seconds read back, and sent again under a new id
any other 4xx          Microsoft's word: the change is refused

Once a request may have been applied, no later one goes out under a new id, and none of its failures is believed,
before reading back has shown that the change is not there. What cannot be read back, such as a password, is sent
once more under the same id after a lost answer or a 408, 502, 503 or 504, and is then unknown.

Source: learn.microsoft.com/partner-center/developer/headers (a request id makes a repeat the same request).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import structlog

from services.errors import Conflict, GatewayError, RefusedReason, SignInError, Throttled, Timeout, UpstreamError

T = TypeVar("T")

LEAST_SECONDS: Final = 0.5
"""With less time left no call is started."""
_PASSING: Final = frozenset({408, 502, 503, 504})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePolicy:
    """How long a write waits, and so how often it is tried. Tests wait less."""

    read_back_waits_seconds: tuple[float, ...] = (0.0, 2.0, 4.0)
    """Before each look: Microsoft may show a change a little late."""
    conflict_waits_seconds: tuple[float, ...] = (1.0, 2.0, 4.0)
    unsent_waits_seconds: tuple[float, ...] = (0.25, 0.5)
    """At most: of each a part by chance is waited, so that many writers do not come back at once."""
    most_throttled: int = 2
    later_looks_seconds: tuple[float, ...] = (60.0, 300.0, 900.0)
    """When is looked again, counted from its end, at a change of which nobody could tell whether it was made."""


DEFAULT_POLICY: Final = WritePolicy()


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
        super().__init__("Microsoft did not make the change. Try again later.")


@dataclass(frozen=True, slots=True)
class Applied(Generic[T]):
    """The state that a write asks for was found; `value` is what the write would have given."""

    value: T


ReadBack = Callable[[], Awaitable[Applied[T] | None]]
"""Looks past the cache: Applied where the state asked for is there, None where it certainly is not."""


async def write_once(
    send: Callable[[str], Awaitable[T]],
    read_back: ReadBack[T] | None,
    request_id: Callable[[int], str],
    deadline: float,
    policy: WritePolicy = DEFAULT_POLICY,
) -> T:
    """Gives what the write gave. `request_id(n)` is the id of the n-th distinct request to Microsoft; `deadline`
    is a time.monotonic() after which nothing is waited for. Without `read_back` nobody can read what was written.

    Raises OutcomeUnknown where it cannot be told whether it was done, and otherwise what stands in
    `services.errors`: then it was not done.
    """
    return await _Write(send, read_back, request_id, deadline, policy).run()


@dataclass(slots=True)
class _Write(Generic[T]):
    send: Callable[[str], Awaitable[T]]
    read_back: ReadBack[T] | None
    request_id: Callable[[int], str]
    deadline: float
    policy: WritePolicy
    request: int = 1
    maybe_applied: bool = False
    """Whether an earlier request may have been applied, all that was read notwithstanding."""
    unsent: list[float] = field(default_factory=list)
    conflicts: list[float] = field(default_factory=list)
    throttled: int = 0
    repeated: bool = False
    retried: bool = False

    async def run(self) -> T:
        self.unsent = list(self.policy.unsent_waits_seconds)
        self.conflicts = list(self.policy.conflict_waits_seconds)
        while True:
            try:
                return await self._send()
            except UpstreamError as error:
                found = await self._after(error)
                if found is not None:
                    return found.value

    async def _send(self) -> T:
        left = self.deadline - time.monotonic()
        if left < LEAST_SECONDS:
            raise Timeout("There was no time left to ask Microsoft.", sent=False)
        try:
            async with asyncio.timeout(left):
                return await self.send(self.request_id(self.request))
        except TimeoutError as error:
            raise Timeout("Microsoft did not answer in time.") from error

    async def _after(self, error: UpstreamError) -> Applied[T] | None:
        """Gives what was found to be done, or None to send again; raises where this is the end."""
        if isinstance(error, SignInError):
            return await self._given_up(error)
        if not error.sent:
            if self.unsent and await self._wait(self.unsent.pop(0) * random.random()):
                return None
            return await self._given_up(error)
        if isinstance(error, Throttled):
            self.throttled += 1
            if self.throttled <= self.policy.most_throttled and await self._wait(error.retry_after_seconds):
                self.request += 0 if self.maybe_applied else 1
                return None
            return await self._given_up(error)
        if isinstance(error, Conflict) and error.reason is RefusedReason.OTHER:
            return await self._after_conflict(error)
        if error.status is None or error.status < 300:
            self.maybe_applied = True
            if not self.repeated:
                self.repeated = True
                return None
            return await self._settled()
        if error.status in _PASSING and not self.retried:
            return await self._after_passing()
        if error.status >= 500 or error.status in _PASSING:
            self.maybe_applied = True
            return await self._settled()
        # The request before may have been applied: then this refusal ("taken", "not found") is its echo.
        return await self._given_up(error)

    async def _after_conflict(self, error: Conflict) -> Applied[T] | None:
        if not self.conflicts:
            return await self._given_up(error)
        waited = await self._wait(self.conflicts.pop(0))
        if self.read_back is None:
            if not waited:
                return await self._given_up(error)
        elif found := await self._look(self.read_back):
            return found
        if not waited:
            raise error
        self.request += 0 if self.maybe_applied and self.read_back is None else 1
        return None

    async def _after_passing(self) -> Applied[T] | None:
        self.maybe_applied = self.retried = True
        if self.read_back is None:
            return None
        if found := await self._look_for_a_while(self.read_back):
            return found
        self.request += 1
        return None

    async def _given_up(self, error: UpstreamError) -> Applied[T]:
        """The last request changed nothing; one before it may have."""
        if self.maybe_applied:
            if self.read_back is None:
                raise OutcomeUnknown from error
            if found := await self._look_for_a_while(self.read_back):
                return found
        raise error

    async def _settled(self) -> Applied[T]:
        if self.read_back is None:
            raise OutcomeUnknown
        if found := await self._look_for_a_while(self.read_back):
            return found
        raise NotApplied

    async def _look_for_a_while(self, read_back: ReadBack[T]) -> Applied[T] | None:
        """Reads back, three times over six seconds; None only where the last look saw that it is not there."""
        unseen: OutcomeUnknown | None = None
        for seconds in self.policy.read_back_waits_seconds:
            if seconds and not await self._wait(seconds):
                raise OutcomeUnknown
            try:
                if found := await self._look(read_back):
                    return found
                unseen = None
            except OutcomeUnknown as error:
                unseen = error
        if unseen is not None:
            raise unseen
        return None

    async def _look(self, read_back: ReadBack[T]) -> Applied[T] | None:
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.monotonic())):
                return await read_back()
        except (UpstreamError, TimeoutError) as error:
            log.warning("read_back_failed", error_code=getattr(error, "code", "TIMEOUT"))
            raise OutcomeUnknown from error

    async def _wait(self, seconds: float) -> bool:
        """Waits, unless the time is over before: then at once False."""
        if time.monotonic() + seconds > self.deadline:
            return False
        await asyncio.sleep(seconds)
        return True
