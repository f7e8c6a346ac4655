"""Manage Licenses: one change set, units counted exactly, nothing touched that was not named."""

import httpx

from tests.callers import bearer, without
from tests.changes import (
    ERRORS,
    LICENSE,
    change,
    effect,
    holding_of,
    id_of,
    person_of,
    refused,
    running_gateway,
    short,
    sku_of,
    tenant_named,
    world_of,
    writes,
)
from tests.license_changes import held, license, none_left, refusal, refusing_licenses

ADELE, ALLAN, DEBRA, DIEGO = "Adele Vance", "Allan Deyoung", "Debra Berger", "Diego Siciliani"
NO_ACCESS = (
    "The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it. Nothing was written."
)
UNHELD = "11111111-2222-4333-8444-555555555555"


# ── what it does ──


async def test_all_toggles_are_one_call_and_only_named_products_move(gateway, sandbox, e3, power_bi, visio):
    holdings = {number: vars_of(holding_of(sandbox, number)) for number in ("EMS", "DYN365_ENTERPRISE_SALES")}
    payload = await license(gateway, ADELE, assign=[visio], remove=[e3, power_bi])

    assert payload["user"]["displayName"] == ADELE
    assert payload["userErrors"] == []
    assert payload["effects"] == [
        effect(visio, 1, 2, 2),
        effect(e3, -1, 20, 5),
        effect(power_bi, -1, 5, 0),
    ]
    adele = person_of(sandbox, ADELE)
    assert adele.licenses == {visio: set()}
    assert short(writes(gateway.calls())) == [f"POST users/{adele.id}/licenseupdates"]
    assert {number: vars_of(holding_of(sandbox, number)) for number in holdings} == holdings


def vars_of(holding):
    return {name: getattr(holding, name) for name in holding.__slots__}


async def test_a_user_at_hand_costs_one_write_and_two_reads(gateway, sandbox, visio):
    await gateway.data('{ tenant(by: {domain: "contoso.onmicrosoft.com"}) { users(first: 5) { totalCount } } }')
    gateway.calls()
    mutation = "mutation ($input: UpdateUserLicensesInput!) { updateUserLicenses(input: $input) { user { id } } }"
    await change(gateway, mutation, userId=id_of(sandbox, ADELE), assign=[{"skuId": visio}])

    path = f"users/{person_of(sandbox, ADELE).id}"
    assert short(gateway.calls()) == [f"GET {path}/licenses", "GET subscribedskus", f"POST {path}/licenseupdates"]


async def test_the_change_is_seen_at_once_by_the_payload_and_every_later_query(gateway, sandbox, e3, visio):
    fields = "licenses { sku { skuId } } assignedLicenseCount licenseOptions { assigned sku { skuId availableUnits } }"
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on User {{ {fields} }} }} }}"
    skus = """{ tenant(by: {domain: "contoso.onmicrosoft.com"}) {
      subscribedSkus { skuId consumedUnits availableUnits holders(first: 50) { totalCount } } } }"""
    id = id_of(sandbox, ADELE)
    await gateway.data(query, {"id": id})
    await gateway.data(skus)
    mutation = f"""mutation ($input: UpdateUserLicensesInput!) {{
      updateUserLicenses(input: $input) {{ user {{ {fields} }} {ERRORS} }} }}"""
    payload = await change(gateway, mutation, userId=id, assign=[{"skuId": visio}], remove=[e3])
    later = (await gateway.data(query, {"id": id}))["node"]
    products = (await gateway.data(skus))["tenant"]["subscribedSkus"]

    assert payload["userErrors"] == []
    assert payload["user"] == later
    assert {one["sku"]["skuId"] for one in later["licenses"]} == held(sandbox, ADELE)
    assert e3 not in held(sandbox, ADELE)
    assert later["assignedLicenseCount"] == 2
    assert {one["sku"]["skuId"]: one["sku"]["availableUnits"] for one in later["licenseOptions"]}[e3] == 6
    [now] = [one for one in products if one["skuId"] == e3]
    assert now == {"skuId": e3, "consumedUnits": 19, "availableUnits": 6, "holders": {"totalCount": 19}}


