"""Jobs in this process's memory: the plain twin of `services.jobs_redis`. They are lost with the process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.audit import utc_now
from services.jobs import (
    KEPT_SECONDS,
    KEY_KEPT_SECONDS,
    MOST_QUEUED,
    MOST_RUNNING,
    Claimed,
    Hold,
    Job,
    JobOrder,
    JobResult,
    JobState,
    JobUser,
    LeaseLost,
    ResultItem,
    ResultPage,
    StartedUser,
    TooManyJobs,
    owner_of,
    read_cursor,
)


@dataclass(slots=True)
class _Kept:
    order: JobOrder
    users: Sequence[JobUser]
    state: JobState = JobState.QUEUED
    results: list[JobResult] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    started: dict[int, StartedUser] = field(default_factory=dict)
    cancelled: bool = False
    token: str | None = None
    ended_at: datetime | None = None

    @property
    def failed(self) -> int:
        return sum(one.is_failed for one in self.results)

    @property
    def owner(self) -> str:
        return owner_of(self.order.caller)


class MemoryJobs:
    """Keeps jobs for as long as the process lives, ended ones for 30 days."""

    durable: Final = False

    def __init__(
        self,
        *,
        most_running: int = MOST_RUNNING,
        most_queued: int = MOST_QUEUED,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._most_running = most_running
        self._most_queued = most_queued
        self._clock = clock
        self._jobs: dict[str, _Kept] = {}
        self._keys: dict[str, tuple[str, str, datetime]] = {}

    @property
    def queued(self) -> int:
        return sum(kept.state is JobState.QUEUED for kept in self._jobs.values())

    async def find_key(self, key: str, fingerprint: str) -> Claimed | None:
        kept = self._keys.get(key)
        if kept is None or self._clock() - kept[2] >= timedelta(seconds=KEY_KEPT_SECONDS):
            return None
        return Claimed(kept[0], kept[1] == fingerprint)

    async def submit(self, order: JobOrder, users: Sequence[JobUser], key: str | None, fingerprint: str) -> Claimed:
        if key is not None and (claimed := await self.find_key(key, fingerprint)) is not None:
            return claimed
        self._drop_old()
        owner = owner_of(order.caller)
        if self._count(owner, JobState.QUEUED) >= self._most_queued:
            raise TooManyJobs(self._most_queued)
        self._jobs[order.job_id] = _Kept(order, users)
        if key is not None:
            self._keys[key] = (order.job_id, fingerprint, self._clock())
        return Claimed(order.job_id, True)

    async def find(self, job_id: str) -> Job | None:
        kept = self._jobs.get(job_id)
        if kept is None:
            return None
        return Job(
            job_id=job_id,
            owner=kept.owner,
            tenant_ids=kept.order.tenant_ids,
            state=kept.state,
            total=kept.order.total,
            done=len(kept.results),
            failed=kept.failed,
            created_at=kept.order.created_at,
            ended_at=kept.ended_at,
        )

    async def results(self, job_id: str, only_failed: bool, first: int, after: str | None) -> ResultPage:
        kept = self._jobs.get(job_id)
        found = [one for one in kept.results if one.is_failed or not only_failed] if kept else []
        start = read_cursor(after)
        page = found[start : start + first]
        items = tuple(ResultItem(str(start + number), one) for number, one in enumerate(page, 1))
        return ResultPage(items, len(found), start + len(page) < len(found))

    async def cancel(self, job_id: str) -> None:
        kept = self._jobs.get(job_id)
        if kept is None or kept.state.is_end:
            return
        kept.cancelled = True
        if kept.state is JobState.QUEUED:
            self._end(kept, JobState.CANCELLED)

    async def take(self, most: int) -> list[Hold]:
        taken: list[Hold] = []
        for kept in self._jobs.values():
            if len(taken) >= most:
                break
            if kept.state.is_end or kept.token is not None:
                continue
            if kept.state is JobState.QUEUED and self._count(kept.owner, JobState.RUNNING) >= self._most_running:
                continue
            kept.state, kept.token = JobState.RUNNING, secrets.token_hex(16)
            taken.append(Hold(kept.order, kept.users, kept.token, frozenset(kept.ended), dict(kept.started)))
        return taken

    async def renew(self, hold: Hold) -> bool:
        kept = self._jobs.get(hold.order.job_id)
        return kept is not None and kept.token == hold.token

    async def is_cancelled(self, hold: Hold) -> bool:
        return self._held(hold).cancelled

    async def start_user(self, hold: Hold, number: int, started: StartedUser) -> None:
        self._held(hold).started[number] = started

    async def end_user(self, hold: Hold, result: JobResult) -> None:
        kept = self._held(hold)
        if result.number not in kept.ended:
            kept.ended.add(result.number)
            kept.started.pop(result.number, None)
            kept.results.append(result)

    async def end(self, hold: Hold, state: JobState) -> None:
        self._end(self._held(hold), state)

    async def hand_back(self, hold: Hold) -> None:
        self._held(hold).token = None

    async def clear(self) -> None:
        self._jobs.clear()
        self._keys.clear()

    def _held(self, hold: Hold) -> _Kept:
        kept = self._jobs.get(hold.order.job_id)
        if kept is None or kept.token != hold.token:
            raise LeaseLost
        return kept

    def _end(self, kept: _Kept, state: JobState) -> None:
        kept.state, kept.token, kept.ended_at = state, None, self._clock()
        kept.users = ()

    def _count(self, owner: str, state: JobState) -> int:
        return sum(kept.state is state and kept.owner == owner for kept in self._jobs.values())

    def _drop_old(self) -> None:
        oldest = self._clock() - timedelta(seconds=KEPT_SECONDS)
        self._jobs = {
            job_id: kept for job_id, kept in self._jobs.items() if kept.ended_at is None or kept.ended_at > oldest
        }
        keys = self._clock() - timedelta(seconds=KEY_KEPT_SECONDS)
        self._keys = {key: known for key, known in self._keys.items() if known[2] > keys}
