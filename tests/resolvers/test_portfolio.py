"""Unit totals over many tenants: sums of what the tenants themselves answer, and honest about who did not."""

import asyncio
from collections import defaultdict

import pytest

from sandbox.faults import read_rules
from sandbox.people import stable_id
from sandbox.seed import TREY_RESEARCH_ID
from sandbox.state import SandboxState
from services.global_ids import encode_id
from tests.callers import bearer
from tests.gateway_client import CONTOSO, gateway, running_gateway, sandbox  # noqa: F401 (fixtures)
from tests.virtual_time import run_in_virtual_time

CALL_SECONDS = 0.2


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


def scope(*tenants):
    return {"ids": [encode_id("Tenant", tenant) for tenant in tenants]}


FABRIKAM, LITWARE, ADATUM, NORTHWIND, FOURTH_COFFEE = map(
    tenant_id, ("fabrikam", "litware", "adatum", "northwindtraders", "fourthcoffee")
)
UNITS = "activeUnits consumedUnits availableUnits suspendedUnits"
PORTFOLIO = f"""
query ($scope: TenantScope, $filter: SkuFilter, $first: Int, $after: String) {{
  portfolio(scope: $scope, filter: $filter) {{
    coverage {{ asked answered stale oldestAsOf failed {{ code retryAfterSeconds tenant {{ microsoftId }} }} }}
    lines {{
      skuId skuPartNumber productName productType {UNITS} unusedUnits tenantCount
      subscribedSkus(first: $first, after: $after) {{
        totalCount
        edges {{ cursor }}
        nodes {{ id {UNITS} asOf tenant {{ microsoftId name }} }}
        pageInfo {{ hasNextPage hasPreviousPage endCursor }}
      }}
    }}
  }}
}}
"""
EACH = f"""
query ($tenant: UUID!, $filter: SkuFilter) {{
  tenant(by: {{microsoftId: $tenant}}) {{
    subscribedSkus(filter: $filter) {{
      skuId productName id {UNITS} asOf tenant {{ microsoftId name }}
    }}
  }}
}}
"""


async def portfolio(gateway, **variables):  # noqa: F811 (fixture)
    return (await gateway.data(PORTFOLIO, {"first": 500} | variables))["portfolio"]


async def held(gateway, tenants, filter=None):  # noqa: F811 (fixture)
    """The tenants' own entries, by product."""
    found = defaultdict(list)
    for tenant in tenants:
        answer = await gateway.data(EACH, {"tenant": tenant, "filter": filter})
        for sku in answer["tenant"]["subscribedSkus"]:
            found[sku.pop("skuId")].append(sku)
    return found


def check_sums(lines, entries):
    assert {line["skuId"] for line in lines} == set(entries)
    for line in lines:
        own = entries[line["skuId"]]
        for units in UNITS.split():
            assert line[units] == sum(one[units] for one in own), line["productName"]
        assert line["unusedUnits"] == sum(max(0, one["availableUnits"]) for one in own)
        assert line["tenantCount"] == line["subscribedSkus"]["totalCount"] == len(own)
        names = {one.pop("productName") for one in own}
        assert line["productName"] in names
        expected = sorted(own, key=lambda one: (-one["availableUnits"], one["tenant"]["microsoftId"]))
        assert line["subscribedSkus"]["nodes"] == expected


@pytest.mark.parametrize(
    "filter",
    [
        None,
        {"productTypes": ["CLOUD_SERVICES", "DYNAMICS", "SOFTWARE", "SAAS", "AZURE", "OTHER", "UNKNOWN"]},
        {"productTypes": ["DYNAMICS"]},
        {"productTypes": []},
        {"minAvailableUnits": 5},
        {"minAvailableUnits": -10},
        {"overAssigned": True},
        {"overAssigned": False, "minAvailableUnits": 1},
    ],
    ids=str,
)
async def test_the_sums_are_those_of_what_each_tenant_answers(sandbox, filter):  # noqa: F811 (fixture)
    """All named tenants, and twenty more."""
    async with running_gateway(SandboxState(tenants=20, users=9)) as gateway:  # noqa: F811
        types = await gateway.data('{ __type(name: "ProductType") { enumValues { name } } }')
        known = {one["name"] for one in types["__type"]["enumValues"]}
        if filter and "productTypes" in filter:
            filter = filter | {"productTypes": [one for one in filter["productTypes"] if one in known]}
        answer = await portfolio(gateway, filter=filter)
        tenants = [one for one in gateway.sandbox.world.customers if one != ADATUM]

        check_sums(answer["lines"], await held(gateway, tenants, filter))
        names = [(line["productName"].casefold(), line["skuId"]) for line in answer["lines"]]
        assert names == sorted(names)
        assert (answer["coverage"]["asked"], answer["coverage"]["answered"]) == (len(tenants) + 1, len(tenants))


async def test_over_assigned_tenants_do_not_hide_unused_seats_of_others(gateway, sandbox):  # noqa: F811 (fixture)
    """Litware has two units too few of Business Basic. They lower what is available, and not what is unused."""
    [line] = (await portfolio(gateway, scope=scope(LITWARE)))["lines"]

    assert (line["availableUnits"], line["unusedUnits"], line["tenantCount"]) == (-2, 0, 1)


@pytest.mark.parametrize("first", [1, 2, 7])
async def test_the_entries_of_a_line_come_in_pages(first):
    async with running_gateway(SandboxState(tenants=30, users=4)) as gateway:  # noqa: F811
        whole = max((await portfolio(gateway))["lines"], key=lambda line: line["tenantCount"])
        assert whole["tenantCount"] > 7
        found, after = [], None
        while True:
            lines = (await portfolio(gateway, first=first, after=after))["lines"]
            [page] = [line["subscribedSkus"] for line in lines if line["skuId"] == whole["skuId"]]
            assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
            found += page["nodes"]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break

        assert found == whole["subscribedSkus"]["nodes"]


