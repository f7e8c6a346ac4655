"""What is kept and no longer fresh: renewed, standing in, absent; and how old an answer may be."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from loaders.flights import MOST_BEGUN
from loaders.shared_reads import MOST_RENEWALS
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
from services.lookups import Volatile
from services.upstream_turns import current_asker
from services.upstream_use import current_use, start_counting
from tests.loaders.bench import NUMBERS, Bench, settle


@pytest.fixture
def bench() -> Bench:
    return Bench()


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
    start_deadline(10)
    seen = []

    async def fetch(_):
        seen.append((current_asker().is_job, seconds_left() > 20))
        current_use().calls += 1
        return 9

    await bench.reads.read_many(NUMBERS, ["a"], fetch)
    await settle()

    assert seen == [(True, True)]
    assert (use.calls, use.cache_hits, use.cache_misses, use.stale) == (0, 1, 0, set())


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
    await until_asked(bench, 300 + MOST_BEGUN)
    await settle()
    assert len(bench.upstream.asked) == 300 + MOST_BEGUN
    bench.upstream.go_on.set()
    await until_asked(bench, 300 + MOST_RENEWALS)
    await settle()

    assert len(bench.upstream.asked) == 300 + MOST_RENEWALS
    await bench.reads.close()


async def until_asked(bench: Bench, keys: int) -> None:
    async with asyncio.timeout(30):
        while len(bench.upstream.asked) < keys:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.001)


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
    ("age", "max_age", "found"), [(0, None, 1), (70, None, 1), (140, None, 0), (20, 30, 1), (40, 30, 0), (0, 0, 0)]
)
async def test_at_hand_is_what_would_be_given_without_asking(bench, age, max_age, found):
    await bench.read()
    bench.later += age

    [kept] = await bench.reads.at_hand(NUMBERS, ["a"], max_age)

    assert (kept is not None) == found
    assert bench.upstream.asked == ["a"]
