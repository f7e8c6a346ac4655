"""Reading through the cache, for all requests of the process: one fetch a key, renewals in the background.

What is fresh is given at once. What is a little older is given at once, too, and asked for anew behind the
reader's back. What is missing is fetched once for everybody who wants it, here and, through the cache's
claims, in the other replicas. Where Partner Center does not answer, an older copy stands in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Any, TypeVar

import structlog

from services.cache import NEVER, Generation, Kept, Looked, LookupCache
from services.errors import AccessMissing, NotFound, UpstreamError
from services.lookups import Lookup
from services.upstream_use import current_use

K = TypeVar("K")
V = TypeVar("V")
Fetch = Callable[[Sequence[K]], Awaitable[list[V | Exception]]]

WAIT_FOR_REPLICA_SECONDS = 0.5
LOOK_AGAIN_SECONDS = 0.05
MOST_RENEWALS = 256

log = structlog.get_logger(__name__)


class SharedReads:
    """Reads for every request of the process; built once."""

    def __init__(self, cache: LookupCache) -> None:
        self.cache = cache
        self._flights: dict[tuple[str, object, Generation], asyncio.Task[Any]] = {}
        self._renewals: dict[tuple[str, object], asyncio.Task[None]] = {}

    async def read_many(
        self, lookup: Lookup[K, V], keys: Sequence[K], fetch: Fetch[K, V], max_age_seconds: float | None
    ) -> list[V | Exception]:
        """One answer a key, in order. A failed key is its exception, unless an older copy stands in for it."""
        looked = await self.cache.look_up(lookup, keys)
        now, use = time.time(), current_use()
        answers: dict[K, V | Exception] = {}
        missing: dict[K, Looked[V]] = {}
        ageing: dict[K, Looked[V]] = {}
        for key, one in zip(keys, looked, strict=True):
            kept = one.kept
            if kept is None or not _is_young_enough(kept, now, max_age_seconds):
                missing[key] = one
                continue
            answers[key] = kept.value
            if now >= kept.fresh_until:
                ageing[key] = one
        use.cache_hits += len(keys) - len(missing)
        use.cache_misses += len(missing)
        if ageing:
            self._renew(lookup, ageing, fetch)
        if missing:
            fetched = await self._fetch_shared(lookup, missing, fetch, join=max_age_seconds is None)
            for key, answer in fetched.items():
                kept = missing[key].kept
                if max_age_seconds is None and kept is not None and _calls_for_a_stand_in(answer):
                    use.stale.add((lookup.kind, key))
                    answers[key] = kept.value
                else:
                    answers[key] = answer
        return [answers[key] for key in keys]

    async def _fetch_shared(
        self, lookup: Lookup[K, V], missing: dict[K, Looked[V]], fetch: Fetch[K, V], *, join: bool
    ) -> dict[K, V | Exception]:
        """Fetches what nobody fetches yet, and waits for the rest. Who gives up waiting leaves it to the others."""
        waiting: dict[K, asyncio.Task[Any]] = {}
        own: dict[K, Looked[V]] = {}
        for key, one in missing.items():
            flight = self._flights.get((lookup.kind, key, one.generation)) if join else None
            if flight is not None:
                waiting[key] = flight
            else:
                own[key] = one
        if own:
            task = asyncio.create_task(self._fetch(lookup, own, fetch, ask_replicas=join))
            for key, one in own.items():
                self._begin(lookup, key, one.generation, task)
                waiting[key] = task
        answers: dict[K, V | Exception] = {}
        for task in dict.fromkeys(waiting.values()):
            results = await _wait_for(task)
            answers.update({key: results[key] for key in waiting if waiting[key] is task})
        return answers

    def _begin(self, lookup: Lookup[K, V], key: K, generation: Generation, task: asyncio.Task[Any]) -> None:
        name = (lookup.kind, key, generation)
        if generation == NEVER:  # read amid a change: later readers must not take it for the state after it
            return
        self._flights[name] = task
        task.add_done_callback(lambda _: self._flights.pop(name, None) if self._flights.get(name) is task else None)

    async def _fetch(
        self, lookup: Lookup[K, V], own: dict[K, Looked[V]], fetch: Fetch[K, V], *, ask_replicas: bool
    ) -> dict[K, V | Exception]:
        keys = list(own)
        claimed = await self.cache.claim(lookup, keys) if ask_replicas else [True] * len(keys)
        others = [key for key, taken in zip(keys, claimed, strict=True) if not taken]
        mine = [key for key, taken in zip(keys, claimed, strict=True) if taken]
        if not others:
            return await self._fetch_and_store(lookup, mine, own, fetch)
        found, fetched = await asyncio.gather(
            self._await_replica(lookup, others), self._fetch_and_store(lookup, mine, own, fetch)
        )
        left = [key for key in others if key not in found]
        return found | fetched | await self._fetch_and_store(lookup, left, own, fetch)

    async def _fetch_and_store(
        self, lookup: Lookup[K, V], keys: Sequence[K], looked: dict[K, Looked[V]], fetch: Fetch[K, V]
    ) -> dict[K, V | Exception]:
        if not keys:
            return {}
        answers = dict(zip(keys, await fetch(keys), strict=True))
        values = {key: answer for key, answer in answers.items() if not isinstance(answer, Exception)}
        await self.cache.store_many(lookup, values, {key: looked[key].generation for key in values})
        await self.cache.release(lookup, [key for key in keys if key not in values])
        return answers

    async def _await_replica(self, lookup: Lookup[K, V], keys: Sequence[K]) -> dict[K, V | Exception]:
        """Looks again for what another replica fetches, for half a second at most."""
        until = time.monotonic() + WAIT_FOR_REPLICA_SECONDS
        found: dict[K, V | Exception] = {}
        left = list(keys)
        while left and time.monotonic() < until:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            looked = await self.cache.look_up(lookup, left)
            found.update({key: kept.value for key, one in zip(left, looked, strict=True) if (kept := one.fresh())})
            left = [key for key in left if key not in found]
        return found

    def _renew(self, lookup: Lookup[K, V], ageing: dict[K, Looked[V]], fetch: Fetch[K, V]) -> None:
        """Asks anew in the background, once a key; nobody waits for it, and its failure is only logged."""
        due = {key: one for key, one in ageing.items() if (lookup.kind, key) not in self._renewals}
        if not due or len(self._renewals) + len(due) > MOST_RENEWALS:
            return
        # Without the request's context: its time limit and its counters end with it.
        task = asyncio.get_running_loop().create_task(self._renew_now(lookup, due, fetch), context=Context())
        for key in due:
            self._renewals[lookup.kind, key] = task
        task.add_done_callback(lambda _: self._forget_renewals(lookup, due))

    async def _renew_now(self, lookup: Lookup[K, V], due: dict[K, Looked[V]], fetch: Fetch[K, V]) -> None:
        keys = [key for key, mine in zip(due, await self.cache.claim(lookup, list(due)), strict=True) if mine]
        try:
            answers = await self._fetch_and_store(lookup, keys, due, fetch)
        except Exception:
            log.exception("renewal_failed", kind=lookup.kind)
            return
        failed = sum(isinstance(answer, Exception) for answer in answers.values())
        if failed:
            log.warning("renewal_failed", kind=lookup.kind, keys=len(keys), failed=failed)

    def _forget_renewals(self, lookup: Lookup[K, V], keys: Iterable[K]) -> None:
        for key in keys:
            self._renewals.pop((lookup.kind, key), None)

    async def close(self) -> None:
        """Ends the renewals that are under way."""
        tasks = set(self._renewals.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _is_young_enough(kept: Kept[Any], now: float, max_age_seconds: float | None) -> bool:
    if max_age_seconds is None:
        return now < kept.renew_until
    return now < kept.fresh_until and now - kept.fetched_at <= max_age_seconds and max_age_seconds > 0


def _calls_for_a_stand_in(answer: object) -> bool:
    """Whether an older copy is better than this answer: where Microsoft did not give one at all."""
    return isinstance(answer, UpstreamError) and not isinstance(answer, (NotFound, AccessMissing))


_waiters: dict[asyncio.Task[Any], int] = {}


async def _wait_for(task: asyncio.Task[Any]) -> Any:
    """Waits for a shared fetch. A waiter that is cancelled leaves it to the others; the last one ends it."""
    _waiters[task] = _waiters.get(task, 0) + 1
    try:
        return await asyncio.shield(task)
    finally:
        _waiters[task] -= 1
        if not _waiters[task]:
            del _waiters[task]
            if not task.done():
                task.cancel()
