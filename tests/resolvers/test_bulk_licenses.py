"""Changing the licenses of many: preview, policies, keys and refusals, through the front door."""

import pytest

from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.changes import (
    audit_log,
    change,
    effect,
    id_of,
    person_of,
    refused,
    tenant_named,
    world_of,
    writes,
)
from tests.gateway_client import CONTOSO
from tests.jobs import BULK, ended, results_of
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


async def test_a_job_is_queued_at_once_and_tells_what_became_of_each_user(gateway, sandbox, e3, visio):
    people = [id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE)]
    payload = await bulk(gateway, ids(*people), assign=[{"skuId": visio}], remove=[e3])
    assert payload["job"] | {"id": "", "createdAt": ""} == {
        "id": "",
        "state": "QUEUED",
        "total": 3,
        "done": 0,
        "failed": 0,
        "createdAt": "",
        "endedAt": None,
    }
    job = await at_its_end(gateway, payload)

    assert (job["state"], job["done"], job["failed"]) == ("PARTLY_FAILED", 3, 1)
    assert job["endedAt"] >= job["createdAt"]
    assert results_of(job) == [
        {
            "user": {"id": people[0], "displayName": ADELE},
            "effects": [effect(visio, 1, 2, 2), effect(e3, -1, 20, 5)],
            "userErrors": [],
        },
        {
            "user": {"id": people[1], "displayName": ALEX},
            "effects": [effect(visio, 1, 3, 1), effect(e3, -1, 19, 6)],
            "userErrors": [],
        },
        {
            "user": {"id": people[2], "displayName": CHRISTIE},
            "effects": [],
            "userErrors": [
                refused(
                    "NONE_AVAILABLE", "No unit of Visio Plan 2 is left.", "input", "assign", "0", "skuId",
                    retryable=True, availableUnits=0, sku={"skuId": visio, "availableUnits": 0, "consumedUnits": 4},
                )
            ],
        },
    ]  # fmt: skip
    assert visio in held(sandbox, ADELE)
    assert e3 not in held(sandbox, ADELE)
    assert visio not in held(sandbox, CHRISTIE)


async def test_every_user_changed_has_one_audit_record_of_who_asked(gateway, sandbox, e3):
    people = [id_of(sandbox, name) for name in (ADELE, ALEX)]
    await at_its_end(gateway, await bulk(gateway, ids(*people), remove=[e3]))
    records = await audit_log(gateway)

    assert [(one["action"], one["actor"], one["outcome"], one["userId"]) for one in records] == [
        ("updateLicensesInBulk", "Demo partner", "DONE", people[1]),
        ("updateLicensesInBulk", "Demo partner", "DONE", people[0]),
    ]


async def test_whoever_is_so_already_is_done_and_nothing_is_written(gateway, sandbox, e3):
    people = [id_of(sandbox, ADELE)]
    gateway.calls()
    job = await at_its_end(gateway, await bulk(gateway, ids(*people), assign=[{"skuId": e3}]))

    assert (job["state"], results_of(job)[0]["effects"], results_of(job)[0]["userErrors"]) == ("SUCCEEDED", [], [])
    assert writes(gateway.calls()) == []


async def test_a_dry_run_sums_the_units_and_names_who_is_blocked_one_after_the_other(gateway, sandbox, e3, visio):
    people = [id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE)]
    before = world_of(sandbox)
    payload = await bulk(gateway, ids(*people), assign=[{"skuId": visio}], remove=[e3], dryRun=True)

    assert payload == {
        "job": None,
        "preview": {
            "userCount": 3,
            "effects": [effect(visio, 2, 2, 2, predicted=True), effect(e3, -2, 20, 5, predicted=True)],
            "blockers": [
                {
                    "__typename": "NoneAvailableError",
                    "code": "NONE_AVAILABLE",
                    "message": f"{upn(sandbox, CHRISTIE)}: No unit of Visio Plan 2 is left.",
                    "field": ["input", "users", "ids", "2"],
                    "retryable": True,
                }
            ],
        },
        "userErrors": [],
    }
    assert world_of(sandbox) == before
    assert writes(gateway.calls()) == []
    assert await audit_log(gateway) == []


def upn(sandbox, name):
    return person_of(sandbox, name).user_principal_name


