"""Bounds the calls in flight, of the process and of each tenant, and says who is next.

Waiting calls are taken in turn by caller, a caller's by tenant, a tenant's in their order; who has the fewest
in flight comes first. So who asks for 500 tenants delays who asks for one by no more than the time until the
next slot is given back, and a tenant that does not answer gathers no slots that the others need. Calls of jobs
are taken when no other can be, and hold a quarter of the slots at most.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from services.deadlines import no_time_left, seconds_to_wait
from services.time_limits import TimeLimits
from services.upstream_turns import current_asker, turn_has_come
from services.upstream_use import current_use

JOBS_PART: Final = 4
GIVEN_BACK_EVERY_SECONDS: Final = 10.0


class _Limit:
    """A number of slots. Halved when Microsoft throttles, then given back one by one."""

    __slots__ = ("_base", "_full", "_since")

    def __init__(self, full: int) -> None:
        self._full = full
        self._base = full
        self._since = 0.0

    def at(self, now: float) -> int:
        if self._base < self._full:
            grown = self._base + int((now - self._since) / GIVEN_BACK_EVERY_SECONDS)
            if grown < self._full:
                return grown
            self._base = self._full
        return self._full

    def halve(self, now: float) -> None:
        self._base = max(1, self.at(now) // 2)
        self._since = now


class Slot(msgspec.Struct, eq=False):
    """One call's slot, or its wish for one."""

    tenant_id: str | None
    caller_key: str
    is_job: bool
    given: asyncio.Future[None] | None = None


K = TypeVar("K")
Turns = dict[str, dict[str | None, dict[Slot, None]]]
"""Who waits: by caller, then by tenant, each in the order of their turns."""


class Slots:
    """The slots of a process. Who waits is told when a slot is free: nobody looks again and again."""

    def __init__(self, total: int, per_tenant: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits = TimeLimits()
        self._total = _Limit(total)
        self._per_tenant = per_tenant
        self._halved: dict[str | None, _Limit] = {}
        self._in_flight = 0
        self._jobs_in_flight = 0
        self._by_tenant: dict[str | None, int] = {}
        self._by_caller: dict[str, int] = {}
        self._turns: Turns = {}
        self._job_turns: Turns = {}
        self._waiting = 0

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return self._total.at(self._clock())

    async def take(self, tenant_id: str | None) -> Slot:
        """Gives a slot, for `give_back`, when it is this call's turn; Timeout when the request's time is over.

        What was waited is added to the request's use.
        """
        asker = current_asker()
        slot = Slot(tenant_id, asker.key, asker.is_job)
        if not self._waiting and self._is_free(slot):
            self._give(slot)
            turn_has_come()
            return slot
        started = self._clock()
        try:
            with self._limits.within(seconds_to_wait()):
                await asker.take_place(tenant_id)
                try:
                    await self._wait(slot)
                finally:
                    asker.leave_place(tenant_id)
        except TimeoutError:
            raise no_time_left() from None
        finally:
            current_use().waited_seconds += self._clock() - started
        turn_has_come()
        return slot

    def give_back(self, slot: Slot) -> None:
        """Frees a slot for whoever is next."""
        self._in_flight -= 1
        self._jobs_in_flight -= slot.is_job
        _count_down(self._by_tenant, slot.tenant_id)
        _count_down(self._by_caller, slot.caller_key)
        if self._waiting:
            self._give_to_the_next()

    def halve(self, tenant_id: str | None) -> None:
        """Leaves a tenant half as many calls at once, or with None the process; one is given back every 10 s."""
        now = self._clock()
        if tenant_id is None:
            self._total.halve(now)
            return
        self._halved = {key: limit for key, limit in self._halved.items() if limit.at(now) < self._per_tenant}
        self._halved.setdefault(tenant_id, _Limit(self._per_tenant)).halve(now)

    async def _wait(self, slot: Slot) -> None:
        slot.given = asyncio.get_running_loop().create_future()
        turns = self._job_turns if slot.is_job else self._turns
        turns.setdefault(slot.caller_key, {}).setdefault(slot.tenant_id, {})[slot] = None
        self._waiting += 1
        self._give_to_the_next()
        try:
            await slot.given
        except asyncio.CancelledError:
            if not slot.given.cancelled():
                self.give_back(slot)  # given in the same moment
            elif slot in turns.get(slot.caller_key, {}).get(slot.tenant_id, {}):
                self._remove(turns, slot)
            raise

    def _give_to_the_next(self) -> None:
        while (slot := self._next(self._turns) or self._next(self._job_turns)) is not None:
            assert slot.given is not None
            if not slot.given.done():  # done: cancelled, and its task has not run since
                self._give(slot)
                slot.given.set_result(None)

    def _next(self, turns: Turns) -> Slot | None:
        """Takes out the next that may have a slot; its caller, and there its tenant, come last from now on."""
        if self._in_flight >= self._total.at(self._clock()):
            return None
        chosen: Slot | None = None
        fewest = math.inf
        for caller_key, tenants in turns.items():
            in_flight = self._by_caller.get(caller_key, 0)
            if in_flight < fewest and (slot := self._next_of(tenants)) is not None:
                chosen, fewest = slot, in_flight
                if in_flight == 0:
                    break
        if chosen is None:
            return None
        tenants = turns[chosen.caller_key] = turns.pop(chosen.caller_key)
        tenants[chosen.tenant_id] = tenants.pop(chosen.tenant_id)
        self._remove(turns, chosen)
        return chosen

    def _next_of(self, tenants: dict[str | None, dict[Slot, None]]) -> Slot | None:
        chosen: Slot | None = None
        fewest = math.inf
        for tenant_id, slots in tenants.items():
            in_flight = self._by_tenant.get(tenant_id, 0)
            if in_flight < fewest and self._is_free(slot := next(iter(slots))):
                chosen, fewest = slot, in_flight
                if in_flight == 0:
                    break
        return chosen

    def _remove(self, turns: Turns, slot: Slot) -> None:
        self._waiting -= 1
        tenants = turns[slot.caller_key]
        slots = tenants[slot.tenant_id]
        del slots[slot]
        if not slots:
            del tenants[slot.tenant_id]
        if not tenants:
            del turns[slot.caller_key]

    def _is_free(self, slot: Slot) -> bool:
        now = self._clock()
        total = self._total.at(now)
        if self._in_flight >= total or (slot.is_job and self._jobs_in_flight >= max(1, total // JOBS_PART)):
            return False
        if slot.tenant_id is None:
            return True
        halved = self._halved.get(slot.tenant_id) if self._halved else None
        of_tenant = self._per_tenant if halved is None else halved.at(now)
        return self._by_tenant.get(slot.tenant_id, 0) < of_tenant

    def _give(self, slot: Slot) -> None:
        self._in_flight += 1
        self._jobs_in_flight += slot.is_job
        self._by_tenant[slot.tenant_id] = self._by_tenant.get(slot.tenant_id, 0) + 1
        self._by_caller[slot.caller_key] = self._by_caller.get(slot.caller_key, 0) + 1


def _count_down(counts: dict[K, int], key: K) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
