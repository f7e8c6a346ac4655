"""Fetches under way: one a key for everybody who wants it, kept when they have landed.

A waiter that is cancelled leaves a flight to the others; the last one ends it. A flight runs in the context of
the request that began it, so in its time, on its account and in its turn; until its turn has come, a much smaller
request that wants it, too, has it fly in its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from itertools import zip_longest
from typing import Any, Final

import msgspec

from services.cache import Absent, Looked, LookupCache
from services.deadlines import KEPT_BACK_SECONDS, seconds_left
from services.errors import AccessMissing, NotFound, TenantNotFound, Timeout, UpstreamError
from services.generations import Generation
from services.lookups import K, Lookup, V
from services.time_limits import TimeLimits
from services.upstream_turns import Turn, is_much_larger, watch_turn

LOOKS: Final = 10
LOOK_AGAIN_SECONDS: Final = 0.05
"""How often, and how long after one another, is looked for what another replica fetches: half a second. Looks are
counted, not seconds: a process that is too busy to look has not waited for the other."""

MOST_BEGUN: Final = 192
"""So many fetches of a question have begun and not ended: more than may be in flight, or be next, in the process."""
BEGUN_AT_ONCE: Final = 16
"""So many fetches begin, then others have their turn."""
CLAIMED_AT_ONCE: Final = 64
CLAIM_AGAIN_SECONDS: Final = 0.005
"""So many keys are claimed, and sent, before the next are."""
STORED_AT_ONCE: Final = 32
STORE_TOGETHER_SECONDS: Final = 0.1
"""What lands of a larger question is stored together this often, since storing takes time from fetching."""

Fetch = Callable[[K], Awaitable[V]]
"""Asks for one key, which is a call or more: Partner Center answers none of these look-ups for many at once."""
_Name = tuple[str, object, Generation]

OPEN: Final = object()
"""In place of an answer that is not there yet."""


class Waiter:
    """Who waits for many flights at once: woken by the last of them, and by none of the others."""

    __slots__ = ("left", "woken")

    def __init__(self) -> None:
        self.left = 0
        self.woken = asyncio.get_running_loop().create_future()

    def one_has_landed(self) -> None:
        self.left -= 1
        if not self.left and not self.woken.done():
            self.woken.set_result(None)


class Flight(msgspec.Struct, eq=False):
    """One key's fetch. `answer` is a value or an exception, once there is one."""

    name: _Name
    generation: Generation
    storable: bool
    ends_at: float
    begun_with: int
    """How many keys the request wants that it flies for."""
    answer: object = OPEN
    claimed: bool = False
    """Whether it may fly, as far as other replicas are concerned."""
    given_up: bool = False
    context: Context | None = None
    """Whose it is, if not of who begins it."""
    turn: Turn | None = None
    task: asyncio.Task[None] | None = None
    waiters: list[Waiter] = []

    def is_smaller_for(self, keys: int) -> bool:
        """Whether it would go earlier as one of so many keys: its turn has not come."""
        waits = self.turn is None or not self.turn.has_come
        return waits and is_much_larger(self.begun_with, keys) and self.answer is OPEN

    def settle(self, answer: object) -> None:
        """Gives the answer to everybody who waits, unless there was one."""
        if self.answer is not OPEN:
            return
        self.answer = answer
        for waiter in self.waiters:
            waiter.one_has_landed()
        self.waiters.clear()

    def give_up(self) -> None:
        self.given_up = True
        self.settle(UpstreamError())
        if self.task is not None:
            self.task.cancel()


class _Landed:
    """What waits to be stored, of one look-up."""

    def __init__(self, lookup: Lookup[Any, Any]) -> None:
        self.lookup = lookup
        self.values: dict[Any, Any] = {}
        self.flights: dict[Any, Flight] = {}
        self.released: dict[Any, Generation] = {}


