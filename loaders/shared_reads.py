"""Reading through the cache, for all requests of the process: one fetch a key, renewals in the background.

What is fresh is given at once. What is a little older is given at once, too, and asked for anew behind the
reader's back. What is missing is fetched once for everybody who wants it, here and, through the cache's
claims, in the other replicas. Where Partner Center does not answer, an older copy stands in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextvars import Context
from typing import Any, Final, TypeVar

import structlog

from loaders.flights import Fetch, Flight, Flights, error_of
from loaders.traces import ReadTrace
from services.cache import Kept, Looked, LookupCache
from services.deadlines import LEAST_SECONDS, no_time_left, seconds_left, start_deadline
from services.errors import AccessMissing, Conflict, NotFound, Refused, Throttled, Timeout, UpstreamError
from services.lookups import K, Lookup, V
from services.upstream_turns import ask_in_turn
from services.upstream_use import current_use

MOST_RENEWALS: Final = 256
"""Keys that are renewed at once; what finds no place is renewed for a later reader."""
RENEWAL_SECONDS: Final = 30.0
RENEW_AGAIN_SECONDS: Final = 5.0
"""After a renewal failed, the key is left alone for so long."""
MOST_FAILED_REMEMBERED: Final = 10_000

T = TypeVar("T")
log = structlog.get_logger(__name__)


class SharedReads:
    """Reads for every request of the process; built once."""

    def __init__(self, cache: LookupCache) -> None:
        self.cache = cache
        self._flights = Flights(cache)
        self._renewing: set[tuple[str, object]] = set()
        self._renew_again_at: dict[tuple[str, object], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read_many(
        self,
        lookup: Lookup[K, V],
        keys: Sequence[K],
        fetch: Fetch[K, V],
        max_age_seconds: float | None = None,
        trace: ReadTrace | None = None,
    ) -> list[V | Exception]:
        """One answer a key, in order. A failed key is its exception, unless an older copy stands in for it.

        Each key is asked for, kept and given up by itself.
        """
        looked = await self.cache.look_up(lookup, keys)
        if trace is not None:
            trace.add(lookup, keys, looked)
        now, use = self.cache.clock(), current_use()
        answers: list[Any] = []
        missing: dict[K, Looked[V]] = {}
        ageing: dict[K, Looked[V]] = {}
        for key, one in zip(keys, looked, strict=True):
            kept = one.kept
            if kept is None or not _is_young(kept, now, max_age_seconds):
                missing[key] = one
                answers.append(None)
                continue
            answers.append(kept.value if kept.absent is None else error_of(kept.absent))
            if now >= kept.fresh_until:
                ageing[key] = one
        use.cache_hits += len(keys) - len(missing)
        if ageing:
            self._renew(lookup, ageing, fetch)
        if not missing:
            return answers
        use.cache_misses += len(missing)
        fetched = await self._fetch(lookup, missing, fetch, join=max_age_seconds is None)
        for index, key in enumerate(keys):
            if key in missing:
                answers[index] = self._or_older(lookup, key, missing[key], fetched[key], max_age_seconds)
        return answers

    async def at_hand(
        self,
        lookup: Lookup[K, V],
        keys: Sequence[K],
        max_age_seconds: float | None = None,
        trace: ReadTrace | None = None,
    ) -> list[Kept[V] | None]:
        """What would be given without asking Partner Center. Counts nothing, and renews nothing."""
        looked = await self.cache.look_up(lookup, keys)
        if trace is not None:
            trace.add(lookup, keys, looked)
        now = self.cache.clock()
        return [
            one.kept if one.kept and not one.kept.absent and _is_young(one.kept, now, max_age_seconds) else None
            for one in looked
        ]

    def _or_older(
        self, lookup: Lookup[K, V], key: K, looked: Looked[V], answer: V | Exception, max_age_seconds: float | None
    ) -> V | Exception:
        kept = looked.kept
        if kept is None or kept.absent or max_age_seconds is not None or not _calls_for_a_stand_in(answer):
            return answer
        current_use().stale.add((lookup.kind, key))
        return kept.value

    async def _fetch(
        self, lookup: Lookup[K, V], missing: Mapping[K, Looked[V]], fetch: Fetch[K, V], *, join: bool
    ) -> dict[K, V | Exception]:
        """Fetches what nobody fetches yet, and waits for the rest."""
        joined: dict[K, Flight] = {}
        own: dict[K, Looked[V]] = {}
        for key, one in missing.items():
            flight = self._flights.of(lookup, key, one.generation) if join else None
            if flight is None:
                own[key] = one
            else:
                joined[key] = flight
        if own and seconds_left() < LEAST_SECONDS:
            answers: dict[K, V | Exception] = dict.fromkeys(own, no_time_left())
            return answers | await self._flights.wait_for(joined)
        if joined:
            self._flights.hurry(lookup, joined, fetch, keys=len(missing))
        flights = joined | self._flights.begin(lookup, own, fetch, shared=join)
        answers = await self._flights.wait_for(flights)
        # Another request's time being over is no reason for this one to go without.
        ends_at = time.monotonic() + seconds_left()
        again = {
            key: missing[key]
            for key, flight in flights.items()
            if isinstance(answers[key], (Timeout, Throttled)) and flight.ends_at + LEAST_SECONDS < ends_at
        }
        if again and seconds_left() >= LEAST_SECONDS:
            answers |= await self._fetch(lookup, again, fetch, join=join)
        return answers

    def _renew(self, lookup: Lookup[K, V], ageing: Mapping[K, Looked[V]], fetch: Fetch[K, V]) -> None:
        """Asks anew in the background, once a key; nobody waits for it, and its failure is only logged."""
        due: dict[K, Looked[V]] = {}
        for key, one in ageing.items():
            name = lookup.kind, key
            if len(self._renewing) >= MOST_RENEWALS:
                break
            if not one.storable or name in self._renewing or time.monotonic() < self._renew_again_at.get(name, 0):
                continue
            due[key] = one
            self._renewing.add(name)
        if due:
            # Without the request's context: its time limit, its turn and its counters end with it.
            work = self._renew_now(lookup, due, fetch)
            task = asyncio.get_running_loop().create_task(work, context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _renew_now(self, lookup: Lookup[K, V], due: Mapping[K, Looked[V]], fetch: Fetch[K, V]) -> None:
        start_deadline(RENEWAL_SECONDS)
        ask_in_turn("renewals", is_job=True)
        try:
            mine = await self.cache.claim(lookup, {key: one.generation for key, one in due.items()})
            left = {key: due[key] for key in mine if self._flights.of(lookup, key, due[key].generation) is None}
            begun = self._flights.begin(lookup, left, fetch, shared=False)
            answers = await self._flights.wait_for(begun)
            failed = [key for key, answer in answers.items() if _calls_for_a_stand_in(answer)]
        except Exception:
            log.exception("renewal_failed", kind=lookup.kind)
            failed = list(due)
        finally:
            self._renewing.difference_update((lookup.kind, key) for key in due)
        if failed:
            log.warning("renewal_failed", kind=lookup.kind, keys=len(due), failed=len(failed))
            self._leave_alone(lookup, failed)

    def _leave_alone(self, lookup: Lookup[K, V], failed: Collection[K]) -> None:
        now = time.monotonic()
        if len(self._renew_again_at) + len(failed) > MOST_FAILED_REMEMBERED:
            self._renew_again_at = {name: at for name, at in self._renew_again_at.items() if now < at}
        self._renew_again_at.update(((lookup.kind, key), now + RENEW_AGAIN_SECONDS) for key in failed)

    async def close(self) -> None:
        """Ends the renewals that are under way, and keeps what was fetched."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._flights.close()


def _is_young(kept: Kept[Any], now: float, max_age_seconds: float | None) -> bool:
    if max_age_seconds is None:
        return now < kept.renew_until
    return now < kept.fresh_until and 0 < max_age_seconds >= now - kept.fetched_at


def _calls_for_a_stand_in(answer: object) -> bool:
    """Whether an older copy is better than this answer: where Microsoft did not give one at all."""
    return isinstance(answer, UpstreamError) and not isinstance(answer, (NotFound, AccessMissing, Refused, Conflict))
