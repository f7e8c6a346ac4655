"""Exports: what `users` and `portfolio` answer, as files, and honest about tenants that did not answer."""

import asyncio
import csv
import json
from io import StringIO
from typing import Any

import pytest

from gateway.export_rows import ROWS_A_PIECE, SKU_COLUMNS, USER_COLUMNS
from resolvers.ordering import folded
from sandbox.faults import read_rules
from sandbox.people import person, stable_id
from sandbox.seed import TREY_RESEARCH_ID
from sandbox.state import SandboxState
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.gateway_client import CONTOSO, gateway, running_gateway, sandbox  # noqa: F401 (fixtures)


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


def global_id(tenant):
    return encode_id("Tenant", tenant)


FABRIKAM, LITWARE, ADATUM, NORTHWIND, WOODGROVE = map(
    tenant_id, ("fabrikam", "litware", "adatum", "northwindtraders", "woodgrovebank")
)
E3 = "05e9a617-0261-4cee-bb44-138d3ef5d965"
TREY = bearer("reseller", reseller_id=TREY_RESEARCH_ID)
NAMES = ("users.csv", "users.jsonl", "portfolio.csv", "portfolio.jsonl")
USERS = """
query ($scope: TenantScope, $filter: UserFilter) {
  users(scope: $scope, filter: $filter, first: 500) {
    nodes {
      id microsoftId userPrincipalName displayName firstName lastName usageLocation status directorySynced asOf
      deletion { deletedAt restorableUntil }
      tenant { name domain microsoftId }
    }
  }
}
"""
PORTFOLIO = """
query ($scope: TenantScope, $filter: SkuFilter) {
  portfolio(scope: $scope, filter: $filter) {
    lines {
      skuId availableUnits consumedUnits activeUnits unusedUnits tenantCount
      subscribedSkus(first: 500) { nodes { id } }
    }
  }
}
"""


async def export(gateway, name, headers=None, **parameters):  # noqa: F811 (fixture)
    return await gateway.http.get(f"/export/{name}", params=parameters, headers=headers or {})


async def rows(gateway, what, **parameters):  # noqa: F811 (fixture)
    """The rows of the JSON lines, and what the last one says of coverage."""
    answer = await export(gateway, f"{what}.jsonl", **parameters)
    assert answer.status_code == 200, answer.text
    *found, last = [json.loads(line) for line in answer.text.splitlines()]
    return found, last["coverage"]


def read_csv(answer):
    return list(csv.DictReader(StringIO(answer.content.decode("utf-8"), newline=""), strict=True))


def as_row(user):
    """A user of GraphQL's answer with the columns of an export."""
    tenant, deletion = user.pop("tenant"), user.pop("deletion") or {}
    told = {f"tenant{name[0].upper()}{name[1:]}": value for name, value in tenant.items()}
    return user | told | {"deletedAt": None, "restorableUntil": None} | deletion


def cell_text(value):
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def error_of(answer):
    [error] = answer.json()["errors"]
    return answer.status_code, error["extensions"]["code"], error["message"]


SMALL = [global_id(one) for one in (CONTOSO, FABRIKAM, LITWARE, WOODGROVE)]


@pytest.mark.parametrize(
    ("parameters", "filter"),
    [
        ({}, {}),
        ({"search": "zoe"}, {"search": "zoe"}),
        ({"status": "DELETED"}, {"status": ["DELETED"]}),
        ({"status": "active,deleted"}, {"status": ["ACTIVE", "DELETED"]}),
        ({"status": ""}, {"status": []}),
        ({"licensedFor": [E3.upper(), E3]}, {"licensedFor": [E3]}),
        ({"unlicensed": "true", "usageLocations": "us,CH"}, {"unlicensed": True, "usageLocations": ["US", "CH"]}),
        ({"roleIds": "62e90394-69f5-4237-9190-012177145e10"}, {"roleIds": ["62e90394-69f5-4237-9190-012177145e10"]}),
        ({"purgedWithinDays": "25"}, {"purgedWithinDays": 25}),
    ],
    ids=str,
)
async def test_users_are_those_of_graphql_with_the_same_filters(gateway, parameters, filter):  # noqa: F811 (fixture)
    answer = await gateway.data(USERS, {"scope": {"ids": SMALL}, "filter": filter})
    found, coverage = await rows(gateway, "users", tenantIds=",".join(SMALL), **parameters)

    expected = {user["id"]: user for user in map(as_row, answer["users"]["nodes"])}
    assert {row["id"]: row for row in found} == expected
    assert len(found) == len(expected)
    assert all(tuple(row) == USER_COLUMNS for row in found)
    order = [(folded(row["tenantName"]), folded(row["displayName"]), row["microsoftId"]) for row in found]
    assert order == sorted(order)
    assert (coverage["asked"], coverage["answered"], coverage["failed"]) == (4, 4, [])


