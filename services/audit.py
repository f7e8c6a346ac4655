"""Who changed what: an intent before the first write, its outcome after it, and one line each in the log.

A record without an outcome is not shown for ten minutes, then as UNKNOWN: its process died, or the outcome
could not be settled. Without Redis the records are in this process's memory: the newest 10,000, lost with it,
and unknown to other replicas. With Redis see `services.audit_redis`.

No password is in a record: changes that hold one are refused.
"""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

import structlog

from services.authorization import Caller
from services.errors import BadInput
from services.log_text import hashed
from services.secret_names import find_secret

MEMORY_RECORDS: Final = 10_000
UNKNOWN_AFTER: Final = timedelta(minutes=10)

_log = structlog.get_logger(__name__)


class AuditOutcome(Enum):
    DONE = "DONE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class SecretInChanges(ValueError):
    """An audit record would have held a password: a mistake in the code that wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A change made through the gateway. `changes` is JSON: fields or SKUs, before and after.

    `actor` is the name in the caller's token; `action` is the mutation's name. `correlation_ids` are those that
    Microsoft logged, the one to show first; none where nothing was sent.
    """

    id: str
    at: datetime
    actor: str
    actor_subject: str
    actor_issuer: str
    tenant_id: str
    action: str
    user_id: str | None = None
    user_principal_name: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)  # JSON
    outcome: AuditOutcome = AuditOutcome.UNKNOWN
    correlation_ids: tuple[str, ...] = ()
    completed: bool = False


