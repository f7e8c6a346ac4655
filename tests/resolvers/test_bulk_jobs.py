"""Jobs through the front door: who sees them, their results, throttling, cancelling, limits, replicas."""

from sandbox.seed import TREY_RESEARCH_ID
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.changes import (
    LICENSE,
    change,
    effect,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    tenant_named,
)
from tests.gateway_client import CONTOSO
from tests.jobs import BULK, CANCEL, came_to, ended, found, results_of
from tests.license_changes import held

ADELE, ALEX, CHRISTIE, PATTI = "Adele Vance", "Alex Wilber", "Christie Cline", "Patti Fernandez"
WITHOUT_LOCATION, DELETED = "Mara Lindt", "Enrico Cattaneo"


def ids(*people):
    return {"ids": list(people)}


def matching(*tenants, **filter):
    scope = {"ids": [encode_id("Tenant", tenant) for tenant in tenants]} if tenants else {"all": True}
    return {"matching": {"scope": scope, "filter": filter}}


async def bulk(gateway, users, authorization=None, **input):
    return await change(gateway, BULK, authorization, users=users, **input)


async def at_its_end(gateway, payload):
    assert payload["userErrors"] == []
    assert payload["preview"] is None
    return await ended(gateway, payload["job"]["id"])


async def test_a_job_is_seen_by_who_reaches_all_its_tenants_and_by_nobody_else(gateway, sandbox, e3):
    trey = bearer("reseller", reseller_id=TREY_RESEARCH_ID)
    contoso = bearer("direct-customer", tenant_ids=[CONTOSO])
    everywhere = await bulk(gateway, matching(search="Adele"), remove=[e3])
    own = await at_its_end(gateway, await bulk(gateway, ids(id_of(sandbox, ADELE)), contoso, remove=[e3]))
    stranger = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])

    assert await found(gateway, own["id"], contoso) is not None
    assert await found(gateway, own["id"], trey) is not None
    assert await found(gateway, own["id"], stranger) is None
    assert everywhere["job"]["id"]
    absent = refused("NOT_FOUND", "There is no such job.", "input", "id")
    for id in (own["id"], encode_id("Job", CONTOSO), "nonsense", id_of(sandbox, ADELE)):
        payload = await change(gateway, CANCEL, stranger, id=id)
        assert payload == {"job": None, "preview": None, "userErrors": [absent]}
    reader = bearer(permissions=without("WRITE_LICENSES"))
    payload = await change(gateway, CANCEL, reader, id=own["id"])
    assert [one["code"] for one in payload["userErrors"]] == ["NOT_PERMITTED"]


async def test_results_that_failed_come_by_themselves_and_in_pages(gateway, sandbox, visio):
    people = [id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE, PATTI)]
    job = await at_its_end(gateway, await bulk(gateway, ids(*people), assign=[{"skuId": visio}]))
    first = (await found(gateway, job["id"], first=3))["results"]
    rest = (await found(gateway, job["id"], first=3, after=first["pageInfo"]["endCursor"]))["results"]
    failed = (await found(gateway, job["id"], onlyFailed=True, first=1))["results"]

    assert [one["user"]["id"] for one in first["nodes"] + rest["nodes"]] == people
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], rest["pageInfo"]) == (
        4,
        True,
        {"hasNextPage": False, "hasPreviousPage": True, "startCursor": "4", "endCursor": "4"},
    )
    assert (failed["totalCount"], failed["nodes"][0]["user"]["id"]) == (2, people[2])


async def test_throttled_in_the_middle_a_job_waits_and_nobody_fails(gateway, sandbox, e3):
    order_fault(sandbox, method="POST", path="/licenseupdates", status=429, retry_after=1, skip=1, times=4)
    people = [id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE)]
    job = await at_its_end(gateway, await bulk(gateway, ids(*people), remove=[e3]))

    assert (job["state"], job["done"], job["failed"]) == ("SUCCEEDED", 3, 0)
    assert all(e3 not in held(sandbox, name) for name in (ADELE, ALEX, CHRISTIE))


