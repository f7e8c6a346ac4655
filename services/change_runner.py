"""The frame around every mutation: idempotency key, audit record, shield against hang-ups, plain answers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from services.audit import AuditLog, AuditOutcome, AuditRecord, new_record
from services.authorization import Caller
from services.cache import LookupCache
from services.changes import Change, problem_of
from services.errors import NotFound, NotPermitted, UpstreamError
from services.idempotency import Claim, Done, IdempotencyStore, New, Reused, Running, Unknown, key_scope, request_id_for
from services.later_checks import LaterChecks
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal
from services.store_errors import StoreUnavailable
from services.upstream_use import current_use
from services.writes import DEFAULT_POLICY, OutcomeUnknown, WritePolicy

MUTATION_SECONDS = 90.0
CUT_OFF_SECONDS = 2.0
"""How long a change that is cut off may take to leave its record."""
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
_KEY_FIELD: Field = ("input", "idempotencyKey")

log = structlog.get_logger(__name__)

Work = Callable[[Change], Awaitable[Outcome]]
Admission = Callable[[Change], Awaitable[None]]
"""Raises Refusal where the caller may not ask for the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfJob:
    """What sets one change of a job apart: each try of it is the same change, with the same ids and audit record.

    `resumed` says that an earlier try sent something; `before_first_write` keeps what is about to be sent.
    """

    scope: str
    resumed: bool
    before_first_write: Callable[[Change], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """A mutation as it was asked for. `given` is the whole input as plain data, for the fingerprint of its key."""

    caller: Caller
    action: str
    tenant_id: str
    user_id: str | None
    given: Mapping[str, object] = field(repr=False)
    dry_run: bool
    idempotency_key: str | None
    request_id: str
    field: Field | None = None
    """The input field that names what is changed."""
    part: PartOfJob | None = None


class ChangeRunner:
    """Runs changes to their end: from its first write on, a change no longer ends with whoever asked for it."""

    def __init__(
        self,
        cache: LookupCache,
        audit: AuditLog,
        idempotency: IdempotencyStore,
        now: Callable[[], datetime],
        seconds: float = MUTATION_SECONDS,
        policy: WritePolicy = DEFAULT_POLICY,
    ) -> None:
        self._cache = cache
        self._audit = audit
        self._idempotency = idempotency
        self._now = now
        self._seconds = seconds
        self._policy = policy
        self._running: set[asyncio.Task[Outcome]] = set()
        self._later = LaterChecks()

    async def run(self, request: ChangeRequest, admit: Admission, work: Work) -> Outcome:
        """Gives what the change came to; whatever the caller can mend or has to know is among its problems.

        `admit` refuses whoever may not ask for the change at all, before its idempotency key is looked at.
        """
        change = Change(
            caller=request.caller,
            action=request.action,
            tenant_id=request.tenant_id,
            user_id=request.user_id,
            dry_run=request.dry_run,
            scope=request.part.scope if request.part else str(uuid4()),
            resumed=request.part is not None and request.part.resumed,
            deadline=time.monotonic() + self._seconds,
            cache=self._cache,
            now=self._now,
            policy=self._policy,
        )
        task = asyncio.create_task(self._audited(request, change, admit, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not change.written:
                task.cancel()
            raise

    @property
    def running(self) -> int:
        """How many changes are under way."""
        return len(self._running)

    async def close(self, seconds: float = 60.0) -> None:
        """Waits for the changes that are under way. What takes longer is cut off, and recorded as such."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CUT_OFF_SECONDS)
        await self._later.close()

    async def _audited(self, request: ChangeRequest, change: Change, admit: Admission, work: Work) -> Outcome:
        """Leaves one record of the change, however it ends; none of a dry run, nor of an answer given again."""
        record = new_record(request.caller, request.tenant_id, request.action, at=self._now(), user_id=request.user_id)
        if request.part is not None:
            record = replace(record, id=request_id_for(request.part.scope, "audit"))

        async def begin() -> None:
            await self._audit.begin(_intended(record, change))
            if request.part is not None:
                await request.part.before_first_write(change)

        change.before_first_write = begin
        first = len(current_use().write_correlation_ids)
        errors, state = ["CANCELLED"], AuditOutcome.FAILED
        try:
            outcome = await self._admitted(request, change, admit, work)
            errors, state = [one.code.value for one in outcome.user_errors], _state(outcome, change)
            return outcome
        except asyncio.CancelledError:
            if change.written:
                state = AuditOutcome.UNKNOWN  # the process stops, and nobody waits for the answer any more
            raise
        except Exception:
            errors = ["INTERNAL"]
            if change.applied:
                state = AuditOutcome.UNKNOWN  # cut off by a defect of ours after something was sent
            raise
        finally:
            if change.concerns_tenant and not request.dry_run and not change.replayed:
                sent = tuple(current_use().write_correlation_ids[first:]) or (request.request_id,)
                filled = _reached(record, change, errors)
                await self._audit.complete(filled, state, filled.changes, sent)
                if state is AuditOutcome.UNKNOWN:
                    self._look_later(filled, change, errors, sent)

    def _look_later(self, record: AuditRecord, change: Change, errors: list[str], sent: tuple[str, ...]) -> None:
        """Has the record of a change that nobody could tell the end of completed, if Microsoft tells it in time."""
        if not change.unsettled or any(write.read_back is None for write in change.unsettled):
            return

        async def settle() -> None:
            done = change.is_as_wanted
            now = _reached(record, change, [] if done else errors)
            await self._audit.complete(now, AuditOutcome.DONE if done else AuditOutcome.FAILED, now.changes, sent)

        self._later.start(self._policy.later_looks_seconds, change.look_again, settle)

    async def _admitted(self, request: ChangeRequest, change: Change, admit: Admission, work: Work) -> Outcome:
        async def refusing(_: Change) -> Outcome:
            await admit(change)
            return Outcome()

        refused = await _attempt(request, change, refusing)
        if refused.user_errors:
            return refused
        key = request.idempotency_key
        if key is not None and (problem := key_problem(key)):
            change.dry_run = True  # looks for whatever else is wrong, and writes nothing
            outcome = await _attempt(request, change, work)
            return _refused(problem, *outcome.user_errors)
        if key is None or request.dry_run:
            return await _attempt(request, change, work)
        return await self._keyed(request, change, key, work)

    async def _keyed(self, request: ChangeRequest, change: Change, key: str, work: Work) -> Outcome:
        scope = key_scope(request.caller.issuer, request.caller.subject, request.action, key)
        fingerprint = self._idempotency.fingerprint(request.given)
        try:
            claim = await self._idempotency.claim(scope, fingerprint)
            if isinstance(claim, Running):
                claim = await self._idempotency.wait_done(scope, fingerprint, timeout_seconds=change.seconds_left())
        except StoreUnavailable as error:
            return _refused(problem_of(error))
        lease = _lease_of(claim)
        if lease is None:
            change.replayed = not isinstance(claim, Reused)
            return _without_running(claim)
        change.scope = scope
        change.resumed = isinstance(claim, Unknown) or (isinstance(claim, New) and claim.resumed)
        settled = False
        try:
            async with self._idempotency.renewing(scope, lease):
                outcome = await _attempt(request, change, work)
            if _state(outcome, change) is AuditOutcome.UNKNOWN:
                await self._idempotency.mark_unknown(scope, lease)
            elif _is_final(outcome, change):
                await self._idempotency.finish(scope, lease, _as_json(outcome))
            else:
                await self._give_back(change, scope, lease)
            settled = True
            return outcome
        finally:
            if not settled and not change.written:
                await self._give_back(change, scope, lease)

    async def _give_back(self, change: Change, scope: str, lease: str) -> None:
        """Frees the key of a change that did nothing, unless an earlier run of it may have done something."""
        if change.resumed:
            await self._idempotency.mark_unknown(scope, lease)
        else:
            await self._idempotency.release(scope, lease)


def key_problem(key: str) -> Problem | None:
    """What is wrong with an idempotency key as such."""
    if _KEY.fullmatch(key):
        return None
    message = "An idempotency key has 1 to 128 printable ASCII characters and no blank at its ends."
    return Problem(code=ProblemCode.INVALID, message=message, field=_KEY_FIELD)


def key_reused() -> Problem:
    """Another input came with the key before."""
    message = "This idempotency key was used with another input. Take a new key for another change."
    return Problem(code=ProblemCode.IDEMPOTENCY_KEY_REUSED, message=message, field=_KEY_FIELD)


async def _attempt(request: ChangeRequest, change: Change, work: Work) -> Outcome:
    try:
        return await work(change)
    except Refusal as refusal:
        return _refused(*refusal.problems)
    except NotPermitted as error:
        return _refused(Problem(code=ProblemCode.NOT_PERMITTED, message=error.message))
    except (UpstreamError, OutcomeUnknown) as error:
        field = request.field if isinstance(error, NotFound) else None
        return _refused(problem_of(error, field, nothing_written=not change.applied))


def _state(outcome: Outcome, change: Change) -> AuditOutcome:
    codes = {problem.code for problem in outcome.user_errors}
    if ProblemCode.OUTCOME_UNKNOWN in codes:
        return AuditOutcome.UNKNOWN
    if not codes:
        return AuditOutcome.DONE
    return AuditOutcome.FAILED if change.written else AuditOutcome.REFUSED


def _is_final(outcome: Outcome, change: Change) -> bool:
    """Whether a repeat gets this answer. What was refused before the first write can be tried again under the same
    key, and so can what certainly changed nothing and may succeed later."""
    if not outcome.user_errors or change.applied:
        return True
    return change.written and not all(problem.retryable for problem in outcome.user_errors)


def _lease_of(claim: Claim) -> str | None:
    return claim.lease if isinstance(claim, (New, Unknown)) else None


def _without_running(claim: Claim) -> Outcome:
    """The answer where the change is not made now: it was made, is being made, or was another one."""
    if isinstance(claim, Done):
        return msgspec.convert(claim.answer, Outcome)
    if isinstance(claim, Reused):
        return _refused(key_reused())
    message = "The same change is still being made. Ask again with the same key."
    return _refused(Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=message, field=_KEY_FIELD, retryable=True))


def _as_json(outcome: Outcome) -> dict[str, Any]:
    """The answer as it is kept for a repeat: without the temporary password."""
    kept: dict[str, Any] = msgspec.to_builtins(replace(outcome, temporary_password=None))
    return kept


def _intended(record: AuditRecord, change: Change) -> AuditRecord:
    """The record before the first write: what holds, and what is to hold."""
    return _with(record, change, {"before": change.before, "wanted": change.wanted or change.after})


def _reached(record: AuditRecord, change: Change, errors: list[str]) -> AuditRecord:
    """The record at the end: what held and what holds, and where that is not what was wanted, that and the errors."""
    changes: dict[str, Any] = {"before": change.before, "after": change.after}
    if errors:
        changes |= {"wanted": change.wanted} if change.wanted else {}
        changes["errors"] = errors
    return _with(record, change, changes)


def _with(record: AuditRecord, change: Change, changes: dict[str, Any]) -> AuditRecord:
    name = change.user_principal_name
    return replace(record, user_id=change.user_id, user_principal_name=name, changes=changes)


def _refused(*problems: Problem) -> Outcome:
    return Outcome(user_errors=problems)
