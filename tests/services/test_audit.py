"""What holds for the audit log, in memory and in a real Redis alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from redis import Redis

from services.audit import AuditLog, AuditOutcome, AuditRecord, MemoryAudit, SecretInChanges, new_record
from services.audit_redis import RedisAudit
from services.authorization import DEMO_PARTNER
from services.errors import BadInput
from services.log_text import hashed
from services.secret import Secret
from services.store_connection import connect_redis_store

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
TENANT_ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
CORRELATION_ID = "77777777-7777-4777-8777-777777777777"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DONE, REFUSED, FAILED, UNKNOWN = AuditOutcome


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
async def audit(request: pytest.FixtureRequest, redis_url: str, clock: Clock) -> AsyncIterator[AuditLog]:
    if request.param == "memory":
        yield MemoryAudit(clock=clock)
        return
    connection = connect_redis_store(redis_url, NAMESPACE)
    log = RedisAudit(connection, clock=clock)
    yield log
    await log.close()
    await connection.close()


def record(action: str = "updateUser", tenant_id: str = TENANT_ID, **more: Any) -> AuditRecord:
    return new_record(DEMO_PARTNER, tenant_id, action, **{"at": NOW, **more})


async def write(audit: AuditLog, count: int) -> list[str]:
    """Completes some records and gives their actions, newest first."""
    for number in range(count):
        await audit.begin(one := record(f"action{number}"))
        await audit.complete(one, DONE)
    return [f"action{number}" for number in reversed(range(count))]


async def test_a_completed_record_has_the_facts_of_its_intent_and_its_outcome(audit):
    await audit.begin(
        intent := record(user_id="u", user_principal_name="ada@contoso.com", changes={"city": ["Oslo", None]})
    )
    await audit.complete(intent, DONE, {"city": ["Oslo", "Bergen"]}, (CORRELATION_ID, "second"))

    page = await audit.list(TENANT_ID, 10)
    assert page.records == (
        replace(
            intent,
            changes={"city": ["Oslo", "Bergen"]},
            outcome=DONE,
            correlation_ids=(CORRELATION_ID, "second"),
            completed=True,
        ),
    )
    assert (page.total, page.has_next_page) == (1, False)
    assert (intent.actor, intent.actor_subject, intent.actor_issuer) == ("Demo partner", "demo", "sandbox")


async def test_what_is_learnt_on_the_way_is_kept_and_without_changes_the_intents_stay(audit):
    await audit.begin(intent := record("createUser", changes={"displayName": [None, "Ada"]}))
    await audit.complete(replace(intent, user_id="new"), FAILED)

    [kept] = (await audit.list(TENANT_ID, 10)).records
    assert (kept.user_id, kept.outcome, kept.changes) == ("new", FAILED, {"displayName": [None, "Ada"]})


async def test_a_refusal_is_recorded_without_an_intent(audit):
    await audit.complete(record("deleteUser"), REFUSED)

    page = await audit.list(TENANT_ID, 10)
    assert [(one.action, one.outcome) for one in page.records] == [("deleteUser", REFUSED)]
    assert page.total == 1


async def test_an_intent_without_an_outcome_is_hidden_for_ten_minutes_then_unknown(audit, clock):
    await write(audit, 2)
    await audit.begin(record("lost"))
    clock.now = NOW + timedelta(minutes=10) - timedelta(seconds=1)
    page = await audit.list(TENANT_ID, 10)
    assert [one.action for one in page.records] == ["action1", "action0"]
    assert page.total == 2

    clock.now = NOW + timedelta(minutes=10)
    page = await audit.list(TENANT_ID, 10)
    assert [(one.action, one.outcome) for one in page.records] == [
        ("lost", UNKNOWN),
        ("action1", DONE),
        ("action0", DONE),
    ]
    assert page.total == 3


async def test_an_unknown_outcome_can_be_settled_later_but_not_unsettled(audit, clock):
    await audit.begin(intent := record())
    await audit.complete(intent, UNKNOWN)
    await audit.complete(intent, DONE, {"city": ["a", "b"]})
    await audit.complete(intent, UNKNOWN)

    page = await audit.list(TENANT_ID, 10)
    assert [(one.outcome, one.changes) for one in page.records] == [(DONE, {"city": ["a", "b"]})]
    assert page.total == 1


async def test_a_record_that_is_begun_twice_is_one(audit):
    await audit.begin(intent := record())
    await audit.begin(intent)
    await audit.complete(intent, DONE)
    await audit.begin(intent)

    page = await audit.list(TENANT_ID, 10)
    assert [one.outcome for one in page.records] == [DONE]
    assert page.total == 1


async def test_pages_follow_each_other_newest_first_and_what_is_new_does_not_disturb_them(audit):
    actions = await write(audit, 7)
    seen, after, totals = [], None, []
    while True:
        page = await audit.list(TENANT_ID, 3, after)
        seen += [one.action for one in page.records]
        totals.append(page.total)
        if not page.has_next_page:
            break
        after = page.items[-1].cursor
        await audit.complete(record("new"), DONE)

    assert seen == actions
    assert totals == [7, 8, 9]
    assert (await audit.list(TENANT_ID, 7, page.items[-1].cursor)).items == ()


async def test_hidden_intents_leave_no_gaps_in_pages(audit):
    for number in range(6):
        await audit.begin(one := record(f"action{number}"))
        if number % 3 == 0:
            await audit.complete(one, DONE)

    first = await audit.list(TENANT_ID, 1)
    assert ([one.action for one in first.records], first.total, first.has_next_page) == (["action3"], 2, True)
    second = await audit.list(TENANT_ID, 1, first.items[0].cursor)
    assert ([one.action for one in second.records], second.has_next_page) == (["action0"], False)
    none = await audit.list(TENANT_ID, 0)
    assert (none.items, none.total, none.has_next_page) == ((), 2, True)


async def test_a_tenant_shows_its_own_records_only(audit):
    await audit.complete(record(tenant_id=OTHER_ID), DONE)

    assert (await audit.list(TENANT_ID, 10)).items == ()
    assert (await audit.list(TENANT_ID, 10)).total == 0
    assert (await audit.list(OTHER_ID, 10)).total == 1


@pytest.mark.parametrize("after", ["", "x", "-1", "1-2-3", "٣", "9" * 30, "+"])
async def test_what_is_no_cursor_is_refused(audit, after):
    with pytest.raises(BadInput, match="after"):
        await audit.list(TENANT_ID, 10, after)


async def test_clearing_empties_the_log_and_leaves_other_namespaces(audit, redis_url):
    await write(audit, 2)
    await audit.begin(record())
    with Redis.from_url(redis_url) as client:
        client.set(f"gw:1:{NAMESPACE}0:audit:{{{TENANT_ID}}}", "of another")
        await audit.clear()
        assert client.keys() == [f"gw:1:{NAMESPACE}0:audit:{{{TENANT_ID}}}".encode()]
    assert (await audit.list(TENANT_ID, 10)).total == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "canary"},
        {"profile": [{"temporaryPassword": "canary"}]},
        {"password": {"before": None, "after": "canary"}},
        {"client_secret": 1},
        {"note": Secret("canary")},
    ],
)
async def test_changes_that_hold_a_password_are_refused_and_the_outcome_is_kept(audit, changes, clock):
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(SecretInChanges) as refusal:
            await audit.begin(record(changes=changes))
        await audit.begin(intent := record(changes={"city": "Oslo"}))
        with pytest.raises(SecretInChanges):
            await audit.complete(intent, DONE, changes)

    clock.now = NOW + timedelta(hours=1)
    page = await audit.list(TENANT_ID, 10)
    assert [(one.outcome, one.changes) for one in page.records] == [(DONE, {})]
    assert "canary" not in f"{logs} {refusal.value} {page}"


async def test_that_a_password_was_changed_may_be_told(audit):
    changes = {"password": True, "forceChangePassword": False, "sendPasswordTo": ["ada@example.com"]}
    await audit.complete(record(changes=changes), DONE)

    assert (await audit.list(TENANT_ID, 10)).records[0].changes == changes


async def test_each_step_is_one_log_line_with_the_facts_and_without_sign_in_names(audit):
    one = record(user_id="u", user_principal_name="ada@contoso.com", changes={"upn": ["ada@contoso.com", "x"]})
    with structlog.testing.capture_logs() as logs:
        await audit.begin(one)
        await audit.complete(one, DONE, None, (CORRELATION_ID,))

    common = {
        "event": "audit",
        "log_level": "info",
        "record_id": one.id,
        "at": "2026-03-01T12:00:00+00:00",
        "actor": "Demo partner",
        "actor_subject": "demo",
        "actor_issuer": "sandbox",
        "tenant_id": TENANT_ID,
        "action": "updateUser",
        "user_id": "u",
        "upn_hash": hashed("ada@contoso.com"),
        "changes": {"upn": [hashed("ada@contoso.com"), "x"]},
    }
    assert logs == [
        {**common, "phase": "begun", "outcome": None, "correlation_ids": []},
        {**common, "phase": "completed", "outcome": "DONE", "correlation_ids": [CORRELATION_ID]},
    ]
    json.dumps(logs)


async def test_an_outcome_is_kept_though_its_waiter_is_cancelled(audit):
    await audit.begin(intent := record())
    task = asyncio.create_task(audit.complete(intent, DONE))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await audit.close()

    assert [one.outcome for one in (await audit.list(TENANT_ID, 10)).records] == [DONE]


async def test_memory_keeps_the_newest():
    audit = MemoryAudit(max_records=3)
    actions = await write(audit, 5)

    page = await audit.list(TENANT_ID, 10)
    assert [one.action for one in page.records] == actions[:3]
    assert page.total == 3
