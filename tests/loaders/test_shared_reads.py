"""Reads shared by all requests of a process: what is asked upstream, by whom it is waited for, what stands in."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from loaders.shared_reads import SharedReads
from services.cache_memory import MemoryCache
from services.deadlines import seconds_left, start_deadline
from services.errors import (
    AccessMissing,
    Conflict,
    NotFound,
    Refused,
    TenantNotFound,
    Throttled,
    Timeout,
    UpstreamError,
)
from services.lookups import DOMAINS, Lookup, Volatile
from services.upstream_turns import current_asker
from services.upstream_use import start_counting

NUMBERS: Lookup[str, int] = Lookup(
    "numbers", int, 60, lambda key: key, lambda _: "", 120, 3600, volatile=Volatile.USERS
)


class Upstream:
    """Answers with how often it was asked so far, or fails; is held back until it is let go on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.failure: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def fetch(self, keys: Sequence[str]) -> list[int | Exception]:
        self.asked += keys
        number = len(self.asked)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += keys
            raise
        if self.failure is not None:
            raise self.failure
        return [number] * len(keys)


class Bench:
    """Shared reads over an empty cache, an upstream, and a clock to move."""

    def __init__(self) -> None:
        self.later = 0.0
        self.cache = MemoryCache(clock=lambda: time.time() + self.later)
        self.reads = SharedReads(self.cache)
        self.upstream = Upstream()

    async def read(self, *keys: str, max_age: float | None = None, together: bool = False) -> list[Any]:
        return await self.reads.read_many(
            NUMBERS, keys or ("a",), self.upstream.fetch, max_age, one_by_one=not together
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


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

    async def fetch(keys):
        bench.upstream.asked += keys
        if keys != ["a"]:
            await held.wait()
        return [7]

    many = asyncio.create_task(bench.reads.read_many(NUMBERS, ["a", "b"], fetch, one_by_one=True))
    await settle()

    assert await bench.read("a") == [7]
    assert not many.done()
    held.set()
    assert await many == [7, 7]
    assert bench.upstream.asked == ["a", "b"]


async def test_what_was_answered_is_kept_although_the_rest_was_given_up(bench):
    async def fetch(keys):
        if keys != ["a"]:
            await asyncio.Event().wait()
        return [7]

    many = asyncio.create_task(bench.reads.read_many(NUMBERS, ["a", "b"], fetch, one_by_one=True))
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


@pytest.mark.parametrize("together", [False, True])
async def test_the_last_waiter_that_is_cancelled_ends_the_fetch_and_the_next_one_begins_another(bench, together):
    bench.upstream.go_on.clear()
    asking = [asyncio.create_task(bench.read("a", "b", together=together)) for _ in range(2)]
    await settle()
    for task in asking:
        task.cancel()
    await settle()
    assert sorted(bench.upstream.cancelled) == ["a", "b"]

    bench.upstream.go_on.set()
    assert await bench.read("a") == [3]


async def test_a_fetch_together_goes_on_while_one_of_its_keys_is_waited_for(bench):
    bench.upstream.go_on.clear()
    both = asyncio.create_task(bench.read("a", "b", together=True))
    await settle()
    one = asyncio.create_task(bench.read("b"))
    await settle()
    both.cancel()
    await settle()
    bench.upstream.go_on.set()

    assert await one == [2]
    assert bench.upstream.asked == ["a", "b"]


async def test_an_answer_too_few_is_an_error_of_every_key_and_nobody_waits_for_ever(bench):
    async def fetch(keys):
        return []

    answers = await bench.reads.read_many(NUMBERS, ["a", "b"], fetch)

    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]


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
        start_deadline(0.6)
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


# Renewal


async def test_what_just_expired_is_given_at_once_and_renewed_once_behind_the_readers_back(bench):
    await bench.read()
    bench.later += 70
    bench.upstream.go_on.clear()

    for _ in range(200):
        assert await bench.read() == [1]
    await settle()
    assert bench.upstream.asked == ["a", "a"]
    bench.upstream.go_on.set()
    await settle()

    assert await bench.read() == [2]
    assert bench.upstream.asked == ["a", "a"]


async def test_a_renewal_is_on_nobodys_account_and_has_its_own_time_and_the_last_turn(bench):
    await bench.read()
    bench.later += 70
    use = start_counting()
    start_deadline(1)
    seen = []

    async def fetch(keys):
        seen.append((current_asker().is_job, seconds_left() > 20))
        return [9]

    await bench.reads.read_many(NUMBERS, ["a"], fetch)
    await settle()

    assert seen == [(True, True)]
    assert (use.cache_hits, use.cache_misses, use.stale) == (1, 0, set())


async def test_a_renewal_that_failed_is_tried_again_after_five_seconds_not_with_every_reader(bench):
    await bench.read()
    bench.later += 70
    bench.upstream.failure = UpstreamError()

    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            assert await bench.read() == [1]
            await settle()
        assert len(bench.upstream.asked) == 2

    assert [line["event"] for line in lines] == ["renewal_failed"]


async def test_who_finds_nothing_any_more_joins_the_renewal(bench):
    await bench.read()
    bench.later += 70
    bench.upstream.go_on.clear()
    await bench.read()
    await settle()
    bench.later += 70
    asking = asyncio.create_task(bench.read())
    await settle()
    bench.upstream.go_on.set()

    assert await asking == [2]
    assert bench.upstream.asked == ["a", "a"]