@pytest.mark.parametrize(
    ("parameters", "filter"),
    [
        ({}, {}),
        ({"productTypes": "DYNAMICS,OTHER"}, {"productTypes": ["DYNAMICS", "OTHER"]}),
        ({"minAvailableUnits": "-1"}, {"minAvailableUnits": -1}),
        ({"overAssigned": "true"}, {"overAssigned": True}),
    ],
    ids=str,
)
async def test_the_portfolio_sums_up_to_that_of_graphql(gateway, parameters, filter):  # noqa: F811 (fixture)
    answer = await gateway.data(PORTFOLIO, {"filter": filter})
    found, coverage = await rows(gateway, "portfolio", **parameters)

    assert all(tuple(row) == SKU_COLUMNS for row in found)
    for line in answer["portfolio"]["lines"]:
        own = [row for row in found if row["skuId"] == line["skuId"]]
        for units in ("availableUnits", "consumedUnits", "activeUnits", "unusedUnits"):
            assert sum(row[units] for row in own) == line[units]
        assert [row["id"] for row in own] == [one["id"] for one in line["subscribedSkus"]["nodes"]]
    assert len(found) == sum(line["tenantCount"] for line in answer["portfolio"]["lines"])
    assert coverage["failed"][0]["code"] == "ACCESS_MISSING"


@pytest.mark.parametrize(("what", "columns"), [("users", USER_COLUMNS), ("portfolio", SKU_COLUMNS)])
@pytest.mark.parametrize("tenants", [{}, {"tenantIds": SMALL[0]}, {"tenantIds": ""}])
async def test_csv_says_the_same_as_json_lines(gateway, what, columns, tenants):  # noqa: F811 (fixture)
    found, _ = await rows(gateway, what, **tenants)
    answer = await export(gateway, f"{what}.csv", **tenants)

    assert answer.text.partition("\r\n")[0] == ",".join(columns)
    as_text = [{name: cell_text(value) for name, value in row.items()} for row in found]
    assert read_csv(answer) == as_text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == f'attachment; filename="{what}.csv"'
    assert answer.headers["cache-control"] == "no-store"