async def test_tenants_that_fail_are_told_and_the_sums_are_those_of_the_others(sandbox):  # noqa: F811 (fixture)
    async with running_gateway(sandbox, GATEWAY_QUERY_TIMEOUT_SECONDS="4") as gateway:  # noqa: F811
        sandbox.faults.rules = read_rules(
            [
                {"path": f"/customers/{FABRIKAM}/subscribedskus", "status": 429, "retry_after": 300},
                {"path": f"/customers/{LITWARE}/subscribedskus", "status": 500},
                {"path": f"/customers/{NORTHWIND}/subscribedskus", "delay_ms": 60_000},
            ]
        )
        answer = await portfolio(gateway)

        failed = {one["tenant"]["microsoftId"]: one for one in answer["coverage"]["failed"]}
        assert {tenant: one["code"] for tenant, one in failed.items()} == {
            FABRIKAM: "THROTTLED",
            LITWARE: "UPSTREAM_ERROR",
            NORTHWIND: "TIMEOUT",
            ADATUM: "ACCESS_MISSING",
        }
        assert 270 < failed[FABRIKAM]["retryAfterSeconds"] <= 300
        everybody = set(sandbox.world.customers)
        assert answer["coverage"]["asked"] == len(everybody)
        assert answer["coverage"]["answered"] == len(everybody) - 4
        check_sums(answer["lines"], await held(gateway, sorted(everybody - set(failed))))


async def test_a_caller_sees_the_sums_of_its_own_tenants_alone(gateway):  # noqa: F811 (fixture)
    answer = await gateway.data(
        PORTFOLIO, {"first": 500}, Authorization=bearer("reseller", reseller_id=TREY_RESEARCH_ID)
    )

    assert answer["portfolio"]["coverage"]["asked"] == answer["portfolio"]["coverage"]["answered"] == 5
    found = {one["tenant"]["name"] for line in answer["portfolio"]["lines"] for one in line["subscribedSkus"]["nodes"]}
    assert found <= {"Adventure Works", "Contoso", "Litware", "Northwind Traders", "Woodgrove Bank"}
    assert "Contoso" in found


async def test_the_oldest_data_is_told(gateway, sandbox):  # noqa: F811 (fixture)
    await portfolio(gateway, scope=scope(LITWARE))
    sandbox.clock.advance(20)
    answer = await portfolio(gateway, scope=scope(LITWARE, CONTOSO))

    as_ofs = {one["asOf"] for line in answer["lines"] for one in line["subscribedSkus"]["nodes"]}
    assert len(as_ofs) == 2
    assert answer["coverage"]["oldestAsOf"] == min(as_ofs)


def test_cold_it_takes_little_more_than_the_calls_in_flight_allow_and_warm_it_asks_nothing():
    """Of a call of 200 ms 32 go at once: 96 tenants take three rounds, after one for the list of tenants."""

    async def ask():
        async with running_gateway(SandboxState(tenants=96 - 13, users=2)) as gateway:  # noqa: F811
            await gateway.ask("{ viewer { name } }")
            rules = [{"path": "/subscribedskus|/customers\\?", "delay_ms": CALL_SECONDS * 1000}]
            await gateway.http.post("/sandbox/faults", json={"rules": rules})
            query = "{ portfolio { coverage { answered } lines { unusedUnits } } }"
            clock = asyncio.get_running_loop().time
            began = clock()
            answer = await gateway.ask(query)
            seconds = clock() - began

            assert answer["data"]["portfolio"]["coverage"]["answered"] == 95
            assert answer["extensions"]["upstream"]["calls"] == 97
            gateway.calls()
            assert (await gateway.ask(query))["extensions"]["upstream"]["calls"] == 0
            assert gateway.calls() == []
            return seconds

    assert run_in_virtual_time(ask()) == pytest.approx((1 + 3) * CALL_SECONDS, rel=0.1)


@pytest.mark.parametrize("cache_control", ["no-cache", ""])
def test_a_single_question_beside_it_waits_for_no_more_than_a_call(cache_control):
    """Another caller asks for one tenant while the portfolio of two hundred is read, and has not come to it yet."""

    async def ask():
        state = SandboxState(tenants=200, users=2)
        [last] = list(state.world.customers)[-1:]
        async with running_gateway(state) as gateway:  # noqa: F811
            await gateway.http.post("/sandbox/faults", json={"rules": [{"path": "/customers/", "delay_ms": 100}]})
            await gateway.data("{ tenants(first: 1) { nodes { name } } }")
            storefront = "query ($t: UUID!) { tenant(by: {microsoftId: $t}) { subscribedSkus { availableUnits } } }"
            big = asyncio.create_task(gateway.ask("{ portfolio { lines { unusedUnits } } }"))
            await asyncio.sleep(0.15)
            gateway.calls()
            clock = asyncio.get_running_loop().time
            began = clock()
            caller = bearer("direct-customer", tenant_ids=[last])
            await gateway.data(storefront, {"t": last}, Authorization=caller, Cache_Control=cache_control)
            seconds = clock() - began

            assert not big.done()
            await big
            return seconds, [call for call in gateway.calls() if f"/customers/{last}/" in call]

    seconds, asked = run_in_virtual_time(ask())
    assert seconds < 1.1 * (0.1 + 0.1)  # its own call, and the end of those in flight
    assert len(asked) == (2 if cache_control else 1)
