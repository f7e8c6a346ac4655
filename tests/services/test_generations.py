"""Nothing that was read before a change is given after it: memory, Redis, two replicas; killed, flushed, at random."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis import Redis

from services.cache import LookupCache
from services.cache_memory import MemoryCache
from services.generations import (
    MOST_REMEMBERED,
    Generations,
    State,
    in_order,
    is_settling,
    new_generation,
)
from services.lookups import DOMAINS, LICENSES, SUBSCRIBED_SKUS, USER_ROLES, Lookup, Volatile
from services.models import UserRef
from tests.services.cache_steps import TENANT, USERS, connect, look, store_looked

OTHER = "22222222-2222-4222-8222-222222222222"


@dataclass
class Pair:
    """Two replicas' caches over one Redis, or twice the one cache of a process; and a clock to move."""

    one: LookupCache
    two: LookupCache
    later: list[float]
    redis: Redis | None = None
    dead: list[Any] = field(default_factory=list)
    """Changes that were never ended, kept from ending by being collected."""


@pytest.fixture(params=["memory", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    later, began = [0.0], time.time()  # it stands still: a busy machine makes nothing older

    def clock() -> float:
        return began + later[0]

    if request.param == "memory":
        cache = MemoryCache(clock=clock)
        yield Pair(cache, cache, later)
        return
    url = request.getfixturevalue("redis_url")
    caches = [connect(url, clock) for _ in range(2)]
    with Redis.from_url(url) as client:
        yield Pair(caches[0], caches[1], later, client)
    for each in caches:
        await each.close()


async def value(cache: LookupCache) -> Any:
    kept = (await look(cache)).kept
    return kept and kept.value


async def test_a_reader_held_between_fetch_and_store_does_not_pin_the_old_state(pair):
    held = await look(pair.one)

    async with pair.two.changing(TENANT, USERS):
        pass
    await store_looked(pair.one, held, 1)

    assert await value(pair.one) is None
    assert await value(pair.two) is None


async def test_what_was_kept_before_a_change_is_not_given_during_or_after_it(pair):
    await store_looked(pair.one, await look(pair.one), 1)
    assert await value(pair.two) == 1

    async with pair.one.changing(TENANT, USERS):
        assert await value(pair.two) is None
    assert await value(pair.two) is None


async def test_what_is_read_amid_a_change_is_not_kept(pair):
    async with pair.two.changing(TENANT, USERS):
        amid = await look(pair.one)
        assert not amid.storable
    await store_looked(pair.one, amid._replace(storable=True), 1)

    assert await value(pair.one) is None
    assert await value(pair.two) is None


async def test_readers_that_may_share_a_fetch_see_the_same_generation_and_those_after_a_change_another(pair):
    before = await look(pair.one)
    assert (await look(pair.two)).generation == before.generation

    async with pair.one.changing(TENANT, USERS):
        amid = await look(pair.one)
        assert (await look(pair.two)).generation == amid.generation
        async with pair.two.changing(TENANT, USERS):
            pass
        assert (await look(pair.one)).generation != amid.generation

    assert len({before.generation, amid.generation, (await look(pair.two)).generation}) == 3


async def test_a_change_that_fails_makes_out_of_date_as_well(pair):
    held = await look(pair.one)

    with pytest.raises(ValueError, match="refused"):
        async with pair.two.changing(TENANT, USERS):
            raise ValueError("refused")
    await store_looked(pair.one, held, 1)

    assert await value(pair.one) is None
    assert (await look(pair.one)).storable


async def test_a_change_concerns_one_tenant_and_the_kinds_it_names(pair):
    user, elsewhere = UserRef(TENANT, "u"), UserRef(OTHER, "u")
    stored: list[tuple[Lookup[Any, Any], Any]] = [
        (LICENSES, user),
        (USER_ROLES, user),
        (USER_ROLES, elsewhere),
        (SUBSCRIBED_SKUS, TENANT),
        (DOMAINS, TENANT),
    ]
    for lookup, key in stored:
        await store_looked(pair.one, await look(pair.one, lookup, key), [], lookup, key)
    every = [(await look(pair.two, lookup, key)).kept is not None for lookup, key in stored]

    async with pair.one.changing(TENANT, {Volatile.ROLES, Volatile.USERS}):
        pass

    assert every == [True] * 5
    assert [(await look(pair.two, lookup, key)).kept is not None for lookup, key in stored] == [
        True,
        False,
        True,
        True,
        True,
    ]


async def test_one_of_two_changes_at_once_that_ends_does_not_end_the_other(pair):
    async with pair.one.changing(TENANT, USERS):
        async with pair.two.changing(TENANT, USERS):
            pass
        assert not (await look(pair.one)).storable
    assert (await look(pair.two)).storable


async def test_for_a_minute_after_a_change_what_is_read_is_kept_for_five_seconds_only(pair):
    async with pair.one.changing(TENANT, USERS):
        pass
    await store_looked(pair.one, await look(pair.one), 1)

    kept = (await look(pair.two)).kept
    assert kept is not None
    assert 4.5 <= kept.fresh_until - kept.fetched_at <= 5.5
    assert kept.renew_until == kept.fresh_until

    pair.later[0] += 61
    await store_looked(pair.one, await look(pair.one), 2)
    kept = (await look(pair.two)).kept
    assert kept is not None
    assert 54 <= kept.fresh_until - kept.fetched_at <= 66


# Killed and flushed


@pytest.fixture
async def replicas(redis_url: str) -> AsyncIterator[Pair]:
    later, began = [0.0], time.time()
    caches = [connect(redis_url, lambda: began + later[0]) for _ in range(2)]
    with Redis.from_url(redis_url) as client:
        pair = Pair(caches[0], caches[1], later, client)
        yield pair
    for change in pair.dead:
        await change.__aexit__(None, None, None)
    for each in caches:
        await each.close()


async def begin_and_die(pair: Pair) -> None:
    """Begins a change in the second replica that nobody ends, as if it was killed before its write was answered."""
    change = pair.two.changing(TENANT, USERS)
    await change.__aenter__()
    pair.dead.append(change)


async def test_a_writer_killed_between_its_two_marks_leaves_nothing_old_and_is_waited_for_two_minutes(replicas):
    held = await look(replicas.one)

    await begin_and_die(replicas)
    await store_looked(replicas.one, held, 1)

    amid = await look(replicas.one)
    assert (amid.kept, amid.storable) == (None, False)
    replicas.later[0] += 119
    assert not (await look(replicas.one)).storable
    replicas.later[0] += 3
    assert (await look(replicas.one)).storable


async def test_changes_that_end_do_not_take_a_killed_one_with_them_nor_does_it_live_on_with_them(replicas):
    await begin_and_die(replicas)
    replicas.later[0] += 60
    async with replicas.one.changing(TENANT, USERS):
        pass
    assert not (await look(replicas.one)).storable

    replicas.later[0] += 62
    async with replicas.one.changing(TENANT, USERS):
        pass
    assert (await look(replicas.one)).storable


@pytest.mark.parametrize("look_again", [False, True])
async def test_redis_flushed_amid_a_change_brings_nothing_old_back(replicas, look_again):
    held = await look(replicas.one)

    async with replicas.two.changing(TENANT, USERS):
        replicas.redis.flushall()
        if look_again:
            held = await look(replicas.one)
    await store_looked(replicas.one, held, 1)

    assert await value(replicas.one) is None
    assert (await look(replicas.one)).storable


async def test_redis_flushed_between_fetch_and_store_brings_nothing_old_back(replicas):
    held = await look(replicas.one)
    async with replicas.two.changing(TENANT, USERS):
        pass
    replicas.redis.flushall()
    await store_looked(replicas.one, held, 1)

    assert await value(replicas.one) is None


async def test_a_change_cancelled_while_it_is_marked_leaves_no_mark_behind(replicas):
    for steps in range(12):
        started = asyncio.Event()

        async def change(started: asyncio.Event = started) -> None:
            started.set()
            async with replicas.one.changing(TENANT, USERS):
                await asyncio.sleep(0)

        task = asyncio.create_task(change())
        await started.wait()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

        assert (await look(replicas.one)).storable
        assert (await look(replicas.two)).storable


# Names


def test_generations_of_many_tenants_are_forgotten_in_the_end_and_come_back_as_others():
    now = [1_000_000.0]
    generations = Generations(lambda: now[0])
    names = [(f"tenant-{number}", Volatile.USERS) for number in range(MOST_REMEMBERED + 1)]
    untouched = generations.current(("nobody", Volatile.USERS))
    generations.renew(names[:-1])
    first = generations.current(names[0])

    now[0] += 61
    generations.renew(names[-1:])

    assert len(generations._changed) == 1
    assert generations.current(names[0]) not in (first, untouched)
    assert generations.current(("nobody", Volatile.USERS)) not in (first, untouched)


def test_a_generation_says_whether_a_change_made_it_and_how_long_ago():
    made = new_generation(changed=True, clock=lambda: 1000.0)

    assert is_settling(made, 1059.0)
    assert not is_settling(made, 1061.0)
    assert not is_settling(new_generation(changed=False), time.time())
    assert not is_settling("-", time.time())


def test_a_state_is_told_and_read_as_it_is():
    state = State("0.0123456789ab").changed("1.0123456789ab", 1000.0, begins="ab" * 6)
    state = state.changed("2.0123456789ab", 1001.0, begins="cd" * 6)

    assert State.read(state.text().encode()) == state
    ended = state.changed("3.0123456789ab", 1002.0, ended={"ab" * 6})
    assert ended == State("3.0123456789ab", ((1121, "cd" * 6),))
    assert state.is_changing(1120.0)
    assert not state.is_changing(1122.0)
    assert state.changed("4.0123456789ab", 1122.0) == State("4.0123456789ab")


def test_names_have_one_order():
    assert in_order({Volatile.USERS, Volatile.LICENSES, Volatile.ROLES}, TENANT) == [
        (TENANT, Volatile.LICENSES),
        (TENANT, Volatile.ROLES),
        (TENANT, Volatile.USERS),
    ]
