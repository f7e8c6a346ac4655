"""A question of very many keys: a bounded number of them is asked at a time, of each tenant in turn."""

from __future__ import annotations

import asyncio

import pytest

from loaders.flights import MOST_BEGUN
from loaders.shared_reads import SharedReads
from services.cache_memory import MemoryCache
from services.lookups import Lookup
from tests.loaders.bench import Bench, settle


class SharedMemory(MemoryCache):
    """As if other replicas used it, too: what is fetched is claimed first."""

    shared = True


@pytest.fixture(params=[MemoryCache, SharedMemory])
async def bench(request: pytest.FixtureRequest) -> Bench:
    bench = Bench()
    bench.reads = SharedReads(request.param(clock=bench.cache.clock))
    return bench


MANY = 3 * MOST_BEGUN
PEOPLE: Lookup[tuple[str, str], int] = Lookup("people", int, 60, lambda key: key[0], lambda key: key[1])


async def as_many_as_may(bench: Bench) -> None:
    """Returns when as many are asked at a time as may be, and sees that it stays at that."""
    async with asyncio.timeout(30):
        while len(bench.upstream.asked) < MOST_BEGUN:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    await settle()
    assert len(bench.upstream.asked) == MOST_BEGUN


async def test_a_bounded_number_is_asked_at_a_time_and_every_key_is_answered(bench: Bench):
    bench.upstream.go_on.clear()
    keys = [f"t{number}" for number in range(MANY)]
    reading = asyncio.create_task(bench.read(*keys))
    await as_many_as_may(bench)

    bench.upstream.go_on.set()
    answers = await reading

    assert len(answers) == MANY
    assert all(isinstance(answer, int) for answer in answers)
    assert sorted(bench.upstream.asked) == sorted(keys)


async def test_each_tenant_has_its_turn_before_the_first_has_another(bench: Bench):
    asked: list[tuple[str, str]] = []

    async def fetch(key):
        asked.append(key)
        await asyncio.sleep(0)
        return 1

    keys = [(tenant, str(number)) for tenant in "abc" for number in range(MOST_BEGUN)]
    answers = await bench.reads.read_many(PEOPLE, keys, fetch)

    assert answers == [1] * len(keys)
    assert asked[:6] == [("a", "0"), ("b", "0"), ("c", "0"), ("a", "1"), ("b", "1"), ("c", "1")]


async def test_who_wants_one_of_the_keys_that_are_not_asked_yet_does_not_wait_for_the_others(bench: Bench):
    bench.upstream.go_on.clear()
    many = asyncio.create_task(bench.read(*(f"t{number}" for number in range(MANY))))
    await as_many_as_may(bench)
    last = f"t{MANY - 1}"
    assert last not in bench.upstream.asked
    one = asyncio.create_task(bench.read(last))
    await settle()

    assert bench.upstream.asked[-1] == last
    bench.upstream.go_on.set()
    assert [await one] == [(await many)[-1:]]
    assert bench.upstream.asked.count(last) == 1


async def test_what_is_given_up_before_its_turn_is_never_asked(bench: Bench):
    bench.upstream.go_on.clear()
    reading = asyncio.create_task(bench.read(*(f"t{number}" for number in range(MANY))))
    await as_many_as_may(bench)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    bench.upstream.go_on.set()
    await asyncio.sleep(0.05)
    await settle()

    assert len(bench.upstream.asked) == MOST_BEGUN
    assert len(bench.upstream.cancelled) == MOST_BEGUN
