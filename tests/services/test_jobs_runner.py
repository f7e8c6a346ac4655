"""What the runner makes of trouble: defects, poison, throttling, lost leases, unknown ends, a process that stops."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.audit import MemoryAudit
from services.authorization import DEMO_PARTNER
from services.cache import connect_cache
from services.change_runner import ChangeRunner
from services.idempotency import MemoryIdempotency
from services.jobs import JobOrder, JobState, JobUser, StartedUser
from services.jobs_memory import MemoryJobs
from services.jobs_redis import RedisJobs
from services.jobs_runner import JobRunner
from services.jobs_work import JobWork, Made
from services.license_plans import LicenseEdit
from services.licenses import LicenseService
from services.models import UserRef
from services.outcomes import Outcome, Problem, ProblemCode
from services.secret import Secret
from services.store_connection import connect_redis_store
from services.store_errors import StoreUnavailable
from tests.jobs import lease_runs_out

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
TENANT = str(uuid4())
STARTED = StartedUser(NOW, None, {"skuIds": ["sku"]}, {"skuIds": []})
THROTTLED = Problem(code=ProblemCode.THROTTLED, message="Wait.", retryable=True, retry_after_seconds=0)
AWAY = Problem(code=ProblemCode.UPSTREAM_ERROR, message="Away.", retryable=True)
REFUSED = Problem(code=ProblemCode.LICENSE_CONFLICT, message="No.")
GONE = Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.")
PATIENCE_SECONDS = 60.0


class Script:
    """In place of the work: for each user, by number, what its tries come to."""

    def __init__(self, **tries):
        self.tries = {int(name.removeprefix("user")): list(each) for name, each in tries.items()}
        self.asked = []

    async def change(self, order, number, user, started, keep):
        self.asked.append(number)
        left = self.tries.get(number)
        step = left.pop(0) if left else Outcome()
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            return await step(keep)
        return Made(step, written=False)


def failing(problem):
    return Outcome(user_errors=(problem,))


def order(users=3):
    return JobOrder(
        job_id=str(uuid4()),
        caller=DEMO_PARTNER,
        edit=LicenseEdit([], ["sku"]),
        tenant_ids=(TENANT,),
        total=users,
        created_at=NOW,
    )


def people(count=3):
    return [JobUser(UserRef(TENANT, str(uuid4())), number) for number in range(count)]


def runner_of(store, work):
    return JobRunner(store, work, look_seconds=0.01, pauses_seconds=(0.01, 0.01))


async def ran(store, work, users=3):
    """The job and its results, run by one runner to its end."""
    wanted = order(users)
    await store.submit(wanted, people(users), None, "")
    return await run_to_the_end(store, work, wanted.job_id)


async def run_to_the_end(store, work, job_id):
    runner = runner_of(store, work)
    task = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                job = await store.find(job_id)
                if job.state.is_end:
                    break
                await asyncio.sleep(0.01)
    finally:
        await runner.close(PATIENCE_SECONDS)
        task.cancel()
    page = await store.results(job_id, False, 100, None)
    return job, {item.result.number: [one.code.value for one in item.result.user_errors] for item in page.items}


@pytest.fixture
def store():
    return MemoryJobs(clock=lambda: NOW)


@pytest.fixture
async def shared(redis_url):
    connection = connect_redis_store(redis_url, "sandbox:test")
    yield RedisJobs(connection, clock=lambda: NOW)
    await connection.close()


async def test_a_defect_is_tried_three_times_then_that_user_failed_and_the_job_goes_on(store):
    script = Script(user0=[ValueError()], user1=[ValueError()] * 3)
    job, results = await ran(store, script)

    assert script.asked == [0, 0, 1, 1, 1, 2]
    assert (job.state, results) == (JobState.PARTLY_FAILED, {0: [], 1: ["UPSTREAM_ERROR"], 2: []})


async def test_a_defect_after_something_was_sent_leaves_the_outcome_unknown(store):
    async def sent(keep):
        await keep(STARTED)
        raise ValueError

    _, results = await ran(store, Script(user0=[sent] * 3))

    assert results[0] == ["OUTCOME_UNKNOWN"]


async def test_throttled_users_wait_however_often(store):
    script = Script(user1=[failing(THROTTLED)] * 20)
    job, results = await ran(store, script)

    assert (job.state, script.asked.count(1)) == (JobState.SUCCEEDED, 21)
    assert results == {0: [], 1: [], 2: []}


async def test_what_could_not_be_sent_is_tried_some_times_and_a_refusal_once(store):
    script = Script(user0=[failing(AWAY)] * 9, user1=[failing(REFUSED)] * 9, user2=[failing(AWAY)])
    job, results = await ran(store, script)

    assert [script.asked.count(number) for number in range(3)] == [3, 1, 2]
    assert (job.state, results[0], results[1], results[2]) == (
        JobState.PARTLY_FAILED,
        ["UPSTREAM_ERROR"],
        ["LICENSE_CONFLICT"],
        [],
    )


async def test_what_was_sent_by_a_dead_process_and_cannot_be_read_is_unknown(shared):
    wanted = order()
    await shared.submit(wanted, people(), None, "")
    [hold] = await shared.take(1)
    await shared.start_user(hold, 1, STARTED)
    await shared.start_user(hold, 2, STARTED)
    await lease_runs_out(shared, hold)
    script = Script(user1=[failing(GONE)], user2=[failing(REFUSED)])
    job, results = await run_to_the_end(shared, script, wanted.job_id)

    assert script.asked == [1, 2, 0]  # first those of whom nobody knows
    assert job.state is JobState.PARTLY_FAILED
    assert results == {0: [], 1: ["NOT_FOUND", "OUTCOME_UNKNOWN"], 2: ["LICENSE_CONFLICT"]}


async def test_a_job_of_which_three_holders_died_is_failed_with_what_it_has(shared):
    wanted = order()
    await shared.submit(wanted, people(), None, "")
    for number in range(3):
        [hold] = await shared.take(1)
        await shared.start_user(hold, 1, STARTED)
        assert hold.deaths == number
        await lease_runs_out(shared, hold)
    script = Script()
    job, results = await run_to_the_end(shared, script, wanted.job_id)

    assert script.asked == []
    assert (job.state, results) == (JobState.FAILED, {1: ["OUTCOME_UNKNOWN"]})


async def test_a_cancelled_job_still_settles_whom_it_started(shared):
    wanted = order()
    await shared.submit(wanted, people(), None, "")
    [hold] = await shared.take(1)
    await shared.start_user(hold, 2, STARTED)
    await shared.cancel(wanted.job_id)
    await lease_runs_out(shared, hold)
    script = Script()
    job, results = await run_to_the_end(shared, script, wanted.job_id)

    assert script.asked == [2]
    assert (job.state, results) == (JobState.CANCELLED, {2: []})


async def test_a_holder_that_lost_its_lease_sends_nothing_more(shared):
    wanted, sent, lost = order(), [], asyncio.Event()
    await shared.submit(wanted, people(), None, "")

    async def slow(keep):
        await shared._connection.client.delete(f"{shared._job(wanted.job_id)}:lease")  # as if it ran out in a stall
        lost.set()
        await keep(STARTED)
        sent.append(1)
        return Made(Outcome(), written=True)

    runner = runner_of(shared, Script(user0=[slow]))
    task = asyncio.create_task(runner.run())
    await lost.wait()
    await runner.close(PATIENCE_SECONDS)
    task.cancel()

    assert sent == []
    assert (await shared.find(wanted.job_id)).done == 0


async def test_a_store_that_is_away_for_a_moment_loses_nothing(store):
    class Flickering(MemoryJobs):
        times = 3

        async def end_user(self, hold, result):
            if self.times:
                self.times -= 1
                raise StoreUnavailable
            await super().end_user(hold, result)

    script = Script()
    job, results = await ran(Flickering(clock=lambda: NOW), script)

    assert (job.state, len(results), script.asked) == (JobState.SUCCEEDED, 3, [0, 1, 2])


async def test_a_process_that_stops_finishes_the_user_at_hand_and_hands_the_job_back(shared):
    wanted, reached = order(), asyncio.Event()
    await shared.submit(wanted, people(), None, "")

    async def slow(keep):
        reached.set()
        await asyncio.sleep(0.1)
        return Made(Outcome(), written=True)

    runner = runner_of(shared, Script(user0=[slow]))
    task = asyncio.create_task(runner.run())
    await reached.wait()
    await runner.close(PATIENCE_SECONDS)
    task.cancel()
    job = await shared.find(wanted.job_id)
    [hold] = await shared.take(1)

    assert (job.state, job.done) == (JobState.RUNNING, 1)
    assert (hold.ended, hold.deaths) == (frozenset({0}), 0)


@pytest.mark.parametrize(("minutes", "codes"), [(9, []), (11, ["OUTCOME_UNKNOWN"])])
async def test_a_started_user_is_asked_again_under_its_id_for_ten_minutes(minutes, codes, store):
    sent = []

    class Writes(LicenseService):
        async def update(self, change, ref, edit, *, show_user=True):
            async def send(request_id):
                sent.append(request_id)

            change.plans({"skuIds": ["sku"]}, {"skuIds": []})
            await change.write("licenses-group1", send, None, lambda _: None)
            return Outcome()

    cache = connect_cache(None, "sandbox:test")
    runner = ChangeRunner(cache, MemoryAudit(), MemoryIdempotency(Secret("s")), lambda: NOW)
    work = JobWork(runner, Writes(None, None, None), clock=lambda: NOW + timedelta(minutes=minutes))  # type: ignore[arg-type]
    kept = []

    async def keep(started):
        kept.append(started)

    wanted, [user] = order(1), people(1)
    made = await work.change(wanted, 0, user, STARTED, keep)
    await work.change(wanted, 0, user, STARTED, keep)

    assert [problem.code.value for problem in made.outcome.user_errors] == codes
    assert kept == ([] if codes else [STARTED] * 2)
    assert len(set(sent)) == (0 if codes else 1)
