"""License changes that meet others: Microsoft's refusals, two license groups, many callers at once."""

import asyncio

import pytest

from sandbox.people import person
from tests.changes import (
    EFFECTS,
    ERRORS,
    Meanwhile,
    change,
    effect,
    holding_of,
    id_of,
    order_fault,
    person_of,
    refused,
    running_gateway,
    short,
    tenant_named,
    writes,
)
from tests.gateway_client import CONTOSO
from tests.license_changes import held, license, none_left, refusal, refusing_licenses

ADELE, ALLAN = "Adele Vance", "Allan Deyoung"
TAILSPIN = tenant_named("tailspintoys")


# ── what Microsoft answers ──


async def test_a_throttled_write_says_how_long_to_wait(gateway, sandbox, e3):
    order_fault(sandbox, method="POST", path="/licenseupdates", status=429, retry_after=150)
    errors = await refusal(gateway, ADELE, remove=[e3])

    message = "Microsoft asks to wait 150 seconds. Nothing was written."
    assert errors == [refused("THROTTLED", message, retryable=True, retryAfterSeconds=150)]


async def test_a_unit_taken_between_check_and_write_is_told_as_none_left(sandbox, visio):
    meanwhile = Meanwhile()
    meanwhile.at("POST", "/licenseupdates", lambda: setattr(holding_of(sandbox, "VISIOCLIENT"), "active_units", 2))
    async with running_gateway(sandbox, bend=meanwhile) as gateway:
        payload = await license(gateway, ADELE, assign=[visio])

    assert (payload["user"], payload["effects"]) == (None, [])
    assert payload["userErrors"] == [none_left(visio, "Visio Plan 2", consumed=2)]
    assert visio not in held(sandbox, ADELE)


CONFLICTS = [
    ("MutuallyExclusiveViolation: {visio}", ("assign", "1"), "Visio Plan 2: "),
    ("License Visio Plan 2 is mutually exclusive with another", ("assign", "1"), "Visio Plan 2: "),
    ("service plan {plan} is one of conflicting service plans", ("assign", "0"), "Office 365 E3: "),
    ("DependencyViolation {power_bi}", ("remove", "0"), "Power BI Pro: "),
    ("inherited from a group membership and it cannot be removed directly", (), ""),
]


@pytest.mark.parametrize(("text", "at", "named"), CONFLICTS)
async def test_a_conflict_names_the_product_where_the_text_allows(sandbox, e3, visio, power_bi, text, at, named):
    person_of(sandbox, ADELE).licenses = {power_bi: set()}
    plan = holding_of(sandbox, "ENTERPRISEPACK").product.plans[0].id
    told = text.format(visio=visio.upper(), power_bi=power_bi, plan=plan)
    async with running_gateway(sandbox, bend=refusing_licenses(told)) as gateway:
        errors = await refusal(gateway, ADELE, assign=[e3, visio], remove=[power_bi])

    message = "The product conflicts with another one that the user has, or needs one that the user lacks."
    field = ["input", *at, "skuId"] if at[:1] == ("assign",) else ["input", *at]
    assert errors == [refused("LICENSE_CONFLICT", f"{named}{message}", *field)]


async def test_the_only_product_of_a_call_is_named_whatever_the_text(sandbox, power_bi):
    bend = refusing_licenses("User license is inherited from a group membership")
    async with running_gateway(sandbox, bend=bend) as gateway:
        [error] = await refusal(gateway, ADELE, remove=[power_bi])

    assert (error["code"], error["field"]) == ("LICENSE_CONFLICT", ["input", "remove", "0"])
    assert error["message"].startswith("Power BI Pro: ")


# ── license groups ──


async def test_products_of_two_license_groups_are_one_call_each(gateway, sandbox, minecraft, e1):
    payload = await license(gateway, "Ty Carlson", tenant=TAILSPIN, assign=[minecraft, e1])

    assert payload["userErrors"] == []
    assert {one["sku"]["skuId"]: one["change"] for one in payload["effects"]} == {minecraft: 1, e1: 1}
    ty = person_of(sandbox, "Ty Carlson", TAILSPIN)
    assert short(writes(gateway.calls()), TAILSPIN) == [f"POST users/{ty.id}/licenseupdates"] * 2
    assert set(ty.licenses) == {minecraft, e1}


async def test_a_product_of_another_group_is_checked_before_anything_is_written(gateway, sandbox, minecraft, e1):
    holding_of(sandbox, "CFQ7TTC0K5DR/0002", TAILSPIN).active_units = 2
    errors = await refusal(gateway, "Ty Carlson", tenant=TAILSPIN, assign=[e1, minecraft])

    assert [(error["code"], error["field"]) for error in errors] == [
        ("NONE_AVAILABLE", ["input", "assign", "1", "skuId"])
    ]
    assert writes(gateway.calls()) == []


