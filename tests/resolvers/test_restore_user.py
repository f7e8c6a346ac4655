"""Restoring people: for 30 days to the second, with what Microsoft gives back, and a forecast that forbids nothing."""

from datetime import timedelta

import pytest

from sandbox.people import person
from tests.callers import bearer, without
from tests.changes import (
    DELETE,
    RESTORE,
    Meanwhile,
    change,
    effect,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    short,
    tenant_named,
    world_of,
    writes,
)
from tests.gateway_client import CONTOSO

ADELE, ALLAN, ENRICO, BEN = "Adele Vance", "Allan Deyoung", "Enrico Cattaneo", "Ben Walters"


async def restore(gateway, name, authorization=None, tenant=CONTOSO, **input):
    return await change(gateway, RESTORE, authorization, id=id_of(gateway.sandbox, name, tenant), **input)


async def delete(gateway, name, tenant=CONTOSO):
    payload = await change(gateway, DELETE, id=id_of(gateway.sandbox, name, tenant))
    assert payload["userErrors"] == []
    gateway.calls()


async def refusal(gateway, name, authorization=None, tenant=CONTOSO, **input):
    """The errors of a restore that is refused; checks that nothing was restored."""
    before = world_of(gateway.sandbox)
    payload = await restore(gateway, name, authorization, tenant, **input)
    assert (payload["user"], payload["effects"]) == (None, [])
    assert world_of(gateway.sandbox) == before
    assert writes(gateway.calls()) == []
    return payload["userErrors"]


def over(name, ended_at):
    ended = ended_at and ended_at.isoformat().replace("+00:00", "Z")
    message = f"{name} could be restored for 30 days, which are over."
    return refused("RESTORE_WINDOW_OVER", message, "input", "id", windowEndedAt=ended)


async def test_the_user_is_back_with_what_microsoft_gives(gateway, sandbox, e3, power_bi):
    await delete(gateway, ADELE)
    payload = await restore(gateway, ADELE)

    adele = person_of(sandbox, ADELE)
    assert (payload["user"]["id"], payload["user"]["status"]) == (id_of(sandbox, ADELE), "ACTIVE")
    assert payload["effects"] == [effect(e3, 1, 19, 6), effect(power_bi, 1, 4, 1)]
    assert payload["userErrors"] == []
    assert set(adele.licenses) == {e3, power_bi}
    assert short(gateway.calls()) == [
        "GET users",
        "GET users",
        "GET subscribedskus",
        f"PATCH users/{adele.id}",
        f"GET users/{adele.id}/licenses",
        "GET subscribedskus",
    ]


async def test_the_restored_user_is_seen_at_once_by_every_later_query(gateway, sandbox, e3):
    query = """query ($id: ID!) {
      node(id: $id) { ... on User { status deletion { deletedAt } licenses { sku { skuId } } } }
      tenant(by: {domain: "contoso.onmicrosoft.com"}) {
        subscribedSkus { skuId consumedUnits }
        users(first: 100, filter: {status: [DELETED]}) { nodes { id } } } }"""
    id = id_of(sandbox, ENRICO)
    before = await gateway.data(query, {"id": id})
    await restore(gateway, ENRICO)
    after = await gateway.data(query, {"id": id})

    assert {"id": id} in before["tenant"]["users"]["nodes"]
    assert {"id": id} not in after["tenant"]["users"]["nodes"]
    assert (after["node"]["status"], after["node"]["deletion"]) == ("ACTIVE", None)
    assert e3 in {one["sku"]["skuId"] for one in after["node"]["licenses"]}
    assert [one["consumedUnits"] for one in after["tenant"]["subscribedSkus"] if one["skuId"] == e3] == [21]


async def test_what_is_not_free_does_not_come_back_and_forbids_nothing(gateway, sandbox, e3, power_bi):
    await delete(gateway, ADELE)
    person_of(sandbox, ALLAN).licenses[power_bi] = set()
    payload = await restore(gateway, ADELE)

    assert payload["user"]["status"] == "ACTIVE"
    assert payload["effects"] == [effect(e3, 1, 19, 6)]
    assert payload["userErrors"] == []


