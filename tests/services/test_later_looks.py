"""Looking again at several writes of one change, of which nobody could tell whether they were made."""

import asyncio
import time
from functools import partial
from uuid import uuid4

from services.audit import AuditOutcome, MemoryAudit, utc_now
from services.authorization import DEMO_PARTNER
from services.cache import connect_cache
from services.change_runner import ChangeRequest, ChangeRunner
from services.errors import Timeout
from services.idempotency import MemoryIdempotency
from services.outcomes import Outcome, Problem, ProblemCode
from services.secret import Secret
from services.writes import Applied, OutcomeUnknown, WritePolicy

TENANT = str(uuid4())


async def test_a_write_that_was_seen_is_counted_once_although_the_look_at_another_failed():
    fails = [True]

    async def send(request_id):
        raise Timeout("Microsoft did not answer in time.")

    async def unreadable():
        raise Timeout("Microsoft did not answer in time.")

    async def seen():
        if looking:
            return Applied(None)
        return await unreadable()

    async def seen_at_the_second_look():
        if looking and not fails:
            return Applied(None)
        fails[:] = [] if looking else fails
        return await unreadable()

    def add(change, sku_id, _):
        change.after["skuIds"] = [*change.after["skuIds"], sku_id]

    async def work(change):
        change.plans({"skuIds": []}, {"skuIds": ["a", "b"]})
        for sku_id, read_back in (("a", seen), ("b", seen_at_the_second_look)):
            try:
                await change.write(sku_id, send, read_back, partial(add, change, sku_id))
            except OutcomeUnknown:
                continue
        looking.append(True)
        return Outcome(user_errors=(Problem(code=ProblemCode.OUTCOME_UNKNOWN, message="Unknown."),))

    async def admit(change):
        return None

    looking: list[bool] = []
    audit = MemoryAudit()
    policy = WritePolicy(read_back_waits_seconds=(0.0,), later_looks_seconds=(0.02, 0.04, 0.06))
    runner = ChangeRunner(
        connect_cache(None, "sandbox:test"), audit, MemoryIdempotency(Secret("s")), utc_now, policy=policy
    )
    request = ChangeRequest(
        caller=DEMO_PARTNER,
        action="updateUserLicenses",
        tenant_id=TENANT,
        user_id=None,
        given={},
        dry_run=False,
        idempotency_key=None,
        request_id=str(uuid4()),
    )
    await runner.run(request, admit, work)
    [before] = (await audit.list(TENANT, 10)).records
    deadline = time.monotonic() + 30
    while (record := (await audit.list(TENANT, 10)).records[0]).outcome is AuditOutcome.UNKNOWN:
        assert time.monotonic() < deadline, "the record was not completed"
        await asyncio.sleep(0.01)
    await runner.close()

    assert before.outcome is AuditOutcome.UNKNOWN
    assert record.outcome is AuditOutcome.DONE
    assert record.changes == {"before": {"skuIds": []}, "after": {"skuIds": ["a", "b"]}}
