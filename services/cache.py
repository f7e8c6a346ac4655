"""What Partner Center said, kept for a while: facts only, never of a caller, never a password or token.

Permission is checked after reading. A cache never fails a request: trouble is a miss, or a store that is
dropped. `services.cache_memory` is the plain twin for one process; `services.cache_redis` is shared by all
replicas.

A reader that fetched before a change and stores after it would pin the old state. So a value counts only in the
generation that its reader saw before it asked (see `services.generations`), and while a change is under way
nothing is stored.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from services.generations import Generation, is_settling
from services.lookups import K, Lookup, V, Volatile

MEMORY_BYTES: Final = 64 * 1024 * 1024
LARGEST_ENTRY_BYTES: Final = 8 * 1024 * 1024
"""Longest JSON form of one value that is kept, in Redis before compression."""

CONNECT_SECONDS: Final = 0.2
OPERATION_SECONDS: Final = 0.05
"""Longest that a reader waits for Redis. Time in which this process was too busy to look does not count."""

SPREAD: Final = 0.1
"""Expiries differ by chance by up to this share: what was fetched together does not expire together."""
SETTLING_FRESH_SECONDS: Final = 5.0
"""How long is kept what was read in the minute after a change."""
ABSENT_SECONDS: Final = {"not_found": 15.0, "tenant": 15.0, "access": 60.0}
"""How long is kept that there is no such thing, no such tenant, or no access to it."""

_Kept_co = TypeVar("_Kept_co", covariant=True)


class CacheUnavailable(Exception):
    """The cache's server cannot be reached. Only `ping` raises it."""


class Absent(msgspec.Struct, frozen=True):
    """Partner Center's word that there is nothing to be had, with our message for callers."""

    what: Literal["not_found", "tenant", "access"]
    message: str


class Kept(msgspec.Struct, Generic[_Kept_co], frozen=True):
    """A kept value, when it was stored, until when it is fresh, and until when given while it is renewed: seconds
    since 1970. With `absent` there is no value.

    Lists in it are shared with every other reader: they are never changed in place.
    """

    value: _Kept_co
    fetched_at: float
    fresh_until: float
    renew_until: float
    absent: Absent | None = None


class Looked(NamedTuple, Generic[_Kept_co]):
    """What was found for a key, and the generation that an answer fetched from now on belongs to.

    While a change is under way, or where nothing is known of changes, such an answer is not stored.
    """

    kept: Kept[_Kept_co] | None
    generation: Generation
    storable: bool

    def fresh(self, now: float) -> Kept[_Kept_co] | None:
        """The value that was found, if it is fresh by the cache's clock."""
        kept = self.kept
        return kept if kept is not None and now < kept.fresh_until and kept.absent is None else None


class LookupCache(Protocol):
    """Keeps the answers to look-ups, as long as they can be of use at all."""

    clock: Callable[[], float]
    """The time by which the cache counts: seconds since 1970."""
    shared: bool
    """Whether other processes use it, too."""
    remembers: bool
    """Whether the same entry is given again and again as the same object, while it is fresh and unchanged."""

    async def look_up(self, lookup: Lookup[K, V], keys: Sequence[K]) -> Sequence[Looked[V]]:
        """Gives one answer a key, in order."""

    async def store_many(
        self, lookup: Lookup[K, V], values: Mapping[K, V | Absent], generations: Mapping[K, Generation]
    ) -> None:
        """Keeps the values, each under the generation that `look_up` gave before it was fetched."""

    def changing(self, tenant_id: str, kinds: Collection[Volatile]) -> AbstractAsyncContextManager[None]:
        """Surrounds a change: what was read before its end is out of date, also where it is stored later."""

    async def claim(
        self, lookup: Lookup[K, V], generations: Mapping[K, Generation], of_keys: int | None = None
    ) -> set[K]:
        """Gives the keys that the asker is to fetch; another replica fetches the others just now, and not as some of
        many more. `of_keys` is how many the asker wants in all, where these are not all."""

    async def release(self, lookup: Lookup[K, V], generations: Mapping[K, Generation]) -> None:
        """Gives claims back where nothing was stored."""

    async def clear(self) -> None:
        """Forgets everything of this namespace."""

    async def ping(self) -> None:
        """Raises CacheUnavailable when the cache cannot be reached."""

    async def close(self) -> None: ...


class Times(NamedTuple):
    """Ages of a value that is stored now, in seconds: of use at all, fresh, given while it is renewed."""

    kept: float
    fresh: float
    renew: float


def times_of(lookup: Lookup[K, V], value: object, generation: Generation, now: float) -> Times:
    """Gives how long a value is of use, more or less a tenth; 0: it is not to be kept."""
    spread = random.uniform(1 - SPREAD, 1 + SPREAD)
    if value is None or isinstance(value, Absent):
        seconds = ABSENT_SECONDS[value.what] if isinstance(value, Absent) else lookup.absent_seconds
        return Times(*[seconds * spread] * 3)
    if is_settling(generation, now):
        return Times(*[min(lookup.fresh_seconds, SETTLING_FRESH_SECONDS) * spread] * 3)
    renew = max(lookup.fresh_seconds, lookup.renew_seconds)
    return Times(max(renew, lookup.stand_in_seconds) * spread, lookup.fresh_seconds * spread, renew * spread)


def connect_cache(
    url: str | None,
    namespace: str,
    *,
    max_bytes: int = MEMORY_BYTES,
    connect_seconds: float = CONNECT_SECONDS,
    operation_seconds: float = OPERATION_SECONDS,
    clock: Callable[[], float] = time.time,
) -> LookupCache:
    """Gives the cache at an address, or one in this process where there is none. Nothing is opened yet. Either takes
    `max_bytes` of this process.

    Addresses: see `services.redis_client`. ValueError for any other, without repeating it, since it may hold a
    password.
    """
    if url is None:
        from services.cache_memory import MemoryCache

        return MemoryCache(max_bytes=max_bytes, clock=clock)
    # Half a second, in vain where there is no Redis.
    from services.cache_redis import RedisCache
    from services.redis_client import connect_client
    from services.redis_guard import RedisGuard

    client, close = connect_client(url, connect_seconds=connect_seconds, answer_seconds=None)
    guard = RedisGuard(client, operation_seconds, close)
    return RedisCache(guard, namespace, near_bytes=max_bytes, clock=clock)
