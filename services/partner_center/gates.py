"""Throttling: a 429 closes the gate of its tenant and kind of resource, and nothing is asked there until it opens.

Three tenants throttled within ten seconds close the partner's gate, through which every call goes. After a
gate opens calls start one by one: one at first, with each answer one more at once. Where replicas share a
Redis they share the gates, which each call looks up before it starts.
Source: learn.microsoft.com/partner-center/developer/api-throttling-guidance
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import structlog

from services.deadlines import no_time_left, seconds_to_wait
from services.errors import Throttled
from services.secret import Secret
from services.upstream_use import current_use

WAITS_SECONDS: Final = (2.0, 4.0, 8.0)
"""The waits after 429s without a usable Retry-After, one after the other; the last is repeated."""
TENANTS_THAT_CLOSE_ALL: Final = 3
TOGETHER_SECONDS: Final = 10.0
OPEN_AT: Final = 8
"""With so many calls at once allowed, a gate that was closed is forgotten."""
FORGOTTEN_AFTER_SECONDS: Final = 60.0
"""So long after it opened a gate is gone, however few calls there were since."""
SAME_SECONDS: Final = 0.1
"""Times that differ by less are one: what Redis tells of a gate is a little late."""
LONGEST_NAME: Final = 100
LOOK_SECONDS: Final = 0.05
"""How long a call waits for what Redis says of its gate."""

log = structlog.get_logger(__name__)


class GateScope(NamedTuple):
    """What Microsoft throttles together: a kind of resource of a tenant, or of the partner itself."""

    tenant_id: str | None
    resource: str


PARTNER: Final = GateScope(None, "")


def scope_of(tenant_id: str | None, path: str) -> GateScope:
    """Gives the scope of a path relative to /v1: its words without the ids, such as `customers/users/licenses`."""
    return GateScope(tenant_id, "/".join(path.partition("?")[0].split("/")[1::2])[:LONGEST_NAME])


class SharedGates(Protocol):
    """What replicas tell each other. Neither method raises: without an answer each replica is by itself."""

    async def look(self, scope: GateScope) -> tuple[float, float]:
        """Gives for how many seconds the partner's gate and this one are still closed."""

    async def announce(self, scope: GateScope, seconds: float) -> bool:
        """Closes a gate everywhere; True where so many tenants are throttled that it is about the partner."""

    async def reset(self) -> None:
        """Opens all gates everywhere."""

    async def close(self) -> None:
        """Gives the connection back."""


@dataclass(slots=True, eq=False)
class Gate:
    """One gate that was closed and is not forgotten yet."""

    until: float = -math.inf
    closed_at: float = -math.inf
    in_a_row: int = 0
    allowed: int = 1
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def shut(self, until: float) -> None:
        self.until = max(self.until, until)
        self.allowed = 1

    def wake(self) -> None:
        """Lets as many go on as may run."""
        free = self.allowed - self.running
        while free > 0 and self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


