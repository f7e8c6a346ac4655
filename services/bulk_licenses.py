"""The same change of licenses for many users: looked ahead at, and queued as a job."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

from services.audit import AuditLog, AuditOutcome, AuditRecord, new_record
from services.authorization import Caller, Permission
from services.change_runner import key_problem, key_reused
from services.changes import privileged_problems, problem_of
from services.deadlines import seconds_left
from services.directory import require_active_user
from services.errors import NotFound, UpstreamError
from services.idempotency import IdempotencyStore, key_scope, request_id_for
from services.jobs import MOST_USERS, Job, JobOrder, JobState, JobStore, JobUser, TooManyJobs
from services.license_plans import LicenseEdit, invalid_edit, planned
from services.locks import Locks, sku_lock
from services.models import License, User, UserRef, UserStatus
from services.outcomes import Field, LicenseEffect, Problem, ProblemCode, Refusal, effect_on
from services.partner_center.client import PartnerCenterClient

ACTION: Final = "updateLicensesInBulk"
CANCEL: Final = "cancelJob"
CALLS_AT_ONCE: Final = 64
FEW_USERS: Final = 8
"""So many users of a tenant are read one by one; for more the tenant's list is read once."""
LOCK_SECONDS: Final = 30.0
_USERS: Field = ("input", "users")
_CANCELLED: Final = {"state": JobState.CANCELLED.value}


