"""Runs jobs: takes those that wait, and goes through their users, tenant by tenant side by side.

Within a tenant users come one after the other, since changes of one product do in any case. Calls are asked for
as a job's: they take their turns after everybody else's, and hold a quarter of the slots at most.

    Microsoft throttles         the tenant's users wait, and none fails for it
    nothing could be sent       tried again, some times
    a defect of ours            tried three times, then that user failed, and the job goes on
    the lease is lost           stopped before the next write: another process goes on
    cancelled                   stopped before the next user
    the process stops           the user at hand is finished, and the job handed back
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import structlog

from services.jobs import (
    LEASE_SECONDS,
    MOST_DEATHS,
    RENEWALS,
    Hold,
    JobResult,
    JobState,
    JobStore,
    LeaseLost,
    StartedUser,
    owner_of,
    state_at_end,
    unknown_outcome,
)
from services.jobs_work import JobWork, Made, settled
from services.outcomes import Outcome, Problem, ProblemCode
from services.store_errors import StoreUnavailable
from services.upstream_turns import ask_in_turn
from services.upstream_use import start_counting

MOST_JOBS: Final = 10
"""Jobs at once in a process; the slots that they share bound what they ask."""
TENANTS_AT_ONCE: Final = 8
TRIES: Final = 3
LOOK_SECONDS: Final = 1.0
"""How often is looked for jobs that wait, and whether a job that waits for Microsoft was cancelled."""
PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between tries of what could not be sent."""

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class _Course:
    """A job while it runs. `failed` counts only what this holder saw end."""

    hold: Hold
    cancelled: bool = False


