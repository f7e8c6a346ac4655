"""What a change of licenses asks of Microsoft when nothing is at hand: no more than it needs to be safe."""

import pytest
from redis import Redis

from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.changes import ERRORS, audit_log, change, id_of, person_of, refused, running_gateway, short, writes
from tests.gateway_client import CONTOSO
from tests.jobs import BULK, ended, found, results_of
from tests.license_changes import held
from tests.two_gateways import make_older

ADELE, DEBRA, ENRICO = "Adele Vance", "Debra Berger", "Enrico Cattaneo"
UPN = "adele.vance@contoso.onmicrosoft.com"
EFFECTS = "effects { change availableUnitsAfter sku { skuId productName } }"
PEOPLE = '{ tenant(by: {domain: "contoso.onmicrosoft.com"}) { users(first: 5) { totalCount } } }'


def mutation(fields):
    return f"""mutation ($input: UpdateUserLicensesInput!) {{
      updateUserLicenses(input: $input) {{ {fields} {ERRORS} }}
    }}"""


def path_of(sandbox, name):
    return f"users/{person_of(sandbox, name).id}"


def wanted(kind, sku_id):
    return {"assign": [{"skuId": sku_id}]} if kind == "assign" else {"remove": [sku_id]}


@pytest.mark.parametrize("kind", ["assign", "remove"])
async def test_a_change_costs_one_write_and_two_reads(gateway, sandbox, visio, e3, kind):
    """Whoever holds a license has a location, and is there: nothing of the record decides."""
    input = wanted(kind, visio if kind == "assign" else e3)
    fields = f"user {{ __typename id microsoftId status deletion {{ daysLeft }} }} {EFFECTS}"
    payload = await change(gateway, mutation(fields), userId=id_of(sandbox, ADELE), **input)

    path = path_of(sandbox, ADELE)
    assert short(gateway.calls()) == [f"GET {path}/licenses", "GET subscribedskus", f"POST {path}/licenseupdates"]
    assert payload["userErrors"] == []
    assert payload["user"] == {
        "__typename": "User",
        "id": id_of(sandbox, ADELE),
        "microsoftId": person_of(sandbox, ADELE).id,
        "status": "ACTIVE",
        "deletion": None,
    }
    assert [effect["change"] for effect in payload["effects"]] == [1 if kind == "assign" else -1]


async def test_an_idempotency_key_costs_no_more(gateway, sandbox, visio):
    path = path_of(sandbox, ADELE)
    input = {"userId": id_of(sandbox, ADELE), "assign": [{"skuId": visio}], "idempotencyKey": "k"}
    payload = await change(gateway, mutation(f"user {{ id }} {EFFECTS}"), **input)

    assert (payload["user"], payload["userErrors"]) == ({"id": id_of(sandbox, ADELE)}, [])
    assert short(gateway.calls()) == [f"GET {path}/licenses", "GET subscribedskus", f"POST {path}/licenseupdates"]


async def test_the_licenses_after_the_change_are_read_and_the_record_is_not(gateway, sandbox, visio, e3):
    fields = "user { id assignedLicenseCount licenses { sku { skuId } } tenant { id } }"
    payload = await change(
        gateway, mutation(fields), userId=id_of(sandbox, ADELE), assign=[{"skuId": visio}], remove=[e3]
    )

    assert {one["sku"]["skuId"] for one in payload["user"]["licenses"]} == held(sandbox, ADELE)
    assert payload["user"]["assignedLicenseCount"] == 2
    assert f"GET {path_of(sandbox, ADELE)}" not in short(gateway.calls())


@pytest.mark.parametrize("field", ["displayName", "actions { name }", "licenseOptions { assigned }", "version"])
async def test_what_is_asked_of_the_record_costs_its_read_before_anything_is_written(gateway, sandbox, e3, field):
    payload = await change(gateway, mutation(f"user {{ {field} }}"), userId=id_of(sandbox, ADELE), remove=[e3])

    path = path_of(sandbox, ADELE)
    expected = [f"GET {path}", f"GET {path}/licenses", "GET subscribedskus", f"POST {path}/licenseupdates"]
    assert short(gateway.calls())[:4] == expected
    assert payload["userErrors"] == []
    assert payload["user"][field.partition(" ")[0]]


async def test_a_repeat_under_the_same_key_may_ask_for_more_of_the_user(gateway, sandbox, e3):
    input = {"userId": id_of(sandbox, ADELE), "remove": [e3], "idempotencyKey": "k"}
    await change(gateway, mutation("user { id }"), **input)
    gateway.calls()
    payload = await change(gateway, mutation("user { displayName usageLocation }"), **input)

    assert payload == {"user": {"displayName": ADELE, "usageLocation": "US"}, "userErrors": []}
    assert short(gateway.calls()) == [f"GET {path_of(sandbox, ADELE)}"]


