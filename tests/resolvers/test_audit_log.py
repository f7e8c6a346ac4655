"""The audit log: one completed record a mutation, whatever became of it, with exactly what was changed."""

import json

import pytest

from sandbox.directory_roles import BILLING_ADMINISTRATOR, REPORTS_READER
from tests.callers import bearer, without
from tests.changes import (
    AUDIT,
    DELETE,
    LICENSE,
    RESTORE,
    UPDATE,
    WRITES,
    audit_log,
    change,
    id_of,
    order_fault,
    person_of,
    tenant_named,
)
from tests.gateway_client import CONTOSO

ADELE, PATTI, ENRICO = "Adele Vance", "Patti Fernandez", "Enrico Cattaneo"
UPN = "adele.vance@contoso.onmicrosoft.com"


def sent(sandbox):
    """The correlation ids under which the sandbox logged what was written."""
    return [call.correlation_id for call in sandbox.calls if call.method in WRITES and "/oauth2/" not in call.path]


async def the_record(gateway, tenant=CONTOSO):
    """The only record, its changes read."""
    [record] = await audit_log(gateway, tenant)
    return {**record, "changes": json.loads(record["changes"])}


async def test_an_edit_is_recorded_with_what_it_changed_and_microsofts_id(gateway, sandbox):
    id, before = id_of(sandbox, ADELE), sandbox.clock.now()
    await change(gateway, UPDATE, id=id, firstName="Ada", lastName="Vance", usageLocation="GR")
    [correlation_id] = sent(sandbox)
    record = await the_record(gateway)

    at = record.pop("at")
    assert before.isoformat()[:16] <= at[:16] <= sandbox.clock.now().isoformat()[:16]
    assert record == {
        "actor": "Demo partner",
        "action": "updateUser",
        "userId": id,
        "userPrincipalName": UPN,
        "outcome": "DONE",
        "changes": {
            "before": {"firstName": "Adele", "usageLocation": "US"},
            "after": {"firstName": "Ada", "usageLocation": "GR"},
        },
        "correlationId": correlation_id,
    }


async def test_roles_are_recorded_as_the_whole_lists(gateway, sandbox):
    await change(gateway, UPDATE, id=id_of(sandbox, PATTI), roleIds=[BILLING_ADMINISTRATOR])
    first, _ = sent(sandbox)
    record = await the_record(gateway)

    assert record["changes"] == {"before": {"roleIds": [REPORTS_READER]}, "after": {"roleIds": [BILLING_ADMINISTRATOR]}}
    assert record["correlationId"] == first


async def test_a_change_of_licenses_is_recorded_with_plans_and_location(gateway, sandbox, e3):
    plan = sorted(person_of(sandbox, "Diego Siciliani").licenses[e3])[0]
    off = sorted(person_of(sandbox, "Diego Siciliani").licenses[e3])
    held = sorted(person_of(sandbox, "Diego Siciliani").licenses)
    assign = [{"skuId": e3, "disabledServicePlanIds": [plan]}]
    await change(gateway, LICENSE, userId=id_of(sandbox, "Diego Siciliani"), assign=assign, usageLocation="CA")
    record = await the_record(gateway)

    assert record["changes"] == {
        "before": {"skuIds": held, "usageLocation": "US", "disabledServicePlanIds": {e3: off}},
        "after": {"skuIds": held, "usageLocation": "CA", "disabledServicePlanIds": {e3: [plan]}},
    }


async def test_deletion_and_restore_are_recorded(gateway, sandbox, e3, power_bi):
    id, skus = id_of(sandbox, ADELE), sorted([e3, power_bi])
    await change(gateway, DELETE, id=id)
    await change(gateway, RESTORE, id=id)
    restored, deleted = await audit_log(gateway)

    active, gone = {"status": "ACTIVE", "skuIds": skus}, {"status": "DELETED", "skuIds": []}
    assert (deleted["action"], json.loads(deleted["changes"])) == ("deleteUser", {"before": active, "after": gone})
    assert (restored["action"], json.loads(restored["changes"])) == ("restoreUser", {"before": gone, "after": active})
    assert [deleted["correlationId"], restored["correlationId"]] == sent(sandbox)


async def test_a_change_without_a_difference_is_recorded_too(gateway, sandbox):
    await change(gateway, UPDATE, id=id_of(sandbox, ADELE), firstName="Adele")
    record = await the_record(gateway)

    assert (record["outcome"], record["changes"]) == ("DONE", {"before": {}, "after": {}})


async def test_a_refusal_is_recorded_under_the_gateways_own_id(gateway, sandbox, power_bi):
    request_id = "0b6f3c1e-2a51-4b5e-9d6e-7c1d2e3f4a5b"
    input = {"userId": id_of(sandbox, "Allan Deyoung"), "assign": [{"skuId": power_bi}]}
    await gateway.data(LICENSE, {"input": input}, X_Request_Id=request_id)
    record = await the_record(gateway)

    assert (record["outcome"], record["correlationId"]) == ("REFUSED", request_id)
    assert record["changes"] == {"before": {}, "after": {}, "errors": ["NONE_AVAILABLE"]}


@pytest.mark.parametrize(
    ("mutation", "permission", "input"),
    [
        (UPDATE, "WRITE_USERS", {"firstName": "A"}),
        (LICENSE, "WRITE_LICENSES", {"remove": []}),
        (DELETE, "DELETE_USERS", {}),
        (RESTORE, "DELETE_USERS", {}),
    ],
)
async def test_a_change_that_the_caller_may_not_ask_for_is_recorded(gateway, sandbox, mutation, permission, input):
    name = "userId" if mutation is LICENSE else "id"
    await change(gateway, mutation, bearer(permissions=without(permission)), **{name: id_of(sandbox, ADELE)}, **input)
    record = await the_record(gateway)

    assert (record["actor"], record["outcome"]) == ("Test partner", "REFUSED")
    assert record["changes"] == {"before": {}, "after": {}, "errors": ["NOT_PERMITTED"]}


