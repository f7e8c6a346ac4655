"""What can be followed: over a WebSocket, or as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import strawberry

from resolvers.jobs import resolve_job_progress
from schema.binding import followed_by
from schema.jobs import Job


@strawberry.type(description="What can be followed")
class Subscription:
    job_progress: AsyncGenerator[Job, None] = followed_by(
        resolve_job_progress,
        description="A job's progress, from its state now until it ends; at most two events a second",
    )
