"""What Partner Center said, kept for a while: facts only, never of a caller, never a password or token.

Permission is checked after reading. A cache never fails a request: trouble is a miss, or a store that is
dropped. `MemoryCache` is the plain twin for one process; `services.cache_redis` is shared by all replicas.

A reader that fetched before a change and stores after it would pin the old state. So every tenant has a
generation for each kind of volatile look-up, which a change replaces before it is sent and again after its
answer. A value counts only in the generation that its reader saw before it asked; while a change is under way
nothing is stored. Generations are never used twice, so neither eviction nor a flush brings an old one back.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from services.lookups import K, Lookup, V, Volatile

MEMORY_BYTES: Final = 64 * 1024 * 1024
LARGEST_ENTRY_BYTES: Final = 8 * 1024 * 1024
"""Longest JSON form of one value that is kept, in Redis before compression."""

MEMORY_PER_JSON_BYTE: Final = 3
"""Bytes of memory that models take for each byte of their JSON form. Measured with tracemalloc: users 1.7, licenses
and subscribed SKUs 2.2, lists of ids 2.4, a single text 2.5; the rest is margin."""

ENTRY_BYTES: Final = 512
"""What an entry takes beside its value: key, place in the order, record."""

SPREAD: Final = 0.1
"""Expiries differ by chance by up to this share: what was fetched together does not expire together."""

SETTLING_SECONDS: Final = 60.0
SETTLING_FRESH_SECONDS: Final = 5.0
"""For a minute after a change Microsoft may still show old figures: what is read then is fresh for five seconds."""

_Kept_co = TypeVar("_Kept_co", covariant=True)


class CacheUnavailable(Exception):
    """The cache's server cannot be reached. Only `ping` raises it."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[_Kept_co]):
    """A kept value, when it was stored, and until when it is fresh or renewed meanwhile: seconds since 1970.

    Lists in it are shared with every other reader: they are never changed in place.
    """

    value: _Kept_co
    fetched_at: float
    fresh_until: float
    renew_until: float


Generation = str
"""Names a state of one tenant's volatile look-ups; see above. NEVER: what is read now is not to be stored."""

NEVER: Final[Generation] = ""
UNCHANGING: Final[Generation] = "-"
"""The generation of what no change makes out of date."""


class Looked(NamedTuple, Generic[_Kept_co]):
    """What was found for a key, and under which generation an answer that is fetched from now on is stored."""

    kept: Kept[_Kept_co] | None
    generation: Generation

    def fresh(self) -> Kept[_Kept_co] | None:
        """What was found, if it is fresh."""
        return self.kept if self.kept is not None and time.time() < self.kept.fresh_until else None


