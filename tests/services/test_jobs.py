"""Jobs are kept alike in memory and in Redis: queued, taken, fenced, ended, cancelled, within limits."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.authorization import DEMO_PARTNER
from services.errors import BadInput
from services.jobs import (
    MOST_DEATHS,
    Claimed,
    JobOrder,
    JobResult,
    JobState,
    JobUser,
    LeaseLost,
    StartedUser,
    TooManyJobs,
    state_at_end,
)
from services.jobs_memory import MemoryJobs
from services.jobs_redis import RedisJobs
from services.license_plans import LicenseEdit, Toggle
from services.models import ProductType, ServicePlan, SubscribedSku, UserRef
from services.outcomes import Problem, ProblemCode, effect_on
from services.store_connection import connect_redis_store
from tests.jobs import lease_runs_out

NAMESPACE = "sandbox:test"
NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
TENANTS = (str(uuid4()), str(uuid4()))
EDIT = LicenseEdit([Toggle("sku", ("plan",))], ["other"])
PLANS = (ServicePlan("plan", "TEAMS1", "Microsoft Teams"),)
SKU = SubscribedSku(
    TENANTS[0],
    "sku",
    "E3",
    "Office 365 E3",
    ProductType.CLOUD_SERVICES,
    25,
    20,
    5,
    0,
    0,
    25,
    "Enabled",
    "group1",
    PLANS,
    NOW,
)
STARTED = StartedUser(NOW, "ada@example.com", {"skuIds": []}, {"skuIds": ["sku"]})
FAILED = Problem(code=ProblemCode.NONE_AVAILABLE, message="No unit is left.", sku=SKU, field=("input", "assign", "0"))
PATIENCE_SECONDS = 30.0
LEASE_SECONDS = 1.5
"""Of those who are to lose it. The others have the usual minute, since the machine may be loaded."""


def order(users=3, caller=DEMO_PARTNER):
    return JobOrder(job_id=str(uuid4()), caller=caller, edit=EDIT, tenant_ids=TENANTS, total=users, created_at=NOW)


def people(count=3):
    return [JobUser(UserRef(TENANTS[number % 2], str(uuid4())), number) for number in range(count)]


def result(users, number, *problems):
    return JobResult(
        number=number, ref=users[number].ref, effects=(effect_on(SKU, 1, forecast=False),), user_errors=problems
    )


@pytest.fixture(params=["memory", "redis"])
async def stores(request, redis_url):
    """Two views of one store, as two replicas have; in memory they are one."""
    if request.param == "memory":
        store = MemoryJobs(clock=lambda: NOW)
        yield store, store
        return
    connections = [connect_redis_store(redis_url, NAMESPACE) for _ in range(2)]
    yield tuple(RedisJobs(each, clock=lambda: NOW) for each in connections)
    for each in connections:
        await each.close()


@pytest.fixture
async def replicas(redis_url):
    """Two replicas over one Redis, with a short lease."""
    connections = [connect_redis_store(redis_url, NAMESPACE) for _ in range(2)]
    yield tuple(RedisJobs(each, lease_seconds=LEASE_SECONDS, clock=lambda: NOW) for each in connections)
    for each in connections:
        await each.close()


async def taken(store):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for hold in await store.take(10):
                return hold
            await asyncio.sleep(0.02)


async def test_a_job_goes_from_the_queue_through_its_users_to_its_end(stores):
    one, other = stores
    wanted, users = order(), people()
    assert await one.submit(wanted, users, None, "") == Claimed(wanted.job_id, True)
    queued = await other.find(wanted.job_id)
    assert (queued.state, queued.total, queued.done, queued.failed) == (JobState.QUEUED, 3, 0, 0)
    hold = await taken(other)
    assert (hold.order, list(hold.users), hold.ended, hold.started) == (wanted, users, frozenset(), {})
    assert await one.take(10) == []
    assert not await other.is_cancelled(hold)
    await other.start_user(hold, 1, STARTED)
    await other.end_user(hold, result(users, 1, FAILED))
    await other.end_user(hold, result(users, 0))
    running = await one.find(wanted.job_id)
    assert (running.state, running.done, running.failed, running.ended_at) == (JobState.RUNNING, 2, 1, None)
    await other.end_user(hold, result(users, 2))
    await other.end(hold, JobState.PARTLY_FAILED)
    ended = await one.find(wanted.job_id)
    assert (ended.state, ended.done, ended.failed, ended.ended_at) == (JobState.PARTLY_FAILED, 3, 1, NOW)
    assert await one.take(10) == await other.take(10) == []


async def test_results_come_in_pages_in_the_order_in_which_users_ended_whole(stores):
    one, other = stores
    wanted, users = order(5), people(5)
    await one.submit(wanted, users, None, "")
    hold = await taken(one)
    for number in (3, 1, 4, 0, 2):
        await one.end_user(hold, result(users, number, *([FAILED] if number % 2 else [])))
    first = await other.results(wanted.job_id, False, 2, None)
    rest = await other.results(wanted.job_id, False, 10, first.items[-1].cursor)
    failed = await other.results(wanted.job_id, True, 1, None)
    last = await other.results(wanted.job_id, True, 1, failed.items[-1].cursor)

    assert [item.result.number for item in first.items + rest.items] == [3, 1, 4, 0, 2]
    assert (first.total, first.has_next_page, rest.has_next_page) == (5, True, False)
    assert first.items[0].result == result(users, 3, FAILED)  # the service plans of its products included
    assert [item.result.number for item in failed.items + last.items] == [3, 1]
    assert (failed.total, failed.has_next_page, last.has_next_page) == (2, True, False)
    assert (await other.results(wanted.job_id, False, 0, None)).items == ()
    with pytest.raises(BadInput):
        await other.results(wanted.job_id, False, 2, "x")


async def test_a_user_ends_once(stores):
    one, _ = stores
    wanted, users = order(), people()
    await one.submit(wanted, users, None, "")
    hold = await taken(one)
    await one.end_user(hold, result(users, 0))
    await one.end_user(hold, result(users, 0, FAILED))
    job = await one.find(wanted.job_id)

    assert (job.done, job.failed) == (1, 0)


async def test_a_job_that_is_handed_back_goes_on_where_it_stood(stores):
    one, other = stores
    wanted, users = order(), people()
    await one.submit(wanted, users, None, "")
    hold = await taken(one)
    await one.end_user(hold, result(users, 1))
    await one.start_user(hold, 2, STARTED)
    await one.hand_back(hold)
    again = await taken(other)  # before its lease would have run out

    assert (again.ended, again.started, again.deaths) == (frozenset({1}), {2: STARTED}, 0)
    with pytest.raises(LeaseLost):
        await one.end_user(hold, result(users, 0))
    with pytest.raises(LeaseLost):
        await one.is_cancelled(hold)
    assert not await one.renew(hold)


async def test_a_job_that_waits_is_cancelled_at_once_and_one_that_runs_before_its_next_user(stores):
    one, other = stores
    waits, runs = order(), order()
    await one.submit(runs, people(), None, "")
    hold = await taken(one)
    await one.submit(waits, people(), None, "")
    await other.cancel(waits.job_id)
    await other.cancel(runs.job_id)

    waiting = await one.find(waits.job_id)
    assert (waiting.state, waiting.ended_at) == (JobState.CANCELLED, NOW)
    assert await one.take(10) == []
    assert (await one.find(runs.job_id)).state is JobState.RUNNING
    assert await one.is_cancelled(hold)
    await one.end(hold, JobState.CANCELLED)
    await one.cancel(runs.job_id)
    assert (await one.find(runs.job_id)).state is JobState.CANCELLED


async def test_a_caller_has_five_jobs_running_and_twenty_waiting(stores):
    one, _ = stores
    for _ in range(20):
        await one.submit(order(), people(), None, "")
    with pytest.raises(TooManyJobs):
        await one.submit(order(), people(), None, "")
    holds = await one.take(10)
    while len(holds) < 5:
        holds += await one.take(10)

    assert len(holds) == 5
    assert [await one.take(10) for _ in range(3)] == [[], [], []]
    await one.submit(order(), people(), None, "")
    somebody = order(caller=replace(DEMO_PARTNER, subject="somebody else"))
    await one.submit(somebody, people(), None, "")
    others = [hold for _ in range(5) for hold in await one.take(10)]
    assert [hold.order for hold in others] == [somebody]
    await one.end(holds[0], JobState.SUCCEEDED)
    assert len([hold for _ in range(5) for hold in await one.take(10)]) == 1


async def test_a_key_gives_the_same_job_and_tells_another_input(stores):
    one, other = stores
    first, second = order(), order()
    assert await one.submit(first, people(), "key", "input") == Claimed(first.job_id, True)
    assert await other.submit(second, people(), "key", "input") == Claimed(first.job_id, True)
    assert await other.submit(second, people(), "key", "another") == Claimed(first.job_id, False)
    assert await other.find_key("key", "input") == Claimed(first.job_id, True)
    assert await other.find_key("another", "input") is None
    assert await other.find(second.job_id) is None


async def test_what_is_cleared_is_gone_and_its_holder_stops(stores):
    one, other = stores
    wanted = order()
    await one.submit(wanted, people(), "key", "input")
    hold = await taken(one)
    await one.submit(order(), people(), None, "")
    await other.clear()

    assert await one.find(wanted.job_id) is None
    assert await one.find_key("key", "input") is None
    with pytest.raises(LeaseLost):
        await one.is_cancelled(hold)
    await one.submit(order(), people(), None, "")
    assert len([held for _ in range(3) for held in await one.take(10)]) == 1


async def test_a_holder_that_dies_is_followed_when_its_lease_runs_out(replicas):
    one, other = replicas
    wanted, users = order(), people()
    await one.submit(wanted, users, None, "")
    taken_at = time.monotonic()
    hold = await taken(one)
    await one.start_user(hold, 0, STARTED)
    again = await taken(other)

    assert time.monotonic() - taken_at > 0.99 * LEASE_SECONDS
    assert (again.started, again.deaths) == ({0: STARTED}, 1)
    with pytest.raises(LeaseLost):
        await one.start_user(hold, 1, STARTED)


async def test_a_lease_that_is_renewed_lasts(replicas):
    one, other = replicas
    await one.submit(order(), people(), None, "")
    hold = await taken(one)
    for _ in range(5):
        await asyncio.sleep(LEASE_SECONDS / 4)
        assert await one.renew(hold)
        assert await other.take(10) == []


async def test_deaths_are_counted_while_no_user_ends(redis_url):
    connection = connect_redis_store(redis_url, NAMESPACE)
    store = RedisJobs(connection, clock=lambda: NOW)
    wanted, users = order(), people()
    await store.submit(wanted, users, None, "")
    deaths = []
    for _ in range(4):
        hold = await taken(store)
        deaths.append(hold.deaths)
        if hold.deaths == MOST_DEATHS:
            await store.end_user(hold, result(users, 0))
        await lease_runs_out(store, hold)
    assert deaths == [0, 1, 2, MOST_DEATHS]
    assert (await taken(store)).deaths == 1
    await connection.close()


def test_what_a_job_comes_to():
    assert state_at_end(3, 3, 0, cancelled=False) is JobState.SUCCEEDED
    assert state_at_end(0, 0, 0, cancelled=False) is JobState.SUCCEEDED
    assert state_at_end(3, 3, 1, cancelled=True) is JobState.PARTLY_FAILED
    assert state_at_end(3, 3, 3, cancelled=False) is JobState.FAILED
    assert state_at_end(3, 1, 1, cancelled=True) is JobState.CANCELLED
