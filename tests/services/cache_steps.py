"""What tests of the cache do again and again: connect, look, keep as a reader does, see what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from services.cache import MEMORY_BYTES, Looked, LookupCache, connect_cache
from services.lookups import Lookup, Volatile

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
TENANT = "11111111-1111-4111-8111-111111111111"
TEXTS: Lookup[str, str] = Lookup("texts", str, 86_400, lambda _: "", lambda key: key)
NUMBERS: Lookup[str, int] = Lookup(
    "numbers", int, 60, lambda key: key, lambda _: "", 120, 3600, volatile=Volatile.USERS
)
USERS = {Volatile.USERS}


def connect(url: str, clock: Callable[[], float] = time.time, *, max_bytes: int = MEMORY_BYTES) -> LookupCache:
    """A cache that is as patient with Redis as a loaded machine needs. Without bytes everything comes from there."""
    return connect_cache(url, NAMESPACE, max_bytes=max_bytes, connect_seconds=5, operation_seconds=5, clock=clock)


async def store(cache: LookupCache, lookup: Lookup[Any, Any], stored: dict[Any, Any]) -> None:
    """Keeps these as a reader does who looked before."""
    looked = await cache.look_up(lookup, list(stored))
    generations = {key: one.generation for key, one in zip(stored, looked, strict=True)}
    await cache.store_many(lookup, stored, generations)


async def kept(cache: LookupCache, lookup: Lookup[Any, Any], *keys: object) -> list[Any]:
    """What is kept for each, or None."""
    return [one.kept for one in await cache.look_up(lookup, keys)]


async def values(cache: LookupCache, lookup: Lookup[Any, Any], *keys: object) -> list[object]:
    """The values that are kept, None for a miss."""
    return [one and one.value for one in await kept(cache, lookup, *keys)]


async def look(cache: LookupCache, lookup: Lookup[Any, Any] = NUMBERS, key: Any = TENANT) -> Looked[Any]:
    """What a reader sees who wants one."""
    [looked] = await cache.look_up(lookup, [key])
    return looked


async def store_looked(
    cache: LookupCache, looked: Looked[Any], value: Any, lookup: Lookup[Any, Any] = NUMBERS, key: Any = TENANT
) -> None:
    """Keeps an answer as the reader does who looked so before it asked."""
    if looked.storable:
        await cache.store_many(lookup, {key: value}, {key: looked.generation})