async def test_what_is_so_already_is_no_change_and_no_error(gateway, sandbox, e3, visio):
    before = world_of(sandbox)
    payload = await license(gateway, ADELE, assign=[e3], remove=[visio, visio])

    assert payload["user"]["displayName"] == ADELE
    assert (payload["effects"], payload["userErrors"]) == ([], [])
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


async def test_an_empty_change_set_changes_nothing(gateway, sandbox):
    payload = await license(gateway, ADELE)

    assert (payload["effects"], payload["userErrors"]) == ([], [])
    assert writes(gateway.calls()) == []


async def test_a_dry_run_predicts_the_effects_and_writes_nothing(gateway, sandbox, e3, visio):
    before = world_of(sandbox)
    payload = await license(gateway, ADELE, assign=[visio], remove=[e3], usageLocation="GR", dryRun=True)

    assert payload["user"]["usageLocation"] == "GR"
    assert payload["userErrors"] == []
    assert payload["effects"] == [effect(visio, 1, 2, 2, predicted=True), effect(e3, -1, 20, 5, predicted=True)]
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


async def test_figures_that_microsoft_does_not_show_yet_are_called_predicted(sandbox, visio):
    adele, asked = person_of(sandbox, ADELE), []

    def lag(request):
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "subscribedskus" and "licenseupdates" in asked:
            del adele.licenses[visio]

    async with running_gateway(sandbox, bend=lag) as gateway:
        payload = await license(gateway, ADELE, assign=[visio])

    assert payload["effects"] == [effect(visio, 1, 2, 2, predicted=True)]


# ── service plans ──


async def test_plans_switched_off_stay_off_when_another_product_is_toggled(gateway, sandbox, visio):
    before = {sku: set(off) for sku, off in person_of(sandbox, DIEGO).licenses.items()}
    assert any(before.values())
    payload = await license(gateway, DIEGO, assign=[visio])

    assert payload["userErrors"] == []
    assert person_of(sandbox, DIEGO).licenses == {**before, visio: set()}


async def test_a_held_product_named_without_plans_keeps_them(gateway, sandbox, e3):
    payload = await license(gateway, DIEGO, assign=[e3])

    assert (payload["effects"], payload["userErrors"]) == ([], [])
    assert writes(gateway.calls()) == []


async def test_plans_of_a_held_product_are_changed_without_moving_a_unit(gateway, sandbox, e3):
    off = person_of(sandbox, DIEGO).licenses[e3]
    one = sorted(off)[0]
    payload = await license(gateway, DIEGO, assign=[{"skuId": e3, "disabledServicePlanIds": [one, one]}])

    assert (payload["effects"], payload["userErrors"]) == ([], [])
    assert person_of(sandbox, DIEGO).licenses[e3] == {one}
    gateway.calls()
    again = await license(gateway, DIEGO, assign=[{"skuId": e3, "disabledServicePlanIds": [one]}])
    assert again["userErrors"] == []
    assert writes(gateway.calls()) == []


async def test_a_new_license_comes_with_the_plans_that_were_named_off(gateway, sandbox, e3):
    plan = holding_of(sandbox, "ENTERPRISEPACK").product.plans[0].id
    payload = await license(gateway, ALLAN, assign=[{"skuId": e3, "disabledServicePlanIds": [plan]}])

    assert payload["userErrors"] == []
    assert person_of(sandbox, ALLAN).licenses == {e3: {plan}}


