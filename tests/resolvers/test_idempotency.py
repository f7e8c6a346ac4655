"""Idempotency keys: asked twice, done once, answered twice; also at once, and through another gateway."""

import asyncio

import pytest

from sandbox.directory_roles import BILLING_ADMINISTRATOR
from tests.callers import bearer, without
from tests.changes import (
    DELETE,
    LICENSE,
    RESTORE,
    UPDATE,
    Meanwhile,
    audit_log,
    change,
    holding_of,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    tenant_named,
    world_of,
    writes,
)

ADELE, ALLAN, PATTI, ENRICO = "Adele Vance", "Allan Deyoung", "Patti Fernandez", "Enrico Cattaneo"
REUSED = refused(
    "IDEMPOTENCY_KEY_REUSED",
    "This idempotency key was used with another input. Take a new key for another change.",
    "input",
    "idempotencyKey",
)
MALFORMED = refused(
    "INVALID",
    "An idempotency key has 1 to 128 printable ASCII characters and no blank at its ends.",
    "input",
    "idempotencyKey",
)


def mutations(sandbox, sku_id):
    return [
        (UPDATE, {"id": id_of(sandbox, ADELE), "firstName": "Ada"}),
        (LICENSE, {"userId": id_of(sandbox, ADELE), "remove": [sku_id]}),
        (DELETE, {"id": id_of(sandbox, ADELE)}),
        (RESTORE, {"id": id_of(sandbox, ENRICO)}),
    ]


@pytest.mark.parametrize("which", range(4))
async def test_a_repeat_gives_the_first_answer_and_asks_nothing(gateway, sandbox, e3, which):
    mutation, input = mutations(sandbox, e3)[which]
    first = await change(gateway, mutation, **input, idempotencyKey="one press")
    after = world_of(sandbox)
    gateway.calls()
    again = await change(gateway, mutation, **input, idempotencyKey="one press")

    assert first["userErrors"] == []
    assert again == first
    assert gateway.calls() == []
    assert world_of(sandbox) == after
    assert len(await audit_log(gateway)) == 1


async def test_a_partial_failure_is_repeated_as_it_was(gateway, sandbox):
    order_fault(sandbox, method="POST", path="/usermembers", status=403, times=1)
    input = {"id": id_of(sandbox, PATTI), "firstName": "Pat", "roleIds": [BILLING_ADMINISTRATOR]}
    first = await change(gateway, UPDATE, **input, idempotencyKey="k")
    gateway.calls()
    again = await change(gateway, UPDATE, **input, idempotencyKey="k")

    assert [error["code"] for error in first["userErrors"]] == ["TENANT_ACCESS_MISSING"]
    assert first["changedFields"] == ["firstName"]
    assert again == first
    assert gateway.calls() == []


async def test_another_input_under_the_same_key_is_refused(gateway, sandbox):
    id = id_of(sandbox, ADELE)
    await change(gateway, UPDATE, id=id, firstName="Ada", idempotencyKey="k")
    gateway.calls()
    payload = await change(gateway, UPDATE, id=id, firstName="Adi", idempotencyKey="k")

    assert payload == {"user": None, "changedFields": [], "userErrors": [REUSED]}
    assert gateway.calls() == []
    newest, _ = await audit_log(gateway)
    assert (newest["outcome"], newest["changes"]) == (
        "REFUSED",
        '{"after": {}, "before": {}, "errors": ["IDEMPOTENCY_KEY_REUSED"]}',
    )


async def test_left_out_null_and_a_value_are_different_inputs(gateway, sandbox):
    id = id_of(sandbox, ADELE)
    await change(gateway, UPDATE, id=id, firstName="Adele", idempotencyKey="k")

    assert (await change(gateway, UPDATE, id=id, firstName=None, idempotencyKey="k"))["userErrors"] == [REUSED]
    assert (await change(gateway, UPDATE, id=id, idempotencyKey="k"))["userErrors"] == [REUSED]
    assert (await change(gateway, UPDATE, id=id, firstName="Adele", dryRun=None, idempotencyKey="k"))[
        "userErrors"
    ] == []