async def test_an_over_assigned_product_that_microsoft_gave_back_is_shown(sandbox, power_bi):
    """Whether Microsoft gives units that are not there is not documented: here it does, after the restore."""
    meanwhile = Meanwhile()
    async with running_gateway(sandbox, bend=meanwhile) as gateway:
        await delete(gateway, ADELE)
        person_of(sandbox, ALLAN).licenses[power_bi] = set()
        meanwhile.at("GET", "/licenses", lambda: person_of(sandbox, ADELE).licenses.update({power_bi: set()}))
        payload = await restore(gateway, ADELE)

    assert effect(power_bi, 1, 5, 0) in payload["effects"]
    assert [one["availableUnitsAfter"] for one in payload["effects"] if one["sku"]["skuId"] == power_bi] == [-1]


async def test_the_gateway_assigns_nothing_itself(gateway, sandbox):
    sandbox.switches = sandbox.switches.changed({"restore_assigns_licenses": False})
    await delete(gateway, ADELE)
    payload = await restore(gateway, ADELE)

    assert (payload["effects"], payload["userErrors"]) == ([], [])
    assert person_of(sandbox, ADELE).licenses == {}
    assert [call for call in short(writes(gateway.calls())) if not call.startswith("PATCH")] == []


async def test_the_dry_run_agrees_with_the_forecast(gateway, sandbox, e3, power_bi):
    mutation = """mutation ($input: RestoreUserInput!) { restoreUser(input: $input) {
      user { status deletion { forecast { shortBy sku { skuId } } } } effects { change sku { skuId } } } }"""
    await delete(gateway, ADELE)
    person_of(sandbox, ALLAN).licenses[power_bi] = set()
    before = world_of(sandbox)
    payload = await change(gateway, mutation, id=id_of(sandbox, ADELE), dryRun=True)

    assert payload["user"] == {
        "status": "DELETED",
        "deletion": {"forecast": [{"shortBy": 0, "sku": {"skuId": e3}}, {"shortBy": 1, "sku": {"skuId": power_bi}}]},
    }
    assert payload["effects"] == [{"change": 1, "sku": {"skuId": e3}}]
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


async def test_a_dry_run_of_who_was_deleted_elsewhere_predicts_nothing(gateway, sandbox):
    payload = await restore(gateway, ENRICO, dryRun=True)

    assert (payload["user"]["status"], payload["effects"], payload["userErrors"]) == ("DELETED", [], [])


async def test_the_forecast_is_forgotten_with_the_restore(gateway, sandbox):
    query = "query ($id: ID!) { node(id: $id) { ... on User { deletion { forecast { shortBy } } } } }"
    await delete(gateway, ADELE)
    await restore(gateway, ADELE)
    person_of(sandbox, ADELE).deleted_at = sandbox.clock.now()

    answer = await gateway.data(query, {"id": id_of(sandbox, ADELE)}, Cache_Control="no-cache")
    assert answer["node"]["deletion"]["forecast"] is None


# ── the 30 days ──


async def test_a_second_before_the_end_of_the_30_days_it_works(gateway, sandbox):
    enrico = person_of(sandbox, ENRICO)
    sandbox.clock.stop()
    enrico.deleted_at = sandbox.clock.now() - timedelta(days=30) + timedelta(seconds=1)

    assert (await restore(gateway, ENRICO))["user"]["status"] == "ACTIVE"


@pytest.mark.parametrize("later", [timedelta(), timedelta(seconds=1), timedelta(days=1)])
async def test_at_exactly_30_days_it_is_over(gateway, sandbox, later):
    enrico = person_of(sandbox, ENRICO)
    enrico.deleted_at = sandbox.clock.now() - timedelta(days=30) - later
    errors = await refusal(gateway, ENRICO)

    assert errors == [over(ENRICO, enrico.deleted_at + timedelta(days=30))]


async def test_the_services_clock_counts(gateway, sandbox):
    enrico = person_of(sandbox, ENRICO)
    assert enrico.deleted_at is not None
    left = enrico.deleted_at + timedelta(days=30) - sandbox.clock.now()
    sandbox.clock.advance(left.total_seconds())
    sandbox.tokens.reset()

    payload = await restore(gateway, ENRICO)
    assert payload["userErrors"] == [over(ENRICO, enrico.deleted_at + timedelta(days=30))]
    assert writes(gateway.calls()) == []


async def test_who_was_purged_is_not_found(gateway, sandbox):
    id = id_of(sandbox, BEN)
    del sandbox.world.customers[CONTOSO].users[person_of(sandbox, BEN).id]
    payload = await change(gateway, RESTORE, id=id)

    assert payload["userErrors"] == [refused("NOT_FOUND", "There is no such user.", "input", "id")]