async def test_a_lost_answer_to_a_change_of_plans_is_not_taken_for_made(sandbox, e3):
    """The user holds the product before and after: only the plans tell."""
    lost = []

    def lose(request):
        if request.url.path.endswith("/licenseupdates"):
            lost.append(request)
            return httpx.Response(503)
        return None

    one = sorted(person_of(sandbox, DIEGO).licenses[e3])[0]
    toggle = {"skuId": e3, "disabledServicePlanIds": [one]}
    async with running_gateway(sandbox, bend=lose) as gateway:
        payload = await license(gateway, DIEGO, assign=[toggle])

    assert payload["userErrors"] == [
        refused(
            "UPSTREAM_ERROR", "Microsoft did not make the change. Try again later. Nothing was written.", retryable=True
        )
    ]
    assert len(person_of(sandbox, DIEGO).licenses[e3]) == 2


# ── the usage location ──


async def test_without_a_location_no_license_can_be_assigned(gateway, sandbox, e3):
    errors = await refusal(gateway, DEBRA, assign=[e3])

    message = "Debra Berger has no usage location, which a license needs. Give one as usageLocation."
    assert errors == [refused("USAGE_LOCATION_REQUIRED", message, "input", "usageLocation")]


async def test_a_location_in_the_same_input_is_set_first(gateway, sandbox, e3):
    payload = await license(gateway, DEBRA, assign=[e3], usageLocation="us")

    assert (payload["user"]["usageLocation"], payload["userErrors"]) == ("US", [])
    assert payload["effects"] == [effect(e3, 1, 20, 5)]
    path = f"users/{person_of(sandbox, DEBRA).id}"
    assert short(writes(gateway.calls())) == [f"PATCH {path}", f"POST {path}/licenseupdates"]
    assert held(sandbox, DEBRA) == {e3}


async def test_removing_needs_no_location(gateway, sandbox, e3):
    person_of(sandbox, ADELE).usage_location = None
    payload = await license(gateway, ADELE, remove=[e3])

    assert payload["userErrors"] == []


async def test_the_location_alone_can_be_set_with_the_right_to_licenses(gateway, sandbox):
    payload = await license(gateway, DEBRA, bearer(permissions=without("WRITE_USERS")), usageLocation="GR")

    assert (payload["user"]["usageLocation"], payload["effects"], payload["userErrors"]) == ("GR", [], [])


async def test_a_location_that_was_set_stays_where_the_license_fails_then(sandbox, e3):
    bend = refusing_licenses("MutuallyExclusiveViolation")
    async with running_gateway(sandbox, bend=bend) as gateway:
        payload = await license(gateway, DEBRA, assign=[e3], usageLocation="US")

    assert payload["user"]["usageLocation"] == "US"
    assert payload["effects"] == []
    assert [error["code"] for error in payload["userErrors"]] == ["LICENSE_CONFLICT"]
    assert (person_of(sandbox, DEBRA).usage_location, held(sandbox, DEBRA)) == ("US", set())


# ── refusals ──


async def test_no_unit_left_refuses_the_whole_set(gateway, sandbox, e3, power_bi):
    errors = await refusal(gateway, ALLAN, assign=[e3, power_bi])

    assert errors == [none_left(power_bi, "Power BI Pro", 1)]
    assert writes(gateway.calls()) == []


async def test_an_over_assigned_product_says_how_many_are_missing(gateway, sandbox):
    litware = tenant_named("litware")
    basic = sku_of(sandbox, "O365_BUSINESS_ESSENTIALS")
    person_of(sandbox, "Kim Akers", litware).licenses.clear()
    [error] = await refusal(gateway, "Kim Akers", tenant=litware, assign=[basic])

    assert (error["__typename"], error["availableUnits"]) == ("NoneAvailableError", -1)


