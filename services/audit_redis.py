"""Audit records that all replicas share, for 400 days.

`…:audit:{<tenant>}` is a stream with one entry a record, in the order of their intents: so its length is the
number of records, and a page is one XREVRANGE. `…:<id>` beside it is the record's outcome, empty until there
is one, and `…:open` the ids without one, by the time of the intent. Every write looks first whether it was
done before, so a record may be brought in any number of times.

While Redis is away intents go to the journal, if there is one, else the change is refused. Outcomes go there
too, else they wait in memory. A background task brings them in; they then stand where they were brought in.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from services.audit import (
    UNKNOWN_AFTER,
    AuditItem,
    AuditOutcome,
    AuditPage,
    AuditRecord,
    checked,
    completed,
    is_shown,
    log_record,
    not_a_cursor,
    replaces,
    utc_now,
)
from services.audit_journal import AuditJournal
from services.store_connection import Pipe, StoreConnection
from services.store_errors import AuditUnavailable, StoreUnavailable

STORE: Final = "audit"
RETENTION_MS: Final = round(timedelta(days=400).total_seconds() * 1000)
OPEN_KEPT_SECONDS: Final = 24 * 3600.0
RETRY_SECONDS: Final = 2.0
WAITING_RECORDS: Final = 10_000
CLOSE_SECONDS: Final = 5.0

_CURSOR = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_log = structlog.get_logger(__name__)


class RedisAudit:
    """Keeps audit records in Redis, by way of a local journal where that is given."""

    def __init__(
        self,
        connection: StoreConnection,
        *,
        journal: AuditJournal | None = None,
        clock: Callable[[], datetime] = utc_now,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._waiting: deque[AuditRecord] = deque()
        self._completing: set[asyncio.Task[None]] = set()
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def catching_up(self) -> bool:
        return self._catching_up is not None and not self._catching_up.done()

    async def start(self) -> None:
        if self._journal is not None and await self._journal.holds_any():
            self._catch_up_soon()

    async def begin(self, record: AuditRecord) -> None:
        record = checked(record)
        log_record(record)
        try:
            await self._store(record)
        except StoreUnavailable as error:
            if not await self._write_journal(record):
                raise AuditUnavailable from error

    async def complete(
        self,
        record: AuditRecord,
        outcome: AuditOutcome,
        changes: Mapping[str, Any] | None = None,
        correlation_ids: tuple[str, ...] = (),
    ) -> None:
        finished, mistake = completed(record, outcome, changes, correlation_ids)
        await self._to_its_end(self._complete(finished))
        if mistake is not None:
            raise mistake

    async def list(self, tenant_id: str, first: int, after: str | None = None) -> AuditPage:
        if after is not None and not _CURSOR.fullmatch(after):
            raise not_a_cursor()
        now = self._clock()
        try:
            total = await self._connection.run(lambda: self._total(tenant_id, now))
            items = await self._connection.run(lambda: self._read(tenant_id, first + 1, after, now))
        except StoreUnavailable as error:
            raise AuditUnavailable("The audit log cannot be read at the moment.") from error
        return AuditPage(items[:first], total, len(items) > first)

    async def clear(self) -> None:
        self._waiting.clear()
        if self._journal is not None:
            await self._journal.clear()
        await self._connection.delete_all(STORE)

    async def close(self) -> None:
        if self._completing:
            await asyncio.wait(self._completing)
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.wait([self._catching_up])
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._bring_in_all()
        except Exception as error:
            _log.error("audit_records_left", waiting=len(self._waiting), error=type(error).__name__)

    async def _to_its_end(self, work: Awaitable[None]) -> None:
        """Waits for work that goes on when the waiter is cancelled."""
        task = asyncio.ensure_future(work)
        self._completing.add(task)
        task.add_done_callback(self._completing.discard)
        await asyncio.shield(task)

    async def _complete(self, record: AuditRecord) -> None:
        log_record(record)
        try:
            await self._store(record)
        except StoreUnavailable:
            if not await self._write_journal(record):
                self._waiting.append(record)
                if len(self._waiting) > WAITING_RECORDS:
                    _log.error("audit_outcome_dropped", record_id=self._waiting.popleft().id)
                self._catch_up_soon()

    async def _write_journal(self, record: AuditRecord) -> bool:
        if self._journal is None:
            return False
        try:
            await self._journal.append(record)
        except OSError as error:
            _log.error("audit_journal_failed", error=type(error).__name__, detail=error.strerror or str(error))
            return False
        self._catch_up_soon()
        return True

    def _catch_up_soon(self) -> None:
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Tries until nothing waits any more."""
        while True:
            await asyncio.sleep(self._retry_seconds)
            try:
                await self._bring_in_all()
            except (StoreUnavailable, BlockingIOError):
                continue
            except Exception as error:
                _log.error("audit_catch_up_failed", error=type(error).__name__)
                continue
            if not self._waiting and (self._journal is None or not await self._journal.holds_any()):
                return

    async def _bring_in_all(self) -> None:
        if self._journal is not None and (count := await self._journal.replay(self._store)):
            _log.info("audit_journal_replayed", count=count)
        while self._waiting:
            record = self._waiting[0]
            await self._store(record)
            if self._waiting and self._waiting[0] is record:
                self._waiting.popleft()

    def _names(self, tenant_id: str, record_id: str = "") -> tuple[str, str, str]:
        key = self._connection.key
        return key(STORE, tenant_id), key(STORE, tenant_id, ":open"), key(STORE, tenant_id, f":{record_id}")

    async def _store(self, record: AuditRecord) -> None:
        stream, still_open, outcome = self._names(record.tenant_id, record.id)
        form = msgspec.json.encode(record)
        now_ms = round(time.time() * 1000)  # the stream's ids are real time, whatever the service's clock says

        async def write(pipe: Pipe) -> None:
            kept = await pipe.get(outcome)
            if kept is not None and not (record.completed and (not kept or replaces(record, _decode(kept)))):
                await pipe.unwatch()
                return
            pipe.multi()
            if kept is None:
                trim = {"minid": now_ms - RETENTION_MS, "approximate": True}
                pipe.xadd(stream, {"id": record.id, "record": form}, **trim)
                pipe.pexpire(stream, RETENTION_MS)
            pipe.set(outcome, form if record.completed else b"", px=RETENTION_MS)
            if record.completed:
                pipe.zrem(still_open, record.id)
            else:
                pipe.zadd(still_open, {record.id: record.at.timestamp()})
                pipe.zremrangebyscore(still_open, "-inf", self._clock().timestamp() - OPEN_KEPT_SECONDS)
                pipe.pexpire(still_open, RETENTION_MS)

        await self._connection.change(write, outcome)

    async def _total(self, tenant_id: str, now: datetime) -> int:
        stream, still_open, _ = self._names(tenant_id)
        young = (now - UNKNOWN_AFTER).timestamp()
        pipeline = self._connection.client.pipeline(transaction=True)
        pipeline.xlen(stream)
        pipeline.zcount(still_open, f"({young}", "+inf")
        length, hidden = await pipeline.execute()
        return max(0, int(length) - int(hidden))

    async def _read(self, tenant_id: str, wanted: int, after: str | None, now: datetime) -> tuple[AuditItem, ...]:
        stream = self._names(tenant_id)[0]
        client = self._connection.client
        items: tuple[AuditItem, ...] = ()
        end = "+" if after is None else f"({after}"
        while len(items) < wanted:
            entries = await client.xrevrange(stream, max=end, min="-", count=wanted)
            if not entries:
                break
            names = [self._names(tenant_id, fields[b"id"].decode())[2] for _, fields in entries]
            outcomes = await client.mget(names)
            for (cursor, fields), outcome in zip(entries, outcomes, strict=True):
                record = _decode(outcome or fields[b"record"])
                if is_shown(record, now):
                    items += (AuditItem(cursor.decode(), record),)
            end = f"({entries[-1][0].decode()}"
        return items


def _decode(form: bytes) -> AuditRecord:
    return msgspec.json.decode(form, type=AuditRecord)
