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
    person_of,
    world_of,
    writes,
)
from tests.gateway_client import running_gateway
from tests.served_gateway import HeldUpstream, until

ADELE, PATTI = "Adele Vance", "Patti Fernandez"


@pytest.fixture
async def microsoft(sandbox):
    """The way to Microsoft, on which calls can be held back."""
    return HeldUpstream(sandbox)


@pytest.fixture
async def gateway(sandbox, microsoft):
    async with running_gateway(sandbox, microsoft) as running:
        yield running


async def hang_up(gateway, microsoft, mutation, **input):
    """Asks, and goes away while the first of the held calls is under way; then calls are let go."""
    asking = asyncio.create_task(change(gateway, mutation, **input))
    await until(lambda: microsoft.waiting == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    microsoft.let_go()


async def settled(gateway):
    """The record of the change, once there is one."""
    await until(lambda: is_recorded(gateway))
    [record] = await audit_log(gateway)
    return record


async def is_recorded(gateway):
    return bool(await audit_log(gateway))


async def test_before_the_first_write_everything_stops(gateway, microsoft, sandbox, e3):
    before = world_of(sandbox)
    microsoft.hold("GET", path="/subscribedskus")
    await hang_up(gateway, microsoft, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3])
    record = await settled(gateway)

    assert microsoft.given_up == 1
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before
    assert (record["outcome"], json.loads(record["changes"])["errors"]) == ("FAILED", ["CANCELLED"])


async def test_the_key_of_a_change_that_was_stopped_is_free_at_once(gateway, microsoft, sandbox, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    microsoft.hold("GET", path="/subscribedskus")
    await hang_up(gateway, microsoft, LICENSE, **input)
    payload = await change(gateway, LICENSE, **input)

    assert payload["effects"] == [effect(e3, -1, 20, 5)]


async def test_after_the_first_write_the_change_is_seen_through(gateway, microsoft, sandbox, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    microsoft.hold("POST", path="/licenseupdates")
    await hang_up(gateway, microsoft, LICENSE, **input)
    record = await settled(gateway)
    gateway.calls()
    again = await change(gateway, LICENSE, **input)

    assert record["outcome"] == "DONE"
    assert e3 not in person_of(sandbox, ADELE).licenses
    assert (again["effects"], again["userErrors"]) == ([effect(e3, -1, 20, 5)], [])
    assert gateway.calls() == []


async def test_a_change_of_several_writes_comes_to_its_end(gateway, microsoft, sandbox):
    microsoft.hold("PATCH")
    input = {"id": id_of(sandbox, PATTI), "firstName": "Pat", "roleIds": [BILLING_ADMINISTRATOR]}
    await hang_up(gateway, microsoft, UPDATE, **input)
    record = await settled(gateway)

    patti = person_of(sandbox, PATTI)
    assert (patti.first_name, patti.roles) == ("Pat", {BILLING_ADMINISTRATOR})
    assert json.loads(record["changes"]) == {
        "before": {"firstName": "Patti", "roleIds": [REPORTS_READER]},
        "after": {"firstName": "Pat", "roleIds": [BILLING_ADMINISTRATOR]},
    }


async def test_later_queries_see_what_a_caller_who_hung_up_has_changed(gateway, microsoft, sandbox):
    query = "query ($id: ID!) { node(id: $id) { ... on User { status } } }"
    id = id_of(sandbox, ADELE)
    await gateway.data(query, {"id": id})
    microsoft.hold("DELETE")
    await hang_up(gateway, microsoft, DELETE, id=id)
    await settled(gateway)

    assert (await gateway.data(query, {"id": id}))["node"]["status"] == "DELETED"


async def test_a_lock_is_free_again_after_the_hang_up(gateway, microsoft, sandbox, e3):
    microsoft.hold("GET", path="/subscribedskus")
    await hang_up(gateway, microsoft, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3])
    async with asyncio.timeout(20):  # else it would be waited for as long as a change may take
        payload = await change(gateway, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3])

    assert payload["userErrors"] == []
