"""Jobs: the same change for many users, made one user after the other, whichever process is alive.

    QUEUED ──taken──► RUNNING ──every user ended──► SUCCEEDED, PARTLY_FAILED or FAILED
       └──────cancelled──────┴──cancelled───► CANCELLED

A user of a job is queued, then started (kept before anything is sent, since the answer may be lost), then done,
failed or unknown. The ids of its requests follow from the job and the user: whoever goes on after a crash sends the
same ones, and Microsoft takes them for repeats.

Who runs a job holds it by a lease, which is renewed, and whose token fences every record: one who lost it can write
nothing more. Without Redis jobs are in this process's memory (`services.jobs_memory`), lost with it; with Redis see
`services.jobs_redis`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from services.authorization import Caller
from services.errors import BadInput, GatewayError
from services.global_ids import encode_id
from services.license_plans import LicenseEdit
from services.models import User, UserRef
from services.outcomes import Field, LicenseEffect, Problem, ProblemCode

LEASE_SECONDS: Final = 60.0
RENEWALS: Final = 3
"""So many renewals fall into one lease."""
MOST_USERS: Final = 5_000
MOST_RUNNING: Final = 5
MOST_QUEUED: Final = 20
MOST_DEATHS: Final = 3
"""So many holders may die of a job, one after the other, without ending a single user."""
KEPT_SECONDS: Final = 30 * 24 * 3600.0
KEY_KEPT_SECONDS: Final = 24 * 3600.0


class JobState(Enum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTLY_FAILED = "PARTLY_FAILED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_end(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class LeaseLost(GatewayError):
    """Another process holds the job by now, or nobody does: whoever gets this stops at once."""

    def __init__(self) -> None:
        super().__init__("The job is held by another process.")


class TooManyJobs(GatewayError):
    """So many jobs of the caller wait already that another is refused."""

    code = "THROTTLED"
    retry_after_seconds: Final = 60

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} of your jobs wait already. Nothing was written; try again when some have ended.")


class JobUser(NamedTuple):
    """A user of a job. `place` is the number of its id in the input, where users were named by ids."""

    ref: UserRef
    place: int | None = None

    @property
    def field(self) -> Field:
        """The path of the input field that names the user."""
        if self.place is None:
            return ("input", "users", "matching")
        return ("input", "users", "ids", str(self.place))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """A job as it was asked for; it never changes. The permissions are those of the token that asked."""

    job_id: str
    caller: Caller
    edit: LicenseEdit
    tenant_ids: tuple[str, ...]
    total: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. `done` counts the users that ended, those that failed included."""

    job_id: str
    owner: str
    """Who asked, by issuer and subject."""
    tenant_ids: tuple[str, ...]
    state: JobState
    total: int
    done: int
    failed: int
    created_at: datetime
    ended_at: datetime | None = None

    @property
    def id(self) -> str:
        return encode_id("Job", self.job_id)


@dataclass(frozen=True, slots=True)
class StartedUser:
    """What was about to be written for a user, and when. `before` and `wanted` are as in the audit log."""

    at: datetime
    user_principal_name: str | None
    before: dict[str, Any]  # JSON
    wanted: dict[str, Any]  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What became of one user. `number` is its place in the job."""

    number: int
    ref: UserRef
    user: User | None = None
    effects: tuple[LicenseEffect, ...] = ()
    user_errors: tuple[Problem, ...] = ()

    @property
    def is_failed(self) -> bool:
        return bool(self.user_errors)


class ResultItem(NamedTuple):
    """A result and the cursor that says where it stands."""

    cursor: str
    result: JobResult


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Some results, in the order in which the users ended, and how many there are by now."""

    items: tuple[ResultItem, ...]
    total: int
    has_next_page: bool


@dataclass(slots=True)
class Hold:
    """A job in the hands of this process. `ended` and `started` are what it found; `until` is a time.monotonic()."""

    order: JobOrder
    users: Sequence[JobUser]
    token: str
    ended: frozenset[int]
    started: dict[int, StartedUser]
    deaths: int = 0
    entry: str = ""
    until: float = field(default=float("inf"))

    def require(self) -> None:
        """Raises LeaseLost where the lease may be over by this process's own clock."""
        if time.monotonic() >= self.until:
            raise LeaseLost


class Claimed(NamedTuple):
    """What an idempotency key stands for. `same` is False where it was used with another input."""

    job_id: str
    same: bool


class JobStore(Protocol):
    """Keeps jobs. What cannot be reached raises StoreUnavailable; whoever writes with a hold may get LeaseLost."""

    @property
    def durable(self) -> bool:
        """False where jobs end with the process."""

    @property
    def queued(self) -> int:
        """How many jobs wait, as far as is known here."""

    async def find_key(self, key: str, fingerprint: str) -> Claimed | None:
        """Gives the job that an idempotency key stands for."""

    async def submit(self, order: JobOrder, users: Sequence[JobUser], key: str | None, fingerprint: str) -> Claimed:
        """Queues a job, or gives the one that its key stands for already. TooManyJobs where too many wait."""

    async def find(self, job_id: str) -> Job | None:
        """Gives a job as it stands."""

    async def results(self, job_id: str, only_failed: bool, first: int, after: str | None) -> ResultPage:
        """Gives what became of the users so far. BadInput for what is no cursor."""

    async def cancel(self, job_id: str) -> None:
        """Has the job end before its next user; one that nobody has taken yet ends at once."""

    async def take(self, most: int) -> list[Hold]:
        """Takes jobs that wait, or whose holder died, for this process."""

    async def renew(self, hold: Hold) -> bool:
        """Keeps a lease; False where it is lost."""

    async def is_cancelled(self, hold: Hold) -> bool:
        """Tells whether the job is to end before its next user."""

    async def start_user(self, hold: Hold, number: int, started: StartedUser) -> None:
        """Keeps that something is about to be sent for a user."""

    async def end_user(self, hold: Hold, result: JobResult) -> None:
        """Keeps what became of a user; a second time nothing."""

    async def end(self, hold: Hold, state: JobState) -> None:
        """Ends the job, and the hold."""

    async def hand_back(self, hold: Hold) -> None:
        """Leaves the job to whoever takes it next."""

    async def clear(self) -> None:
        """Forgets every job."""


def state_at_end(total: int, done: int, failed: int, *, cancelled: bool) -> JobState:
    """Gives what a job comes to whose holder stops here."""
    if cancelled and done < total:
        return JobState.CANCELLED
    if not failed:
        return JobState.SUCCEEDED
    return JobState.FAILED if failed >= total else JobState.PARTLY_FAILED


def unknown_outcome() -> Problem:
    """What is told of a user for whom something was sent, and nobody could say what became of it."""
    return Problem(
        code=ProblemCode.OUTCOME_UNKNOWN,
        message="Nobody could tell whether the change was made. Look at the user again before you repeat it.",
    )


def owner_of(caller: Caller) -> str:
    return f"{caller.issuer} {caller.subject}"


def read_cursor(after: str | None) -> int:
    """Gives the number of results that lie before the page."""
    if after is None:
        return 0
    if not (after.isascii() and after.isdecimal() and len(after) <= 9):
        raise BadInput("after: this is no cursor of a job's results. Give an endCursor as it was answered.")
    return int(after)