async def test_a_purge_that_was_early_is_told_as_over_without_a_time(gateway, sandbox):
    sandbox.switches = sandbox.switches.changed({"restorable_days": 1})
    before = world_of(sandbox)
    payload = await restore(gateway, "Irvin Sayers")

    assert payload["userErrors"] == [over("Irvin Sayers", None)]
    assert world_of(sandbox) == before


# ── refusals ──


async def test_an_active_user_is_not_restored(gateway):
    assert await refusal(gateway, ADELE) == [refused("USER_ACTIVE", "Adele Vance is not deleted.", "input", "id")]


def taken(sandbox):
    """Somebody who has Enrico's sign-in name by now, and the error that names them."""
    enrico = person_of(sandbox, ENRICO)
    namesake = person("contoso.onmicrosoft.com", "Enzo Cattaneo")
    namesake.user_principal_name = enrico.user_principal_name.upper()
    sandbox.world.customers[CONTOSO].users[namesake.id] = namesake
    message = f"Enzo Cattaneo has the sign-in name {enrico.user_principal_name} now. Change it first."
    holder = {
        "id": id_of(sandbox, "Enzo Cattaneo"),
        "userPrincipalName": namesake.user_principal_name,
        "status": "ACTIVE",
    }
    return refused("NAME_TAKEN", message, "input", "id", holder=holder, suggestions=[])


async def test_a_name_taken_meanwhile_gives_its_holder(gateway, sandbox):
    error = taken(sandbox)

    assert await refusal(gateway, ENRICO) == [error]
    assert await refusal(gateway, ENRICO, dryRun=True) == [error]


@pytest.mark.parametrize("status", [400, 409])
async def test_a_name_taken_between_check_and_write_gives_its_holder_too(sandbox, status):
    sandbox.switches = sandbox.switches.changed({"restore_conflict_status": status})
    meanwhile, errors = Meanwhile(), []
    meanwhile.at("PATCH", "", lambda: errors.append(taken(sandbox)))
    async with running_gateway(sandbox, bend=meanwhile) as gateway:
        payload = await restore(gateway, ENRICO)

    assert (payload["user"], payload["userErrors"]) == (None, errors)
    assert person_of(sandbox, ENRICO).deleted_at is not None


async def test_a_missing_permission_is_told_and_nothing_is_asked(gateway, sandbox):
    payload = await restore(gateway, ENRICO, bearer(permissions=without("DELETE_USERS")))

    message = "This needs the permission DELETE_USERS, which your token does not carry."
    assert payload == {"user": None, "effects": [], "userErrors": [refused("NOT_PERMITTED", message)]}
    assert gateway.calls() == []


async def test_foreign_unknown_and_garbled_ids_look_alike(gateway, sandbox):
    caller = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])
    absent = refused("NOT_FOUND", "There is no such user.", "input", "id")
    for id, authorization in ((id_of(sandbox, ENRICO), caller), ("nonsense", None)):
        payload = await change(gateway, RESTORE, authorization, id=id)
        assert payload == {"user": None, "effects": [], "userErrors": [absent]}
        assert gateway.calls() == []


async def test_without_access_to_the_tenant_the_change_is_refused(gateway):
    [error] = await refusal(gateway, "Roxanne Kenison", tenant=tenant_named("adatum"))

    assert error["code"] == "TENANT_ACCESS_MISSING"


async def test_a_throttled_restore_says_how_long_to_wait(gateway, sandbox):
    order_fault(sandbox, method="PATCH", status=429, retry_after=200)
    payload = await restore(gateway, ENRICO)

    message = "Microsoft asks to wait 200 seconds. Nothing was written."
    assert payload["userErrors"] == [refused("THROTTLED", message, retryable=True, retryAfterSeconds=200)]
    assert person_of(sandbox, ENRICO).deleted_at is not None


async def test_a_restore_that_was_made_is_no_failure_where_reading_the_licenses_fails(gateway, sandbox, e3):
    await delete(gateway, ADELE)
    order_fault(sandbox, method="GET", path="/licenses", status=500)
    payload = await restore(gateway, ADELE)

    assert (payload["user"]["status"], payload["userErrors"]) == ("ACTIVE", [])
    assert effect(e3, 1, 19, 6, predicted=True) in payload["effects"]
