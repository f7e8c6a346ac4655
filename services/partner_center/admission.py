"""When a call may start: its breakers are closed, its gate is open, and a slot is free, in that order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from services.errors import Throttled, UpstreamError
from services.partner_center.breakers import Breakers, BreakerState, LeftAlone, Outcome, Passage
from services.partner_center.gates import Gate, Gates, GateScope
from services.partner_center.slots import Slot, Slots


class CallEvent(Enum):
    """What is worth counting. The values are labels of metrics."""

    __hash__ = object.__hash__  # each is one object; Enum's own is a function in Python, at every call

    ANSWERED = "answered"
    FAILED = "failed"
    THROTTLED = "throttled"
    RETRIED = "retried"
    HELD_BACK = "held_back"
    """Not started: a gate stays closed for too long, or a breaker is open."""


@dataclass(frozen=True, slots=True)
class UpstreamHealth:
    """How the way to Partner Center is. Names no tenant, so that it can be shown and counted."""

    partner_center: BreakerState
    token_endpoint: BreakerState
    tenants_left_alone: int
    gates_closed: int
    partner_gate_closed_seconds: float
    calls_in_flight: int
    calls_waiting: int
    slots: int


class Admitted(msgspec.Struct):
    """One call that was let in, what it holds, and what came of it."""

    gates: Sequence[Gate]
    slot: Slot
    passage: Passage
    asked_at: float
    outcome: Outcome = Outcome.NOTHING
    is_throttled: bool = False


class Admission:
    """Lets calls in, reads and writes alike."""

    def __init__(
        self,
        slots: Slots,
        gates: Gates,
        breakers: Breakers,
        on_event: Callable[[CallEvent], None],
    ) -> None:
        self._slots = slots
        self._gates = gates
        self._breakers = breakers
        self._on_event = on_event

    async def admit(self, scope: GateScope) -> Admitted:
        """Gives a call what it needs, for `leave`. Raises LeftAlone, Throttled or Timeout, all unsent, where it may not
        start."""
        if self._breakers.refuses(scope.tenant_id):
            self._on_event(CallEvent.HELD_BACK)
            raise LeftAlone
        while True:
            try:
                entered = await self._gates.enter(scope)
            except Throttled:
                self._on_event(CallEvent.HELD_BACK)
                raise
            slot: Slot | None = None
            admitted: Admitted | None = None
            try:
                slot = await self._slots.take(scope.tenant_id)
                # While it waited for its slot, other calls may have been throttled.
                if await self._gates.may_go(scope, entered):
                    admitted = Admitted(entered, slot, self._breakers.enter(scope.tenant_id), self._gates.now())
                    return admitted
            finally:
                if admitted is None:
                    self._let_go(entered, slot, answered=False)

    def leave(self, call: Admitted) -> None:
        """Ends a call that was let in, and takes note of what came of it."""
        call.passage.leave(call.outcome)
        answered = call.outcome is Outcome.ANSWERED and not call.is_throttled
        self._let_go(call.gates, call.slot, answered=answered)

    def _let_go(self, gates: Sequence[Gate], slot: Slot | None, *, answered: bool) -> None:
        if slot is not None:
            self._slots.give_back(slot)
        self._gates.leave(gates, answered=answered)

    async def throttled(self, scope: GateScope, call: Admitted, seconds: float | None) -> None:
        """Takes note of a 429: closes the gate, and leaves half as many slots."""
        call.is_throttled = True
        self._on_event(CallEvent.THROTTLED)
        was_closed = self._gates.partner_closed_seconds > 0
        if await self._gates.close(scope, seconds, call.asked_at):
            self._slots.halve(scope.tenant_id)
        if not was_closed and self._gates.partner_closed_seconds > 0:
            self._slots.halve(None)

    def may_repeat(self, scope: GateScope, longest_wait: float) -> bool:
        """Whether another call would be let in within the time."""
        return not self._breakers.refuses(scope.tenant_id) and self._gates.seconds_closed(scope) <= longest_wait

    def throttled_error(self, scope: GateScope, error: UpstreamError) -> Throttled:
        """The error of a call that was throttled: it says how long its gate stays closed."""
        return Throttled(max(0, math.ceil(self._gates.seconds_closed(scope))), detail=error.detail)

    @property
    def calls_waiting(self) -> int:
        """How many calls wait for a slot."""
        return self._slots.waiting

    def health(self) -> UpstreamHealth:
        return UpstreamHealth(
            partner_center=self._breakers.common.state,
            token_endpoint=self._breakers.token_endpoint.state,
            tenants_left_alone=self._breakers.open_tenants,
            gates_closed=self._gates.closed,
            partner_gate_closed_seconds=self._gates.partner_closed_seconds,
            calls_in_flight=self._slots.in_flight,
            calls_waiting=self._slots.waiting,
            slots=self._slots.limit,
        )

    async def reset(self) -> None:
        """Opens all gates and closes all breakers, as at start."""
        await self._gates.reset()
        self._breakers.reset()