async def test_a_failed_write_is_recorded_with_what_holds_and_what_was_wanted(gateway, sandbox, e3):
    order_fault(sandbox, method="POST", path="/licenseupdates", status=403)
    held = sorted(person_of(sandbox, ADELE).licenses)
    await change(gateway, LICENSE, userId=id_of(sandbox, ADELE), remove=[e3])
    [correlation_id] = sent(sandbox)
    record = await the_record(gateway)

    assert (record["outcome"], record["correlationId"]) == ("FAILED", correlation_id)
    assert record["changes"] == {
        "before": {"skuIds": held},
        "after": {"skuIds": held},
        "wanted": {"skuIds": [one for one in held if one != e3]},
        "errors": ["TENANT_ACCESS_MISSING"],
    }


async def test_a_change_that_came_half_way_is_recorded_with_what_holds(gateway, sandbox):
    order_fault(sandbox, method="DELETE", path="/usermembers", status=403)
    await change(gateway, UPDATE, id=id_of(sandbox, PATTI), firstName="Pat", roleIds=[BILLING_ADMINISTRATOR])
    record = await the_record(gateway)

    assert record["outcome"] == "FAILED"
    assert record["changes"] == {
        "before": {"firstName": "Patti", "roleIds": [REPORTS_READER]},
        "after": {"firstName": "Pat", "roleIds": sorted([BILLING_ADMINISTRATOR, REPORTS_READER])},
        "wanted": {"firstName": "Pat", "roleIds": [BILLING_ADMINISTRATOR]},
        "errors": ["TENANT_ACCESS_MISSING"],
    }


async def test_dry_runs_leave_no_record(gateway, sandbox, e3):
    for mutation, input in (
        (UPDATE, {"id": id_of(sandbox, ADELE), "firstName": "Ada"}),
        (UPDATE, {"id": id_of(sandbox, ADELE), "displayName": None}),
        (LICENSE, {"userId": id_of(sandbox, ADELE), "remove": [e3]}),
        (DELETE, {"id": id_of(sandbox, ADELE)}),
        (RESTORE, {"id": id_of(sandbox, ENRICO)}),
    ):
        await change(gateway, mutation, **input, dryRun=True)

    assert await audit_log(gateway) == []


async def test_strangers_and_ids_that_name_nothing_leave_nothing_in_a_tenants_log(gateway, sandbox):
    fabrikam = tenant_named("fabrikam")
    for permissions in (without(), without("DELETE_USERS")):
        stranger = bearer("direct-customer", permissions, tenant_ids=[fabrikam])
        await change(gateway, DELETE, stranger, id=id_of(sandbox, ADELE))
    await change(gateway, DELETE, id="nonsense")

    assert await audit_log(gateway) == []
    assert await audit_log(gateway, fabrikam) == []


async def test_each_tenant_has_its_own_log(gateway, sandbox):
    fabrikam = tenant_named("fabrikam")
    await change(gateway, UPDATE, id=id_of(sandbox, "Eva Corets", fabrikam), firstName="E")
    await change(gateway, UPDATE, id=id_of(sandbox, ADELE), firstName="A")

    assert [record["userPrincipalName"] for record in await audit_log(gateway)] == [UPN]
    assert [record["userPrincipalName"] for record in await audit_log(gateway, fabrikam)] == [
        "eva.corets@fabrikam.onmicrosoft.com"
    ]


async def test_the_log_is_paged_newest_first(gateway, sandbox):
    for number in range(5):
        await change(gateway, UPDATE, id=id_of(sandbox, ADELE), firstName=f"A{number}")
    names, sizes, after = [], [], None
    while True:
        data = await gateway.data(AUDIT, {"tenant": CONTOSO, "first": 2, "after": after})
        page = data["tenant"]["auditLog"]
        assert page["totalCount"] == 5
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert page["nodes"] == [{"action": "updateUser"}] * len(page["edges"])
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        names += [json.loads(edge["node"]["changes"])["after"]["firstName"] for edge in page["edges"]]
        sizes.append(len(page["edges"]))
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert (names, sizes) == (["A4", "A3", "A2", "A1", "A0"], [2, 2, 1])


@pytest.mark.parametrize("after", ["nonsense", "-1", "9" * 30, ""])
async def test_what_is_no_cursor_of_the_log_is_refused(gateway, after):
    answer = await gateway.ask(AUDIT, {"tenant": CONTOSO, "after": after})

    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert answer["data"]["tenant"]["auditLog"] is None


async def test_only_who_may_read_it_sees_the_log(gateway, sandbox):
    await change(gateway, UPDATE, id=id_of(sandbox, ADELE), firstName="A")
    answer = await gateway.ask(AUDIT, {"tenant": CONTOSO}, Authorization=bearer(permissions=without("READ_AUDIT")))

    assert answer["data"] == {"tenant": {"auditLog": None}}
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["tenant", "auditLog"], "NOT_PERMITTED")


async def test_the_log_of_a_foreign_tenant_is_that_of_none(gateway, sandbox):
    await change(gateway, UPDATE, id=id_of(sandbox, ADELE), firstName="A")
    stranger = bearer("direct-customer", tenant_ids=[tenant_named("fabrikam")])

    assert await gateway.data(AUDIT, {"tenant": CONTOSO}, Authorization=stranger) == {"tenant": None}