async def test_a_key_is_one_callers_and_one_mutations(gateway, sandbox, e3):
    id = id_of(sandbox, ADELE)
    await change(gateway, UPDATE, id=id, firstName="Ada", idempotencyKey="k")
    other = await change(gateway, UPDATE, bearer(), id=id, firstName="Adi", idempotencyKey="k")
    licenses = await change(gateway, LICENSE, userId=id, remove=[e3], idempotencyKey="k")

    assert (other["userErrors"], licenses["userErrors"]) == ([], [])
    assert person_of(sandbox, ADELE).first_name == "Adi"


async def test_a_refusal_is_not_kept_so_that_it_can_be_mended(gateway, sandbox, power_bi):
    input = {"userId": id_of(sandbox, ALLAN), "assign": [{"skuId": power_bi}], "idempotencyKey": "k"}
    first = await change(gateway, LICENSE, **input)
    holding_of(sandbox, "POWER_BI_PRO").active_units = 6
    again = await change(gateway, LICENSE, **input)

    assert [error["code"] for error in first["userErrors"]] == ["NONE_AVAILABLE"]
    assert again["userErrors"] == []
    assert len(again["effects"]) == 1


async def test_a_change_that_could_not_be_looked_into_can_be_tried_again(gateway, sandbox):
    order_fault(sandbox, method="GET", path="/users/", status=500)
    input = {"id": id_of(sandbox, ADELE), "firstName": "Ada", "idempotencyKey": "k"}
    first = await change(gateway, UPDATE, **input)
    sandbox.faults.rules.clear()
    again = await change(gateway, UPDATE, **input)

    assert [(error["code"], error["retryable"]) for error in first["userErrors"]] == [("UPSTREAM_ERROR", True)]
    assert (again["changedFields"], again["userErrors"]) == (["firstName"], [])


async def test_a_throttled_write_can_be_tried_again_under_its_key(gateway, sandbox):
    order_fault(sandbox, method="PATCH", status=429, retry_after=100)
    input = {"id": id_of(sandbox, ADELE), "firstName": "Ada", "idempotencyKey": "k"}
    first = await change(gateway, UPDATE, **input)
    sandbox.faults.rules.clear()

    assert [(error["code"], error["retryable"]) for error in first["userErrors"]] == [("THROTTLED", True)]
    async with running_gateway(sandbox) as other:  # for whom Microsoft's wait is over
        assert (await change(other, UPDATE, **input))["userErrors"] == []


async def test_a_unit_that_comes_free_after_microsoft_saw_none_is_given_under_the_same_key(sandbox, visio):
    """Microsoft repeats its answer to a request id for ten minutes: the second try must be another request."""
    input = {"userId": id_of(sandbox, ADELE), "assign": [{"skuId": visio}], "idempotencyKey": "k"}
    meanwhile, holding = Meanwhile(), holding_of(sandbox, "VISIOCLIENT")
    meanwhile.at("POST", "/licenseupdates", lambda: setattr(holding, "active_units", 2))
    async with running_gateway(sandbox, bend=meanwhile) as gateway:
        first = await change(gateway, LICENSE, **input)
        holding.active_units = 4
        again = await change(gateway, LICENSE, **input)

    assert [(error["code"], error["retryable"]) for error in first["userErrors"]] == [("NONE_AVAILABLE", True)]
    assert again["userErrors"] == []
    assert [one["availableUnitsAfter"] for one in again["effects"]] == [1]


async def test_what_microsoft_refused_for_good_is_kept(gateway, sandbox, e3):
    order_fault(sandbox, method="POST", path="/licenseupdates", status=400, times=1)
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    first = await change(gateway, LICENSE, **input)
    gateway.calls()
    again = await change(gateway, LICENSE, **input)

    assert [error["retryable"] for error in first["userErrors"]] == [False]
    assert (again, gateway.calls()) == (first, [])


async def test_a_dry_run_takes_no_key(gateway, sandbox):
    id = id_of(sandbox, ADELE)
    await change(gateway, UPDATE, id=id, firstName="Ada", dryRun=True, idempotencyKey="k")
    payload = await change(gateway, UPDATE, id=id, firstName="Adi", idempotencyKey="k")

    assert (payload["user"]["firstName"], payload["userErrors"]) == ("Adi", [])


@pytest.mark.parametrize("key", ["", " ", "k ", " k", "k\n", "ключ", "k" * 129])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_malformed_key_is_told_with_the_other_problems_and_nothing_is_written(gateway, sandbox, key, dry_run):
    before = world_of(sandbox)
    id = id_of(sandbox, ADELE)
    payload = await change(
        gateway, UPDATE, id=id, firstName="Ada", displayName=None, idempotencyKey=key, dryRun=dry_run
    )

    empty = refused("INVALID", "A display name cannot be empty.", "input", "displayName")
    assert payload["userErrors"] == [MALFORMED, empty]
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


