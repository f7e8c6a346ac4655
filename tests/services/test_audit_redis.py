"""What the audit log in Redis has of its own: its form there, and the journal while Redis is away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from redis import Redis

from services.audit import AuditLog, AuditOutcome, AuditRecord, new_record
from services.audit_journal import AuditJournal
from services.audit_redis import RedisAudit
from services.authorization import DEMO_PARTNER
from services.store_connection import StoreConnection, connect_redis_store
from services.store_errors import AuditUnavailable
from tests.redis_server import running, server_folder, wait_until_it_answers

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
TENANT_ID = "11111111-1111-4111-8111-111111111111"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DONE, FAILED = AuditOutcome.DONE, AuditOutcome.FAILED


def record(action: str = "updateUser") -> AuditRecord:
    return new_record(DEMO_PARTNER, TENANT_ID, action, at=NOW)


async def write(audit: AuditLog, count: int) -> None:
    """Completes action0, action1 and so on."""
    for number in range(count):
        await audit.begin(one := record(f"action{number}"))
        await audit.complete(one, DONE)


async def test_redis_keeps_a_stream_a_tenant_for_400_days(redis_url):
    connection = connect_redis_store(redis_url, NAMESPACE)
    audit = RedisAudit(connection, clock=lambda: NOW)
    stream = f"gw:1:{NAMESPACE}:audit:{{{TENANT_ID}}}"
    with Redis.from_url(redis_url) as client:
        client.config_set("stream-node-max-entries", 1)  # so that the approximate trim shows at once
        client.xadd(stream, {"id": "old", "record": "{}"}, id="1000-0")
        await audit.begin(intent := record())
        await audit.complete(intent, DONE)

        assert client.type(stream) == b"stream"
        assert [fields[b"id"].decode() for _, fields in client.xrange(stream)] == [intent.id]
        names = sorted(client.keys())
        assert names == [stream.encode(), f"{stream}:{intent.id}".encode()]
        assert all(34_559_000_000 < client.pttl(name) <= 34_560_000_000 for name in names)
        client.config_set("stream-node-max-entries", 100)
    await connection.close()


class Outage:
    """A Redis that can be switched off and on again, and an audit log that tries it often."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.path = f"{folder}/s"
        self.url = f"unix://{self.path}"
        self.journal = folder / "journal"
        self.connections: list[StoreConnection] = []
        self.stack = stack
        self.on()

    def on(self) -> None:
        command = ["--port", "0", "--unixsocket", self.path, "--save", "", "--dir", str(self.folder)]
        self.server = self.stack.enter_context(running(*command))
        with Redis(unix_socket_path=self.path) as client:
            wait_until_it_answers(client)

    def off(self) -> None:
        self.server.kill()
        self.server.wait()

    def audit(self, *, journal: bool, max_bytes: int = 1_000_000) -> RedisAudit:
        self.connections.append(connect_redis_store(self.url, NAMESPACE))
        kept = AuditJournal(self.journal, max_bytes=max_bytes) if journal else None
        return RedisAudit(self.connections[-1], journal=kept, clock=lambda: NOW, retry_seconds=0.05)


@pytest.fixture
async def outage() -> AsyncIterator[Outage]:
    with ExitStack() as stack:
        one = Outage(stack.enter_context(server_folder()), stack)
        yield one
        for connection in one.connections:
            await connection.close()


async def until(audit: AuditLog, count: int) -> list[tuple[str, AuditOutcome]]:
    async with asyncio.timeout(60):
        while True:
            try:
                page = await audit.list(TENANT_ID, 100)
            except AuditUnavailable:
                page = None
            if page is not None and page.total == count:
                return [(one.action, one.outcome) for one in page.records]
            await asyncio.sleep(0.02)


async def test_with_redis_away_and_no_journal_a_change_is_refused(outage):
    audit = outage.audit(journal=False)
    outage.off()

    async with asyncio.timeout(60):
        with pytest.raises(AuditUnavailable) as refusal:
            await audit.begin(record())
        with pytest.raises(AuditUnavailable):
            await audit.list(TENANT_ID, 10)
    assert (refusal.value.code, refusal.value.sent) == ("UPSTREAM_ERROR", False)


async def test_an_outcome_waits_for_redis_even_without_a_journal(outage):
    audit = outage.audit(journal=False)
    await audit.begin(intent := record())
    outage.off()
    await audit.complete(intent, DONE)
    outage.on()

    assert await until(audit, 1) == [("updateUser", DONE)]
    await audit.close()


async def test_with_a_journal_changes_go_on_and_are_brought_in_later(outage):
    audit = outage.audit(journal=True)
    outage.off()
    await write(audit, 3)
    await audit.begin(open_one := record("open"))
    assert outage.journal.stat().st_mode & 0o777 == 0o600
    outage.on()
    await audit.complete(open_one, FAILED)

    assert await until(audit, 4) in (
        [("open", FAILED), ("action2", DONE), ("action1", DONE), ("action0", DONE)],
        [("action2", DONE), ("action1", DONE), ("action0", DONE), ("open", FAILED)],  # it came before the journal
    )
    await audit.close()
    assert outage.journal.read_bytes() == b""


async def test_what_a_process_left_in_the_journal_the_next_one_brings_in(outage):
    outage.off()
    first = outage.audit(journal=True)
    await first.complete(record("left"), DONE)
    with outage.journal.open("ab") as file:
        file.write(b'{"id":"cut sho')
    await first.complete(record("after the cut"), DONE)
    await first.close()
    outage.on()

    with structlog.testing.capture_logs() as logs:
        second = outage.audit(journal=True)
        await second.start()
        assert await until(second, 2) == [("after the cut", DONE), ("left", DONE)]
        await second.close()
    assert [line["event"] for line in logs].count("audit_journal_line_unreadable") == 1


async def test_closing_brings_in_what_waits(outage):
    audit = outage.audit(journal=True)
    outage.off()
    await write(audit, 2)
    outage.on()
    await audit.close()

    assert await until(outage.audit(journal=False), 2)
    assert outage.journal.read_bytes() == b""


async def test_a_full_or_unwritable_journal_refuses_changes_too(outage):
    outage.off()
    with pytest.raises(AuditUnavailable):
        await outage.audit(journal=True, max_bytes=10).begin(record())
    outage.journal.unlink(missing_ok=True)
    os.mkdir(outage.journal)
    with pytest.raises(AuditUnavailable):
        await outage.audit(journal=True).begin(record())


async def test_a_full_redis_is_a_redis_away(outage):
    audit = outage.audit(journal=True)
    with Redis.from_url(outage.url) as client:
        client.config_set("maxmemory", 1)
        await write(audit, 1)
        assert outage.journal.stat().st_size > 0
        client.config_set("maxmemory", 0)
    assert await until(audit, 1) == [("action0", DONE)]
    await audit.close()
