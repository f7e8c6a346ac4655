"""Changes of many users as jobs: whom they are about, who may see them, and how they stand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import strawberry
import structlog

from resolvers.bulk_users import matching_users, named_users, tenants_named
from resolvers.context import Info
from resolvers.license_changes import toggle
from resolvers.outcomes import as_plain, is_known_in_scope
from resolvers.paging import DEFAULT_PAGE_SIZE, Edge, PageInfo, read_size
from resolvers.scope import reaches_every
from resolvers.users import find_user
from schema.change_inputs import CancelJobInput, UpdateLicensesInBulkInput
from schema.enums import BulkErrorPolicy
from services.authorization import Permission
from services.bulk_licenses import BulkRequest, FoundUser, JobOutcome
from services.changes import missing_permissions, problem_of
from services.deadlines import start_deadline
from services.errors import GatewayError, UpstreamError
from services.global_ids import decode_id
from services.jobs import Job, JobResult, owner_of
from services.license_plans import LicenseEdit
from services.models import User
from services.outcomes import Problem, ProblemCode

log = structlog.get_logger(__name__)

EVENT_SECONDS = 30.0
"""How long one event of a subscription may take to be made."""


class NoSuchJob(GatewayError):
    """There is no such job, or it is out of the viewer's scope."""

    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such job.")


@dataclass(frozen=True, slots=True)
class JobResults:
    """One page of a job's results."""

    edges: list[Edge[JobResult]]
    page_info: PageInfo
    total_count: int

    @property
    def nodes(self) -> list[JobResult]:
        return [edge.node for edge in self.edges]


async def update_licenses_in_bulk(info: Info, input: UpdateLicensesInBulkInput) -> JobOutcome:
    caller, bulk = info.context.caller, info.context.changes.bulk
    given: dict[str, Any] = as_plain(input)
    given.pop("dry_run", None)
    request = BulkRequest(
        caller=caller,
        edit=LicenseEdit([toggle(one) for one in input.assign or ()], list(input.remove or ())),
        given=given,
        stop_before_any_change=input.on_error is BulkErrorPolicy.STOP_BEFORE_ANY_CHANGE,
        dry_run=bool(input.dry_run),
        idempotency_key=input.idempotency_key,
        request_id=info.context.request_id,
    )
    if problems := missing_permissions(caller, Permission.READ, Permission.WRITE_LICENSES):
        if not request.dry_run:
            named = tenants_named(input.users)
            known = {tenant_id for tenant_id in named if is_known_in_scope(caller, tenant_id)}
            await bulk.record_refusal(request, known, problems)
        return JobOutcome(user_errors=tuple(problems))

    async def find_users() -> tuple[list[FoundUser], list[Problem]]:
        if input.users.ids is not None:
            return await named_users(info, input.users.ids.value, bulk.most_users), []
        assert input.users.matching is not None  # a one-of input has exactly one member
        return await matching_users(info, input.users.matching.value)

    try:
        return await bulk.ask(request, find_users)
    finally:
        info.context.loaders.clear_all()


async def cancel_job(info: Info, input: CancelJobInput) -> JobOutcome:
    caller, bulk, request_id = info.context.caller, info.context.changes.bulk, info.context.request_id
    if problems := missing_permissions(caller, Permission.READ, Permission.WRITE_LICENSES):
        if (known := await _job_known_in_scope(info, input.id)) is not None:
            await bulk.record_refused_cancel(caller, known, problems, request_id)
        return JobOutcome(user_errors=tuple(problems))
    try:
        job = await find_job(info, input.id)
        if job is None:
            absent = Problem(code=ProblemCode.NOT_FOUND, message="There is no such job.", field=("input", "id"))
            return JobOutcome(user_errors=(absent,))
        return JobOutcome(job=await bulk.cancel(caller, job, request_id))
    except UpstreamError as error:
        return JobOutcome(user_errors=(problem_of(error, nothing_written=True),))


async def _job_known_in_scope(info: Info, id: str) -> Job | None:
    """The job, where all its tenants are known to be the caller's without asking Microsoft."""
    job_id = _job_id(id)
    try:
        job = await info.context.changes.jobs.find(job_id) if job_id is not None else None
    except UpstreamError:
        log.warning("refusal_not_recorded", job_id=job_id)  # nobody can tell now whose log it belongs to
        return None
    if job is None:
        return None
    return job if all(is_known_in_scope(info.context.caller, one) for one in job.tenant_ids) else None


def _job_id(id: str) -> str | None:
    decoded = decode_id(id)
    if decoded is None or decoded.kind != "Job" or decoded.microsoft_id:
        return None
    return decoded.tenant_id


async def find_job(info: Info, id: str) -> Job | None:
    """The job of a global id, if the viewer may see it: who reaches all its tenants."""
    info.context.caller.require(Permission.READ)
    job_id = _job_id(id)
    if job_id is None:
        return None
    job = await info.context.changes.jobs.find(job_id)
    reached = await reaches_every(info, job.tenant_ids if job is not None else ())
    if job is None:
        return None
    if not job.tenant_ids:  # about nobody, so nobody else's business
        return job if job.owner == owner_of(info.context.caller) else None
    return job if reached else None


async def resolve_job_results(
    root: strawberry.Parent[Any],
    info: Info,
    only_failed: bool | None = False,  # an argument of the surface
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
) -> JobResults:
    size = read_size(first, info.context.max_page_size)
    page = await info.context.changes.jobs.results(root.job_id, bool(only_failed), size, after)
    edges = [Edge(item.cursor, item.result) for item in page.items]
    where = PageInfo(
        has_next_page=page.has_next_page,
        has_previous_page=after not in (None, "0"),
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return JobResults(edges, where, page.total)


async def resolve_job_result_user(root: strawberry.Parent[Any], info: Info) -> User | None:
    """The user as it was after the change, or where that was never read, as it is now."""
    known: User | None = root.user
    return known if known is not None else await find_user(info, root.ref)


async def resolve_job_progress(info: Info, id: strawberry.ID) -> AsyncGenerator[Job, None]:
    context = info.context
    try:
        start_deadline(EVENT_SECONDS)
        job = await find_job(info, id)
        if job is None:
            raise NoSuchJob
        async for state in context.changes.job_feed.follow(job.job_id):
            start_deadline(EVENT_SECONDS)
            context.loaders.clear_all()
            yield state
    finally:
        context.loaders.stop()
