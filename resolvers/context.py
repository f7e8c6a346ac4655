"""What a resolver has at hand: who asks, the loaders of this request, the clock, the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import strawberry

from loaders.registry import Loaders
from loaders.traces import ReadTrace
from services.audit import AuditLog
from services.authorization import Caller
from services.bulk_licenses import BulkLicenseService
from services.change_runner import ChangeRunner
from services.deletion_memory import DeletionMemory
from services.deletions import DeletionService
from services.jobs import JobStore
from services.jobs_feed import JobFeed
from services.licenses import LicenseService
from services.new_users import NewUserService
from services.password_changes import PasswordService
from services.upstream_use import UpstreamUse
from services.users import UserService


@dataclass(frozen=True, slots=True)
class ChangeServices:
    """Who makes the changes, and the frame that each is made in."""

    runner: ChangeRunner
    users: UserService
    licenses: LicenseService
    deletions: DeletionService
    passwords: PasswordService
    new_users: NewUserService
    audit: AuditLog
    deletion_memory: DeletionMemory
    jobs: JobStore
    bulk: BulkLicenseService
    job_feed: JobFeed


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """One request. What gives another answer at another time is had by the properties below, and noted in `trace`."""

    caller: Caller
    loaders: Loaders
    clock: Callable[[], datetime]
    max_page_size: int
    request_id: str
    upstream_use: UpstreamUse
    services: ChangeServices
    trace: ReadTrace

    def now(self) -> datetime:
        """The service's time, by which restore windows are counted."""
        self.trace.repeatable = False
        return self.clock()

    @property
    def changes(self) -> ChangeServices:
        """Who makes changes, and remembers them."""
        self.trace.repeatable = False
        return self.services


Info = strawberry.Info[GatewayContext, None]
