"""People of many tenants at once: the union of what each tenant answers, and honest about who did not."""

import asyncio
import gc
from types import SimpleNamespace
from typing import cast

import pytest

from resolvers.context import Info
from resolvers.many_tenants import Answers, coverage_of
from resolvers.ordering import folded
from sandbox.faults import read_rules
from sandbox.people import stable_id
from sandbox.seed import TREY_RESEARCH_ID
from sandbox.state import SandboxState
from services.global_ids import encode_id
from services.lookups import ACTIVE_USERS, LICENSES
from services.models import User, UserRef
from services.upstream_use import UpstreamUse
from tests.callers import bearer, without
from tests.gateway_client import CONTOSO, gateway, running_gateway, sandbox  # noqa: F401 (fixtures)

E3 = "05e9a617-0261-4cee-bb44-138d3ef5d965"


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


def global_id(microsoft_id):
    return encode_id("Tenant", microsoft_id)


FABRIKAM, LITWARE, ADATUM, NORTHWIND, WOODGROVE, WINGTIP = map(
    tenant_id, ("fabrikam", "litware", "adatum", "northwindtraders", "woodgrovebank", "wingtiptoys")
)
TREY = bearer("reseller", reseller_id=TREY_RESEARCH_ID)
SMALL = {"ids": [global_id(one) for one in (CONTOSO, FABRIKAM, LITWARE, WOODGROVE, WINGTIP)]}

