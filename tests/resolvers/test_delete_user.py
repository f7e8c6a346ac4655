"""Deleting people: the licenses come free at once and are remembered, and nobody deletes what must stay."""

import asyncio
import time

import httpx
import pytest

from sandbox.directory_roles import COMPANY_ADMINISTRATOR
from sandbox.issuer import AUDIENCE, ISSUER, sign_token
from tests.callers import EVERYTHING, bearer, without
from tests.changes import (
    DELETE,
    change,
    effect,
    holding_of,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    short,
    sku_of,
    tenant_named,
    world_of,
    writes,
)
from tests.gateway_client import CONTOSO
from tests.license_changes import license

ADELE, ALLAN, MEGAN = "Adele Vance", "Allan Deyoung", "Megan Bowen"
LAST = "Megan Bowen is the tenant's last global administrator. Give the role to another first."
FORECAST = """query ($id: ID!) { node(id: $id) { ... on User {
  status deletion { forecast { availableUnits shortBy sku { skuId productName } } } } } }"""


async def delete(gateway, name, authorization=None, tenant=CONTOSO, **input):
    return await change(gateway, DELETE, authorization, id=id_of(gateway.sandbox, name, tenant), **input)


async def refusal(gateway, name, authorization=None, tenant=CONTOSO, **input):
    """The errors of a deletion that is refused; checks that nothing was deleted."""
    before = world_of(gateway.sandbox)
    payload = await delete(gateway, name, authorization, tenant, **input)
    assert (payload["user"], payload["effects"]) == (None, [])
    assert world_of(gateway.sandbox) == before
    assert writes(gateway.calls()) == []
    return payload["userErrors"]


async def forecast_of(gateway, id):
    return (await gateway.data(FORECAST, {"id": id}))["node"]["deletion"]["forecast"]


def token_of(**claims):
    now = int(time.time())
    stock = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "kind": "partner"}
    return f"Bearer {sign_token({**stock, 'permissions': list(EVERYTHING), **claims})}"


async def test_the_user_is_deleted_and_the_units_come_free(gateway, sandbox, e3, power_bi):
    adele = person_of(sandbox, ADELE)
    payload = await delete(gateway, ADELE)

    assert adele.deleted_at is not None
    deleted_at = adele.deleted_at.isoformat().replace("+00:00", "Z")
    user = payload["user"]
    assert (user["id"], user["status"]) == (id_of(sandbox, ADELE), "DELETED")
    assert (user["deletion"]["deletedAt"], user["deletion"]["daysLeft"]) == (deleted_at, 29)
    assert payload["effects"] == [effect(e3, -1, 20, 5), effect(power_bi, -1, 5, 0)]
    assert payload["userErrors"] == []
    assert short(gateway.calls()) == [
        f"GET users/{adele.id}",
        f"GET directoryroles/{COMPANY_ADMINISTRATOR}/usermembers",
        f"GET users/{adele.id}/licenses",
        "GET subscribedskus",
        f"DELETE users/{adele.id}",
        "GET users",
        "GET subscribedskus",
    ]


async def test_a_user_without_licenses_costs_no_look_at_products(gateway, sandbox):
    payload = await delete(gateway, ALLAN)

    assert (payload["user"]["status"], payload["effects"], payload["userErrors"]) == ("DELETED", [], [])
    assert "GET subscribedskus" not in short(gateway.calls())


async def test_the_row_stays_and_every_later_query_sees_the_change(gateway, sandbox, e3):
    query = """query ($id: ID!) {
      node(id: $id) { ... on User { status roles { name } licenses { sku { skuId } } actions { name allowed } } }
      tenant(by: {domain: "contoso.onmicrosoft.com"}) {
        subscribedSkus { skuId consumedUnits }
        active: users(first: 100, filter: {status: [ACTIVE]}) { totalCount }
        all: users(first: 100) { totalCount nodes { id status } } } }"""
    id = id_of(sandbox, ADELE)
    before = await gateway.data(query, {"id": id})
    await delete(gateway, ADELE)
    after = await gateway.data(query, {"id": id})

    assert (before["node"]["status"], after["node"]["status"]) == ("ACTIVE", "DELETED")
    assert (after["node"]["licenses"], after["node"]["roles"]) == ([], [])
    assert [one["name"] for one in after["node"]["actions"] if one["allowed"]] == ["RESTORE"]
    assert after["tenant"]["active"]["totalCount"] == before["tenant"]["active"]["totalCount"] - 1
    assert after["tenant"]["all"]["totalCount"] == before["tenant"]["all"]["totalCount"]
    assert {"id": id, "status": "DELETED"} in after["tenant"]["all"]["nodes"]
    assert [one["consumedUnits"] for one in after["tenant"]["subscribedSkus"] if one["skuId"] == e3] == [19]