class Gates:
    """The gates of a process, and with `shared` those of all replicas."""

    def __init__(
        self,
        shared: SharedGates | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shared = shared
        self._clock = clock
        self._sleep = sleep
        self._gates: dict[GateScope, Gate] = {}
        self._throttled_at: dict[str, float] = {}

    def now(self) -> float:
        """The time that `close` wants to know of a call's begin."""
        return self._clock()

    async def enter(self, scope: GateScope) -> Sequence[Gate]:
        """Returns when a call may start; what it gives is for `leave`.

        Raises Throttled where the gate does not open within the request's time. What was waited is added to
        the request's use.
        """
        while True:
            await self._look(scope)
            gates = self._gates_of(scope)
            if not gates:
                return ()
            wait = max(gate.until for gate in gates) - self._clock()
            if wait > 0:
                if wait > seconds_to_wait():
                    raise throttled(wait)
                await self._pass_time(wait)
                continue
            full = next((gate for gate in gates if gate.running >= gate.allowed), None)
            if full is None:
                for gate in gates:
                    gate.running += 1
                return gates
            await self._turn(full)

    def leave(self, gates: Sequence[Gate], *, answered: bool) -> None:
        """Ends a call; `answered` where Microsoft answered it with anything but a 429."""
        for gate in gates:
            gate.running -= 1
            if answered and gate.until <= self._clock():
                gate.allowed += 1
            if gate.allowed >= OPEN_AT:
                self._gates = {scope: each for scope, each in self._gates.items() if each is not gate}
                gate.allowed = 2**31  # for those who still hold it, or wait at it
            gate.wake()

    async def may_go(self, scope: GateScope, entered: Sequence[Gate]) -> bool:
        """Whether the gate is as it was, for who entered a while ago; if not, `leave` and enter again."""
        await self._look(scope)
        gates = self._gates_of(scope)
        return not gates or (self.seconds_closed(scope) <= 0 and all(gate in entered for gate in gates))

    def seconds_closed(self, scope: GateScope) -> float:
        """Gives for how long a call to the scope has to wait; not above 0 where it may start."""
        return max((gate.until - self._clock() for gate in self._gates_of(scope)), default=0.0)

    async def close(self, scope: GateScope, seconds: float | None, asked_at: float) -> bool:
        """Closes a gate after a 429 to a call that began at `asked_at`; None where no usable time came along.

        Gives whether it was open then: calls that were under way together are throttled together, and count once.
        """
        now = self._clock()
        gate = self._gates.setdefault(scope, Gate())
        is_new = asked_at > gate.closed_at
        if is_new:
            gate.in_a_row += 1
            gate.closed_at = now
        if seconds is None:
            seconds = WAITS_SECONDS[min(max(1, gate.in_a_row), len(WAITS_SECONDS)) - 1]
        is_longer = now + seconds > gate.until + SAME_SECONDS
        gate.shut(now + seconds)
        all_closed = self._count(scope.tenant_id, now)
        if is_new:
            log.warning("partner_center_throttled", resource=scope.resource, seconds=round(seconds, 1))
        if self._shared is not None and (is_new or is_longer):
            all_closed = await self._shared.announce(scope, seconds) or all_closed
        if all_closed and self._learn(PARTNER, seconds):
            log.warning("partner_center_throttled_in_all", seconds=round(seconds, 1))
            if self._shared is not None:
                await self._shared.announce(PARTNER, seconds)
        return is_new

    @property
    def closed(self) -> int:
        """How many gates are closed now."""
        now = self._clock()
        return sum(gate.until > now for gate in self._gates.values())

    @property
    def partner_closed_seconds(self) -> float:
        """For how long nothing at all is asked."""
        gate = self._gates.get(PARTNER)
        return max(0.0, gate.until - self._clock()) if gate else 0.0

    async def reset(self) -> None:
        """Opens all, as at start."""
        self._gates.clear()
        self._throttled_at.clear()
        if self._shared is not None:
            await self._shared.reset()

    async def disconnect(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    def _gates_of(self, scope: GateScope) -> list[Gate]:
        if not self._gates:
            return []
        oldest = self._clock() - FORGOTTEN_AFTER_SECONDS
        found = (self._gates.get(PARTNER), self._gates.get(scope))
        return [gate for gate in found if gate is not None and gate.until > oldest]

    async def _look(self, scope: GateScope) -> None:
        if self._shared is None:
            return
        of_all, of_scope = await self._shared.look(scope)
        if of_all > 0:
            self._learn(PARTNER, of_all)
        if of_scope > 0:
            self._learn(scope, of_scope)

    def _learn(self, scope: GateScope, seconds: float) -> bool:
        """Takes over that a gate is closed; False where it was already."""
        now = self._clock()
        gate = self._gates.setdefault(scope, Gate())
        was_closed = gate.until > now
        if now + seconds > gate.until + SAME_SECONDS:
            gate.shut(now + seconds)
            gate.closed_at = gate.closed_at if was_closed else now
        return not was_closed

    def _count(self, tenant_id: str | None, now: float) -> bool:
        """Remembers that a tenant was throttled; True where so many were that it is about the partner."""
        self._forget(now)
        if tenant_id is None:
            return False
        self._throttled_at[tenant_id] = now
        return len(self._throttled_at) >= TENANTS_THAT_CLOSE_ALL

    def _forget(self, now: float) -> None:
        self._throttled_at = {
            tenant_id: at for tenant_id, at in self._throttled_at.items() if now - at < TOGETHER_SECONDS
        }
        self._gates = {
            scope: gate
            for scope, gate in self._gates.items()
            if gate.running or gate.waiting or now - gate.until < FORGOTTEN_AFTER_SECONDS
        }

    async def _pass_time(self, seconds: float) -> None:
        started = self._clock()
        try:
            await self._sleep(seconds)
        finally:
            current_use().throttled_seconds += self._clock() - started

    async def _turn(self, gate: Gate) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gate.waiting.append(turn)
        started = self._clock()
        longest = seconds_to_wait()
        try:
            async with asyncio.timeout(None if longest == math.inf else longest):
                await turn
        except TimeoutError:
            raise no_time_left() from None
        except asyncio.CancelledError:
            if not turn.cancelled():
                gate.wake()  # told in the same moment: the turn is the next one's
            raise
        finally:
            current_use().throttled_seconds += self._clock() - started


def throttled(seconds: float) -> Throttled:
    """The error of a call that was not started since its gate is closed."""
    error = Throttled(math.ceil(seconds))
    error.sent = False
    return error


def connect_gates(redis_url: Secret | str | None, namespace: str, *, look_seconds: float = LOOK_SECONDS) -> Gates:
    """Gives gates shared through a Redis address, or of this process where there is none. Nothing is opened yet."""
    if not redis_url:
        return Gates()
    from services.partner_center.gates_redis import RedisGates  # half a second, in vain where there is no Redis
    from services.store_connection import connect_redis_store

    url = redis_url.reveal() if isinstance(redis_url, Secret) else redis_url
    # Looks and announcements have shorter times of their own.
    connection = connect_redis_store(url, namespace, answer_seconds=None)
    return Gates(RedisGates(connection, look_seconds=look_seconds))