class JobRunner:
    """Runs the jobs of one process. `run` looks for them until it is cancelled; `close` hands back what is left."""

    def __init__(
        self,
        store: JobStore,
        work: JobWork,
        *,
        lease_seconds: float = LEASE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
    ) -> None:
        self._store = store
        self._work = work
        self._renew_seconds = lease_seconds / RENEWALS
        self._look_seconds = look_seconds
        self._pauses_seconds = pauses_seconds
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    @property
    def running(self) -> int:
        """How many jobs run in this process."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """How many jobs wait, as far as is known here."""
        return self._store.queued

    def wake(self) -> None:
        """Says that a job waits."""
        self._wake.set()

    async def run(self) -> None:
        """Takes jobs for as long as the process takes work."""
        while not self._stopping.is_set():
            self._wake.clear()
            free = MOST_JOBS - len(self._running)
            if free > 0:
                try:
                    for hold in await self._store.take(free):
                        self._start(hold)
                except StoreUnavailable:
                    pass  # said by the connection; looked for again
            await _first(self._wake, self._look_seconds)

    async def close(self, seconds: float = 60.0) -> None:
        """Finishes the users at hand, and hands the jobs back."""
        self._stopping.set()
        if self._running and not self._store.durable:
            log.warning("jobs end with this process: GATEWAY_REDIS_URL is not set", jobs=len(self._running))
        await self._end_within(seconds)

    async def abandon(self) -> None:
        """Drops what runs, for a store that is about to be emptied."""
        await self._end_within(0)

    async def _end_within(self, seconds: float) -> None:
        if self._running and seconds > 0:
            await asyncio.wait(self._running, timeout=seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _start(self, hold: Hold) -> None:
        with structlog.contextvars.bound_contextvars(job_id=hold.order.job_id):
            task = asyncio.create_task(self._run_job(hold), name=f"job {hold.order.job_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()

    async def _run_job(self, hold: Hold) -> None:
        ask_in_turn(owner_of(hold.order.caller), is_job=True)
        keeper = asyncio.create_task(self._keep(hold))
        log.info("job_taken", users=len(hold.users), ended=len(hold.ended), deaths=hold.deaths)
        try:
            state = await self._through(hold)
            log.info("job_left", state=state.value if state else "handed back")
        except LeaseLost:
            log.warning("job_lease_lost")
        except Exception:
            log.exception("job_failed")
            await self._give_up(hold)
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _give_up(self, hold: Hold) -> None:
        try:
            await self._store.end(hold, JobState.FAILED)
        except (StoreUnavailable, LeaseLost):
            log.warning("job_not_ended")

    async def _keep(self, hold: Hold) -> None:
        """Renews the lease. Whether it still is this process's is looked at before each write."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                if not await self._store.renew(hold):
                    return
            except StoreUnavailable:
                continue  # the lease may outlast the trouble

    async def _through(self, hold: Hold) -> JobState | None:
        """Goes through the users; gives the state it ended in, or None where it is handed back."""
        if hold.deaths >= MOST_DEATHS:
            return await self._end_of_poison(hold)
        course = _Course(hold)
        lanes = self._lanes(hold)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(TENANTS_AT_ONCE, len(lanes))):
                    group.create_task(self._lane(course, lanes))
        except* LeaseLost:
            raise LeaseLost from None
        job = await self._insist(hold, lambda: self._store.find(hold.order.job_id))
        if job is None:
            raise LeaseLost
        if job.done < job.total and not course.cancelled:
            await self._insist(hold, lambda: self._store.hand_back(hold))
            return None
        state = state_at_end(job.total, job.done, job.failed, cancelled=course.cancelled)
        await self._insist(hold, lambda: self._store.end(hold, state))
        return state

    def _lanes(self, hold: Hold) -> deque[deque[int]]:
        """The users that are left, by tenant; first those of whom nobody knows what became."""
        by_tenant: dict[str, list[int]] = defaultdict(list)
        for number, user in enumerate(hold.users):
            if number not in hold.ended:
                by_tenant[user.ref.tenant_id].append(number)
        return deque(
            deque(sorted(numbers, key=lambda number: number not in hold.started)) for numbers in by_tenant.values()
        )

    async def _lane(self, course: _Course, lanes: deque[deque[int]]) -> None:
        while lanes:
            numbers = lanes.popleft()
            while numbers and not self._stopping.is_set():
                number = numbers.popleft()
                if not course.cancelled:
                    course.cancelled = await self._insist(course.hold, lambda: self._store.is_cancelled(course.hold))
                if course.cancelled and number not in course.hold.started:
                    continue
                await self._user(course, number)

    async def _user(self, course: _Course, number: int) -> None:
        """Changes one user, however often that has to be tried; without a result where the job is to stop."""
        hold, defects, pauses = course.hold, 0, list(self._pauses_seconds)
        while True:
            was_started = number in hold.started
            try:
                made = await self._attempt(hold, number)
            except LeaseLost:
                raise
            except Exception:
                defects += 1
                log.exception("job_user_failed", number=number, tries=defects)
                if defects >= TRIES:
                    failed = Outcome(user_errors=(_defect(was_started=number in hold.started),))
                    await self._record(hold, number, failed)
                    return
                pause = self._pauses_seconds[0]
            else:
                wait = _wait_for(made, pauses)
                if wait is None:
                    await self._record(hold, number, settled(made, was_started=was_started))
                    return
                pause = wait
            if not await self._paused(course, pause, number):
                return

    async def _attempt(self, hold: Hold, number: int) -> Made:
        start_counting()

        async def keep(started: StartedUser) -> None:
            hold.require()
            await self._store.start_user(hold, number, started)
            hold.started[number] = started

        return await self._work.change(hold.order, number, hold.users[number], hold.started.get(number), keep)

    async def _record(self, hold: Hold, number: int, outcome: Outcome) -> None:
        ref = hold.users[number].ref
        result = JobResult(
            number=number, ref=ref, user=outcome.user, effects=outcome.effects, user_errors=outcome.user_errors
        )
        await self._insist(hold, partial(self._store.end_user, hold, result))
        hold.started.pop(number, None)

    async def _paused(self, course: _Course, seconds: float, number: int) -> bool:
        """Waits; False where the job is to stop before this user. One that was started is not left behind."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await _first(self._stopping, min(left, self._look_seconds))
            if self._stopping.is_set():
                return False
            if not course.cancelled:
                course.cancelled = await self._insist(course.hold, lambda: self._store.is_cancelled(course.hold))
            if course.cancelled and number not in course.hold.started:
                return False
        return True

    async def _end_of_poison(self, hold: Hold) -> JobState:
        """A job that its holders die of is ended with what it has."""
        log.error("job_is_poison", deaths=hold.deaths)
        for number in sorted(hold.started):
            await self._record(hold, number, Outcome(user_errors=(unknown_outcome(),)))
        await self._insist(hold, lambda: self._store.end(hold, JobState.FAILED))
        return JobState.FAILED

    async def _insist(self, hold: Hold, do: Callable[[], Awaitable[T]]) -> T:
        """Asks the store for as long as the lease lasts."""
        while True:
            try:
                return await do()
            except StoreUnavailable:
                hold.require()
                await asyncio.sleep(self._look_seconds)


def _wait_for(made: Made, pauses: list[float]) -> float | None:
    """How long to wait before the next try; None where this was the last."""
    errors = made.outcome.user_errors
    throttled = [problem.retry_after_seconds for problem in errors if problem.code is ProblemCode.THROTTLED]
    if throttled:
        return max(throttled)
    unsent = not made.written and any(
        problem.code is ProblemCode.UPSTREAM_ERROR and problem.retryable for problem in errors
    )
    return pauses.pop(0) if unsent and pauses else None


def _defect(*, was_started: bool) -> Problem:
    if was_started:
        return unknown_outcome()
    message = "The gateway failed on this user; nothing was written. Tell the operator the job's id."
    return Problem(code=ProblemCode.UPSTREAM_ERROR, message=message)


async def _first(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is there, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