async def test_a_group_that_fails_after_another_shows_what_was_done(gateway, sandbox, minecraft, e1):
    order_fault(sandbox, method="POST", path="/licenseupdates", status=403, skip=1)
    payload = await license(gateway, "Ty Carlson", tenant=TAILSPIN, assign=[minecraft, e1])

    assert payload["user"]["displayName"] == "Ty Carlson"
    assert payload["effects"] == [effect(e1, 1, 2, 4)]
    message = "The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it."
    assert payload["userErrors"] == [refused("TENANT_ACCESS_MISSING", message)]
    assert held(sandbox, "Ty Carlson", TAILSPIN) == {e1}


async def test_a_group_of_which_only_is_taken_comes_first(gateway, sandbox, minecraft, e1):
    order_fault(sandbox, method="POST", path="/licenseupdates", status=403, skip=1)
    payload = await license(gateway, "Yvonne McKay", tenant=TAILSPIN, assign=[e1], remove=[minecraft])

    assert [(one["sku"]["skuId"], one["change"]) for one in payload["effects"]] == [(minecraft, -1)]


# ── many at once ──


async def test_of_two_callers_for_the_last_unit_one_gets_it(gateway, sandbox, visio):
    holding_of(sandbox, "VISIOCLIENT").active_units = 3
    payloads = await asyncio.gather(*(license(gateway, name, assign=[visio]) for name in (ADELE, ALLAN)))

    assert sorted(len(payload["userErrors"]) for payload in payloads) == [0, 1]
    [errors] = [payload["userErrors"] for payload in payloads if payload["userErrors"]]
    [done] = [payload["effects"] for payload in payloads if payload["effects"]]
    assert errors == [none_left(visio, "Visio Plan 2", consumed=3)]
    assert done == [effect(visio, 1, 2, 1)]
    assert len(writes(gateway.calls())) == 1


async def test_of_twenty_callers_for_five_units_five_get_one_and_the_figures_are_exact(gateway, sandbox, e3):
    mutation = f"""mutation ($input: UpdateUserLicensesInput!) {{
      updateUserLicenses(input: $input) {{ {EFFECTS.replace("predicted", "")} {ERRORS} }} }}"""
    users = sandbox.world.customers[CONTOSO].users
    takers = [person("contoso.onmicrosoft.com", f"Taker {number}") for number in range(20)]
    users.update({taker.id: taker for taker in takers})
    payloads = await asyncio.gather(
        *(change(gateway, mutation, userId=id_of(sandbox, one.display_name), assign=[{"skuId": e3}]) for one in takers)
    )

    done = [payload["effects"][0] for payload in payloads if not payload["userErrors"]]
    assert sorted(one["availableUnitsAfter"] for one in done) == [0, 1, 2, 3, 4]
    assert sorted(one["consumedUnitsAfter"] for one in done) == [21, 22, 23, 24, 25]
    codes = [payload["userErrors"][0]["code"] for payload in payloads if payload["userErrors"]]
    assert codes == ["NONE_AVAILABLE"] * 15
    assert sum(e3 in user.licenses for user in users.values()) == 25
    assert len(writes(gateway.calls())) == 5


async def test_through_two_gateways_of_two_callers_for_the_last_unit_one_gets_it(sandbox, redis_url, visio):
    holding_of(sandbox, "VISIOCLIENT").active_units = 3
    async with (
        running_gateway(sandbox, redis_url=redis_url) as one,
        running_gateway(sandbox, redis_url=redis_url) as other,
    ):
        payloads = await asyncio.gather(license(one, ADELE, assign=[visio]), license(other, ALLAN, assign=[visio]))
        calls = one.calls()

    errors = [error for payload in payloads for error in payload["userErrors"]]
    assert errors == [none_left(visio, "Visio Plan 2", consumed=3)]
    assert len(writes(calls)) == 1


async def test_the_change_is_seen_at_once_through_another_gateway(sandbox, redis_url, e3):
    query = "query ($id: ID!) { node(id: $id) { ... on User { assignedLicenseCount } } }"
    async with (
        running_gateway(sandbox, redis_url=redis_url) as one,
        running_gateway(sandbox, redis_url=redis_url) as other,
    ):
        before = await other.data(query, {"id": id_of(sandbox, ADELE)})
        await license(one, ADELE, remove=[e3])
        after = await other.data(query, {"id": id_of(sandbox, ADELE)})

    assert (before["node"]["assignedLicenseCount"], after["node"]["assignedLicenseCount"]) == (2, 1)