FORMULAS = ["=1+1", "+49 1", "-2", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1", "=cmd|' /C calc'!A0"]


async def test_a_text_that_a_spreadsheet_would_run_is_defused_in_csv_and_left_in_json(gateway, sandbox):  # noqa: F811
    customer = sandbox.world.customers[LITWARE]
    customer.users.clear()
    for number, name in enumerate([*FORMULAS, 'Semi; "quoted", with\r\nlines', "'plain", "山田 太郎"]):
        new = person("litware.onmicrosoft.com", name, sign_in=f"x{number}")
        customer.users[new.id] = new
    found, _ = await rows(gateway, "users", tenantIds=global_id(LITWARE))
    table = read_csv(await export(gateway, "users.csv", tenantIds=global_id(LITWARE)))

    names = [row["displayName"] for row in found]
    assert sorted(names) == sorted(user.display_name for user in customer.users.values())
    assert [row["displayName"] for row in table] == [f"'{one}" if one in FORMULAS else one for one in names]


async def test_figures_below_zero_stay_figures(gateway):  # noqa: F811 (fixture)
    [row] = read_csv(await export(gateway, "portfolio.csv", tenantIds=global_id(LITWARE)))

    assert (row["availableUnits"], row["unusedUnits"]) == ("-2", "0")


@pytest.mark.parametrize("what", ["users", "portfolio"])
async def test_tenants_that_fail_are_told_before_and_after_the_rows(sandbox, what):  # noqa: F811 (fixture)
    path = "users" if what == "users" else "subscribedskus"
    sandbox.faults.rules = read_rules(
        [
            {"path": f"/customers/{FABRIKAM}/{path}", "status": 429, "retry_after": 200},
            {"path": f"/customers/{LITWARE}/{path}", "status": 500},
            {"path": f"/customers/{NORTHWIND}/{path}", "delay_ms": 60_000},
        ]
    )
    async with running_gateway(sandbox, GATEWAY_EXPORT_TIMEOUT_SECONDS="4") as gateway:  # noqa: F811
        answer = await export(gateway, f"{what}.jsonl")
        asked = len(sandbox.world.customers)

        assert answer.headers["x-coverage-asked"] == str(asked)
        assert answer.headers["x-coverage-answered"] == str(asked - 4)
        assert (answer.headers["x-coverage-failed"], answer.headers["x-coverage-stale"]) == ("4", "0")
        *found, last = [json.loads(line) for line in answer.text.splitlines()]
        failed = {one["tenant"]["microsoftId"]: one["code"] for one in last["coverage"]["failed"]}
        assert failed == {
            FABRIKAM: "THROTTLED",
            LITWARE: "UPSTREAM_ERROR",
            NORTHWIND: "TIMEOUT",
            ADATUM: "ACCESS_MISSING",
        }
        assert not {row["tenantMicrosoftId"] for row in found} & set(failed)
        assert len(found) > 10


@pytest.mark.parametrize("name", NAMES)
async def test_a_caller_gets_its_own_tenants_alone(gateway, name):  # noqa: F811 (fixture)
    answer = await export(gateway, name, {"Authorization": TREY})

    assert answer.headers["x-coverage-asked"] == "5"
    assert FABRIKAM not in answer.text
    assert CONTOSO in answer.text
    foreign = await export(gateway, name, {"Authorization": TREY}, tenantIds=global_id(FABRIKAM))
    unknown = await export(gateway, name, {"Authorization": TREY}, tenantIds=global_id(stable_id("nobody")))
    assert error_of(foreign) == error_of(unknown) == (400, "BAD_INPUT", "tenantIds[0]: there is no such tenant.")
    assert not any(FABRIKAM in call for call in gateway.calls())


@pytest.mark.parametrize("name", NAMES)
async def test_who_may_not_read_gets_nothing(gateway, name):  # noqa: F811 (fixture)
    refused = await export(gateway, name, {"Authorization": bearer(permissions=without("READ"))})
    invalid = await export(gateway, name, {"Authorization": "Bearer nonsense"})

    assert error_of(refused)[:2] == (403, "NOT_PERMITTED")
    assert error_of(invalid)[:2] == (401, "UNAUTHENTICATED")
    assert "www-authenticate" in invalid.headers
    assert gateway.calls() == []


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("users.csv", "serch=x", "There is a parameter that is none of"),
        ("users.csv", "productTypes=OTHER", "There is a parameter that is none of"),
        ("portfolio.csv", "search=x", "There is a parameter that is none of"),
        ("users.csv", "status=GONE", "status: Expected one of ACTIVE, DELETED."),
        ("users.csv", "licensedFor=E3", "licensedFor: Expected a GUID"),
        ("users.csv", "roleIds=1,2", "roleIds: Expected a GUID"),
        ("users.csv", "usageLocations=Germany", "usageLocations: Expected a country code"),
        ("users.csv", "unlicensed=yes", "unlicensed: Expected true or false."),
        ("users.csv", "purgedWithinDays=31", "purgedWithinDays: give a number of days from 0 to 30."),
        ("users.csv", "purgedWithinDays=1e9", "purgedWithinDays: Expected a whole number."),
        ("users.csv", "purgedWithinDays=٣", "purgedWithinDays: Expected a whole number."),
        ("users.csv", f"search={'x' * 257}", "search: at most 256 characters"),
        ("users.csv", "search=a&search=b", "search: give it once."),
        ("users.csv", "&".join(["status=ACTIVE"] * 101), "At most 100 parameters can be given."),
        ("users.csv", "tenantIds=nonsense", "tenantIds[0]: there is no such tenant."),
        ("portfolio.jsonl", "minAvailableUnits=many", "minAvailableUnits: Expected a whole number."),
        ("portfolio.jsonl", f"minAvailableUnits={'9' * 40}", "minAvailableUnits: Expected a whole number."),
    ],
)
async def test_what_cannot_be_used_is_refused_and_named(gateway, name, query, message):  # noqa: F811 (fixture)
    answer = await gateway.http.get(f"/export/{name}?{query}")

    status, code, told = error_of(answer)
    assert (status, code) == (400, "BAD_INPUT")
    assert told.startswith(message)
    assert not any("/users" in call or "/subscribedskus" in call for call in gateway.calls())


