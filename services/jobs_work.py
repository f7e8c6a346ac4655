"""The change of one user of a job: the same as the mutation for one user makes, on each try the same change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.audit import utc_now
from services.bulk_licenses import ACTION, in_a_job
from services.change_runner import ChangeRequest, ChangeRunner, PartOfJob
from services.changes import Change
from services.jobs import JobOrder, JobUser, LeaseLost, StartedUser, unknown_outcome
from services.licenses import LicenseService
from services.outcomes import Outcome, ProblemCode
from services.writes import OutcomeUnknown

SAME_ID_FOR: Final = timedelta(minutes=10)
"""How long Microsoft is taken to know a request id: a later try could be another change to it."""
_NOT_MADE: Final = frozenset(
    {ProblemCode.NONE_AVAILABLE, ProblemCode.USAGE_LOCATION_REQUIRED, ProblemCode.LICENSE_CONFLICT, ProblemCode.INVALID}
)
"""What is said only where the user, as just read, does not have what was to be assigned."""

Keep = Callable[[StartedUser], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Made:
    """What one try came to. `written` says that something was sent in it."""

    outcome: Outcome
    written: bool


@dataclass(frozen=True, slots=True)
class JobWork:
    """Makes the changes of jobs."""

    runner: ChangeRunner
    licenses: LicenseService
    clock: Callable[[], datetime] = utc_now
    """Real time, wherever the sandbox's stands."""

    async def change(
        self, order: JobOrder, number: int, user: JobUser, started: StartedUser | None, keep: Keep
    ) -> Made:
        """Changes one user. `started` is what an earlier try left, whose end is not known; `keep` keeps such a
        record before anything is sent, and raises LeaseLost where the job is another's by now."""
        changes: list[Change] = []

        async def before_first_write(change: Change) -> None:
            if started is not None and self.clock() - started.at > SAME_ID_FOR:
                raise OutcomeUnknown
            name = change.user_principal_name
            try:
                await keep(started or StartedUser(self.clock(), name, change.before, change.wanted))
            except LeaseLost:
                change.replayed = True  # who goes on leaves the audit record
                raise

        async def work(change: Change) -> Outcome:
            changes.append(change)
            outcome = await self.licenses.update(change, user.ref, order.edit)
            if started is not None:
                outcome = _as_begun(change, outcome, started)
            return await self.licenses.compared(change, outcome)

        request = ChangeRequest(
            caller=order.caller,
            action=ACTION,
            tenant_id=user.ref.tenant_id,
            user_id=user.ref.user_id,
            given={},
            dry_run=False,
            idempotency_key=None,
            request_id=order.job_id,
            field=user.field,
            part=PartOfJob(
                scope=f"{order.job_id}:{number}", resumed=started is not None, before_first_write=before_first_write
            ),
        )
        outcome = await self.runner.run(request, _admitted, work)
        errors = tuple(in_a_job(problem, user) for problem in outcome.user_errors)
        return Made(replace(outcome, user_errors=errors), any(change.written for change in changes))


def settled(made: Made, *, was_started: bool) -> Outcome:
    """What is told at last: where an earlier try sent something and nobody could see what became of it, that too."""
    codes = {problem.code for problem in made.outcome.user_errors}
    if not was_started or made.written or not codes or codes <= _NOT_MADE or ProblemCode.OUTCOME_UNKNOWN in codes:
        return made.outcome
    return replace(made.outcome, user_errors=(*made.outcome.user_errors, unknown_outcome()))


async def _admitted(_: Change) -> None:
    return None  # the permissions were looked at when the job was asked for


def _as_begun(change: Change, outcome: Outcome, started: StartedUser) -> Outcome:
    """The outcome of a change that an earlier try began: only what that was about to move, and seen from before it."""
    moved = _skus(started.before) ^ _skus(started.wanted)
    reached = started.wanted if not outcome.user_errors else change.after
    change.before, change.wanted, change.after = started.before, started.wanted, reached
    change.user_principal_name = change.user_principal_name or started.user_principal_name
    return replace(outcome, effects=tuple(effect for effect in outcome.effects if effect.sku.sku_id in moved))


def _skus(held: Mapping[str, Any]) -> set[str]:
    return set(held.get("skuIds", ()))