async def test_a_dry_run_predicts_the_effects_and_deletes_nobody(gateway, sandbox, e3, power_bi):
    before = world_of(sandbox)
    payload = await delete(gateway, ADELE, dryRun=True)

    assert (payload["user"]["status"], payload["user"]["deletion"]) == ("ACTIVE", None)
    assert payload["effects"] == [effect(e3, -1, 20, 5, predicted=True), effect(power_bi, -1, 5, 0, predicted=True)]
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


async def test_what_was_held_is_remembered_with_how_many_units_are_missing(gateway, sandbox, e3, power_bi):
    id = id_of(sandbox, ADELE)
    await delete(gateway, ADELE)
    free = await forecast_of(gateway, id)
    person_of(sandbox, ALLAN).licenses[power_bi] = set()
    holding_of(sandbox, "POWER_BI_PRO").active_units = 4
    taken = await forecast_again(gateway, id)

    assert free == [
        {"availableUnits": 6, "shortBy": 0, "sku": {"skuId": e3, "productName": "Office 365 E3"}},
        {"availableUnits": 1, "shortBy": 0, "sku": {"skuId": power_bi, "productName": "Power BI Pro"}},
    ]
    assert taken == [
        {"availableUnits": 6, "shortBy": 0, "sku": {"skuId": e3, "productName": "Office 365 E3"}},
        {"availableUnits": -1, "shortBy": 2, "sku": {"skuId": power_bi, "productName": "Power BI Pro"}},
    ]


async def forecast_again(gateway, id):
    """Past the cache: the world was changed behind the gateway's back."""
    answer = await gateway.data(FORECAST, {"id": id}, Cache_Control="no-cache")
    return answer["node"]["deletion"]["forecast"]


async def test_the_forecast_costs_nothing_where_it_is_not_asked_for_or_not_known(gateway, sandbox):
    id = id_of(sandbox, "Enrico Cattaneo")
    assert await forecast_of(gateway, id) is None
    assert "GET subscribedskus" not in short(gateway.calls())
    await delete(gateway, ALLAN)
    gateway.calls()
    assert await forecast_of(gateway, id_of(sandbox, ALLAN)) == []
    assert "GET subscribedskus" not in short(gateway.calls())


async def test_a_product_that_the_tenant_lost_since_is_forecast_all_the_same(gateway, sandbox, e3, power_bi):
    id = id_of(sandbox, ADELE)
    await delete(gateway, ADELE)
    del sandbox.world.customers[CONTOSO].holdings[power_bi]
    lines = await forecast_again(gateway, id)

    assert [(line["sku"]["skuId"], line["availableUnits"], line["shortBy"]) for line in lines] == [
        (power_bi, 0, 1),
        (e3, 6, 0),
    ]


# ── refusals ──


async def test_a_deleted_user_is_not_deleted_again(gateway):
    errors = await refusal(gateway, "Enrico Cattaneo")

    message = "Enrico Cattaneo is deleted and can only be restored."
    assert errors == [refused("USER_DELETED", message, "input", "id")]


@pytest.mark.parametrize("claim", ["sub", "name"])
@pytest.mark.parametrize("member", ["id", "user_principal_name"])
async def test_nobody_deletes_oneself(gateway, sandbox, claim, member):
    me = getattr(person_of(sandbox, ADELE), member)
    errors = await refusal(gateway, ADELE, token_of(**{"sub": "s", "name": "n", claim: me.upper()}))

    assert errors == [refused("NOT_PERMITTED", "You cannot delete yourself.", "input", "id")]


async def test_the_last_global_administrator_stays(gateway):
    assert await refusal(gateway, MEGAN) == [refused("PRIVILEGED_TARGET", LAST, "input", "id")]


async def test_both_reasons_are_told_together(gateway, sandbox):
    errors = await refusal(gateway, MEGAN, token_of(sub=person_of(sandbox, MEGAN).id, name="Megan"))

    assert errors == [
        refused("NOT_PERMITTED", "You cannot delete yourself.", "input", "id"),
        refused("PRIVILEGED_TARGET", LAST, "input", "id"),
    ]


