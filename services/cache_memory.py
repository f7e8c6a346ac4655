"""The cache of one process: decoded models, bounded in bytes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from services.cache import LARGEST_ENTRY_BYTES, MEMORY_BYTES, Absent, Kept, Looked, times_of
from services.generations import UNCHANGING, Generation, Generations, in_order
from services.lookups import K, Lookup, V, Volatile

MEMORY_PER_JSON_BYTE: Final = 3
"""Bytes of memory that models take for each byte of their JSON form. Measured with tracemalloc: users 1.7, licenses
and subscribed SKUs 2.2, lists of ids 2.4, a single text 2.5; the rest is margin."""

ENTRY_BYTES: Final = 640
"""What an entry takes beside its value: key, place in the order, record."""

MOST_LATELY: Final = 512
LONG_LIST: Final = 512
SAMPLE: Final = 64
"""So many items of a long list tell its size. To encode all of 10,000 people takes as much memory as they do."""

_Place = tuple[str, str, str]


class _Entry:
    """`read` is set by a reader and taken back by whoever looks for room."""

    __slots__ = ("expires_at", "generation", "looked", "read", "size_bytes")

    def __init__(self, looked: Looked[Any], expires_at: float, size_bytes: int) -> None:
        self.looked = looked
        self.generation = looked.generation
        self.expires_at = expires_at
        self.size_bytes = size_bytes
        self.read = False


class MemoryCache:
    """Keeps models as they are. What is full makes room from the oldest on, but spares once what was read since."""

    shared = False
    remembers = True

    def __init__(self, *, max_bytes: int = MEMORY_BYTES, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._max_bytes = max_bytes
        self._entries: dict[_Place, _Entry] = {}
        self._generations = Generations(clock)
        self._encoder = msgspec.json.Encoder()
        self._lately: dict[int, tuple[object, int]] = {}
        """Values that many keys have in common, and the bytes of their JSON."""
        self.size_bytes = 0

    async def look_up(self, lookup: Lookup[K, V], keys: Sequence[K]) -> Sequence[Looked[V]]:
        # The hot path of every query: no object is made for a hit.
        now = self.clock()
        kind, tenant_of, id_of, volatile = lookup.kind, lookup.tenant_of, lookup.id_of, lookup.volatile
        entries, current, is_changing = self._entries, self._generations.current, self._generations.is_changing
        generation, storable = UNCHANGING, True
        last_tenant: str | None = None
        answers: list[Looked[V]] = []
        for key in keys:
            tenant = tenant_of(key)
            if volatile is not None and tenant != last_tenant:
                name = tenant, volatile
                generation, storable, last_tenant = current(name), not is_changing(name), tenant
            place = kind, tenant, id_of(key)
            entry = entries.get(place)
            if entry is not None:
                if entry.generation == generation and now < entry.expires_at:
                    entry.read = True
                    answers.append(entry.looked)
                    continue
                self._drop(place)
            answers.append(Looked(None, generation, storable))
        return answers

    async def store_many(
        self, lookup: Lookup[K, V], values: Mapping[K, V | Absent], generations: Mapping[K, Generation]
    ) -> None:
        now = self.clock()
        for key, value in values.items():
            generation, tenant = generations[key], lookup.tenant_of(key)
            if lookup.volatile is not None:
                name = tenant, lookup.volatile
                if generation != self._generations.current(name) or self._generations.is_changing(name):
                    continue
            place = lookup.kind, tenant, lookup.id_of(key)
            self._drop(place)
            times = times_of(lookup, value, generation, now)
            json_bytes = self._json_bytes(lookup, value)
            size_bytes = ENTRY_BYTES + json_bytes * MEMORY_PER_JSON_BYTE
            if not times.kept or json_bytes > LARGEST_ENTRY_BYTES or size_bytes > self._max_bytes:
                continue
            absent = value if isinstance(value, Absent) else None
            kept = Kept(None if absent else value, now, now + times.fresh, now + times.renew, absent)
            self._entries[place] = _Entry(Looked(kept, generation, True), now + times.kept, size_bytes)
            self.size_bytes += size_bytes
            self._make_room()

    def _json_bytes(self, lookup: Lookup[Any, Any], value: object) -> int:
        """Gives how long the JSON of a value is: of a long list about, from some of its items."""
        if lookup.alike:
            known, json_bytes = self._lately.get(id(value), (None, 0))
            if known is value:
                return json_bytes
        if isinstance(value, list) and len(value) > LONG_LIST:
            some = value[:: len(value) // SAMPLE]
            json_bytes = len(self._encoder.encode(some)) * len(value) // len(some)
        else:
            json_bytes = len(self._encoder.encode(value))
        if lookup.alike:
            if len(self._lately) >= MOST_LATELY:
                self._lately.clear()
            self._lately[id(value)] = value, json_bytes
        return json_bytes

    def _make_room(self) -> None:
        while self.size_bytes > self._max_bytes:
            place, entry = next(iter(self._entries.items()))
            if entry.read:
                entry.read = False
                self._entries[place] = self._entries.pop(place)
            else:
                self._drop(place)

    @asynccontextmanager
    async def changing(self, tenant_id: str, kinds: Collection[Volatile]) -> AsyncIterator[None]:
        names = in_order(kinds, tenant_id)
        self._generations.begin(names)
        try:
            yield
        finally:
            self._generations.end(names)

    async def claim(
        self, lookup: Lookup[K, V], generations: Mapping[K, Generation], of_keys: int | None = None
    ) -> set[K]:
        return set(generations)

    async def release(self, lookup: Lookup[K, V], generations: Mapping[K, Generation]) -> None:
        return None

    async def clear(self) -> None:
        self._entries.clear()
        self._lately.clear()
        self._generations.renew_all()
        self.size_bytes = 0

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        await self.clear()

    def _drop(self, place: _Place) -> None:
        if entry := self._entries.pop(place, None):
            self.size_bytes -= entry.size_bytes
