"""What Partner Center said, kept for a while: facts only, never of a caller, never a password or token.

Permission is checked after reading. A cache never fails a request: trouble is a miss, or a store that is
dropped. `MemoryCache` is the plain twin for one process; `services.cache_redis` is shared by all replicas.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from services.lookups import K, Lookup, V

MEMORY_BYTES: Final = 64 * 1024 * 1024
LARGEST_ENTRY_BYTES: Final = 8 * 1024 * 1024
"""Longest JSON form of one value that is kept, in Redis before compression."""

MEMORY_PER_JSON_BYTE: Final = 3
"""Bytes of memory that models take for each byte of their JSON form. Measured with tracemalloc: users 1.7,
licenses and subscribed SKUs 2.2, lists of ids 2.4, a single text 2.5; the rest is margin."""

ENTRY_BYTES: Final = 512
"""What an entry takes beside its value: key, place in the order, record."""

SPREAD: Final = 0.1
"""Expiries differ by chance by up to this share: what was fetched together does not expire together."""

_Kept_co = TypeVar("_Kept_co", covariant=True)


class CacheUnavailable(Exception):
    """The cache's server cannot be reached. Only `ping` raises it."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[_Kept_co]):
    """A kept value and when it was stored, in seconds since 1970 by the real clock.

    Lists in it are shared with every other reader: they are never changed in place.
    """

    value: _Kept_co
    fetched_at: float


class LookupCache(Protocol):
    """Keeps the answers to look-ups. A hit is a value stored within the look-up's fresh time."""

    async def get_many(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Kept[V] | None]:
        """Gives one answer a key, in order; None for a miss."""

    async def store_many(self, lookup: Lookup[K, V], values: Mapping[K, V]) -> None:
        """Keeps answers in place of older ones. None is "not known yet": only the older one is forgotten."""

    async def forget(self, lookup: Lookup[K, V], *keys: K) -> None: ...

    async def clear(self) -> None:
        """Forgets everything of this namespace."""

    async def ping(self) -> None:
        """Raises CacheUnavailable when the cache cannot be reached."""

    async def close(self) -> None: ...

    def look(self, lookup: Lookup[K, V], key: K) -> Kept[V] | None:
        """Gives what this process holds without waiting; None says nothing about the shared cache."""


_Place = tuple[str, str, str]


def _place(lookup: Lookup[K, V], key: K) -> _Place:
    return lookup.kind, lookup.tenant_of(key), lookup.id_of(key)


class _Entry(NamedTuple):
    kept: Kept[object]
    expires_at: float
    size_bytes: int


def lifetime_seconds(lookup: Lookup[K, V], value: V) -> float:
    """Gives how long a value that is stored now stays fresh, more or less a tenth; 0: it is not to be kept."""
    seconds = lookup.absent_seconds if value is None else lookup.fresh_seconds
    return seconds * random.uniform(1 - SPREAD, 1 + SPREAD)


class MemoryCache:
    """Keeps decoded models in this process, bounded in bytes; the longest unread ones go first."""

    def __init__(self, *, max_bytes: int = MEMORY_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[_Place, _Entry] = OrderedDict()
        self._encoder = msgspec.json.Encoder()
        self.size_bytes = 0

    async def get_many(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Kept[V] | None]:
        return [self.look(lookup, key) for key in keys]

    async def store_many(self, lookup: Lookup[K, V], values: Mapping[K, V]) -> None:
        fetched_at = time.time()
        for key, value in values.items():
            place = _place(lookup, key)
            self._drop(place)
            lifetime = lifetime_seconds(lookup, value)
            if not lifetime:
                continue
            json_bytes = len(self._encoder.encode(value))
            size_bytes = ENTRY_BYTES + json_bytes * MEMORY_PER_JSON_BYTE
            if json_bytes > LARGEST_ENTRY_BYTES or size_bytes > self._max_bytes:
                continue
            expires_at = self._clock() + lifetime
            self._entries[place] = _Entry(Kept(value, fetched_at), expires_at, size_bytes)
            self.size_bytes += size_bytes
            while self.size_bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    async def forget(self, lookup: Lookup[K, V], *keys: K) -> None:
        for key in keys:
            self._drop(_place(lookup, key))

    async def clear(self) -> None:
        self._entries.clear()
        self.size_bytes = 0

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        await self.clear()

    def look(self, lookup: Lookup[K, V], key: K) -> Kept[V] | None:
        place = _place(lookup, key)
        entry = self._entries.get(place)
        if entry is None:
            return None
        if entry.expires_at <= self._clock():
            self._drop(place)
            return None
        self._entries.move_to_end(place)
        return entry.kept  # type: ignore[return-value]  # the kind in the place says which type was stored

    def _drop(self, place: _Place) -> None:
        if entry := self._entries.pop(place, None):
            self.size_bytes -= entry.size_bytes


def connect_cache(url: str | None, namespace: str, *, max_bytes: int = MEMORY_BYTES) -> LookupCache:
    """Gives the cache at an address, or one of `max_bytes` in this process where there is none. Nothing is opened yet.

    Addresses: `redis://`, `rediss://`, `unix://`, `redis+cluster://host:port,host:port` and
    `redis+sentinel://host:port,host:port/service`. ValueError for any other, without repeating it, since it
    may hold a password.
    """
    if url is None:
        return MemoryCache(max_bytes=max_bytes)
    from services.cache_redis import connect_redis  # half a second, in vain where there is no Redis

    return connect_redis(url, namespace)