async def test_stopping_before_any_change_refuses_all_where_one_is_known_to_fail(gateway, sandbox, e3):
    people = [id_of(sandbox, name) for name in (PATTI, WITHOUT_LOCATION, DELETED)]
    before = world_of(sandbox)
    input = {"assign": [{"skuId": e3}], "onError": "STOP_BEFORE_ANY_CHANGE"}
    payload = await bulk(gateway, ids(*people), **input)
    preview = (await bulk(gateway, ids(*people), **input, dryRun=True))["preview"]

    assert (payload["job"], payload["preview"]) == (None, None)
    assert payload["userErrors"] == [
        refused(
            "USAGE_LOCATION_REQUIRED",
            f"{upn(sandbox, WITHOUT_LOCATION)}: Mara Lindt has no usage location, which a license needs. "
            "Set one with updateUser first.",
            "input",
            "users",
            "ids",
            "1",
        ),
        refused(
            "USER_DELETED",
            "Enrico Cattaneo is deleted and can only be restored.",
            "input",
            "users",
            "ids",
            "2",
        ),
    ]
    assert preview["blockers"] == payload["userErrors"]
    assert world_of(sandbox) == before
    assert writes(gateway.calls()) == []
    [record] = await audit_log(gateway)
    assert (record["action"], record["outcome"], record["userId"]) == ("updateLicensesInBulk", "REFUSED", None)


async def test_stopping_before_any_change_counts_units_over_all_users(gateway, sandbox, visio):
    people = [id_of(sandbox, name) for name in (ADELE, ALEX, CHRISTIE)]
    input = {"assign": [{"skuId": visio}], "onError": "STOP_BEFORE_ANY_CHANGE"}
    refusal = await bulk(gateway, ids(*people), **input)
    job = await at_its_end(gateway, await bulk(gateway, ids(*people[:2]), **input))

    assert [(one["code"], one["field"]) for one in refusal["userErrors"]] == [
        ("NONE_AVAILABLE", ["input", "users", "ids", "2"])
    ]
    assert (job["state"], job["done"]) == ("SUCCEEDED", 2)


async def test_all_that_a_filter_finds_are_changed_the_active_ones(gateway, sandbox, e3):
    before = len([1 for user in sandbox.world.customers[CONTOSO].users.values() if e3 in user.licenses])
    payload = await bulk(gateway, matching(CONTOSO, licensedFor=[e3]), remove=[e3])
    job = await at_its_end(gateway, payload)
    nobody = await at_its_end(gateway, await bulk(gateway, matching(CONTOSO, licensedFor=[e3]), remove=[e3]))
    everybody = await bulk(gateway, matching(CONTOSO), remove=[e3], dryRun=True)

    active = [user for user in sandbox.world.customers[CONTOSO].users.values() if user.deleted_at is None]
    assert (job["state"], job["total"]) == ("SUCCEEDED", 20)
    assert before >= 20
    assert (nobody["state"], nobody["total"], nobody["done"]) == ("SUCCEEDED", 0, 0)
    assert everybody["preview"]["userCount"] == len(active)


async def test_a_tenant_that_cannot_be_searched_is_named_beside_the_job(gateway, sandbox, e3):
    adatum = tenant_named("adatum")
    missing = refused(
        "TENANT_ACCESS_MISSING",
        "Adatum Corporation could not be searched, so nobody there is changed. The partner lacks access to it.",
        "input",
        "users",
        "matching",
    )
    users = matching(adatum, CONTOSO, search="Adele")
    payload = await bulk(gateway, users, remove=[e3])
    stopped = await bulk(gateway, users, remove=[e3], onError="STOP_BEFORE_ANY_CHANGE")

    assert payload["userErrors"] == [missing]
    assert payload["job"]["total"] == 1
    assert (stopped["job"], stopped["userErrors"]) == (None, [missing])


async def test_whom_the_caller_does_not_reach_is_not_found_at_its_place_and_nobody_is_changed(gateway, sandbox, e3):
    contoso = bearer("direct-customer", tenant_ids=[CONTOSO])
    fabrikam = next(iter(sandbox.world.customers[tenant_named("fabrikam")].users))
    people = [id_of(sandbox, ADELE), encode_id("User", tenant_named("fabrikam"), fabrikam), "nonsense"]
    before = world_of(sandbox)
    gateway.calls()
    payload = await bulk(gateway, ids(*people), contoso, remove=[e3])

    absent = [refused("NOT_FOUND", "There is no such user.", "input", "users", "ids", place) for place in ("1", "2")]
    assert payload == {"job": None, "preview": None, "userErrors": absent}
    assert gateway.calls() == []
    assert world_of(sandbox) == before