class LookupCache(Protocol):
    """Keeps the answers to look-ups, as long as they can be of use at all."""

    async def look_up(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Looked[V]]:
        """Gives one answer a key, in order."""

    async def store_many(
        self, lookup: Lookup[K, V], values: Mapping[K, V], generations: Mapping[K, Generation]
    ) -> None:
        """Keeps the values, each under the generation that `look_up` gave before it was fetched."""

    def changing(self, tenant_id: str, kinds: Collection[Volatile]) -> AbstractAsyncContextManager[None]:
        """Surrounds a change: what was read before its end is out of date, also where it is stored later."""

    async def claim(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[bool]:
        """Says for each key whether the asker is to fetch it; False: another replica does just now."""

    async def release(self, lookup: Lookup[K, V], keys: Sequence[K]) -> None:
        """Gives claims back whose fetch failed; storing gives them back by itself."""

    async def clear(self) -> None:
        """Forgets everything of this namespace."""

    async def ping(self) -> None:
        """Raises CacheUnavailable when the cache cannot be reached."""

    async def close(self) -> None: ...


def new_generation(*, changed: bool) -> Generation:
    """Gives a generation that never was; one made by a change tells when that was."""
    moment = round(time.time() * 1000) if changed else 0
    return f"{moment}.{token_hex(6)}"


def is_settling(generation: Generation) -> bool:
    """Whether the change that made the generation is so young that Microsoft may still show old figures."""
    changed_ms = int(generation.partition(".")[0] or 0) if generation != UNCHANGING else 0
    return time.time() - changed_ms / 1000 < SETTLING_SECONDS


class Times(NamedTuple):
    """Ages of a value that is stored now, in seconds: of use at all, fresh, given while it is renewed."""

    kept: float
    fresh: float
    renew: float


def times_of(lookup: Lookup[K, V], value: V, generation: Generation) -> Times:
    """Gives how long a value is of use, more or less a tenth; 0: it is not to be kept."""
    spread = random.uniform(1 - SPREAD, 1 + SPREAD)
    if value is None:
        absent = lookup.absent_seconds * spread
        return Times(absent, absent, absent)
    fresh = min(lookup.fresh_seconds, SETTLING_FRESH_SECONDS) if is_settling(generation) else lookup.fresh_seconds
    renew = fresh if fresh < lookup.fresh_seconds else max(fresh, lookup.renew_seconds)
    return Times(max(fresh, renew, lookup.stand_in_seconds) * spread, fresh * spread, renew * spread)


_Place = tuple[str, str, str]


def _place(lookup: Lookup[K, V], key: K) -> _Place:
    return lookup.kind, lookup.tenant_of(key), lookup.id_of(key)


class _Entry(NamedTuple):
    kept: Kept[object]
    generation: Generation
    expires_at: float
    size_bytes: int


class MemoryCache:
    """Keeps decoded models in this process, bounded in bytes; the longest unread ones go first."""

    def __init__(self, *, max_bytes: int = MEMORY_BYTES, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[_Place, _Entry] = OrderedDict()
        self._generations: dict[tuple[str, Volatile], Generation] = {}
        self._changes: dict[tuple[str, Volatile], int] = {}
        self._encoder = msgspec.json.Encoder()
        self.size_bytes = 0

    async def look_up(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Looked[V]]:
        return [self._look(lookup, key) for key in keys]

    def _look(self, lookup: Lookup[K, V], key: K) -> Looked[V]:
        current = self._generation(lookup, key)
        place = _place(lookup, key)
        entry = self._entries.get(place)
        if entry is not None and (entry.expires_at <= self._clock() or entry.generation != current[0]):
            self._drop(place)
            entry = None
        if entry is None:
            return Looked(None, current[1])
        self._entries.move_to_end(place)
        return Looked(entry.kept, current[1])  # type: ignore[arg-type]  # the kind in the place says which type it is

    def _generation(self, lookup: Lookup[K, V], key: K) -> tuple[Generation, Generation]:
        """The generation whose values count, and the one to store under."""
        if lookup.volatile is None:
            return UNCHANGING, UNCHANGING
        name = lookup.tenant_of(key), lookup.volatile
        current = self._generations.get(name)
        if current is None:
            current = self._generations[name] = new_generation(changed=False)
        return current, NEVER if self._changes.get(name) else current

    async def store_many(
        self, lookup: Lookup[K, V], values: Mapping[K, V], generations: Mapping[K, Generation]
    ) -> None:
        now = self._clock()
        for key, value in values.items():
            generation = generations[key]
            if generation != self._generation(lookup, key)[1] or generation == NEVER:
                continue
            place = _place(lookup, key)
            self._drop(place)
            times = times_of(lookup, value, generation)
            json_bytes = len(self._encoder.encode(value))
            size_bytes = ENTRY_BYTES + json_bytes * MEMORY_PER_JSON_BYTE
            if not times.kept or json_bytes > LARGEST_ENTRY_BYTES or size_bytes > self._max_bytes:
                continue
            kept = Kept(value, now, now + times.fresh, now + times.renew)
            self._entries[place] = _Entry(kept, generation, now + times.kept, size_bytes)
            self.size_bytes += size_bytes
            while self.size_bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    @asynccontextmanager
    async def changing(self, tenant_id: str, kinds: Collection[Volatile]) -> AsyncIterator[None]:
        names = [(tenant_id, kind) for kind in kinds]
        for name in names:
            self._generations[name] = new_generation(changed=True)
            self._changes[name] = self._changes.get(name, 0) + 1
        try:
            yield
        finally:
            for name in names:
                self._generations[name] = new_generation(changed=True)
                self._changes[name] -= 1
                if not self._changes[name]:
                    del self._changes[name]

    async def claim(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[bool]:
        return [True] * len(keys)

    async def release(self, lookup: Lookup[K, V], keys: Sequence[K]) -> None:
        return None

    async def clear(self) -> None:
        self._entries.clear()
        self._generations.clear()
        self.size_bytes = 0

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        await self.clear()

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