async def test_a_lost_answer_is_settled_and_an_outcome_nobody_can_tell_is_said_to_be(gateway, sandbox, e3):
    order_fault(sandbox, method="POST", path="/licenseupdates", lost_answer=True, times=1)
    lost = await at_its_end(gateway, await bulk(gateway, ids(id_of(sandbox, ADELE)), remove=[e3]))
    order_fault(sandbox, method="POST", path="/licenseupdates", lost_answer=True, times=2)
    order_fault(sandbox, method="GET", path=f"{person_of(sandbox, ALEX).id}/licenses", status=500, skip=1)
    unknown = await at_its_end(gateway, await bulk(gateway, ids(id_of(sandbox, ALEX)), remove=[e3]))

    assert lost["state"] == "SUCCEEDED"
    assert results_of(lost)[0]["effects"] == [effect(e3, -1, 20, 5)]
    assert (unknown["state"], unknown["failed"]) == ("FAILED", 1)
    assert [one["code"] for one in results_of(unknown)[0]["userErrors"]] == ["OUTCOME_UNKNOWN"]


async def test_a_job_is_cancelled_between_users(gateway, sandbox, e3):
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=150)
    users = matching(CONTOSO, licensedFor=[e3])
    payload = await bulk(gateway, users, remove=[e3])
    id = payload["job"]["id"]
    await came_to(gateway, id, 2)
    cancelled = await change(gateway, CANCEL, id=id)
    job = await ended(gateway, id)
    again = await change(gateway, CANCEL, id=id)

    assert (cancelled["userErrors"], cancelled["job"]["state"]) == ([], "RUNNING")
    assert job["state"] == "CANCELLED"
    assert 2 <= job["done"] < 20
    still = [user for user in sandbox.world.customers[CONTOSO].users.values() if e3 in user.licenses]
    assert len([user for user in still if user.deleted_at is None]) == 20 - job["done"]
    assert (again["job"]["state"], again["userErrors"]) == ("CANCELLED", [])


async def test_a_single_change_beside_a_job_is_made_meanwhile(gateway, sandbox, e3, visio):
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=30)
    payload = await bulk(gateway, matching(CONTOSO, licensedFor=[e3]), remove=[e3])
    single = await change(gateway, LICENSE, userId=id_of(sandbox, CHRISTIE), assign=[{"skuId": e3}])
    job = await ended(gateway, payload["job"]["id"])

    assert single["userErrors"] == []
    assert (job["state"], job["failed"]) == ("SUCCEEDED", 0)
    assert e3 in held(sandbox, CHRISTIE)


async def test_too_many_waiting_jobs_are_refused(sandbox, e3, gateway):
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=800)
    users = ids(*[id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE)])
    running = [(await bulk(gateway, users, remove=[e3]))["job"]["id"] for _ in range(5)]
    for id in running:
        await came_to(gateway, id, 0)
    for _ in range(20):
        assert (await bulk(gateway, users, remove=[e3]))["userErrors"] == []
    payload = await bulk(gateway, users, remove=[e3])

    message = "20 of your jobs wait already. Nothing was written; try again when some have ended."
    assert payload["userErrors"] == [refused("THROTTLED", message, retryable=True, retryAfterSeconds=60)]
    assert payload["job"] is None


async def test_a_reset_of_the_sandbox_forgets_jobs(gateway, sandbox, e3):
    payload = await bulk(gateway, ids(id_of(sandbox, ADELE)), remove=[e3])
    await ended(gateway, payload["job"]["id"])
    (await gateway.http.post("/sandbox/reset", json={})).raise_for_status()

    assert await found(gateway, payload["job"]["id"]) is None


async def test_jobs_are_shared_through_redis(sandbox, redis_url, e3):
    async with (
        running_gateway(sandbox, redis_url=redis_url) as one,
        running_gateway(sandbox, redis_url=redis_url) as other,
    ):
        people = [id_of(sandbox, name) for name in (ADELE, ALEX)]
        payload = await bulk(one, ids(*people), remove=[e3], idempotencyKey="k")
        job = await ended(other, payload["job"]["id"])
        again = await bulk(other, ids(*people), remove=[e3], idempotencyKey="k")

    assert (job["state"], [one["user"]["displayName"] for one in results_of(job)]) == ("SUCCEEDED", [ADELE, ALEX])
    assert results_of(job)[0]["effects"] == [effect(e3, -1, 20, 5)]
    assert again["job"]["id"] == payload["job"]["id"]
