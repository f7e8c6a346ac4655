"""A caller who hangs up: before the first write everything stops, after it the change is seen through."""

import asyncio
import json

import pytest

from sandbox.directory_roles import BILLING_ADMINISTRATOR, REPORTS_READER
from tests.changes import (
    DELETE,
    LICENSE,
    UPDATE,
    audit_log,
    change,
    effect,
    id_of,
    order_fault,
    person_of,
    world_of,
    writes,
)

ADELE, PATTI = "Adele Vance", "Patti Fernandez"


async def hang_up(gateway, mutation, *, after_seconds=0.2, **input):
    """Asks, and goes away before the answer."""
    asking = asyncio.create_task(change(gateway, mutation, **input))
    await asyncio.sleep(after_seconds)
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def settled(gateway, records=1):
    """Waits until the change is recorded."""
    for _ in range(100):
        log = await audit_log(gateway)
        if len(log) == records:
            return log
        await asyncio.sleep(0.05)
    raise AssertionError("The change was never recorded.")


async def test_before_the_first_write_everything_stops(gateway, sandbox, e3):
    before = world_of(sandbox)
    order_fault(sandbox, method="GET", path="/subscribedskus", delay_ms=500)
    await hang_up(gateway, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3])
    await asyncio.sleep(0.6)

    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before
    [record] = await settled(gateway)
    assert (record["outcome"], json.loads(record["changes"])["errors"]) == ("FAILED", ["CANCELLED"])


async def test_the_key_of_a_change_that_was_stopped_is_free_at_once(gateway, sandbox, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    order_fault(sandbox, method="GET", path="/subscribedskus", delay_ms=500, times=1)
    await hang_up(gateway, LICENSE, **input)
    payload = await change(gateway, LICENSE, **input)

    assert payload["effects"] == [effect(e3, -1, 20, 5)]


async def test_after_the_first_write_the_change_is_seen_through(gateway, sandbox, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=500)
    await hang_up(gateway, LICENSE, **input)
    [record] = await settled(gateway)
    gateway.calls()
    again = await change(gateway, LICENSE, **input)

    assert record["outcome"] == "DONE"
    assert e3 not in person_of(sandbox, ADELE).licenses
    assert (again["effects"], again["userErrors"]) == ([effect(e3, -1, 20, 5)], [])
    assert gateway.calls() == []


async def test_a_change_of_several_writes_comes_to_its_end(gateway, sandbox):
    order_fault(sandbox, method="PATCH", delay_ms=400)
    await hang_up(gateway, UPDATE, id=id_of(sandbox, PATTI), firstName="Pat", roleIds=[BILLING_ADMINISTRATOR])
    [record] = await settled(gateway)

    patti = person_of(sandbox, PATTI)
    assert (patti.first_name, patti.roles) == ("Pat", {BILLING_ADMINISTRATOR})
    assert json.loads(record["changes"]) == {
        "before": {"firstName": "Patti", "roleIds": [REPORTS_READER]},
        "after": {"firstName": "Pat", "roleIds": [BILLING_ADMINISTRATOR]},
    }


async def test_later_queries_see_what_a_caller_who_hung_up_has_changed(gateway, sandbox):
    query = "query ($id: ID!) { node(id: $id) { ... on User { status } } }"
    id = id_of(sandbox, ADELE)
    await gateway.data(query, {"id": id})
    order_fault(sandbox, method="DELETE", path="/users/", delay_ms=300)
    await hang_up(gateway, DELETE, id=id)
    await settled(gateway)

    assert (await gateway.data(query, {"id": id}))["node"]["status"] == "DELETED"


async def test_a_lock_is_free_again_after_the_hang_up(gateway, sandbox, e3):
    order_fault(sandbox, method="GET", path="/subscribedskus", delay_ms=500, times=1)
    await hang_up(gateway, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3])
    payload = await asyncio.wait_for(change(gateway, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3]), 5)

    assert payload["userErrors"] == []