class FoundUser(NamedTuple):
    """A user that was asked for; `known` is its record, where that was read just now."""

    user: JobUser
    known: User | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """The mutation as it was asked for. `given` is the whole input as plain data, for the fingerprint of its key."""

    caller: Caller
    edit: LicenseEdit
    given: Mapping[str, object]
    stop_before_any_change: bool
    dry_run: bool
    idempotency_key: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """What a change of many would come to: units summed by product of a tenant, and what stands in the way."""

    user_count: int
    effects: tuple[LicenseEffect, ...]
    blockers: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The payload of a mutation about a job."""

    job: Job | None = None
    preview: BulkPreview | None = None
    user_errors: tuple[Problem, ...] = ()


FindUsers = Callable[[], Awaitable[tuple[list[FoundUser], list[Problem]]]]
"""Gives the users asked for, and which tenants could not be searched. Raises Refusal for who cannot be meant."""


@dataclass(frozen=True, slots=True)
class BulkLicenseService:
    """Queues changes of many users. `wake` tells this process's runner that there is something to do."""

    partner_center: PartnerCenterClient
    locks: Locks
    audit: AuditLog
    idempotency: IdempotencyStore
    jobs: JobStore
    now: Callable[[], datetime]
    wake: Callable[[], None]
    most_users: int = MOST_USERS

    async def ask(self, request: BulkRequest, find_users: FindUsers) -> JobOutcome:
        """Gives the job, or for a dry run the preview; whatever the caller can mend is among the problems."""
        tenant_ids: set[str] = set()
        try:
            return await self._asked(request, find_users, tenant_ids)
        except Refusal as refusal:
            problems = refusal.problems
        except TooManyJobs as error:
            problems = (_throttled(error),)
        except UpstreamError as error:
            problems = (problem_of(error, nothing_written=True),)
        if not request.dry_run:
            await self.record_refusal(request, tenant_ids, problems)
        return JobOutcome(user_errors=tuple(problems))

    async def record_refusal(
        self, request: BulkRequest, tenant_ids: Collection[str], problems: Sequence[Problem]
    ) -> None:
        """Leaves a record of what was asked for in vain with each tenant concerned."""
        records = self._records(request.caller, ACTION, tenant_ids)
        await self._refused(records, _as_wanted(request.edit), problems, request.request_id)

    async def cancel(self, caller: Caller, job: Job, request_id: str) -> Job | None:
        """Has a job that the caller may see and cancel end before its next user, and gives it as it stands then. The
        record says CANCELLED where it was that at once; else it runs until the user that it is at has ended."""
        before, after = _standing(job), _standing(job)
        records = self._records(caller, CANCEL, job.tenant_ids, {"before": before, "wanted": _CANCELLED})
        outcome, errors = AuditOutcome.FAILED, [ProblemCode.UPSTREAM_ERROR.value]
        try:
            for record in records:
                await self.audit.begin(record)
            outcome = AuditOutcome.UNKNOWN
            await self.jobs.cancel(job.job_id)
            outcome, errors = AuditOutcome.DONE, []
            self.wake()
            now = await self.jobs.find(job.job_id)
            after = _standing(now) if now is not None else before
            return now
        finally:
            changes: dict[str, Any] = {"before": before, "after": after}
            if errors or not JobState(after["state"]).is_end:
                changes["wanted"] = _CANCELLED
            changes |= {"errors": errors} if errors else {}
            for record in records:
                await self.audit.complete(record, outcome, changes, (request_id,))

    async def record_refused_cancel(
        self, caller: Caller, job: Job, problems: Sequence[Problem], request_id: str
    ) -> None:
        """Leaves a record of who may not cancel a job with each of its tenants."""
        wanted = {"jobId": job.id} | _CANCELLED
        await self._refused(self._records(caller, CANCEL, job.tenant_ids), wanted, problems, request_id)

    def _records(
        self, caller: Caller, action: str, tenant_ids: Collection[str], changes: Mapping[str, Any] | None = None
    ) -> list[AuditRecord]:
        return [
            new_record(caller, tenant_id, action, at=self.now(), changes=changes) for tenant_id in sorted(tenant_ids)
        ]

    async def _refused(
        self, records: Sequence[AuditRecord], wanted: Mapping[str, Any], problems: Sequence[Problem], request_id: str
    ) -> None:
        changes = {"wanted": wanted, "errors": sorted({problem.code.value for problem in problems})}
        for record in records:
            await self.audit.complete(record, AuditOutcome.REFUSED, changes, (request_id,))

    async def _asked(self, request: BulkRequest, find_users: FindUsers, tenant_ids: set[str]) -> JobOutcome:
        key, fingerprint = self._key_of(request)
        problems = invalid_request(request)
        if problems:
            raise Refusal(*problems)
        if key is not None and (claimed := await self.jobs.find_key(key, fingerprint)) is not None:
            return await self._given_again(claimed.job_id, same=claimed.same)
        found, unsearched = await find_users()
        tenant_ids.update(one.user.ref.tenant_id for one in found)
        if len(found) > self.most_users:
            message = f"These are {len(found):,} users, and {self.most_users:,} can be changed at once. Narrow them."
            raise Refusal(Problem(code=ProblemCode.INVALID, message=message, field=(*_USERS, "matching")))
        if request.dry_run:
            effects, blockers = await self.look_ahead(request, found)
            return JobOutcome(preview=BulkPreview(len(found), effects, (*unsearched, *blockers)))
        if request.stop_before_any_change:
            _, blockers = await self.look_ahead(request, found)
            if blockers or unsearched:
                raise Refusal(*unsearched, *blockers)
        order = JobOrder(
            job_id=await self._new_id(key),
            caller=request.caller,
            edit=request.edit,
            tenant_ids=tuple(dict.fromkeys(one.user.ref.tenant_id for one in found)),
            total=len(found),
            created_at=self.now(),
        )
        claimed = await self.jobs.submit(order, [one.user for one in found], key, fingerprint)
        self.wake()
        outcome = await self._given_again(claimed.job_id, same=claimed.same)
        return replace(outcome, user_errors=(*outcome.user_errors, *unsearched))

    async def _new_id(self, key: str | None) -> str:
        """An id that follows from the key, unless an older job of that key, which is forgotten sooner, has it."""
        job_id = request_id_for(key, "job") if key is not None else str(uuid4())
        return job_id if await self.jobs.find(job_id) is None else str(uuid4())

    def _key_of(self, request: BulkRequest) -> tuple[str | None, str]:
        if request.idempotency_key is None or request.dry_run:
            return None, ""
        scope = key_scope(request.caller.issuer, request.caller.subject, ACTION, request.idempotency_key)
        return scope, self.idempotency.fingerprint(request.given)

    async def _given_again(self, job_id: str, *, same: bool) -> JobOutcome:
        if not same:
            raise Refusal(key_reused())
        return JobOutcome(job=await self.jobs.find(job_id))

    async def look_ahead(
        self, request: BulkRequest, found: Sequence[FoundUser]
    ) -> tuple[tuple[LicenseEffect, ...], tuple[Problem, ...]]:
        """What would become of the users, one after the other, by fresh reads. Where that decides whether anything
        is written, the units are read while no other change of these products is under way."""
        turns = asyncio.Semaphore(CALLS_AT_ONCE)
        by_tenant: dict[str, list[FoundUser]] = defaultdict(list)
        for one in found:
            by_tenant[one.user.ref.tenant_id].append(one)
        tenants = (self._look_ahead_in(request, tenant_id, users, turns) for tenant_id, users in by_tenant.items())
        looked = await asyncio.gather(*tenants)
        order = {one.user.ref: number for number, one in enumerate(found)}
        blockers = sorted((each for _, blocked in looked for each in blocked), key=lambda each: order[each[0]])
        return tuple(effect for effects, _ in looked for effect in effects), tuple(one for _, one in blockers)

    async def _look_ahead_in(
        self, request: BulkRequest, tenant_id: str, users: Sequence[FoundUser], turns: asyncio.Semaphore
    ) -> tuple[list[LicenseEffect], list[tuple[UserRef, Problem]]]:
        edit, caller = request.edit, request.caller
        listed = await self._listed(tenant_id, users, turns)
        people = await asyncio.gather(*(self._person(caller, one, listed, turns) for one in users))
        async with AsyncExitStack() as held:
            try:
                if request.stop_before_any_change and not request.dry_run:
                    names = [sku_lock(tenant_id, sku_id) for sku_id in _sku_ids(edit)]
                    seconds = min(LOCK_SECONDS, max(0.0, seconds_left()))
                    await held.enter_async_context(self.locks.hold(names, deadline_seconds=seconds))
                skus = await self.partner_center.list_subscribed_skus(tenant_id)
            except UpstreamError as error:
                problem = problem_of(error, nothing_written=True)
                return [], [(one.user.ref, told(problem, one.user)) for one in users]
        left = {sku.sku_id: sku for sku in skus}
        moved: dict[str, int] = dict.fromkeys(_sku_ids(edit), 0)
        blocked: list[tuple[UserRef, Problem]] = []
        for one, person in zip(users, people, strict=True):
            problems = person.problems
            if person.user is not None:
                plan, more = planned(person.user, person.held, list(left.values()), edit)
                problems = [*problems, *more]
            if person.user is None or problems:
                blocked += [(one.user.ref, told(problem, one.user, person.user)) for problem in problems]
                continue
            for effect in plan.effects(plan.change, forecast=True):
                left[effect.sku.sku_id] = effect.sku
                moved[effect.sku.sku_id] += effect.change
        by_id = {sku.sku_id: sku for sku in skus}
        return [effect_on(by_id[each], units, forecast=True) for each, units in moved.items() if units], blocked

    async def _listed(self, tenant_id: str, users: Sequence[FoundUser], turns: asyncio.Semaphore) -> Mapping[str, User]:
        """The active users of a tenant by id, where so many are asked for that one list is cheaper."""
        if sum(one.known is None for one in users) <= FEW_USERS:
            return {}
        try:
            async with turns:
                active = await self.partner_center.list_users(tenant_id, UserStatus.ACTIVE)
        except UpstreamError:
            return {}  # each user's own read says why
        return {user.microsoft_id: user for user in active}

    async def _person(
        self, caller: Caller, one: FoundUser, listed: Mapping[str, User], turns: asyncio.Semaphore
    ) -> _Person:
        ref = one.user.ref
        try:
            async with turns:
                user = one.known or listed.get(ref.user_id)
                if user is None or user.status is UserStatus.DELETED:
                    user = await require_active_user(self.partner_center, ref, one.user.field, self.now())
                try:
                    held = await self.partner_center.list_licenses(ref)
                except NotFound:  # gone since it was listed
                    user = await require_active_user(self.partner_center, ref, one.user.field, self.now())
                    raise
                problems = []
                if not caller.may(Permission.MANAGE_ADMINS):
                    roles = await self.partner_center.list_user_roles(ref)
                    problems = privileged_problems(caller, roles, one.user.field)
                return _Person(user, held, problems)
        except Refusal as refusal:
            return _Person(None, [], list(refusal.problems))
        except UpstreamError as error:
            return _Person(None, [], [problem_of(error, nothing_written=True)])