async def test_all_problems_of_a_change_set_are_told_together(gateway, sandbox, e3, power_bi, visio):
    capacity = sku_of(sandbox, "CDS_DB_CAPACITY")
    errors = await refusal(
        gateway,
        DEBRA,
        assign=[
            power_bi,
            capacity,
            UNHELD,
            visio,
            e3,
            {"skuId": e3, "disabledServicePlanIds": [UNHELD]},
        ],
        remove=[visio],
    )

    def at(index, *more):
        return "input", "assign", str(index), *(more or ("skuId",))

    assert errors == [
        refused("INVALID", f"The product {visio} is both assigned and removed. Name it once.", *at(3)),
        refused("INVALID", f"The product {e3} is assigned twice. Name it once.", *at(5)),
        none_left(power_bi, "Power BI Pro"),
        refused(
            "INVALID",
            "Common Data Service Database Capacity belongs to the organization as a whole, not to a person.",
            *at(1),
        ),
        refused("NOT_FOUND", f"The tenant does not hold the product {UNHELD}.", *at(2)),
        refused("INVALID", f"Office 365 E3 has no service plan {UNHELD}.", *at(5, "disabledServicePlanIds", "0")),
        refused(
            "USAGE_LOCATION_REQUIRED",
            "Debra Berger has no usage location, which a license needs. Give one as usageLocation.",
            "input",
            "usageLocation",
        ),
    ]


async def test_a_location_that_is_no_country_is_told_with_the_rest(gateway, power_bi):
    errors = await refusal(gateway, ALLAN, assign=[power_bi], usageLocation="ZZ")

    message = "ZZ is no country code of ISO 3166-1 alpha-2, such as GR."
    assert errors == [refused("INVALID", message, "input", "usageLocation"), none_left(power_bi, "Power BI Pro")]


async def test_at_most_fifty_products_are_named_at_once(gateway):
    many = [f"11111111-2222-4333-8444-{number:012d}" for number in range(51)]
    errors = await refusal(gateway, ADELE, remove=many)

    assert [(error["code"], error["field"]) for error in errors] == [("INVALID", ["input", "remove"])]


async def test_a_missing_permission_is_told_and_nothing_is_asked(gateway, e3):
    errors = await refusal(gateway, ADELE, bearer(permissions=without("WRITE_LICENSES")), remove=[e3])

    message = "This needs the permission WRITE_LICENSES, which your token does not carry."
    assert errors == [refused("NOT_PERMITTED", message)]
    assert gateway.calls() == []


async def test_a_privileged_user_is_out_of_reach_without_manage_admins(gateway, e3):
    errors = await refusal(gateway, "Grady Archie", bearer(permissions=without("MANAGE_ADMINS")), remove=[e3])

    message = "The user is Helpdesk Administrator. Changing such a user needs the permission MANAGE_ADMINS."
    assert errors == [refused("PRIVILEGED_TARGET", message, "input", "userId")]


async def test_a_plain_user_is_within_reach_without_manage_admins(gateway, e3):
    payload = await license(gateway, "Patti Fernandez", bearer(permissions=without("MANAGE_ADMINS")), remove=[e3])

    assert payload["userErrors"] == []


async def test_foreign_unknown_and_garbled_ids_look_alike(gateway, sandbox, e3):
    caller = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])
    absent = refused("NOT_FOUND", "There is no such user.", "input", "userId")
    for id, authorization in ((id_of(sandbox, ADELE), caller), ("nonsense", None)):
        payload = await change(gateway, LICENSE, authorization, userId=id, remove=[e3])
        assert payload == {"user": None, "effects": [], "userErrors": [absent]}
        assert gateway.calls() == []


async def test_a_user_deleted_meanwhile_is_not_licensed_from_an_old_copy(gateway, sandbox, visio):
    await gateway.data('{ tenant(by: {domain: "contoso.onmicrosoft.com"}) { users(first: 5) { totalCount } } }')
    person_of(sandbox, ADELE).deleted_at = sandbox.clock.now()
    errors = await refusal(gateway, ADELE, assign=[visio])

    message = "Adele Vance is deleted and can only be restored."
    assert errors == [refused("USER_DELETED", message, "input", "userId")]


async def test_without_access_to_the_tenant_the_change_is_refused(gateway, sandbox):
    e5 = sku_of(sandbox, "SPE_E5")
    errors = await refusal(gateway, "Roxanne Kenison", tenant=tenant_named("adatum"), remove=[e5])

    assert errors == [refused("TENANT_ACCESS_MISSING", NO_ACCESS)]
