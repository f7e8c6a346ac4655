"""Reads shared by all requests of a process: what is asked upstream, and by whom it is waited for."""

from __future__ import annotations

import asyncio
import gc

import pytest

from loaders.shared_reads import SharedReads
from services.cache_memory import MemoryCache
from services.deadlines import start_deadline
from services.errors import (
    Throttled,
    Timeout,
    UpstreamError,
)
from services.lookups import DOMAINS, Volatile
from services.upstream_use import start_counting
from tests.loaders.bench import NUMBERS, Bench, settle


@pytest.fixture
def bench() -> Bench:
    return Bench()


# One fetch


async def test_what_is_fresh_is_not_asked_for(bench):
    first = await bench.read("a", "b")
    bench.later += 50

    use = start_counting()
    assert await bench.read("b", "a") == first[::-1]
    assert bench.upstream.asked == ["a", "b"]
    assert (use.cache_hits, use.cache_misses) == (2, 0)


async def test_two_hundred_who_want_the_same_at_once_cause_one_fetch_and_share_its_answer(bench):
    bench.upstream.go_on.clear()
    asking = [asyncio.create_task(bench.read()) for _ in range(200)]
    await settle()
    bench.upstream.go_on.set()

    assert await asyncio.gather(*asking) == [[1]] * 200
    assert bench.upstream.asked == ["a"]


async def test_they_share_a_failure_too_and_it_is_not_kept(bench):
    bench.upstream.failure = UpstreamError("no")
    bench.upstream.go_on.clear()
    asking = [asyncio.create_task(bench.read()) for _ in range(3)]
    await settle()
    bench.upstream.go_on.set()

    answers = await asyncio.gather(*asking)
    assert {answer for [answer] in answers} == {bench.upstream.failure}
    assert bench.upstream.asked == ["a"]
    bench.upstream.failure = None
    assert await bench.read() == [2]


async def test_who_wants_one_of_many_keys_waits_for_that_one_only(bench):
    held = asyncio.Event()

    async def fetch(key):
        bench.upstream.asked.append(key)
        if key != "a":
            await held.wait()
        return 7

    many = asyncio.create_task(bench.reads.read_many(NUMBERS, ["a", "b"], fetch))
    await settle()

    assert await bench.read("a") == [7]
    assert not many.done()
    held.set()
    assert await many == [7, 7]
    assert bench.upstream.asked == ["a", "b"]


async def test_what_was_answered_is_kept_although_the_rest_was_given_up(bench):
    async def fetch(key):
        if key != "a":
            await asyncio.Event().wait()
        return 7

    many = asyncio.create_task(bench.reads.read_many(NUMBERS, ["a", "b"], fetch))
    await settle()
    many.cancel()
    await settle()

    assert await bench.read("a") == [7]
    assert bench.upstream.asked == []


async def test_nobody_falls_between_the_answer_and_its_being_kept(bench):
    """Storing takes time in Redis: who comes meanwhile gets the answer, and does not ask again."""
    stored = asyncio.Event()
    store_many = bench.cache.store_many

    class Slow(MemoryCache):
        look_up = staticmethod(bench.cache.look_up)

        async def store_many(self, *args):
            await stored.wait()
            await store_many(*args)

    bench.reads = SharedReads(Slow(clock=bench.cache.clock))
    assert await bench.read() == [1]
    assert await bench.read() == [1]
    stored.set()
    await settle()
    assert await bench.read() == [1]
    assert bench.upstream.asked == ["a"]