@dataclass(frozen=True, slots=True)
class _Person:
    """A user as it was read; None where that was not to be had, and `problems` say why."""

    user: User | None
    held: list[License]
    problems: list[Problem]


def invalid_request(request: BulkRequest) -> list[Problem]:
    """What cannot be used of the input, before anybody is asked."""
    problems = invalid_edit(request.edit)
    if not request.edit.assign and not request.edit.remove:
        message = "Name at least one product to assign or to remove."
        problems.append(Problem(code=ProblemCode.INVALID, message=message, field=("input",)))
    if request.idempotency_key is not None and (problem := key_problem(request.idempotency_key)):
        problems.append(problem)
    return problems


def told(problem: Problem, user: JobUser, known: User | None = None) -> Problem:
    """A problem of one user among many: it says whose it is, in words where the name is known."""
    problem = in_a_job(problem, user)
    message = problem.message if known is None else f"{known.user_principal_name}: {problem.message}"
    return replace(problem, message=message, field=user.field)


def in_a_job(problem: Problem, user: JobUser) -> Problem:
    """A problem in the words of the mutation for one user, as it is told of a user of a job."""
    if problem.field not in (("input", "userId"), ("input", "usageLocation")):
        return problem
    message = problem.message.replace("Give one as usageLocation.", "Set one with updateUser first.")
    return replace(problem, message=message, field=user.field)


def _sku_ids(edit: LicenseEdit) -> list[str]:
    return list(dict.fromkeys([*(toggle.sku_id for toggle in edit.assign), *edit.remove]))


def _as_wanted(edit: LicenseEdit) -> dict[str, Any]:
    return {"assign": [toggle.sku_id for toggle in edit.assign], "remove": list(edit.remove)}


def _standing(job: Job) -> dict[str, Any]:
    """A job as the audit log tells of it."""
    return {"jobId": job.id, "state": job.state.value, "done": job.done}


def _throttled(error: TooManyJobs) -> Problem:
    return Problem(
        code=ProblemCode.THROTTLED,
        message=error.message,
        retryable=True,
        retry_after_seconds=error.retry_after_seconds,
    )