class Flights:
    """The fetches of a process that are under way, by look-up, key and generation."""

    def __init__(self, cache: LookupCache) -> None:
        self._cache = cache
        self._under_way: dict[_Name, Flight] = {}
        self._landed: dict[str, _Landed] = {}
        self._storing: asyncio.Task[None] | None = None
        self._store_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits = TimeLimits()

    def of(self, lookup: Lookup[K, V], key: K, generation: Generation) -> Flight | None:
        """The flight that a reader who saw this generation may join: it began no earlier."""
        return self._under_way.get((lookup.kind, key, generation))

    def begin(
        self, lookup: Lookup[K, V], looked: Mapping[K, Looked[V]], fetch: Fetch[K, V], *, shared: bool
    ) -> dict[K, Flight]:
        """Begins to fetch. With `shared` what another replica fetches just now is waited for, a moment."""
        ends_at = time.monotonic() + seconds_left()
        flights = {
            key: Flight((lookup.kind, key, one.generation), one.generation, one.storable, ends_at, len(looked))
            for key, one in looked.items()
        }
        for flight in flights.values():
            self._under_way.setdefault(flight.name, flight)
        claimable = {key: one for key, one in flights.items() if one.storable and shared and self._cache.shared}
        if claimable:
            self._go(self._share(lookup, claimable, fetch))
        others = {key: one for key, one in flights.items() if key not in claimable}
        for flight in others.values():
            flight.claimed = True
        if len(others) > BEGUN_AT_ONCE:
            by_turns = {key: others[key] for key in _by_turns(lookup, others)}
            self._go(self._fly_by_and_by(lookup, by_turns, fetch, asyncio.Semaphore(MOST_BEGUN)))
        else:
            for key, flight in others.items():
                self._fly(lookup, key, flight, fetch)
        return flights

    def hurry(self, lookup: Lookup[K, V], joined: Mapping[K, Flight], fetch: Fetch[K, V], *, keys: int) -> None:
        """Has what a much larger request wants, too, fetched in the turn of one of so many keys that joins now."""
        for key, flight in joined.items():
            if not flight.is_smaller_for(keys):
                continue
            flight.begun_with = keys
            flight.ends_at = time.monotonic() + seconds_left()
            flight.context = copy_context()
            if not flight.claimed:
                self._go(self._share(lookup, {key: flight}, fetch))
                continue
            if flight.task is not None:
                flight.task.cancel()
                flight.task = flight.turn = None
            self._fly(lookup, key, flight, fetch)

    def _fly(self, lookup: Lookup[K, V], key: K, flight: Flight, fetch: Fetch[K, V]) -> None:
        if flight.task is None and flight.answer is OPEN:
            flight.claimed = True
            flight.task = self._go(self._fetch(lookup, key, flight, fetch), flight.context)

    async def _fly_by_and_by(
        self, lookup: Lookup[K, V], flights: Mapping[K, Flight], fetch: Fetch[K, V], places: asyncio.Semaphore
    ) -> None:
        """Begins some, and each other one when one of these has ended: a task that only waits takes memory, too."""
        for number, (key, flight) in enumerate(flights.items(), 1):
            await places.acquire()
            self._fly(lookup, key, flight, fetch)
            if flight.task is None:
                places.release()
            else:
                flight.task.add_done_callback(lambda _: places.release())
            if number % BEGUN_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _go(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fetch(self, lookup: Lookup[K, V], key: K, flight: Flight, fetch: Fetch[K, V]) -> None:
        turn = flight.turn = watch_turn()
        answer: object
        try:
            answer = await fetch(key)
        except Exception as error:
            answer = error
        except BaseException:  # it was cancelled
            answer = UpstreamError()
            raise
        finally:
            if flight.turn is turn:  # else it flies for another request by now
                self._land(lookup, key, flight, answer)

    async def _share(self, lookup: Lookup[K, V], flights: Mapping[K, Flight], fetch: Fetch[K, V]) -> None:
        """Fetches what no other replica fetches, and waits for what one does."""
        keys, places = _by_turns(lookup, flights), asyncio.Semaphore(MOST_BEGUN)
        for start in range(0, len(keys), CLAIMED_AT_ONCE):
            some = {key: flights[key] for key in keys[start : start + CLAIMED_AT_ONCE]}
            if start:
                await asyncio.sleep(CLAIM_AGAIN_SECONDS)
                # What a smaller request wants meanwhile is in its hands.
                some = {key: flight for key, flight in some.items() if flight.context is None}
            mine = await self._claim(lookup, some)
            if others := {key: flight for key, flight in some.items() if key not in mine}:
                self._go(self._wait_for_others(lookup, others, fetch))
            await self._fly_by_and_by(lookup, {key: some[key] for key in some if key in mine}, fetch, places)

    async def _claim(self, lookup: Lookup[K, V], flights: Mapping[K, Flight]) -> set[K]:
        """Gives what no other replica fetches."""
        generations = {key: flight.generation for key, flight in flights.items()}
        of_keys = max((flight.begun_with for flight in flights.values()), default=0)
        mine = await self._cache.claim(lookup, generations, of_keys) if generations else set()
        given_up: dict[K, Generation] = {}
        for key in mine:
            flights[key].claimed = True
            if flights[key].answer is not OPEN:
                given_up[key] = flights[key].generation
        await self._cache.release(lookup, given_up)
        return mine

    async def _wait_for_others(self, lookup: Lookup[K, V], flights: Mapping[K, Flight], fetch: Fetch[K, V]) -> None:
        """Looks for what other replicas fetch, for half a second, and then fetches it, too."""
        left = list(flights)
        for look in range(LOOKS + 1):
            if look:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            for key, one in zip(left, await self._cache.look_up(lookup, left), strict=True):
                kept = one.kept
                if kept and self._cache.clock() < kept.fresh_until and flights[key].answer is OPEN:
                    self._end(flights[key])
                    flights[key].settle(error_of(kept.absent) if kept.absent else kept.value)
            left = [key for key in left if flights[key].answer is OPEN]
            if not left:
                return
        for key in left:
            self._fly(lookup, key, flights[key], fetch)

    def _land(self, lookup: Lookup[K, V], key: K, flight: Flight, answer: object) -> None:
        value = _absent_of(answer) if isinstance(answer, Exception) else answer
        kept = flight.storable and not isinstance(value, Exception) and not flight.given_up
        if flight.storable and (kept or self._cache.shared):
            landed = self._landed.setdefault(lookup.kind, _Landed(lookup))
            if kept:  # stays under way until it is stored: nobody falls between the two
                landed.values[key] = value
                landed.flights[key] = flight
            else:
                landed.released[key] = flight.generation
            if flight.begun_with <= STORED_AT_ONCE:
                self._store_now.set()
            if self._storing is None or self._storing.done():
                self._storing = asyncio.create_task(self._store())
        if not kept:
            self._end(flight)
        flight.settle(answer)
        flight.task = None  # which refers to it: what it brought is let go with it

    async def _store(self) -> None:
        while self._landed:
            if self._cache.shared and len(self._under_way) > STORED_AT_ONCE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(STORE_TOGETHER_SECONDS):
                        await self._store_now.wait()
            self._store_now.clear()
            kind, landed = next(iter(self._landed.items()))
            del self._landed[kind]
            generations = {key: flight.generation for key, flight in landed.flights.items()}
            try:
                if landed.values:
                    await self._cache.store_many(landed.lookup, landed.values, generations)
                if landed.released:
                    await self._cache.release(landed.lookup, landed.released)
            finally:
                for flight in landed.flights.values():
                    self._end(flight)

    def _end(self, flight: Flight) -> None:
        if self._under_way.get(flight.name) is flight:
            del self._under_way[flight.name]

    async def wait_for(self, flights: Mapping[K, Flight]) -> dict[K, Any]:
        """Gives the answers, as far as they come within the request's time."""
        waiter = Waiter()
        for flight in flights.values():
            if flight.answer is OPEN:
                flight.waiters.append(waiter)
                waiter.left += 1
        try:
            if waiter.left:
                with suppress(TimeoutError), self._limits.within(seconds_left() - KEPT_BACK_SECONDS):
                    await waiter.woken
            return {key: _late() if flight.answer is OPEN else flight.answer for key, flight in flights.items()}
        finally:
            for flight in flights.values() if waiter.left else ():
                if flight.answer is OPEN:
                    flight.waiters.remove(waiter)
                    if not flight.waiters:
                        self._end(flight)
                        flight.give_up()

    async def close(self) -> None:
        """Ends what is under way, and stores what has landed."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for flight in list(self._under_way.values()):
            flight.settle(UpstreamError())
        self._store_now.set()
        if self._storing is not None:
            await asyncio.wait([self._storing])


def _late() -> Timeout:
    return Timeout("Microsoft did not answer within the time of the request.")


def _absent_of(error: Exception) -> Absent | Exception:
    """What is worth remembering of a failure: that there is nothing."""
    match error:
        case TenantNotFound():
            return Absent("tenant", error.message)
        case NotFound():
            return Absent("not_found", error.message)
        case AccessMissing():
            return Absent("access", error.message)
        case _:
            return error


def error_of(absent: Absent) -> UpstreamError:
    """The failure that was remembered."""
    kinds: dict[str, type[UpstreamError]] = {"tenant": TenantNotFound, "not_found": NotFound, "access": AccessMissing}
    return kinds[absent.what](absent.message)


def _by_turns(lookup: Lookup[K, Any], keys: Iterable[K]) -> list[K]:
    """The keys in another order: one of each tenant, then the next of each. Else the first tenant's calls, which may
    only be so many at once, would keep out those of the others."""
    by_tenant: dict[str, list[K]] = {}
    for key in keys:
        by_tenant.setdefault(lookup.tenant_of(key), []).append(key)
    return [key for row in zip_longest(*by_tenant.values()) for key in row if key is not None]