async def test_a_waiter_that_is_cancelled_leaves_the_fetch_to_the_others(bench):
    bench.upstream.go_on.clear()
    first, second = (asyncio.create_task(bench.read()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    bench.upstream.go_on.set()

    assert await second == [1]
    assert bench.upstream.asked == ["a"]
    assert bench.upstream.cancelled == []


async def test_the_last_waiter_that_is_cancelled_ends_the_fetch_and_the_next_one_begins_another(bench):
    bench.upstream.go_on.clear()
    asking = [asyncio.create_task(bench.read("a", "b")) for _ in range(2)]
    await settle()
    for task in asking:
        task.cancel()
    await settle()
    assert sorted(bench.upstream.cancelled) == ["a", "b"]

    bench.upstream.go_on.set()
    assert await bench.read("a") == [3]


async def test_nothing_is_left_over_after_many_reads(bench):
    for number in range(300):
        bench.upstream.failure = UpstreamError() if number % 3 == 0 else None
        await bench.read(f"key-{number}")
    await settle()
    gc.collect()

    flights = bench.reads._flights
    assert (flights._under_way, flights._landed, flights._tasks) == ({}, {}, set())
    assert (bench.reads._renewing, bench.reads._tasks) == (set(), set())


# A change amid


async def test_a_reader_after_a_change_does_not_join_a_fetch_from_before_it_nor_is_that_kept(bench):
    bench.upstream.go_on.clear()
    before = asyncio.create_task(bench.read())
    await settle()
    async with bench.cache.changing("a", {Volatile.USERS}):
        amid = asyncio.create_task(bench.read())
        await settle()
    after = asyncio.create_task(bench.read())
    await settle()
    bench.upstream.go_on.set()

    assert [await before, await amid, await after] == [[1], [2], [3]]
    assert await bench.read() == [3]


async def test_readers_amid_the_same_change_share_a_fetch(bench):
    bench.upstream.go_on.clear()
    async with bench.cache.changing("a", {Volatile.USERS}):
        asking = [asyncio.create_task(bench.read()) for _ in range(5)]
        await settle()
        bench.upstream.go_on.set()
        assert await asyncio.gather(*asking) == [[1]] * 5


# Time


async def test_a_reader_whose_time_is_over_gets_its_error_and_the_others_the_answer(bench):
    bench.upstream.go_on.clear()

    async def hurried():
        start_deadline(1.5)
        return await bench.read()

    async def patient():
        start_deadline(60)
        return await bench.read()

    quick, slow = asyncio.create_task(hurried()), asyncio.create_task(patient())
    [answer] = await quick
    assert isinstance(answer, Timeout)
    bench.upstream.go_on.set()
    assert await slow == [1]
    assert bench.upstream.asked == ["a"]


@pytest.mark.parametrize("failure", [Timeout(), Throttled(30)])
async def test_the_time_of_who_began_a_fetch_being_over_is_no_answer_for_who_has_more(bench, failure):
    bench.upstream.go_on.clear()
    bench.upstream.failure = failure

    async def hurried():
        start_deadline(2)
        return await bench.read()

    async def patient():
        start_deadline(60)
        return await bench.read()

    quick = asyncio.create_task(hurried())
    await settle()
    slow = asyncio.create_task(patient())
    await settle()
    bench.upstream.go_on.set()
    assert await quick == [failure]
    bench.upstream.failure = None

    assert await slow in ([2], [failure])
    assert bench.upstream.asked == ["a", "a"]


async def test_with_too_little_time_left_nothing_is_asked(bench):
    start_deadline(0.3)
    [answer] = await bench.read()

    assert isinstance(answer, Timeout)
    assert bench.upstream.asked == []


async def test_closing_ends_what_is_under_way_and_whoever_waits_is_told(bench):
    bench.upstream.go_on.clear()
    asking = asyncio.create_task(bench.read())
    await settle()

    await bench.reads.close()

    [answer] = await asking
    assert type(answer) is UpstreamError
    assert bench.upstream.cancelled == ["a"]


async def test_look_ups_of_other_kinds_do_not_mix(bench):
    assert await bench.read() == [1]

    async def fetch(key):
        return [f"{key}.example"]

    assert await bench.reads.read_many(DOMAINS, ["a"], fetch) == [["a.example"]]
