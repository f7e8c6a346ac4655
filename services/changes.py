"""One change on its way: who asks, what it writes and forgets, and what the audit log will say of it."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from services.authorization import Caller, Permission
from services.cache import LookupCache
from services.errors import AccessMissing, Conflict, NotFound, Refused, RefusedReason, Throttled, UpstreamError
from services.idempotency import request_id_for
from services.lookups import Lookup, Volatile
from services.models import DirectoryRole
from services.outcomes import Field, Problem, ProblemCode, Refusal
from services.store_errors import AuditUnavailable, LockTimeout, StoreUnavailable
from services.writes import DEFAULT_POLICY, NotApplied, OutcomeUnknown, ReadBack, WritePolicy, write_once

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


@dataclass(frozen=True, slots=True)
class Unsettled(Generic[T]):
    """A write of which nobody could tell whether it was made: how it is read back, if that can be, and told."""

    read_back: ReadBack[T] | None
    made: Callable[[T], None]


@dataclass(slots=True)
class Change:
    """A mutation while it runs. `deadline` is a time.monotonic(); `scope` makes its request ids its own.

    `resumed` says that the same change was begun before and its end is not known: what it asks for may be
    there already. `written` is true once something was sent, `applied` once some of that took effect, or may have.

    `before` and `after` are for the audit log: what holds, before the change and so far; `wanted` is what was asked
    for, and is shown where it was not reached.
    """

    caller: Caller
    action: str
    tenant_id: str
    dry_run: bool
    scope: str
    deadline: float
    cache: LookupCache
    now: Callable[[], datetime]
    """The service's clock, by which the 30 days of deleted users are counted."""
    policy: WritePolicy = DEFAULT_POLICY
    resumed: bool = False
    written: bool = False
    applied: bool = False
    replayed: bool = False
    """The answer is that of another run of the same change, which has its own audit record."""
    concerns_tenant: bool = True
    """False where the tenant is not the caller's: then it is nobody's business in its audit log."""
    before_first_write: Callable[[], Awaitable[None]] | None = None
    """Puts the intent into the audit log; where that fails nothing is sent."""
    user_id: str | None = None
    user_principal_name: str | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    wanted: dict[str, Any] = field(default_factory=dict)
    unsettled: list[Unsettled[Any]] = field(default_factory=list)
    """The writes of which nobody could tell whether they were made."""
    _stale: set[Volatile] = field(default_factory=set)

    def seconds_left(self) -> float:
        """How long the change may still wait for something."""
        return max(0.0, self.deadline - time.monotonic())

    def makes_stale(self, lookup: Lookup[Any, Any], *_keys: Any) -> None:
        """Names what every write of this change makes out of date."""
        if lookup.volatile is not None:
            self._stale.add(lookup.volatile)

    def plans(self, before: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Says for the audit log what holds, and what is to hold; `after` follows as the writes are made."""
        self.before, self.after, self.wanted = before, dict(before), wanted

    async def write(
        self,
        step: str,
        send: Callable[[str], Awaitable[T]],
        read_back: ReadBack[T] | None,
        made: Callable[[T], None],
    ) -> T:
        """Makes one write of the change, once. Whatever its answer was, what it makes stale is out of date.

        Without `read_back` nobody can read what was written. `made` tells `after` of it, now or as soon as it is seen.
        """
        if not self.written and self.before_first_write is not None:
            await self.before_first_write()
        self.written = True
        try:
            async with self.cache.changing(self.tenant_id, self._stale):
                done = await write_once(
                    send,
                    read_back,
                    lambda number: request_id_for(self.scope, f"{step}:{number}"),
                    self.deadline,
                    self.policy,
                )
        except UpstreamError:
            raise  # Microsoft's word, or what was read afterwards: it was not made
        except OutcomeUnknown:
            self.applied = True
            self.unsettled.append(Unsettled(read_back, made))
            raise
        except BaseException:
            self.applied = True
            raise
        self.applied = True
        made(done)
        return done

    async def look_again(self) -> bool:
        """Looks for the writes of which nobody could tell whether they were made, and tells whether all are there
        now. What is there is in `after` then, and look-ups learn of it."""
        for write in tuple(self.unsettled):
            seen = await write.read_back() if write.read_back is not None else None
            if seen is not None:
                self.unsettled.remove(write)  # at once: the look at the next may fail
                write.made(seen.value)
        async with self.cache.changing(self.tenant_id, self._stale):
            return not self.unsettled

    @property
    def is_as_wanted(self) -> bool:
        """Whether all that was asked for holds, as far as is known."""
        return all(_in_order(self.after.get(name)) == _in_order(value) for name, value in self.wanted.items())


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value or []


def missing_permissions(caller: Caller, *permissions: Permission) -> list[Problem]:
    """What a caller lacks of these permissions, told in one problem."""
    missing = [one.value for one in permissions if not caller.may(one)]
    if not missing:
        return []
    message = f"This needs the permission {' and '.join(missing)}, which your token does not carry."
    return [Problem(code=ProblemCode.NOT_PERMITTED, message=message)]


def require(caller: Caller, *permissions: Permission) -> None:
    """Refuses a caller who lacks one of the permissions; asked before anything else is done."""
    if problems := missing_permissions(caller, *permissions):
        raise Refusal(*problems)


def privileged_problems(caller: Caller, roles: Sequence[DirectoryRole], field: Field) -> list[Problem]:
    """What stands between a caller without MANAGE_ADMINS and a user who holds one of these roles, if privileged."""
    privileged = [role.name for role in roles if role.privileged]
    if not privileged or caller.may(Permission.MANAGE_ADMINS):
        return []
    message = f"The user is {privileged[0]}. Changing such a user needs the permission MANAGE_ADMINS."
    return [Problem(code=ProblemCode.PRIVILEGED_TARGET, message=message, field=field)]


def require_for_privileged(caller: Caller, roles: Sequence[DirectoryRole], field: Field) -> None:
    """Refuses a caller without MANAGE_ADMINS any change to a user who holds one of these roles, if privileged."""
    if problems := privileged_problems(caller, roles, field):
        raise Refusal(*problems)


@contextmanager
def together_with(problems: Sequence[Problem]) -> Iterator[None]:
    """Checks what has to be asked upstream: whatever is found there is told together with these problems of the
    input, which are told also where nothing could be asked."""
    try:
        yield
    except Refusal as refusal:
        raise Refusal(*problems, *refusal.problems) from refusal
    except UpstreamError as error:
        if problems:
            raise Refusal(*problems) from error
        raise
    if problems:
        raise Refusal(*problems)


def problem_of(
    error: UpstreamError | OutcomeUnknown, field: Field | None = None, *, nothing_written: bool = False
) -> Problem:
    """What a caller is told of a step that failed. `nothing_written` says so of the change as a whole."""
    rest = " Nothing was written." if nothing_written else ""
    if isinstance(error, OutcomeUnknown):
        return Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=error.message, field=field, retryable=False)
    if isinstance(error, Throttled):
        seconds = max(1, math.ceil(error.retry_after_seconds))
        return Problem(
            code=ProblemCode.THROTTLED,
            message=f"Microsoft asks to wait {seconds} second{'s' if seconds > 1 else ''}.{rest}",
            field=field,
            retryable=True,
            retry_after_seconds=seconds,
        )
    if isinstance(error, AccessMissing):
        return Problem(
            code=ProblemCode.TENANT_ACCESS_MISSING,
            message=f"The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it.{rest}",
            field=field,
        )
    if isinstance(error, NotFound):
        return Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.", field=field)
    if isinstance(error, Refused) or (isinstance(error, Conflict) and error.reason in _REASONS):
        code, message = _REASONS.get(
            error.reason, (ProblemCode.UPSTREAM_ERROR, "Microsoft refused the change, and not for a reason we know.")
        )
        return Problem(code=code, message=message, field=field, retryable=code is ProblemCode.NONE_AVAILABLE)
    if isinstance(error, NotApplied):
        message = f"Microsoft did not make the change. Try again later.{rest}"
    elif isinstance(error, (StoreUnavailable, AuditUnavailable, LockTimeout)):
        message = error.message  # says by itself that nothing was changed
    else:
        message = f"{error.message}{rest}"
    return Problem(code=ProblemCode.UPSTREAM_ERROR, message=message, field=field, retryable=True)