@pytest.mark.parametrize("key", ["k", "a b", "~" * 128, "!"])
async def test_any_printable_ascii_is_a_key(gateway, sandbox, key):
    payload = await change(gateway, UPDATE, id=id_of(sandbox, ADELE), firstName="Ada", idempotencyKey=key)

    assert payload["userErrors"] == []


async def test_a_repeat_by_whom_has_lost_the_right_is_refused(gateway, sandbox):
    input = {"id": id_of(sandbox, ADELE), "firstName": "Ada", "idempotencyKey": "k"}
    await change(gateway, UPDATE, bearer(), **input)
    payload = await change(gateway, UPDATE, bearer(permissions=without("WRITE_USERS")), **input)
    elsewhere = await change(gateway, UPDATE, bearer(tenant_ids=[tenant_named("fabrikam")]), **input)

    assert [error["code"] for error in payload["userErrors"]] == ["NOT_PERMITTED"]
    assert (elsewhere["user"], [error["code"] for error in elsewhere["userErrors"]]) == (None, ["NOT_FOUND"])


async def test_two_at_once_write_once(gateway, sandbox, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=300)
    one, other = await asyncio.gather(*(change(gateway, LICENSE, **input) for _ in range(2)))

    assert one["userErrors"] == []
    assert one == other
    assert len(writes(gateway.calls())) == 1
    assert len(await audit_log(gateway)) == 1


async def test_through_another_gateway_it_is_the_same_key(sandbox, redis_url, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    async with (
        running_gateway(sandbox, redis_url=redis_url) as one,
        running_gateway(sandbox, redis_url=redis_url) as other,
    ):
        order_fault(sandbox, method="POST", path="/licenseupdates", delay_ms=300)
        first, second = await asyncio.gather(change(one, LICENSE, **input), change(other, LICENSE, **input))
        third = await change(other, LICENSE, **input)
        calls = one.calls()
        records = await audit_log(other)

    assert first["userErrors"] == []
    assert first == second == third
    assert len(writes(calls)) == 1
    assert len(records) == 1


# ── what nobody knew the end of ──


def lose_every_answer(sandbox, which):
    """Microsoft makes the change, its answer is lost, and reading back fails, for the mutation of this number."""
    for rule in ({"method": "PATCH"}, {"method": "DELETE"}, {"method": "POST", "path": "/licenseupdates"}):
        order_fault(sandbox, **rule, lost_answer=True)
    path, skip = [("/users/[^/]+$", 1), ("/licenses", 1), ("UserState", 0), ("/users/[^/]+$", 0)][which]
    order_fault(sandbox, method="GET", path=path, status=500, skip=skip)


@pytest.mark.parametrize("which", range(4))
async def test_a_repeat_of_what_nobody_knew_the_end_of_reads_back_and_gives_the_answer(sandbox, redis_url, e3, which):
    mutation, input = mutations(sandbox, e3)[which]
    async with (
        running_gateway(sandbox, redis_url=redis_url) as one,
        running_gateway(sandbox, redis_url=redis_url) as other,
    ):
        expected = await change(one, mutation, **input, dryRun=True)
        lose_every_answer(sandbox, which)
        first = await change(one, mutation, **input, idempotencyKey="k")
        refused_meanwhile = await change(one, mutation, **input, idempotencyKey="k")
        sandbox.faults.rules.clear()
        made = world_of(sandbox)
        other.calls()
        again = await change(other, mutation, **input, idempotencyKey="k")
        calls = other.calls()
        third = await change(one, mutation, **input, idempotencyKey="k")
        third_calls = other.calls()
        newest, *_, oldest = await audit_log(other)

    assert [error["code"] for error in first["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert refused_meanwhile["userErrors"] != []
    assert again["userErrors"] == []
    assert writes(calls) == []
    assert world_of(sandbox) == made
    if mutation in (LICENSE, DELETE):
        assert again["effects"] == [one | {"predicted": False} for one in expected["effects"]]
    assert (third, third_calls) == (again, [])
    assert (oldest["outcome"], newest["outcome"]) == ("UNKNOWN", "DONE")
