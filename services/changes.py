"""One change on its way: who asks, what it writes and forgets, and what the audit log will say of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.authorization import Caller, Permission
from services.cache import LookupCache
from services.errors import AccessMissing, Conflict, NotFound, Refused, RefusedReason, Throttled, UpstreamError
from services.idempotency import request_id_for
from services.lookups import Lookup
from services.models import DirectoryRole
from services.outcomes import Field, Problem, ProblemCode, Refusal
from services.writes import OutcomeUnknown, ReadBack, write_once

T = TypeVar("T")

_REASONS = {
    RefusedReason.NO_LICENSE_LEFT: (ProblemCode.NONE_AVAILABLE, "No unit of the product is left."),
    RefusedReason.USAGE_LOCATION: (
        ProblemCode.USAGE_LOCATION_REQUIRED,
        "The user needs a usage location in which the product is offered.",
    ),
    RefusedReason.LICENSE_CONFLICT: (
        ProblemCode.LICENSE_CONFLICT,
        "The product conflicts with another one that the user has, or needs one that the user lacks.",
    ),
    RefusedReason.NAME_TAKEN: (ProblemCode.NAME_TAKEN, "The sign-in name is taken."),
    RefusedReason.PASSWORD_POLICY: (
        ProblemCode.PASSWORD_POLICY,
        "Microsoft refuses the password: it is too simple, too common, or was used before.",
    ),
    RefusedReason.DIRECTORY_SYNCED: (
        ProblemCode.DIRECTORY_SYNCED,
        "The user is mastered in the customer's own directory and has to be changed there.",
    ),
}


@dataclass(slots=True)
class Change:
    """A mutation while it runs. `deadline` is a time.monotonic(); `scope` makes its request ids its own.

    `resumed` says that the same change was begun before and its end is not known: what it asks for may be
    there already. `written` is true once something was sent that may have changed something.
    """

    caller: Caller
    action: str
    tenant_id: str
    dry_run: bool
    scope: str
    deadline: float
    cache: LookupCache
    resumed: bool = False
    written: bool = False
    concerns_tenant: bool = True
    """False where the tenant is not the caller's: then it is nobody's business in its audit log."""
    before_first_write: Callable[[], Awaitable[None]] | None = None
    """Puts the intent into the audit log; where that fails nothing is sent."""
    user_id: str | None = None
    user_principal_name: str | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    _stale: list[tuple[Lookup[Any, Any], Any]] = field(default_factory=list)

    def seconds_left(self) -> float:
        """How long the change may still wait for something."""
        return max(0.0, self.deadline - time.monotonic())

    def makes_stale(self, lookup: Lookup[Any, Any], *keys: Any) -> None:
        """Names what every write of this change makes out of date."""
        self._stale.extend((lookup, key) for key in keys)

    async def write(self, step: str, send: Callable[[str], Awaitable[T]], read_back: ReadBack[T]) -> T:
        """Makes one write of the change, once, and forgets what it made stale, whatever its answer was."""
        if not self.written and self.before_first_write is not None:
            await self.before_first_write()
        self.written = True
        try:
            return await write_once(
                send, read_back, lambda number: request_id_for(self.scope, f"{step}:{number}"), self.deadline
            )
        finally:
            for lookup, key in self._stale:
                await self.cache.forget(lookup, key)


def require(caller: Caller, *permissions: Permission) -> None:
    """Refuses a caller who lacks one of the permissions; asked before anything else is done."""
    missing = [one.value for one in permissions if not caller.may(one)]
    if missing:
        message = f"This needs the permission {' and '.join(missing)}, which your token does not carry."
        raise Refusal(Problem(code=ProblemCode.NOT_PERMITTED, message=message))


def require_for_privileged(caller: Caller, roles: list[DirectoryRole], field: Field) -> None:
    """Refuses a caller without MANAGE_ADMINS any change to a user who holds one of these roles, if privileged."""
    privileged = [role.name for role in roles if role.privileged]
    if privileged and not caller.may(Permission.MANAGE_ADMINS):
        message = f"The user is {privileged[0]}. Changing such a user needs the permission MANAGE_ADMINS."
        raise Refusal(Problem(code=ProblemCode.PRIVILEGED_TARGET, message=message, field=field))


def problem_of(error: UpstreamError | OutcomeUnknown, field: Field | None = None) -> Problem:
    """What a caller is told of a write that failed: nothing was written, except where the outcome is unknown."""
    if isinstance(error, OutcomeUnknown):
        return Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=error.message, field=field, retryable=False)
    if isinstance(error, Throttled):
        seconds = max(1, round(error.retry_after_seconds))
        return Problem(
            code=ProblemCode.THROTTLED,
            message=f"Microsoft asks to wait {seconds} seconds. Nothing was written.",
            field=field,
            retryable=True,
            retry_after_seconds=seconds,
        )
    if isinstance(error, AccessMissing):
        return Problem(
            code=ProblemCode.TENANT_ACCESS_MISSING,
            message="The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it.",
            field=field,
        )
    if isinstance(error, NotFound):
        return Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.", field=field)
    if isinstance(error, (Refused, Conflict)) and (isinstance(error, Refused) or error.reason in _REASONS):
        code, message = _REASONS.get(
            error.reason, (ProblemCode.UPSTREAM_ERROR, "Microsoft refused the change, and not for a reason we know.")
        )
        return Problem(code=code, message=message, field=field)
    return Problem(code=ProblemCode.UPSTREAM_ERROR, message=error.message, field=field, retryable=True)
