"""Cancelling a job: recorded before it is done, and as far as anybody knows how it ended."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.audit import AuditOutcome, MemoryAudit
from services.authorization import DEMO_PARTNER
from services.bulk_licenses import BulkLicenseService
from services.jobs import JobOrder, JobState, JobUser
from services.jobs_memory import MemoryJobs
from services.license_plans import LicenseEdit
from services.models import UserRef
from services.store_errors import AuditUnavailable, StoreUnavailable

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
TENANTS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")


class FullAudit(MemoryAudit):
    """Takes no intent of the second tenant."""

    async def begin(self, record):
        if record.tenant_id == TENANTS[1]:
            raise AuditUnavailable
        await super().begin(record)


class SilentJobs(MemoryJobs):
    """Does what it is asked, and does not answer."""

    async def cancel(self, job_id):
        await super().cancel(job_id)
        raise StoreUnavailable


async def queued(jobs):
    order = JobOrder(
        job_id=str(uuid4()),
        caller=DEMO_PARTNER,
        edit=LicenseEdit([], ["sku"]),
        tenant_ids=TENANTS,
        total=2,
        created_at=NOW,
    )
    users = [JobUser(UserRef(tenant_id, str(uuid4()))) for tenant_id in TENANTS]
    await jobs.submit(order, users, None, "")
    return await jobs.find(order.job_id)


def service(jobs, audit):
    return BulkLicenseService(None, None, audit, None, jobs, lambda: NOW, lambda: None)  # type: ignore[arg-type]


async def recorded(audit):
    """The one record of each tenant."""
    pages = [await audit.list(tenant_id, 10) for tenant_id in TENANTS]
    return [page.records for page in pages]


async def test_a_job_that_nobody_has_taken_ends_at_once_and_the_record_says_so():
    jobs, audit = MemoryJobs(clock=lambda: NOW), MemoryAudit(clock=lambda: NOW)
    job = await queued(jobs)
    cancelled = await service(jobs, audit).cancel(DEMO_PARTNER, job, "request")

    assert cancelled.state is JobState.CANCELLED
    for [record] in await recorded(audit):
        assert (record.outcome, record.correlation_ids) == (AuditOutcome.DONE, ("request",))
        assert record.changes == {
            "before": {"jobId": job.id, "state": "QUEUED", "done": 0},
            "after": {"jobId": job.id, "state": "CANCELLED", "done": 0},
        }


async def test_a_job_is_not_cancelled_where_that_cannot_be_recorded_with_all_its_tenants():
    jobs, audit = MemoryJobs(clock=lambda: NOW), FullAudit(clock=lambda: NOW)
    job = await queued(jobs)
    with pytest.raises(AuditUnavailable):
        await service(jobs, audit).cancel(DEMO_PARTNER, job, "request")

    now = await jobs.find(job.job_id)
    assert now is not None
    assert now.state is JobState.QUEUED
    for [record] in await recorded(audit):
        assert (record.outcome, record.changes["errors"]) == (AuditOutcome.FAILED, ["UPSTREAM_ERROR"])
        assert record.changes["wanted"] == {"state": "CANCELLED"}


async def test_where_nobody_can_tell_whether_it_was_cancelled_the_record_says_unknown():
    jobs, audit = SilentJobs(clock=lambda: NOW), MemoryAudit(clock=lambda: NOW)
    job = await queued(jobs)
    with pytest.raises(StoreUnavailable):
        await service(jobs, audit).cancel(DEMO_PARTNER, job, "request")

    for [record] in await recorded(audit):
        assert (record.outcome, record.changes["errors"]) == (AuditOutcome.UNKNOWN, ["UPSTREAM_ERROR"])