async def test_for_somebody_without_a_license_the_location_is_read_as_well(gateway, sandbox, e3):
    person_of(sandbox, DEBRA).usage_location = "US"
    payload = await change(gateway, mutation("user { id }"), userId=id_of(sandbox, DEBRA), assign=[{"skuId": e3}])

    path = path_of(sandbox, DEBRA)
    assert payload["userErrors"] == []
    assert short(gateway.calls()) == [
        f"GET {path}/licenses",
        "GET subscribedskus",
        f"GET {path}",
        f"POST {path}/licenseupdates",
    ]


async def test_without_a_license_and_without_a_location_nothing_is_written(gateway, sandbox, e3):
    payload = await change(gateway, mutation("user { id }"), userId=id_of(sandbox, DEBRA), assign=[{"skuId": e3}])

    message = "Debra Berger has no usage location, which a license needs. Give one as usageLocation."
    assert payload == {
        "user": None,
        "userErrors": [refused("USAGE_LOCATION_REQUIRED", message, "input", "usageLocation")],
    }
    assert held(sandbox, DEBRA) == set()


async def test_a_license_without_a_location_is_refused_by_microsoft_with_the_same_code(gateway, sandbox, visio):
    """A license can come from a group, which needs no location."""
    person_of(sandbox, ADELE).usage_location = None
    before = held(sandbox, ADELE)
    payload = await change(gateway, mutation("user { id }"), userId=id_of(sandbox, ADELE), assign=[{"skuId": visio}])

    assert payload["user"] is None
    assert [error["code"] for error in payload["userErrors"]] == ["USAGE_LOCATION_REQUIRED"]
    assert held(sandbox, ADELE) == before


async def test_a_dry_run_reads_the_record_so_that_it_knows_what_microsoft_would_refuse(gateway, sandbox, visio):
    input = {"userId": id_of(sandbox, ADELE), "assign": [{"skuId": visio}], "dryRun": True}
    allowed = await change(gateway, mutation("user { id }"), **input)
    calls = short(gateway.calls())
    person_of(sandbox, ADELE).usage_location = None
    refusal = await change(gateway, mutation("user { id }"), **input)

    path = path_of(sandbox, ADELE)
    assert calls == [f"GET {path}", f"GET {path}/licenses", "GET subscribedskus"]
    assert allowed["userErrors"] == []
    assert [error["code"] for error in refusal["userErrors"]] == ["USAGE_LOCATION_REQUIRED"]


async def test_deleted_and_unknown_users_are_told_apart_without_their_record_too(gateway, sandbox, e3):
    nobody = encode_id("User", CONTOSO, "00000000-0000-4000-8000-000000000000")
    input = {"assign": [{"skuId": e3}]}
    deleted = await change(gateway, mutation("user { id }"), userId=id_of(sandbox, ENRICO), **input)
    unknown = await change(gateway, mutation("user { id }"), userId=nobody, **input)

    message = "Enrico Cattaneo is deleted and can only be restored."
    assert deleted == {"user": None, "userErrors": [refused("USER_DELETED", message, "input", "userId")]}
    absent = refused("NOT_FOUND", "There is no such user.", "input", "userId")
    assert unknown == {"user": None, "userErrors": [absent]}
    assert writes(gateway.calls()) == []


async def test_without_manage_admins_the_roles_are_read_as_well(gateway, sandbox, e3):
    caller = bearer(permissions=without("MANAGE_ADMINS"))
    user_id = id_of(sandbox, "Patti Fernandez")
    payload = await change(gateway, mutation("user { id }"), caller, userId=user_id, remove=[e3])

    path = path_of(sandbox, "Patti Fernandez")
    assert payload["userErrors"] == []
    assert short(gateway.calls()) == [
        f"GET {path}/licenses",
        "GET subscribedskus",
        f"GET {path}/directoryroles",
        f"POST {path}/licenseupdates",
    ]


async def test_the_audit_log_names_the_user_by_any_copy_and_without_one_by_the_id_alone(sandbox, redis_url, visio, e3):
    id = id_of(sandbox, ADELE)
    async with running_gateway(sandbox, redis_url=redis_url) as gateway:
        await change(gateway, mutation("user { id }"), userId=id, assign=[{"skuId": visio}])
        await gateway.data(PEOPLE)
        with Redis.from_url(redis_url) as redis:
            make_older(redis, fresh=False, renewable=False)
        gateway.calls()
        await change(gateway, mutation("user { id }"), userId=id, remove=[e3])
        reads = [call for call in short(gateway.calls()) if call.startswith("GET")]
        later, first = await audit_log(gateway)

    assert reads == [f"GET {path_of(sandbox, ADELE)}/licenses", "GET subscribedskus"]
    assert (first["userId"], first["userPrincipalName"]) == (id, None)
    assert (later["userId"], later["userPrincipalName"]) == (id, UPN)


async def test_a_job_keeps_who_was_changed_by_name(gateway, sandbox, e3):
    payload = await change(gateway, BULK, users={"ids": [id_of(sandbox, ADELE)]}, remove=[e3])
    job = await ended(gateway, payload["job"]["id"])
    gateway.calls()
    [result] = results_of(await found(gateway, job["id"]))
    calls = gateway.calls()
    [record] = await audit_log(gateway)

    assert (result["user"]["displayName"], record["userPrincipalName"]) == (ADELE, UPN)
    assert calls == []
