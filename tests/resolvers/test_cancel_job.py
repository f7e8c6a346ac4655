"""Cancelling a job: a change like any other, with a record in the log of each tenant concerned."""

import json

from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.changes import audit_log, change, id_of, order_fault, tenant_named
from tests.gateway_client import CONTOSO
from tests.jobs import BULK, CANCEL, came_to, ended

ADELE, ALEX, CHRISTIE = "Adele Vance", "Alex Wilber", "Christie Cline"
FABRIKAM = tenant_named("fabrikam")
REQUEST_ID = "0b6f3c1e-2a51-4b5e-9d6e-7c1d2e3f4a5b"


async def begun(gateway, sandbox, sku_id, *more):
    """A job that takes its time, with one user done."""
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=150)
    people = [id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE)]
    payload = await change(gateway, BULK, users={"ids": [*people, *more]}, remove=[sku_id])
    await came_to(gateway, payload["job"]["id"], 1)
    return payload["job"]["id"]


async def cancellations(gateway, tenant=CONTOSO):
    """The records of cancelled jobs, their changes read."""
    records = await audit_log(gateway, tenant)
    return [{**one, "changes": json.loads(one["changes"])} for one in records if one["action"] == "cancelJob"]


async def test_a_cancelled_job_leaves_a_record_with_each_of_its_tenants(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3, id_of(sandbox, "Eva Corets", FABRIKAM))
    await gateway.data(CANCEL, {"input": {"id": id}}, X_Request_Id=REQUEST_ID)
    await ended(gateway, id)

    for tenant in (CONTOSO, FABRIKAM):
        [record] = await cancellations(gateway, tenant)
        changes = record.pop("changes")
        assert record.pop("at")
        assert record == {
            "actor": "Demo partner",
            "action": "cancelJob",
            "userId": None,
            "userPrincipalName": None,
            "outcome": "DONE",
            "correlationId": REQUEST_ID,
        }
        assert changes.keys() == {"before", "after", "wanted"}
        assert (changes["before"]["jobId"], changes["before"]["state"]) == (id, "RUNNING")
        # It stops before its next user, so at that moment it still runs.
        assert (changes["after"]["jobId"], changes["after"]["state"]) == (id, "RUNNING")
        assert changes["before"]["done"] <= changes["after"]["done"] < 4
        assert changes["wanted"] == {"state": "CANCELLED"}


async def test_cancelling_what_has_ended_is_recorded_without_a_difference(gateway, sandbox, e3):
    payload = await change(gateway, BULK, users={"ids": [id_of(sandbox, ADELE)]}, remove=[e3])
    id = payload["job"]["id"]
    await ended(gateway, id)
    await change(gateway, CANCEL, id=id)
    [record] = await cancellations(gateway)

    as_it_is = {"jobId": id, "state": "SUCCEEDED", "done": 1}
    assert (record["outcome"], record["changes"]) == ("DONE", {"before": as_it_is, "after": as_it_is})


async def test_who_may_not_cancel_is_recorded_where_the_tenants_are_theirs(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3, id_of(sandbox, "Eva Corets", FABRIKAM))
    reader = bearer(permissions=without("WRITE_LICENSES"))
    stranger = bearer("direct-customer", without("WRITE_LICENSES"), tenant_ids=[CONTOSO])
    for caller in (reader, stranger):
        payload = await change(gateway, CANCEL, caller, id=id)
        assert [one["code"] for one in payload["userErrors"]] == ["NOT_PERMITTED"]
    job = await ended(gateway, id)

    assert job["done"] == 4
    for tenant in (CONTOSO, FABRIKAM):
        [record] = await cancellations(gateway, tenant)
        assert (record["actor"], record["outcome"]) == ("Test partner", "REFUSED")
        assert record["changes"] == {"wanted": {"jobId": id, "state": "CANCELLED"}, "errors": ["NOT_PERMITTED"]}


async def test_a_job_that_is_not_seen_leaves_nothing_with_anybody(gateway, sandbox, e3):
    id = await begun(gateway, sandbox, e3)
    stranger = bearer("direct-customer", tenant_ids=[FABRIKAM])
    for unseen in (id, encode_id("Job", CONTOSO), "nonsense"):
        payload = await change(gateway, CANCEL, stranger, id=unseen)
        assert [one["code"] for one in payload["userErrors"]] == ["NOT_FOUND"]
    await ended(gateway, id)

    assert await cancellations(gateway) == []
    assert await cancellations(gateway, FABRIKAM) == []
