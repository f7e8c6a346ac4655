"""Jobs: the same change for many users, and what became of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from resolvers.jobs import resolve_job_result_user, resolve_job_results
from schema.binding import describe, resolved_by
from schema.errors import UserError
from schema.node import Node
from schema.pages import PageInfo
from schema.payloads import LicenseEffect
from schema.users import User
from services.jobs import Job as JobRecord
from services.jobs import JobState as JobState

describe(
    JobState,
    "How far a job is",
    QUEUED="It waits for its turn",
    RUNNING="Its users are being changed",
    SUCCEEDED="Every user was changed, or was so already",
    PARTLY_FAILED="Some users were changed, some failed; the results say which",
    FAILED="No user was changed, or the job could not go on; the results say how far it came",
    CANCELLED="It was cancelled before its last user; the results say how far it came",
)


@strawberry.type(description="What became of one user of a job")
class JobResult:
    user: User | None = resolved_by(
        resolve_job_result_user,
        description="User as it was after the change; one that was never read, as it is now. Null where there is none",
    )
    effects: list[LicenseEffect] = strawberry.field(description="What the change did to the units of each product")
    user_errors: list[UserError] = strawberry.field(description="What stood in the way; empty where the change is made")


@strawberry.type(description="Result in a page")
class JobResultEdge:
    cursor: str = strawberry.field(description="Place of the result in the list, for `after`")
    node: JobResult = strawberry.field(description="What became of the user")


@strawberry.type(description="One page of a job's results, in the order in which its users ended")
class JobResultConnection:
    edges: list[JobResultEdge] = strawberry.field(description="Results of the page, each with its cursor")
    nodes: list[JobResult] = strawberry.field(description="Results of the page")
    page_info: PageInfo = strawberry.field(description="Where the page lies in the list")
    total_count: int | None = strawberry.field(description="Results of the whole list so far")


@strawberry.type(description="The same change for many users. Seen by who reaches all its tenants; kept for 30 days")
class Job(Node):
    id: strawberry.ID = strawberry.field(description="Opaque global id of the job")
    state: JobState = strawberry.field(description="How far the job is")
    total: int = strawberry.field(description="Users of the job")
    done: int = strawberry.field(description="Users finished, failed ones included")
    failed: int = strawberry.field(description="Users for whom something failed, or whose outcome nobody knows")
    created_at: datetime = strawberry.field(description="When the job was asked for")
    ended_at: datetime | None = strawberry.field(description="When the job ended; null while it has not")
    results: JobResultConnection = resolved_by(
        resolve_job_results, description="What became of the users so far, in the order in which they ended"
    )

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, JobRecord)


@strawberry.type(description="What a change of many users would come to")
class BulkPreview:
    user_count: int = strawberry.field(description="Users that would be changed, or fail")
    effects: list[LicenseEffect] = strawberry.field(
        description="What it would do to the units of each product of a tenant, all users together"
    )
    blockers: list[UserError] = strawberry.field(
        description="What stands in the way of single users, and tenants that could not be searched"
    )


@strawberry.type(description="Answer to updateLicensesInBulk and cancelJob")
class JobPayload:
    job: Job | None = strawberry.field(description="Job; null where there is none, and in a dry run")
    preview: BulkPreview | None = strawberry.field(description="What a dry run found; else null")
    user_errors: list[UserError] = strawberry.field(
        description="What stood in the way. With a job: tenants that could not be searched for users"
    )
