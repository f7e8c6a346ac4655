"""What fails is null with an error at its path, and the rest of the answer stands."""

import asyncio

import pytest

from sandbox.faults import read_rules
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.callers import bearer
from tests.gateway_client import CONTOSO, running_gateway

ADATUM = stable_id("tenant", "adatum.onmicrosoft.com")
ADELE = stable_id("user", "adele.vance@contoso.onmicrosoft.com")

PAGE = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    id
    users(first: 2) { totalCount nodes { displayName assignedLicenseCount } }
    subscribedSkus { skuPartNumber }
    roles { name }
    country
  }
}
"""
PARTS = {
    "users": r"/users\?",
    "subscribedSkus": "/subscribedskus",
    "roles": "/directoryroles",
}


def broken(sandbox, *rules):
    sandbox.faults.rules = read_rules(list(rules))


def failures(answer):
    return [(".".join(map(str, error["path"])), error["extensions"]["code"]) for error in answer.get("errors", [])]


@pytest.mark.parametrize("field", PARTS)
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 500}, "UPSTREAM_ERROR"),
        ({"status": 400}, "UPSTREAM_ERROR"),
        ({"status": 403}, "ACCESS_MISSING"),
        ({"status": 504}, "TIMEOUT"),
        ({"reset": True}, "UPSTREAM_ERROR"),
        ({"truncate": True}, "UPSTREAM_ERROR"),
    ],
)
async def test_a_failing_part_is_null_with_its_code_at_its_path(gateway, sandbox, field, fault, code):
    broken(sandbox, {"path": PARTS[field], **fault})
    answer = await gateway.ask(PAGE, {"tenant": CONTOSO})

    tenant = answer["data"]["tenant"]
    assert [name for name, value in tenant.items() if value is None] == [field]
    assert failures(answer) == [(f"tenant.{field}", code)]


async def test_throttling_for_longer_than_a_request_lasts_says_how_long_to_wait(gateway, sandbox):
    broken(sandbox, {"path": "/subscribedskus", "status": 429, "retry_after": 120})
    answer = await gateway.ask(PAGE, {"tenant": CONTOSO})

    [error] = answer["errors"]
    assert error["path"] == ["tenant", "subscribedSkus"]
    assert error["extensions"] == {"code": "THROTTLED", "retryAfterSeconds": 120}
    assert error["message"] == "Microsoft asks to wait 120 seconds before asking again."
    assert answer["data"]["tenant"]["users"]["totalCount"] == 32


async def test_what_takes_too_long_is_given_up_and_the_rest_stands(sandbox):
    broken(sandbox, {"path": "/directoryroles", "delay_ms": 60_000})
    async with running_gateway(sandbox, GATEWAY_PARTNER_CENTER_READ_TIMEOUT_SECONDS="1") as gateway:
        async with asyncio.timeout(20):
            answer = await gateway.ask(PAGE, {"tenant": CONTOSO})

    assert failures(answer) == [("tenant.roles", "TIMEOUT")]
    assert answer["data"]["tenant"]["users"]["totalCount"] == 32


async def test_a_tenant_that_may_not_be_read_says_so_field_by_field(gateway):
    answer = await gateway.ask(PAGE, {"tenant": ADATUM})

    assert answer["data"] == {
        "tenant": {
            "id": encode_id("Tenant", ADATUM),
            "users": None,
            "subscribedSkus": None,
            "roles": None,
            "country": "US",
        }
    }
    assert sorted(failures(answer)) == [
        ("tenant.roles", "ACCESS_MISSING"),
        ("tenant.subscribedSkus", "ACCESS_MISSING"),
        ("tenant.users", "ACCESS_MISSING"),
    ]


async def test_a_failed_record_is_an_error_of_the_tenant(gateway, sandbox):
    broken(sandbox, {"path": f"/customers/{CONTOSO}$", "status": 500})
    answer = await gateway.ask(
        "query ($t: UUID!) { tenant(by: {microsoftId: $t}) { name } viewer { name } }", {"t": CONTOSO}
    )

    assert answer["data"] == {"tenant": None, "viewer": {"name": "Demo partner"}}
    assert failures(answer) == [("tenant", "UPSTREAM_ERROR")]


async def test_one_list_of_people_that_fails_fails_the_list(gateway, sandbox):
    """Without the deleted users the list would look whole and not be."""
    broken(sandbox, {"path": "Inactive", "status": 500})
    answer = await gateway.ask(PAGE, {"tenant": CONTOSO})

    assert answer["data"]["tenant"]["users"] is None
    assert failures(answer) == [("tenant.users", "UPSTREAM_ERROR")]


async def test_a_failure_is_not_kept(gateway, sandbox):
    broken(sandbox, {"path": "/subscribedskus", "status": 500})
    await gateway.ask(PAGE, {"tenant": CONTOSO})
    broken(sandbox)

    assert len((await gateway.data(PAGE, {"tenant": CONTOSO}))["tenant"]["subscribedSkus"]) == 5


async def test_a_field_cancelled_beside_one_that_failed_does_not_take_another_ones_answer(gateway, sandbox):
    """`tenant` of a user is never null, so its failure ends the user `a`; `b` waits for the same licenses."""
    broken(
        sandbox,
        {"path": f"/customers/{CONTOSO}$", "status": 501},
        {"path": "/licenses", "delay_ms": 300},
    )
    asked = """
    query ($id: ID!) {
      a: node(id: $id) { ... on User { tenant { name } assignedLicenseCount } }
      b: node(id: $id) { ... on User { assignedLicenseCount } }
    }
    """
    answer = await gateway.ask(asked, {"id": encode_id("User", CONTOSO, ADELE)})

    assert answer["data"] == {"a": None, "b": {"assignedLicenseCount": 2}}
    assert failures(answer) == [("a.tenant", "UPSTREAM_ERROR")]


async def test_texts_of_microsoft_are_never_passed_on(gateway):
    answer = await gateway.ask(PAGE, {"tenant": ADATUM})

    assert {error["message"] for error in answer["errors"]} == {
        "The partner may not do this: a relationship or a role is missing."
    }


async def test_an_error_of_signing_in_is_one_of_microsoft(gateway, sandbox):
    broken(sandbox, {"path": "/oauth2/", "status": 500})
    answer = await gateway.ask("{ tenants { totalCount } }")

    assert failures(answer) == [("tenants", "UPSTREAM_ERROR")]


SECRET = "hunter2-SECRET"


@pytest.mark.parametrize(
    ("document", "variables", "code"),
    [
        ("{ viewer { name ", None, "PARSE_FAILED"),
        (f'{{ viewer("{SECRET}") {{ name }} }}', None, "PARSE_FAILED"),
        (f'{{ viewer {{ name }} }} "{SECRET}', None, "PARSE_FAILED"),
        ("{ viewer { nosuch } }", None, "VALIDATION_FAILED"),
        ("{ nosuch }", None, "VALIDATION_FAILED"),
        ("{ tenant { id } }", None, "VALIDATION_FAILED"),
        (f'{{ tenant(by: {{microsoftId: "{SECRET}"}}) {{ id }} }}', None, "VALIDATION_FAILED"),
        (f'{{ tenants(first: "{SECRET}") {{ totalCount }} }}', None, "VALIDATION_FAILED"),
        ("query ($id: UUID!) { tenant(by: {microsoftId: $id}) { id } }", {"id": SECRET}, "BAD_INPUT"),
        ("query ($id: UUID!) { tenant(by: {microsoftId: $id}) { id } }", {"id": None}, "BAD_INPUT"),
        ("query ($id: UUID!) { tenant(by: {microsoftId: $id}) { id } }", {}, "BAD_INPUT"),
        ("query ($n: Int) { tenants(first: $n) { totalCount } }", {"n": SECRET}, "BAD_INPUT"),
        ("query ($by: TenantBy!) { tenant(by: $by) { id } }", {"by": {SECRET: 1}}, "BAD_INPUT"),
        ("query ($by: TenantBy!) { tenant(by: $by) { id } }", {"by": {"domain": [SECRET]}}, "BAD_INPUT"),
    ],
)
async def test_a_request_that_cannot_be_understood_is_told_by_code_and_never_quoted(gateway, document, variables, code):
    answer = await gateway.ask(document, variables)

    assert answer.get("data") is None
    assert {error.get("extensions", {}).get("code") for error in answer["errors"]} == {code}
    assert SECRET not in str(answer)
    assert gateway.calls() == []


@pytest.mark.parametrize("by", [{}, {"id": None}, {"id": "a", "domain": "b"}])
async def test_exactly_one_way_to_name_a_tenant_is_taken(gateway, by):
    answer = await gateway.ask("query ($by: TenantBy!) { tenant(by: $by) { id } }", {"by": by})

    assert answer.get("data") is None
    assert answer["errors"][0]["extensions"]["code"] in {"BAD_INPUT", "VALIDATION_FAILED"}
    assert gateway.calls() == []


@pytest.mark.parametrize("caller", [bearer(), None])
async def test_nothing_that_fails_is_called_internal(gateway, sandbox, caller):
    headers = {"Authorization": caller} if caller else {}
    for status in (401, 404, 405, 409, 418, 501, 503):
        broken(sandbox, {"path": "/customers/", "status": status})
        answer = await gateway.ask(PAGE, {"tenant": CONTOSO}, **headers)
        assert {code for _, code in failures(answer)} <= {"UPSTREAM_ERROR", "TIMEOUT", "NOT_FOUND"}
