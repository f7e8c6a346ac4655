"""What a process remembers of Redis: it saves the values' way, and never outlives what Redis says of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis import Redis

from services.cache import Kept, LookupCache
from services.generations import UNCHANGING
from services.lookups import DOMAINS
from services.near_memory import UNASKED_SECONDS, NearMemory
from tests.services.cache_steps import NAMESPACE, NUMBERS, TENANT, TEXTS, USERS, connect, look, store, values

OTHER = "22222222-2222-4222-8222-222222222222"


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def connected(url: str, clock: Clock, **options: int) -> AsyncIterator[LookupCache]:
    cache = connect(url, clock, **options)
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture
async def replicas(redis_url: str, clock: Clock) -> AsyncIterator[tuple[LookupCache, LookupCache]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(connected(redis_url, clock)),
            await stack.enter_async_context(connected(redis_url, clock)),
        )


def value_names(redis: Redis) -> list[bytes]:
    return [name for name in redis.scan_iter() if b":generation:" not in name]


async def test_what_was_read_or_stored_is_given_again_as_the_same_object_without_its_value_in_redis(redis, replicas):
    one, other = replicas
    await store(one, NUMBERS, {TENANT: 1, OTHER: 2})
    first = [(await look(cache)).kept for cache in replicas]
    redis.delete(*value_names(redis))

    assert [(await look(cache)).kept for cache in replicas] == first
    assert all(
        again is before for again, before in zip([(await look(each)).kept for each in replicas], first, strict=True)
    )
    assert await values(one, NUMBERS, TENANT, OTHER) == [1, 2]
    assert await values(other, NUMBERS, TENANT, OTHER) == [1, None]  # it never read the other one


async def test_a_change_by_another_replica_is_seen_at_once(replicas):
    one, other = replicas
    await store(one, NUMBERS, {TENANT: 1})
    assert await values(other, NUMBERS, TENANT) == [1]
    async with one.changing(TENANT, USERS):
        assert await values(other, NUMBERS, TENANT) == [None]
    assert await values(other, NUMBERS, TENANT) == [None]
    await store(one, NUMBERS, {TENANT: 2})
    assert await values(other, NUMBERS, TENANT) == [2]
    assert await values(one, NUMBERS, TENANT) == [2]


async def test_what_another_replica_read_after_a_change_is_found_in_the_same_look(replicas):
    one, other = replicas
    await store(one, NUMBERS, {TENANT: 1, OTHER: 5})
    assert await values(other, NUMBERS, TENANT, OTHER) == [1, 5]
    async with one.changing(TENANT, USERS):
        pass
    await store(one, NUMBERS, {TENANT: 2})

    assert await values(other, NUMBERS, TENANT, OTHER) == [2, 5]


async def test_when_it_is_no_longer_fresh_what_another_replica_renewed_is_given(replicas, clock):
    one, other = replicas
    await store(one, NUMBERS, {TENANT: 1})
    assert await values(other, NUMBERS, TENANT) == [1]
    clock.now += 30
    await store(one, NUMBERS, {TENANT: 2})
    assert await values(other, NUMBERS, TENANT) == [1]  # fresh: as good as the newer one
    clock.now += 40
    assert await values(other, NUMBERS, TENANT) == [2]


async def test_what_no_change_touches_counts_for_a_minute_without_redis(redis, replicas, clock):
    one, other = replicas
    await store(one, DOMAINS, {TENANT: ["a.example"]})
    assert await values(other, DOMAINS, TENANT) == [["a.example"]]
    await one.clear()
    assert await values(one, DOMAINS, TENANT) == [None]
    assert await values(other, DOMAINS, TENANT) == [["a.example"]]
    clock.now += UNASKED_SECONDS
    assert await values(other, DOMAINS, TENANT) == [None]


async def test_what_changes_touch_is_gone_when_another_replica_clears_the_cache(replicas):
    one, other = replicas
    await store(one, NUMBERS, {TENANT: 1})
    assert await values(other, NUMBERS, TENANT) == [1]
    await one.clear()

    assert await values(other, NUMBERS, TENANT) == [None]


async def test_after_a_flush_of_redis_nothing_that_changes_touch_is_given(redis, replicas):
    one, other = replicas
    await store(one, NUMBERS, {TENANT: 1})
    await values(other, NUMBERS, TENANT)
    redis.flushall()

    assert await values(one, NUMBERS, TENANT) == await values(other, NUMBERS, TENANT) == [None]


async def test_without_bytes_every_value_comes_from_redis(redis, redis_url, clock):
    async with connected(redis_url, clock, max_bytes=0) as cache:
        await store(cache, NUMBERS, {TENANT: 1})
        assert await values(cache, NUMBERS, TENANT) == [1]
        redis.delete(*value_names(redis))
        assert await values(cache, NUMBERS, TENANT) == [None]
        assert not cache.remembers


async def test_a_hit_asks_redis_for_the_generation_alone(redis, redis_url, clock):
    async with connected(redis_url, clock) as cache:
        await store(cache, NUMBERS, {TENANT: 1, OTHER: 2})
        with redis.monitor() as watched:
            assert await values(cache, NUMBERS, TENANT, OTHER) == [1, 2]
            assert await values(cache, TEXTS, "never kept") == [None]
            commands = [watched.next_command()["command"] for _ in range(2)]

    prefix = f"gw:3:{NAMESPACE}:"
    assert commands[0] == f"MGET {prefix}{{{TENANT}}}:generation:users {prefix}{{{OTHER}}}:generation:users"
    assert ":generation:" not in commands[1]


def kept_until(fresh_until: float) -> Kept[int]:
    return Kept(1, 0.0, fresh_until, fresh_until)


def test_it_has_a_bound_and_what_was_not_asked_for_longest_makes_room():
    memory = NearMemory(3_000)
    for name in "abc":
        memory.keep(name, kept_until(9), "g", 0, 100)
    memory.find_many("a", 1)
    memory.keep("d", kept_until(9), "g", 0, 100)

    assert memory.size_bytes <= 3_000
    assert list(memory.find_many("abcd", 1)) == ["a", "c", "d"]
    memory.keep("large", kept_until(9), "g", 0, 1000)
    assert memory.find_many(["large"], 1) == {}


def test_what_is_not_fresh_is_not_remembered_and_goes_when_its_time_is_over():
    memory = NearMemory(10_000)
    memory.keep("old", kept_until(5), "g", 5, 2)
    memory.keep("new", kept_until(9), "g", 5, 2)
    memory.keep("slow", kept_until(900), UNCHANGING, 5, 2)

    assert list(memory.find_many(["old", "new", "slow"], 8.9)) == ["new", "slow"]
    assert list(memory.find_many(["new", "slow"], 9)) == ["slow"]
    assert memory.find_many(["slow"], 5 + UNASKED_SECONDS) == {}
    assert memory.size_bytes == 0