def new_record(
    caller: Caller,
    tenant_id: str,
    action: str,
    *,
    at: datetime,
    user_id: str | None = None,
    user_principal_name: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> AuditRecord:
    """Gives the intent of a caller's mutation."""
    return AuditRecord(
        id=str(uuid.uuid4()),
        at=at,
        actor=caller.name,
        actor_subject=caller.subject,
        actor_issuer=caller.issuer,
        tenant_id=tenant_id,
        action=action,
        user_id=user_id,
        user_principal_name=user_principal_name,
        changes=dict(changes or {}),
    )


class AuditItem(NamedTuple):
    """A record and the cursor that says where it stands."""

    cursor: str
    record: AuditRecord


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some records, newest first, and how many there are in all."""

    items: tuple[AuditItem, ...]
    total: int
    has_next_page: bool

    @property
    def records(self) -> tuple[AuditRecord, ...]:
        return tuple(item.record for item in self.items)


class AuditLog(Protocol):
    """Keeps audit records. The record that `complete` takes is the one that was begun, or a copy of it with
    more in it, such as the id of the user that was created."""

    @property
    def catching_up(self) -> bool:
        """Whether records wait that could not be brought in."""

    async def start(self) -> None:
        """Takes up what an earlier process could not bring in."""

    async def begin(self, record: AuditRecord) -> None:
        """Keeps the intent, before anything is sent. AuditUnavailable where it can be put nowhere."""

    async def complete(
        self,
        record: AuditRecord,
        outcome: AuditOutcome,
        changes: Mapping[str, Any] | None = None,
        correlation_ids: tuple[str, ...] = (),
    ) -> None:
        """Keeps the outcome, to its end also when the waiter is cancelled; trouble is no error here. Without
        changes the intent's stay. A record that was never begun, such as a refusal's, is added; one that is
        completed again, such as an UNKNOWN that was settled later, gets the newer outcome."""

    async def list(self, tenant_id: str, first: int, after: str | None = None) -> AuditPage:
        """Gives the records of one tenant. AuditUnavailable, or BadInput for what is no cursor."""

    async def clear(self) -> None: ...

    async def close(self) -> None:
        """Returns when everything is brought in, as far as that is possible now."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def checked(record: AuditRecord) -> AuditRecord:
    """Gives the record with a JSON copy of its changes. SecretInChanges, or TypeError for what is not JSON."""
    if found := find_secret(record.changes):
        raise SecretInChanges(f"The changes of an audit record hold a secret at {found}.")
    return replace(record, changes=json.loads(json.dumps(record.changes, allow_nan=False)))


def completed(
    record: AuditRecord,
    outcome: AuditOutcome,
    changes: Mapping[str, Any] | None,
    correlation_ids: tuple[str, ...],
) -> tuple[AuditRecord, Exception | None]:
    """Gives the completed record, and what is wrong with its changes: it has none then, so that the outcome is
    kept in any case, and the mistake is raised after that."""
    finished = replace(
        record,
        outcome=outcome,
        changes=record.changes if changes is None else dict(changes),
        correlation_ids=correlation_ids or record.correlation_ids,
        completed=True,
    )
    try:
        return checked(finished), None
    except (TypeError, ValueError) as mistake:
        return replace(finished, changes={}), mistake


def replaces(record: AuditRecord, kept: AuditRecord) -> bool:
    """Tells whether a record takes the place of the one that is kept, whichever of them comes late."""
    if not record.completed:
        return False
    settled = kept.completed and kept.outcome is not AuditOutcome.UNKNOWN
    return not settled or record.outcome is not AuditOutcome.UNKNOWN


def is_shown(record: AuditRecord, now: datetime) -> bool:
    """Tells whether a record is listed: when it is completed, or so old that nobody will complete it."""
    return record.completed or record.at <= now - UNKNOWN_AFTER


def log_record(record: AuditRecord) -> None:
    """Writes the facts as one line; sign-in names and addresses are hashed."""
    _log.info(
        "audit",
        phase="completed" if record.completed else "begun",
        record_id=record.id,
        at=record.at.isoformat(),
        actor=_for_logs(record.actor),
        actor_subject=_for_logs(record.actor_subject),
        actor_issuer=record.actor_issuer,
        tenant_id=record.tenant_id,
        action=record.action,
        user_id=record.user_id,
        upn_hash=record.user_principal_name and hashed(record.user_principal_name),
        changes=_for_logs(record.changes),
        outcome=record.outcome.value if record.completed else None,
        correlation_ids=list(record.correlation_ids),
    )


def _for_logs(value: Any) -> Any:  # JSON
    if isinstance(value, str):
        return hashed(value) if "@" in value else value
    if isinstance(value, dict):
        return {_for_logs(name): _for_logs(inner) for name, inner in value.items()}
    return [_for_logs(inner) for inner in value] if isinstance(value, list) else value


class MemoryAudit:
    """Keeps the newest records in this process."""

    catching_up: Final = False

    def __init__(self, *, max_records: int = MEMORY_RECORDS, clock: Callable[[], datetime] = utc_now) -> None:
        self._max_records = max_records
        self._clock = clock
        self._records: OrderedDict[str, tuple[int, AuditRecord]] = OrderedDict()
        self._last_number = 0

    async def start(self) -> None:
        return None

    async def begin(self, record: AuditRecord) -> None:
        record = checked(record)
        log_record(record)
        if record.id not in self._records:
            self._records[record.id] = self._numbered(record)
        self._drop_oldest()

    async def complete(
        self,
        record: AuditRecord,
        outcome: AuditOutcome,
        changes: Mapping[str, Any] | None = None,
        correlation_ids: tuple[str, ...] = (),
    ) -> None:
        finished, mistake = completed(record, outcome, changes, correlation_ids)
        log_record(finished)
        number, kept = self._records.get(record.id) or self._numbered(finished)
        self._records[record.id] = (number, finished if replaces(finished, kept) else kept)
        self._drop_oldest()
        if mistake is not None:
            raise mistake

    async def list(self, tenant_id: str, first: int, after: str | None = None) -> AuditPage:
        before = _read_cursor(after)
        now = self._clock()
        shown = [
            AuditItem(str(number), record)
            for number, record in reversed(self._records.values())
            if record.tenant_id == tenant_id and is_shown(record, now)
        ]
        rest = [item for item in shown if before is None or int(item.cursor) < before]
        return AuditPage(tuple(rest[:first]), len(shown), len(rest) > first)

    async def clear(self) -> None:
        self._records.clear()

    async def close(self) -> None:
        return None

    def _numbered(self, record: AuditRecord) -> tuple[int, AuditRecord]:
        self._last_number += 1
        return self._last_number, record

    def _drop_oldest(self) -> None:
        while len(self._records) > self._max_records:
            self._records.popitem(last=False)


def not_a_cursor() -> BadInput:
    return BadInput("after: this is no cursor of the audit log. Give an endCursor as it was answered.")


def _read_cursor(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdecimal() and len(after) <= 20):
        raise not_a_cursor()
    return int(after)
