"""What the cache in memory has of its own: it never waits, and is bounded in bytes."""

from __future__ import annotations

import pytest

from services.cache import connect_cache
from services.cache_memory import ENTRY_BYTES, MEMORY_PER_JSON_BYTE, MemoryCache
from tests.services.cache_steps import NAMESPACE, TEXTS, kept, store, values


async def test_memory_gives_what_it_holds_without_waiting():
    cache = MemoryCache()
    [looked] = await cache.look_up(TEXTS, ["a"])
    value = "".join(["a", "b"])
    storing = cache.store_many(TEXTS, {"a": value}, {"a": looked.generation})
    with pytest.raises(StopIteration):
        storing.send(None)

    looking = cache.look_up(TEXTS, ["a", "b"])
    with pytest.raises(StopIteration) as answer:
        looking.send(None)

    [found, missing] = answer.value.value
    assert found.kept.value is value
    assert missing.kept is None


async def test_memory_is_bounded_in_bytes_and_what_was_not_read_goes_first():
    size = ENTRY_BYTES + MEMORY_PER_JSON_BYTE * 102  # a hundred letters and two quotes
    cache = MemoryCache(max_bytes=3 * size + 1)
    for key in "abc":
        await store(cache, TEXTS, {key: key * 100})
    await kept(cache, TEXTS, "a")

    await store(cache, TEXTS, {"d": "d" * 100})

    assert await values(cache, TEXTS, *"abcd") == ["a" * 100, None, "c" * 100, "d" * 100]
    assert cache.size_bytes == 3 * size


async def test_what_was_read_once_is_not_spared_for_ever():
    size = ENTRY_BYTES + MEMORY_PER_JSON_BYTE * 102
    cache = MemoryCache(max_bytes=2 * size)
    await store(cache, TEXTS, {"a": "a" * 100})
    await kept(cache, TEXTS, "a")

    for key in "bcde":
        await store(cache, TEXTS, {key: key * 100})

    assert await values(cache, TEXTS, *"abcde") == [None, None, None, "d" * 100, "e" * 100]


async def test_memory_counts_no_byte_twice_and_returns_all():
    size = ENTRY_BYTES + MEMORY_PER_JSON_BYTE * 102
    now = [0.0]
    cache = MemoryCache(clock=lambda: now[0])
    for key in "aab":
        await store(cache, TEXTS, {key: key * 100})
    assert cache.size_bytes == 2 * size

    now[0] = 100_000.0
    assert await values(cache, TEXTS, "a") == [None]
    assert cache.size_bytes == size
    await cache.clear()
    assert cache.size_bytes == 0


async def test_a_value_larger_than_the_whole_memory_pushes_nothing_out():
    cache = MemoryCache(max_bytes=2000)
    await store(cache, TEXTS, {"small": "sku"})

    await store(cache, TEXTS, {"large": "x" * 2000})

    assert await values(cache, TEXTS, "small", "large") == ["sku", None]


def test_without_an_address_the_cache_is_in_memory():
    assert isinstance(connect_cache(None, NAMESPACE), MemoryCache)
