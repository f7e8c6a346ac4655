"""Large batches in Redis: as few round trips for many tenants as for two, and never too much at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from services.cache import LookupCache
from services.cache_forms import FEWEST_AT_ONCE, MOST_AT_ONCE, READ_AT_ONCE_BYTES, ReadSizes
from services.lookups import ACTIVE_USERS, SUBSCRIBED_SKUS, Lookup
from tests.services.cache_steps import NUMBERS, TEXTS, connect, store, values

TENANTS = [f"11111111-1111-4111-8111-{number:012x}" for number in range(500)]
MEBIBYTE = 1024 * 1024


@pytest.fixture
async def redis_cache(redis_url: str) -> AsyncIterator[LookupCache]:
    cache = connect(redis_url)
    yield cache
    await cache.close()


class Counts:
    """What the server was asked since the last look."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.take()

    def take(self) -> dict[str, int]:
        stats = self._redis.info("stats")
        reads = stats["total_reads_processed"]
        calls = {
            name.removeprefix("cmdstat_"): figures["calls"]
            for name, figures in self._redis.info("commandstats").items()
            if not name.startswith(("cmdstat_info", "cmdstat_config"))
        }
        self._redis.config_resetstat()
        return calls | {"reads": reads}


@pytest.fixture
def counts(redis: Redis) -> Counts:
    return Counts(redis)


FEW_READS = 40
"""What the server reads of one operation may come in several pieces; that it is not one a tenant is what counts."""


async def test_the_first_look_at_five_hundred_tenants_is_one_mget_and_one_pipeline_that_begins_generations(
    redis_cache, counts
):
    looked = await redis_cache.look_up(NUMBERS, TENANTS)

    asked = counts.take()
    assert (asked.pop("mget"), asked.pop("set")) == (1, 500)
    assert asked.pop("reads") < FEW_READS
    assert set(asked) <= {"client|setinfo"}
    assert len({one.generation for one in looked}) == 500
    assert all(one.storable for one in looked)
    assert await redis_cache.look_up(NUMBERS, TENANTS) == looked
    asked = counts.take()
    assert (asked["mget"], asked.get("set", 0)) == (1, 0)


async def test_two_replicas_that_look_first_at_once_see_the_same_generations(redis_cache, redis_url):
    other = connect(redis_url)

    one, two = await asyncio.gather(
        redis_cache.look_up(NUMBERS, TENANTS), other.look_up(NUMBERS, list(reversed(TENANTS)))
    )

    assert [each.generation for each in one] == [each.generation for each in reversed(two)]
    await other.close()


async def test_claiming_and_keeping_them_are_a_pipeline_each(redis_cache, counts):
    looked = await redis_cache.look_up(NUMBERS, TENANTS)
    generations = {key: one.generation for key, one in zip(TENANTS, looked, strict=True)}
    counts.take()

    assert await redis_cache.claim(NUMBERS, generations) == set(TENANTS)
    asked = counts.take()
    assert (asked["set"], asked["reads"] < FEW_READS) == (500, True)
    await redis_cache.store_many(NUMBERS, dict.fromkeys(TENANTS, 7), generations)
    asked = counts.take()
    assert (asked["set"], asked["reads"] < FEW_READS) == (500, True)


async def test_the_values_of_all_are_one_mget_of_a_process_that_has_read_nothing_yet(redis_cache, redis_url, counts):
    await store(redis_cache, SUBSCRIBED_SKUS, {tenant: [] for tenant in TENANTS})
    fresh = connect(redis_url)
    counts.take()

    assert await values(fresh, SUBSCRIBED_SKUS, *TENANTS) == [[]] * 500
    assert counts.take()["mget"] == 1
    await fresh.close()