PEOPLE = """
query ($scope: TenantScope, $filter: UserFilter, $orderBy: UserOrder, $first: Int, $after: String) {
  users(scope: $scope, filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    totalCount
    nodes { id displayName userPrincipalName deletion { deletedAt } asOf tenant { microsoftId name } }
    pageInfo { hasNextPage hasPreviousPage endCursor }
    coverage { asked answered stale oldestAsOf failed { code retryAfterSeconds tenant { microsoftId name } } }
  }
}
"""
EACH = """
query ($filter: UserFilter, $tenant: UUID!, $after: String) {
  tenant(by: {microsoftId: $tenant}) {
    users(filter: $filter, first: 500, after: $after) {
      nodes { id displayName userPrincipalName deletion { deletedAt } asOf tenant { microsoftId name } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""


async def people(gateway, **variables):  # noqa: F811 (fixture)
    return (await gateway.data(PEOPLE, {"first": 500} | variables))["users"]


async def walk(gateway, first=500, **variables):  # noqa: F811 (fixture)
    """Everybody, page after page."""
    found, after = [], None
    while True:
        users = await people(gateway, first=first, after=after, **variables)
        assert users["pageInfo"]["hasPreviousPage"] is (after is not None)
        found += users["nodes"]
        after = users["pageInfo"]["endCursor"]
        if not users["pageInfo"]["hasNextPage"]:
            assert users["totalCount"] == len(found)
            return found


async def one_by_one(gateway, tenants, filter=None):  # noqa: F811 (fixture)
    """What the tenants answer when each is asked by itself."""
    found = []
    for tenant in tenants:
        after, more = None, True
        while more:
            given = await gateway.data(EACH, {"tenant": tenant, "filter": filter, "after": after})
            users = given["tenant"]["users"]
            found += users["nodes"]
            after, more = users["pageInfo"]["endCursor"], users["pageInfo"]["hasNextPage"]
    return found


def by_id(users):
    return sorted(users, key=lambda user: user["id"])


def failures(users):
    return {
        one["tenant"]["microsoftId"]: (one["code"], one["retryAfterSeconds"]) for one in users["coverage"]["failed"]
    }


def tenants_of(users):
    return {one["tenant"]["microsoftId"] for one in users["nodes"]}


KEYS = {
    "DISPLAY_NAME": lambda user: folded(user["displayName"]),
    "USER_PRINCIPAL_NAME": lambda user: folded(user["userPrincipalName"]),
}


async def test_all_pages_in_every_order_are_the_union_of_what_each_tenant_answers(gateway, sandbox):  # noqa: F811
    """All named tenants but the one without access; a page goes across tenants, and none comes twice."""
    tenants = [one for one in sandbox.world.customers if one != ADATUM]
    union = by_id(await one_by_one(gateway, tenants))
    assert len(union) > 1_200

    for field in ("DISPLAY_NAME", "USER_PRINCIPAL_NAME", "DELETED_AT"):
        for direction in ("ASC", "DESC"):
            found = await walk(gateway, first=211, orderBy={"field": field, "direction": direction})
            assert by_id(found) == union
            if field == "DELETED_AT":
                deleted = [user["deletion"]["deletedAt"] for user in found if user["deletion"]]
                assert deleted == sorted(deleted, reverse=direction == "DESC")
                assert len(deleted) > 1
                assert not any(user["deletion"] for user in found[len(deleted) :])  # the others come last
            else:
                keys = list(map(KEYS[field], found))
                assert keys == sorted(keys, reverse=direction == "DESC")


@pytest.mark.parametrize("first", [1, 7, 50])
async def test_every_page_size_gives_the_same_whole_list(gateway, first):  # noqa: F811 (fixture)
    whole = await people(gateway, scope=SMALL)

    assert whole["totalCount"] == len(whole["nodes"]) > 40
    assert await walk(gateway, first=first, scope=SMALL) == whole["nodes"]


@pytest.mark.parametrize(
    "filter",
    [
        {"search": "AN"},
        {"search": "zoe angstrom"},
        {"search": "fabrikam."},
        {"search": "nobody at all"},
        {"status": ["DELETED"]},
        {"status": []},
        {"usageLocations": ["DE", "GB"]},
        {"purgedWithinDays": 25},
        {"licensedFor": [E3]},
        {"unlicensed": True},
        {"roleIds": ["62e90394-69f5-4237-9190-012177145e10", "4d6ac14f-3453-41d0-bef9-a3e0c569773a"]},
        {"search": "a", "unlicensed": True, "usageLocations": ["US", "CH"], "status": ["ACTIVE"]},
    ],
    ids=str,
)
async def test_a_filter_leaves_of_many_tenants_what_it_leaves_of_each(gateway, filter):  # noqa: F811 (fixture)
    tenants = [CONTOSO, FABRIKAM, LITWARE, WOODGROVE, WINGTIP]
    users = await people(gateway, scope=SMALL, filter=filter)

    assert by_id(users["nodes"]) == by_id(await one_by_one(gateway, tenants, filter))
    assert users["coverage"]["asked"] == users["coverage"]["answered"] == 5


async def test_a_cursor_stays_good_when_people_come_and_go(gateway, sandbox):  # noqa: F811 (fixture)
    whole = (await people(gateway, scope=SMALL))["nodes"]
    page = await people(gateway, scope=SMALL, first=10)
    gone = whole[9]["id"], whole[12]["id"]
    for customer in sandbox.world.customers.values():
        for user in list(customer.users.values()):
            if encode_id("User", customer.id, user.id) in gone:
                del customer.users[user.id]

    answer = await gateway.data(
        PEOPLE,
        {"scope": SMALL, "first": 500, "after": page["pageInfo"]["endCursor"]},
        Cache_Control="no-cache",
    )

    assert [one["id"] for one in answer["users"]["nodes"]] == [one["id"] for one in whole[10:] if one["id"] not in gone]


async def test_tenants_that_fail_each_in_its_way_are_told_and_the_others_are_whole(sandbox):  # noqa: F811 (fixture)
    """Throttled, dead, too slow and without access: none fails the answer, none looks empty."""
    async with running_gateway(sandbox, GATEWAY_QUERY_TIMEOUT_SECONDS="4") as gateway:  # noqa: F811
        sandbox.faults.rules = read_rules(
            [
                {"path": f"/customers/{FABRIKAM}/users", "status": 429, "retry_after": 300},
                {"path": f"/customers/{LITWARE}/users", "status": 500},
                {"path": f"/customers/{WOODGROVE}/users", "delay_ms": 60_000},
            ]
        )
        async with asyncio.timeout(20):  # one of them would take a minute
            users = await people(gateway)

        everybody = set(sandbox.world.customers)
        failed = failures(users)
        assert failed.pop(FABRIKAM)[0] == "THROTTLED"
        assert failed == {
            LITWARE: ("UPSTREAM_ERROR", None),
            WOODGROVE: ("TIMEOUT", None),
            ADATUM: ("ACCESS_MISSING", None),
        }
        [throttled] = [one for one in users["coverage"]["failed"] if one["code"] == "THROTTLED"]
        assert 270 < throttled["retryAfterSeconds"] <= 300
        assert throttled["tenant"]["name"] == "Fabrikam"
        coverage = users["coverage"]
        assert (coverage["asked"], coverage["answered"], coverage["stale"]) == (
            len(everybody),
            len(everybody) - 4,
            0,
        )
        sandbox.faults.rules = []
        answered = everybody - {FABRIKAM, LITWARE, WOODGROVE, ADATUM}
        assert users["totalCount"] == len(await one_by_one(gateway, sorted(answered)))
        assert tenants_of(await people(gateway, filter={"search": "a"})) <= answered | {LITWARE, WOODGROVE}


@pytest.mark.parametrize("what", ["users\\?size", "users.*Inactive"])
async def test_a_tenant_of_which_one_list_fails_is_missing_as_a_whole(gateway, sandbox, what):  # noqa: F811 (fixture)
    sandbox.faults.rules = read_rules([{"path": f"/customers/{CONTOSO}/{what}", "status": 500}])
    users = await people(gateway, scope=SMALL)

    assert failures(users) == {CONTOSO: ("UPSTREAM_ERROR", None)}
    assert CONTOSO not in tenants_of(users)
    assert users["coverage"]["answered"] == 4


@pytest.mark.parametrize(
    ("filter", "what"),
    [({"unlicensed": True}, "users/[^/]*/licenses"), ({"roleIds": [E3]}, "directoryroles/[^/]*/usermembers")],
)
async def test_a_tenant_whose_filter_cannot_be_decided_is_missing(gateway, sandbox, filter, what):  # noqa: F811
    sandbox.faults.rules = read_rules([{"path": f"/customers/{FABRIKAM}/{what}", "status": 500}])
    users = await people(gateway, scope=SMALL, filter=filter)

    assert failures(users) == {FABRIKAM: ("UPSTREAM_ERROR", None)}
    assert FABRIKAM not in tenants_of(users)
    assert users["coverage"]["asked"] == 5


async def test_where_every_tenant_fails_the_answer_says_so(gateway, sandbox):  # noqa: F811 (fixture)
    sandbox.faults.rules = read_rules([{"path": "/users", "status": 500}])
    users = await people(gateway, scope=SMALL)

    assert users["nodes"] == []
    assert users["totalCount"] == 0
    assert {code for code, _ in failures(users).values()} == {"UPSTREAM_ERROR"}
    assert (users["coverage"]["asked"], users["coverage"]["answered"], users["coverage"]["oldestAsOf"]) == (5, 0, None)


async def test_the_oldest_data_is_told_also_of_tenants_where_nobody_was_found(gateway, sandbox):  # noqa: F811
    first = (await people(gateway, scope={"ids": [global_id(LITWARE)]}))["coverage"]["oldestAsOf"]
    sandbox.clock.advance(30)
    users = await people(gateway, scope=SMALL, filter={"search": "zoe angstrom"})

    assert tenants_of(users) == {CONTOSO}
    assert users["coverage"]["oldestAsOf"] == first < min(one["asOf"] for one in users["nodes"])


@pytest.mark.parametrize(
    ("stale", "told"),
    [
        (set(), 0),
        ({("active-users", CONTOSO)}, 1),
        ({("active-users", CONTOSO), ("licenses", UserRef(CONTOSO, "one")), ("licenses", UserRef(FABRIKAM, "2"))}, 2),
        ({("deleted-users", CONTOSO)}, 0),
        ({("active-users", LITWARE)}, 0),
    ],
)
def test_coverage_counts_the_tenants_for_which_an_older_copy_stands_in(stale, told):
    info = cast(Info, SimpleNamespace(context=SimpleNamespace(upstream_use=UpstreamUse(stale=stale))))
    given = [(SimpleNamespace(microsoft_id=one), None) for one in (CONTOSO, FABRIKAM)]

    assert coverage_of(info, Answers(given, []), [ACTIVE_USERS, LICENSES], []).stale == told  # type: ignore[arg-type]


async def test_nothing_is_asked_that_is_neither_shown_nor_filtered_by(gateway):  # noqa: F811 (fixture)
    """The lists of users, and the partner's list of tenants, which gives their names."""
    await people(gateway, first=1)
    calls = gateway.calls()

    assert {call.partition("?")[0].rpartition("/")[2] for call in calls} == {"customers", "users"}
    await people(gateway, first=1, filter={"search": "a", "status": ["DELETED"]})
    assert [call for call in gateway.calls() if ADATUM not in call] == []