async def test_of_many_keys_that_are_due_as_many_are_renewed_as_find_a_place(bench):
    keys = [f"key-{number}" for number in range(300)]
    await bench.read(*keys)
    bench.later += 70
    bench.upstream.go_on.clear()

    await bench.read(*keys)
    await settle()

    assert len(bench.upstream.asked) == 300 + 256
    bench.upstream.go_on.set()
    await bench.reads.close()


# Standing in


@pytest.mark.parametrize("failure", [UpstreamError(), Timeout(), Throttled(9)])
async def test_where_microsoft_does_not_answer_an_older_copy_stands_in_and_is_told(bench, failure):
    await bench.read()
    bench.later += 1000
    bench.upstream.failure = failure
    use = start_counting()

    assert await bench.read("a", "b") == [1, failure]
    assert use.stale == {("numbers", "a")}


@pytest.mark.parametrize(
    "failure", [NotFound("none"), TenantNotFound("none"), AccessMissing("no"), Refused(), Conflict()]
)
async def test_where_microsoft_does_answer_no_copy_stands_in(bench, failure):
    await bench.read()
    bench.later += 1000
    bench.upstream.failure = failure

    assert await bench.read() == [failure]


async def test_a_copy_does_not_stand_in_for_ever_nor_for_what_was_changed(bench):
    await bench.read("a", "b")
    bench.upstream.failure = UpstreamError()
    async with bench.cache.changing("b", {Volatile.USERS}):
        pass
    bench.later += 3000
    assert await bench.read("a", "b") == [1, bench.upstream.failure]

    bench.later += 1000
    assert await bench.read() == [bench.upstream.failure]


async def test_a_defect_of_ours_is_shown_and_no_copy_stands_in(bench):
    await bench.read()
    bench.later += 1000
    bench.upstream.failure = ValueError("a defect")

    assert await bench.read() == [bench.upstream.failure]


# Absent


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [(NotFound("no such user"), 15), (TenantNotFound("no such tenant"), 15), (AccessMissing("no access"), 60)],
)
async def test_that_there_is_nothing_is_remembered_for_a_moment(bench, failure, seconds):
    bench.upstream.failure = failure
    first = await bench.read()
    bench.later += seconds * 0.9 - 1

    [again] = await bench.read()
    assert first == [failure]
    assert (type(again), again.message) == (type(failure), failure.message)
    assert bench.upstream.asked == ["a"]

    bench.later += seconds * 0.2 + 2
    await bench.read()
    assert bench.upstream.asked == ["a", "a"]


async def test_that_there_is_nothing_ends_with_a_change_and_is_not_asked_of_the_cache_by_who_wants_it_new(bench):
    bench.upstream.failure = NotFound("no such user")
    await bench.read()
    bench.upstream.failure = None
    assert await bench.read(max_age=0) == [2]
    assert await bench.read() == [2]

    bench.upstream.failure = NotFound("no such user")
    await bench.read(max_age=0)
    bench.upstream.failure = None
    async with bench.cache.changing("a", {Volatile.USERS}):
        pass
    assert await bench.read() == [4]


async def test_what_is_absent_is_not_at_hand(bench):
    bench.upstream.failure = NotFound("no such user")
    await bench.read()

    assert await bench.reads.at_hand(NUMBERS, ["a"]) == [None]


# Freshness in the caller's hands


@pytest.mark.parametrize(("age", "max_age", "asked"), [(20, 30, 1), (40, 30, 2), (0, 0, 2), (70, 3600, 2)])
async def test_nothing_older_than_asked_for_nor_what_is_no_longer_fresh_is_taken_from_the_cache(
    bench, age, max_age, asked
):
    await bench.read()
    bench.later += age

    assert await bench.read(max_age=max_age) == [asked]
    assert len(bench.upstream.asked) == asked
    await settle()
    assert len(bench.upstream.asked) == asked


@pytest.mark.parametrize("max_age", [0, 30])
async def test_who_wants_it_new_gets_the_error_and_no_older_copy(bench, max_age):
    await bench.read()
    bench.later += 70
    bench.upstream.failure = UpstreamError()
    use = start_counting()

    assert await bench.read(max_age=max_age) == [bench.upstream.failure]
    assert use.stale == set()


async def test_who_wants_it_new_does_not_join_an_earlier_fetch(bench):
    bench.upstream.go_on.clear()
    earlier = asyncio.create_task(bench.read())
    await settle()
    new = asyncio.create_task(bench.read(max_age=0))
    await settle()
    bench.upstream.go_on.set()

    assert (await earlier, await new) == ([1], [2])


@pytest.mark.parametrize(
    ("age", "max_age", "found"), [(0, None, 1), (70, None, 1), (130, None, 0), (20, 30, 1), (40, 30, 0), (0, 0, 0)]
)
async def test_at_hand_is_what_would_be_given_without_asking(bench, age, max_age, found):
    await bench.read()
    bench.later += age

    [kept] = await bench.reads.at_hand(NUMBERS, ["a"], max_age)

    assert (kept is not None) == found
    assert bench.upstream.asked == ["a"]


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

    async def fetch(keys):
        return [["a.example"]]

    assert await bench.reads.read_many(DOMAINS, ["a"], fetch) == [["a.example"]]