async def test_values_that_were_seen_to_be_large_are_read_in_pieces(redis_cache, redis_url, counts):
    """Of 200 kB each 120 are 24 MB: after the first read it is known, and no more than 8 MiB are read at once."""
    large = {f"k{number}": "x" * 200_000 for number in range(120)}
    await store(redis_cache, TEXTS, large)
    counts.take()

    assert await values(redis_cache, TEXTS, *large) == list(large.values())
    assert counts.take()["mget"] == -(-120 // max(FEWEST_AT_ONCE, READ_AT_ONCE_BYTES // 200_000))


async def test_one_generation_of_another_type_does_not_keep_the_others_from_being_begun(redis_cache, redis):
    [looked] = await redis_cache.look_up(NUMBERS, TENANTS[:1])
    [name] = redis.keys("*:generation:*")
    redis.delete(name)
    redis.rpush(name, "a")

    first = await redis_cache.look_up(NUMBERS, TENANTS[:3])
    second = await redis_cache.look_up(NUMBERS, TENANTS[:3])

    assert [one.storable for one in first] == [False, True, True]
    assert [one.storable for one in second] == [True, True, True]
    assert second[0].generation != looked.generation
    assert [one.generation for one in first[1:]] == [one.generation for one in second[1:]]


async def test_a_smaller_question_takes_what_a_much_larger_one_claimed_and_an_equal_one_does_not(
    redis_cache, redis_url
):
    other = connect(redis_url)
    looked = await redis_cache.look_up(NUMBERS, TENANTS)
    generations = {key: one.generation for key, one in zip(TENANTS, looked, strict=True)}
    few = dict(list(generations.items())[:5])
    one = dict(list(generations.items())[:1])

    assert await redis_cache.claim(NUMBERS, few) == set(few)
    assert await other.claim(NUMBERS, one) == set(one)
    await other.release(NUMBERS, few)
    assert await redis_cache.claim(NUMBERS, dict(list(few.items())[:4])) == set(list(few)[:4])
    assert await other.claim(NUMBERS, one) == set()
    assert await other.claim(NUMBERS, generations) == set(TENANTS[4:])
    await other.close()


# How much at once

SIZES: Lookup[str, str] = Lookup("sizes", str, 60, lambda key: key, lambda _: "", usual_bytes=64 * 1024)


def test_what_was_not_seen_yet_is_taken_for_what_is_usual():
    sizes = ReadSizes()

    assert sizes.at_once(SIZES) == READ_AT_ONCE_BYTES // (64 * 1024) == 128
    assert sizes.at_once(SUBSCRIBED_SKUS) == MOST_AT_ONCE
    assert sizes.at_once(ACTIVE_USERS) == 128


@pytest.mark.parametrize(("value_bytes", "at_once"), [(100, MOST_AT_ONCE), (40_960, 204), (500_000, FEWEST_AT_ONCE)])
def test_what_was_seen_says_how_many_come_to_what_may_be_read(value_bytes, at_once):
    sizes = ReadSizes()
    sizes.saw(SIZES, 100, 100 * value_bytes)

    assert sizes.at_once(SIZES) == at_once


def test_a_single_value_says_little_and_nothing_says_nothing():
    sizes = ReadSizes()
    sizes.saw(SIZES, 1, MEBIBYTE)
    once = sizes.at_once(SIZES)
    sizes.saw(SIZES, 0, 0)

    assert FEWEST_AT_ONCE < once == sizes.at_once(SIZES) < 128
    for _ in range(100):
        sizes.saw(SIZES, 1, MEBIBYTE)
    assert sizes.at_once(SIZES) == FEWEST_AT_ONCE


def test_a_read_that_took_too_long_is_half_as_many_next_time_and_slowly_more_again():
    sizes = ReadSizes()
    sizes.went(SUBSCRIBED_SKUS, 500, well=False)
    assert sizes.at_once(SUBSCRIBED_SKUS) == 250
    sizes.went(SUBSCRIBED_SKUS, 250, well=False)
    sizes.went(SUBSCRIBED_SKUS, 125, well=False)
    sizes.went(SUBSCRIBED_SKUS, FEWEST_AT_ONCE, well=False)
    assert sizes.at_once(SUBSCRIBED_SKUS) == FEWEST_AT_ONCE

    sizes.went(SUBSCRIBED_SKUS, 1, well=True)
    assert sizes.at_once(SUBSCRIBED_SKUS) == FEWEST_AT_ONCE
    sizes.went(SUBSCRIBED_SKUS, FEWEST_AT_ONCE, well=True)
    assert sizes.at_once(SUBSCRIBED_SKUS) == 62 + FEWEST_AT_ONCE
    for _ in range(100):
        sizes.went(SUBSCRIBED_SKUS, sizes.at_once(SUBSCRIBED_SKUS), well=True)
    assert sizes.at_once(SUBSCRIBED_SKUS) == MOST_AT_ONCE