async def test_only_the_list_that_can_hold_a_match_is_read(gateway):  # noqa: F811 (fixture)
    await people(gateway, scope=SMALL, filter={"status": ["ACTIVE"]})

    assert not any("Inactive" in call for call in gateway.calls())


async def test_licenses_are_read_of_the_shown_page_alone(gateway):  # noqa: F811 (fixture)
    query = PEOPLE.replace("nodes { id", "nodes { licenses { sku { skuId } } id")
    await gateway.data(query, {"scope": SMALL, "first": 3, "filter": {"status": ["ACTIVE"]}})

    assert sum("/licenses" in call for call in gateway.calls()) == 3


UNKNOWN = [
    global_id(FABRIKAM),  # another reseller's
    global_id(stable_id("nobody")),
    encode_id("User", CONTOSO, stable_id("user", "x")),
    encode_id("User", CONTOSO, ""),
    CONTOSO,
    "",
    "?",
]


@pytest.mark.parametrize("id", UNKNOWN)
@pytest.mark.parametrize("field", ["users", "portfolio"])
async def test_a_foreign_and_an_unknown_tenant_are_refused_alike(gateway, field, id):  # noqa: F811 (fixture)
    query = f"query ($scope: TenantScope!) {{ {field}(scope: $scope) {{ coverage {{ asked }} }} }}"
    answer = await gateway.ask(query, {"scope": {"ids": [global_id(CONTOSO), id]}}, Authorization=TREY)

    [error] = answer["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("scope.ids[1]: there is no such tenant.", "BAD_INPUT")
    assert not any("/users" in call or "/subscribedskus" in call for call in gateway.calls())


@pytest.mark.parametrize("scope", [{"all": False}, {"all": True, "ids": []}, {}, {"all": None}])
async def test_a_scope_that_says_nothing_or_two_things_is_refused(gateway, scope):  # noqa: F811 (fixture)
    answer = await gateway.ask(PEOPLE, {"scope": scope})

    [error] = answer["errors"]
    assert error["extensions"]["code"] in ("BAD_INPUT", "VALIDATION_FAILED")  # the latter where GraphQL refuses it
    assert gateway.calls() == []


async def test_a_scope_names_each_tenant_once_and_may_name_none(gateway):  # noqa: F811 (fixture)
    twice = await people(gateway, scope={"ids": [global_id(LITWARE)] * 2})
    none = await people(gateway, scope={"ids": []})

    assert (twice["coverage"]["asked"], twice["totalCount"]) == (1, 6)
    assert (none["coverage"]["asked"], none["totalCount"], none["nodes"]) == (0, 0, [])


async def test_a_caller_asks_its_own_tenants_alone(gateway):  # noqa: F811 (fixture)
    answer = await gateway.data(PEOPLE, {"first": 500, "scope": {"all": True}}, Authorization=TREY)

    assert answer["users"]["coverage"]["asked"] == answer["users"]["coverage"]["answered"] == 5
    assert not any(FABRIKAM in call for call in gateway.calls())
    nobody = await gateway.data(PEOPLE, {}, Authorization=bearer("reseller"))
    assert nobody["users"]["coverage"]["asked"] == 0
    refused = await gateway.ask(PEOPLE, {}, Authorization=bearer(permissions=without("READ")))
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["NOT_PERMITTED"]


@pytest.mark.parametrize("directive", ["@defer", '@defer(label: "x")', "@stream(initialCount: 1)", "@stream"])
async def test_parts_that_come_later_are_not_offered(gateway, directive):  # noqa: F811 (fixture)
    """Decision 9: several small queries give the same, and every client can read them."""
    field = f"nodes {directive} {{ id }}" if "stream" in directive else f"... {directive} {{ nodes {{ id }} }}"
    answer = await gateway.ask(f"{{ users {{ totalCount {field} }} }}", Accept="multipart/mixed, application/json")

    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert gateway.calls() == []


async def test_a_page_of_many_warm_tenants_asks_nothing_and_holds_nobody_up():
    """A hundred tenants of fifty: the first page of a search, and of everybody, from the cache alone."""
    async with running_gateway(SandboxState(tenants=100, users=50)) as gateway:  # noqa: F811
        everybody = await people(gateway, first=50)
        assert everybody["totalCount"] > 5_000
        gateway.calls()
        for variables in ({"filter": {"search": "anna"}}, {}, {"after": everybody["pageInfo"]["endCursor"]}):
            answer = await gateway.ask(PEOPLE, {"first": 50, **variables})
            upstream = answer["extensions"]["upstream"]
            assert (upstream["calls"], upstream["cacheMisses"]) == (0, 0)
            assert answer["data"]["users"]["coverage"]["answered"] > 100
        assert gateway.calls() == []


@pytest.mark.parametrize("headers", [{}, {"Cache_Control": "no-cache"}])
async def test_what_was_read_is_let_go_with_the_answer(headers):
    """Without waiting for the garbage collector, which runs rarely: a search reads the people of all tenants."""
    async with running_gateway(SandboxState(tenants=10, users=50)) as gateway:  # noqa: F811

        def in_memory():
            return sum(isinstance(each, User) for each in gc.get_objects())

        await people(gateway, filter={"search": "anna"})
        gc.collect()
        kept = in_memory()
        gc.disable()
        try:
            for _ in range(3):
                await gateway.data(PEOPLE, {"first": 50, "filter": {"search": "anna"}}, **headers)
            assert in_memory() <= kept
        finally:
            gc.enable()
