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
from services.errors import NotPermitted, UpstreamError
from services.idempotency import Claim, Done, IdempotencyStore, New, Reused, Running, Unknown, key_scope
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal
from services.store_errors import StoreUnavailable
from services.upstream_use import current_use
from services.writes import DEFAULT_POLICY, OutcomeUnknown, WritePolicy

MUTATION_SECONDS = 90.0
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
_KEY_FIELD: Field = ("input", "idempotencyKey")

log = structlog.get_logger(__name__)

Work = Callable[[Change], Awaitable[Outcome]]


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

    async def run(self, request: ChangeRequest, work: Work) -> Outcome:
        """Gives what the change came to; whatever the caller can mend or has to know is among its problems."""
        change = Change(
            caller=request.caller,
            action=request.action,
            tenant_id=request.tenant_id,
            user_id=request.user_id,
            dry_run=request.dry_run,
            scope=str(uuid4()),
            deadline=time.monotonic() + self._seconds,
            cache=self._cache,
            policy=self._policy,
        )
        task = asyncio.create_task(self._keyed(request, change, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not change.written:
                task.cancel()
            raise

    async def close(self, seconds: float = 60.0) -> None:
        """Waits for the changes that are under way."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    async def _keyed(self, request: ChangeRequest, change: Change, work: Work) -> Outcome:
        key = request.idempotency_key
        if key is None or request.dry_run:
            return (await self._audited(request, change, work))[0]
        if not _KEY.fullmatch(key):
            message = "An idempotency key has 1 to 128 printable ASCII characters and no blank at its ends."
            return _refused(Problem(code=ProblemCode.INVALID, message=message, field=_KEY_FIELD))
        scope = key_scope(request.caller.issuer, request.caller.subject, request.action, key)
        fingerprint = self._idempotency.fingerprint(request.given)
        try:
            claim = await self._idempotency.claim(scope, fingerprint)
            if isinstance(claim, Running):
                claim = await self._idempotency.wait_done(scope, fingerprint, timeout_seconds=change.seconds_left())
        except StoreUnavailable as error:
            return _refused(problem_of(error, _KEY_FIELD))
        lease = _lease_of(claim)
        if lease is None:
            return _without_running(claim)
        change.scope = scope
        change.resumed = isinstance(claim, Unknown) or (isinstance(claim, New) and claim.resumed)
        settled = False
        try:
            async with self._idempotency.renewing(scope, lease):
                outcome, state = await self._audited(request, change, work)
            if state is AuditOutcome.UNKNOWN:
                await self._idempotency.mark_unknown(scope, lease)
            elif change.written or not outcome.user_errors:
                await self._idempotency.finish(scope, lease, _as_json(outcome))
            else:
                await self._idempotency.release(scope, lease)
            settled = True
            return outcome
        finally:
            if not settled and not change.written:
                await self._idempotency.release(scope, lease)

    async def _audited(self, request: ChangeRequest, change: Change, work: Work) -> tuple[Outcome, AuditOutcome]:
        if request.dry_run:
            return await _attempt(change, work)
        record = new_record(request.caller, request.tenant_id, request.action, at=self._now(), user_id=request.user_id)
        change.before_first_write = lambda: self._audit.begin(_filled(record, change))
        first = len(current_use().write_correlation_ids)
        outcome, state = Outcome(), AuditOutcome.UNKNOWN if change.written else AuditOutcome.FAILED
        try:
            outcome, state = await _attempt(change, work)
        finally:
            if change.concerns_tenant:
                filled = _filled(record, change)
                sent = tuple(current_use().write_correlation_ids[first:]) or (request.request_id,)
                changes = filled.changes | (
                    {"errors": [one.code.value for one in outcome.user_errors]} if outcome.user_errors else {}
                )
                if change.written and state is AuditOutcome.FAILED and not outcome.user_errors:
                    state = AuditOutcome.UNKNOWN  # it was cut off by a defect of ours after something was sent
                await self._audit.complete(filled, state, changes, sent)
        return outcome, state


async def _attempt(change: Change, work: Work) -> tuple[Outcome, AuditOutcome]:
    try:
        outcome = await work(change)
    except Refusal as refusal:
        outcome = _refused(*refusal.problems)
    except NotPermitted as error:
        outcome = _refused(Problem(code=ProblemCode.NOT_PERMITTED, message=error.message))
    except (UpstreamError, OutcomeUnknown) as error:
        outcome = _refused(problem_of(error))
    codes = {problem.code for problem in outcome.user_errors}
    if ProblemCode.OUTCOME_UNKNOWN in codes:
        return outcome, AuditOutcome.UNKNOWN
    if not codes:
        return outcome, AuditOutcome.DONE
    return outcome, AuditOutcome.FAILED if change.written else AuditOutcome.REFUSED


def _lease_of(claim: Claim) -> str | None:
    return claim.lease if isinstance(claim, (New, Unknown)) else None


def _without_running(claim: Claim) -> Outcome:
    """The answer where the change is not made now: it was made, is being made, or was another one."""
    if isinstance(claim, Done):
        return msgspec.convert(claim.answer, Outcome)
    if isinstance(claim, Reused):
        message = "This idempotency key was used with another input. Take a new key for another change."
        return _refused(Problem(code=ProblemCode.IDEMPOTENCY_KEY_REUSED, message=message, field=_KEY_FIELD))
    message = "The same change is still being made. Ask again with the same key."
    return _refused(Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=message, field=_KEY_FIELD, retryable=True))


def _as_json(outcome: Outcome) -> dict[str, Any]:
    """The answer as it is kept for a repeat: without the temporary password."""
    kept: dict[str, Any] = msgspec.to_builtins(replace(outcome, temporary_password=None))
    return kept


def _filled(record: AuditRecord, change: Change) -> AuditRecord:
    return replace(
        record,
        user_id=change.user_id,
        user_principal_name=change.user_principal_name,
        changes={"before": change.before, "after": change.after},
    )


def _refused(*problems: Problem) -> Outcome:
    return Outcome(user_errors=problems)