async def test_what_would_need_too_many_calls_is_refused_as_in_graphql(sandbox):  # noqa: F811 (fixture)
    async with running_gateway(sandbox, GATEWAY_MAX_COST_CALLS="203") as gateway:  # noqa: F811
        answer = await export(gateway, "users.csv", tenantIds=",".join(SMALL), unlicensed="true")
        query = "query ($s: TenantScope) { users(scope: $s, filter: {unlicensed: true}) { totalCount } }"
        same = await gateway.ask(query, {"s": {"ids": SMALL}})

        assert error_of(answer)[:2] == (400, "COST_LIMIT")
        assert answer.json()["errors"][0]["extensions"]["asked"] == 204 == same["errors"][0]["extensions"]["asked"]


async def test_only_get_and_head_are_answered(gateway):  # noqa: F811 (fixture)
    posted = await gateway.http.post("/export/users.csv")
    head = await gateway.http.head("/export/users.csv?tenantIds=" + SMALL[2])
    other = await gateway.http.get("/export/users.xlsx")

    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    assert (head.status_code, head.content, head.headers["x-coverage-answered"]) == (200, b"", "1")
    assert other.status_code == 404


async def test_where_the_list_of_tenants_is_not_to_be_had_the_answer_is_an_error(gateway, sandbox):  # noqa: F811
    sandbox.faults.rules = read_rules([{"path": "/customers\\?", "status": 500}])
    assert error_of(await export(gateway, "users.csv"))[:2] == (502, "UPSTREAM_ERROR")
    sandbox.faults.rules = read_rules([{"path": "/customers\\?", "status": 429, "retry_after": 250}])
    throttled = await export(gateway, "users.csv")

    assert error_of(throttled)[:2] == (503, "THROTTLED")
    assert 240 < int(throttled.headers["retry-after"]) <= 250


async def test_rows_are_written_while_they_are_sent():
    """Piece by piece: after the first has been sent, others are not made yet, and who hangs up ends it."""
    async with running_gateway(SandboxState(tenants=60, users=50)) as gateway:  # noqa: F811
        sent: list[Any] = []
        gone = asyncio.Event()

        async def receive():
            if not sent:
                sent.append(None)
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if len(sent) == 4:
                gone.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/export/users.csv",
            "raw_path": b"/export/users.csv",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        await gateway.http._transport.app(scope, receive, send)  # type: ignore[attr-defined]  # the one of tests

        _, start, *bodies = sent
        assert start["status"] == 200
        assert not any(name == b"content-length" for name, _ in start["headers"])
        assert 2 <= len(bodies) <= 4 < 4_200 // ROWS_A_PIECE
        assert all(body["more_body"] for body in bodies)  # cut short, and seen to be


async def test_an_export_of_kept_tenants_asks_nothing(gateway):  # noqa: F811 (fixture)
    await rows(gateway, "users", tenantIds=",".join(SMALL))
    gateway.calls()
    await rows(gateway, "users", tenantIds=",".join(SMALL), search="a")
    assert gateway.calls() == []
    await gateway.http.get("/export/users.csv?tenantIds=" + SMALL[0], headers={"Cache-Control": "no-cache"})
    assert len(gateway.calls()) > 0