@pytest.mark.parametrize("permission", ["WRITE_LICENSES", "READ"])
async def test_without_the_permission_nothing_is_asked(gateway, sandbox, e3, permission):
    caller = bearer(permissions=without(permission))
    people = [id_of(sandbox, ADELE)]
    gateway.calls()
    payload = await bulk(gateway, ids(*people), caller, remove=[e3])

    message = f"This needs the permission {permission}, which your token does not carry."
    assert payload == {"job": None, "preview": None, "userErrors": [refused("NOT_PERMITTED", message)]}
    assert gateway.calls() == []
    records = await audit_log(gateway)
    assert [(one["action"], one["outcome"], one["actor"]) for one in records] == [
        ("updateLicensesInBulk", "REFUSED", "Test partner")
    ]


async def test_what_cannot_be_used_is_told_together_and_asks_nothing(gateway, sandbox, e3):
    gateway.calls()
    nothing = await bulk(gateway, ids(id_of(sandbox, ADELE)), idempotencyKey=" ")
    nobody = await bulk(gateway, ids(), remove=[e3])
    twice = await bulk(gateway, ids(id_of(sandbox, ADELE)), assign=[{"skuId": e3}], remove=[e3])
    many = await bulk(gateway, ids(*[id_of(sandbox, ADELE)] * 5001), remove=[e3])
    scope = await bulk(gateway, {"matching": {"scope": {"ids": ["x"]}, "filter": {}}}, remove=[e3])

    assert [(one["code"], one["field"]) for one in nothing["userErrors"]] == [
        ("INVALID", ["input"]),
        ("INVALID", ["input", "idempotencyKey"]),
    ]
    assert nobody["userErrors"] == [refused("INVALID", "Name at least one user.", "input", "users", "ids")]
    assert [(one["code"], one["field"]) for one in twice["userErrors"]] == [
        ("INVALID", ["input", "assign", "0", "skuId"])
    ]
    assert many["userErrors"] == [
        refused("INVALID", "At most 5,000 users can be changed at once.", "input", "users", "ids")
    ]
    assert [(one["code"], one["field"]) for one in scope["userErrors"]] == [("INVALID", ["input", "users", "matching"])]
    assert [one["job"] for one in (nothing, nobody, twice, many, scope)] == [None] * 5
    assert writes(gateway.calls()) == []


async def test_a_user_named_twice_is_changed_once(gateway, sandbox, e3):
    adele = id_of(sandbox, ADELE)
    job = await at_its_end(gateway, await bulk(gateway, ids(adele, adele), remove=[e3]))

    assert (job["total"], job["state"]) == (1, "SUCCEEDED")


async def test_a_key_gives_the_same_job_and_another_input_is_refused(gateway, sandbox, e3):
    users = ids(id_of(sandbox, ADELE))
    first = await bulk(gateway, users, remove=[e3], idempotencyKey="one press")
    await at_its_end(gateway, first)
    gateway.calls()
    again = await bulk(gateway, users, remove=[e3], idempotencyKey="one press")
    other = await bulk(gateway, ids(id_of(sandbox, ALEX)), remove=[e3], idempotencyKey="one press")
    mine = await bulk(gateway, users, bearer(), remove=[e3], idempotencyKey="one press")

    assert again["job"]["id"] == first["job"]["id"]
    assert (again["job"]["state"], again["userErrors"]) == ("SUCCEEDED", [])
    assert other == {
        "job": None,
        "preview": None,
        "userErrors": [
            refused(
                "IDEMPOTENCY_KEY_REUSED",
                "This idempotency key was used with another input. Take a new key for another change.",
                "input",
                "idempotencyKey",
            )
        ],
    }
    assert mine["job"]["id"] != first["job"]["id"]


async def test_a_privileged_user_fails_for_who_may_not_manage_administrators(gateway, sandbox, e3):
    caller = bearer(permissions=without("MANAGE_ADMINS"))
    people = [id_of(sandbox, name) for name in ("Megan Bowen", ADELE)]
    preview = (await bulk(gateway, ids(*people), caller, remove=[e3], dryRun=True))["preview"]
    payload = await bulk(gateway, ids(*people), caller, remove=[e3])
    job = await at_its_end(gateway, payload)

    assert [(one["code"], one["field"]) for one in preview["blockers"]] == [
        ("PRIVILEGED_TARGET", ["input", "users", "ids", "0"])
    ]
    assert (job["state"], job["failed"]) == ("PARTLY_FAILED", 1)
    assert [(one["code"], one["field"]) for one in results_of(job)[0]["userErrors"]] == [
        ("PRIVILEGED_TARGET", ["input", "users", "ids", "0"])
    ]