async def test_one_of_two_global_administrators_can_be_deleted_the_other_then_not(gateway, sandbox):
    person_of(sandbox, ADELE).roles.add(COMPANY_ADMINISTRATOR)
    assert (await delete(gateway, ADELE))["userErrors"] == []
    assert [error["code"] for error in (await delete(gateway, MEGAN))["userErrors"]] == ["PRIVILEGED_TARGET"]


async def test_the_role_just_given_to_another_counts(gateway, sandbox):
    person_of(sandbox, ADELE).roles.add(COMPANY_ADMINISTRATOR)

    assert (await delete(gateway, MEGAN))["userErrors"] == []


async def test_a_privileged_user_is_out_of_reach_without_manage_admins(gateway):
    errors = await refusal(gateway, "Grady Archie", bearer(permissions=without("MANAGE_ADMINS")))

    message = "The user is Helpdesk Administrator. Changing such a user needs the permission MANAGE_ADMINS."
    assert errors == [refused("PRIVILEGED_TARGET", message, "input", "id")]


async def test_a_plain_user_is_within_reach_without_manage_admins(gateway):
    payload = await delete(gateway, ADELE, bearer(permissions=without("MANAGE_ADMINS")))

    assert (payload["user"]["status"], payload["userErrors"]) == ("DELETED", [])


async def test_a_missing_permission_is_told_and_nothing_is_asked(gateway, sandbox):
    before = world_of(sandbox)
    payload = await delete(gateway, ADELE, bearer(permissions=without("DELETE_USERS")))

    message = "This needs the permission DELETE_USERS, which your token does not carry."
    assert payload == {"user": None, "effects": [], "userErrors": [refused("NOT_PERMITTED", message)]}
    assert gateway.calls() == []
    assert world_of(sandbox) == before


async def test_foreign_unknown_and_garbled_ids_look_alike(gateway, sandbox):
    caller = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])
    absent = refused("NOT_FOUND", "There is no such user.", "input", "id")
    for id, authorization in ((id_of(sandbox, ADELE), caller), ("nonsense", None)):
        payload = await change(gateway, DELETE, authorization, id=id)
        assert payload == {"user": None, "effects": [], "userErrors": [absent]}
        assert gateway.calls() == []


async def test_without_access_to_the_tenant_the_change_is_refused(gateway):
    [error] = await refusal(gateway, "Roxanne Kenison", tenant=tenant_named("adatum"))

    assert (error["code"], error["field"], error["retryable"]) == ("TENANT_ACCESS_MISSING", None, False)


# ── what Microsoft answers ──


async def test_a_failed_deletion_is_told_with_nothing_written(gateway, sandbox):
    order_fault(sandbox, method="DELETE", status=429, retry_after=200)
    before = world_of(sandbox)
    payload = await delete(gateway, ADELE)

    message = "Microsoft asks to wait 200 seconds. Nothing was written."
    assert payload["user"] is None
    assert payload["userErrors"] == [refused("THROTTLED", message, retryable=True, retryAfterSeconds=200)]
    assert world_of(sandbox) == before


async def test_a_user_deleted_by_others_meanwhile_is_not_found_at_its_field(sandbox):
    def vanish(request):
        return httpx.Response(404, json={"code": 60002}) if request.method == "DELETE" else None

    async with running_gateway(sandbox, bend=vanish) as gateway:
        payload = await delete(gateway, ADELE)

    assert payload["userErrors"] == [refused("NOT_FOUND", "There is no such user.", "input", "id")]


async def test_a_deletion_that_was_made_is_no_failure_where_reading_it_back_fails(gateway, sandbox, e3):
    order_fault(sandbox, method="GET", path="UserState", status=500)
    payload = await delete(gateway, ADELE)

    assert (payload["user"]["id"], payload["user"]["status"]) == (id_of(sandbox, ADELE), "DELETED")
    assert payload["userErrors"] == []
    assert payload["effects"][0]["sku"]["skuId"] == e3


async def test_units_are_counted_right_beside_a_change_of_the_same_product(gateway, sandbox, e3):
    deleted, licensed = await asyncio.gather(delete(gateway, ADELE), license(gateway, ALLAN, assign=[e3]))

    [freed] = [one for one in deleted["effects"] if one["sku"]["skuId"] == e3]
    [taken] = licensed["effects"]
    assert {freed["consumedUnitsBefore"], taken["consumedUnitsBefore"]} in ({20, 19}, {20, 21})
    assert sku_of(sandbox, "ENTERPRISEPACK") in person_of(sandbox, ALLAN).licenses
