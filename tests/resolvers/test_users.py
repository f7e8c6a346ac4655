"""The people of a tenant: active and deleted in one list, who is shown, orders, filters, deletion."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from resolvers.context import Info
from resolvers.users import covering_one
from sandbox.faults import read_rules
from sandbox.people import person, stable_id
from services.models import UserRef
from services.upstream_use import UpstreamUse
from tests.gateway_client import CONTOSO

ADVENTURE = stable_id("tenant", "adventureworks.onmicrosoft.com")
DELETED_FILTER = (
    "filter=%7B%22Field%22%3A%22UserState%22%2C%22Value%22%3A%22Inactive%22%2C%22Operator%22%3A%22equals%22%7D"
)
ACTIVE = f"GET /v1/customers/{CONTOSO}/users?size=500"
DELETED = f"{ACTIVE}&{DELETED_FILTER}"

LIST = """
query ($tenant: UUID!, $filter: UserFilter, $orderBy: UserOrder) {
  tenant(by: {microsoftId: $tenant}) {
    users(filter: $filter, orderBy: $orderBy, first: 500) {
      totalCount
      coverage { asked answered stale failed { code } oldestAsOf }
      nodes { id microsoftId displayName userPrincipalName status usageLocation directorySynced
              deletion { deletedAt restorableUntil daysLeft forecast { shortBy } } asOf version }
    }
  }
}
"""
USER = """
query ($tenant: UUID!, $by: UserBy!) {
  tenant(by: {microsoftId: $tenant}) { user(by: $by) { displayName status } }
}
"""


def contoso_id(sign_in, domain="contoso.onmicrosoft.com"):
    return stable_id("user", f"{sign_in}@{domain}")


BEN, IRVIN, ENRICO = map(contoso_id, ("ben.walters", "irvin.sayers", "enrico.cattaneo"))


async def people(gateway, tenant=CONTOSO, **variables):
    return (await gateway.data(LIST, {"tenant": tenant, **variables}))["tenant"]["users"]["nodes"]


async def names(gateway, **wanted):
    return [one["displayName"] for one in await people(gateway, filter=wanted)]


def account(sandbox, user_id):
    return sandbox.world.customers[CONTOSO].users[user_id]


def gone_for(sandbox, user_id, **ago):
    """Lets the user have been deleted this long ago, by the sandbox's clock."""
    account(sandbox, user_id).deleted_at = sandbox.clock.now() - timedelta(**ago)


async def test_active_and_deleted_people_stand_in_one_list_by_display_name(gateway):
    """Without regard to case and accents; letters that are no Latin ones follow."""
    listed = await people(gateway)

    assert [one["displayName"] for one in listed] == [
        "Adele Vance",
        "Alex Wilber",
        "Allan Deyoung",
        "Brian Johnson",
        "Christie Cline",
        "Debra Berger",
        "Diego Siciliani",
        "Enrico Cattaneo",
        "Grady Archie",
        "Henrietta Mueller",
        "Irvin Sayers",
        "Isaiah Langer",
        "Johanna Lorenz",
        "Joni Sherman",
        "José Muñoz",
        "Lee Gu",
        "Lidia Holloway",
        "Łukasz Żak",
        "Lynne Robbins",
        "Mara Lindt",
        "Megan Bowen",
        "Miriam Graham",
        "Nestor Wilke",
        "Patti Fernandez",
        "Pradeep Gupta",
        "Raúl Razo",
        "Robert Lindqvist",
        "Siobhán O'Brien",
        "Svetlana Omelchenko",
        "Zoë Ångström",
        "Ελένη Παπαδοπούλου",
        "山田 太郎",
    ]
    assert [one["displayName"] for one in listed if one["status"] == "DELETED"] == ["Enrico Cattaneo", "Irvin Sayers"]
    assert gateway.calls() == [ACTIVE, DELETED]


async def test_case_and_accents_make_no_difference_and_ties_go_by_id(gateway, sandbox):
    for number, name in enumerate(["émile", "Emile", "EMILE", "Émile", "Emilé B", "emile a"]):
        new = person("adventureworks.onmicrosoft.com", name, sign_in=f"e{number}")
        sandbox.world.customers[ADVENTURE].users[new.id] = new
    listed = await people(gateway, ADVENTURE)

    ids = sorted(stable_id("user", f"e{number}@adventureworks.onmicrosoft.com") for number in range(4))
    assert [one["microsoftId"] for one in listed[:4]] == ids
    assert [one["displayName"] for one in listed[4:]] == ["emile a", "Emilé B"]


async def test_a_tenant_without_people_has_an_empty_list(gateway):
    users = (await gateway.data(LIST, {"tenant": ADVENTURE}))["tenant"]["users"]

    assert users == {
        "totalCount": 0,
        "coverage": {"asked": 1, "answered": 1, "stale": 0, "failed": [], "oldestAsOf": None},
        "nodes": [],
    }


async def test_coverage_tells_the_oldest_data(gateway):
    users = (await gateway.data(LIST, {"tenant": CONTOSO}))["tenant"]["users"]

    assert users["coverage"]["oldestAsOf"] == min(one["asOf"] for one in users["nodes"])


@pytest.mark.parametrize(
    ("stale", "told"),
    [
        (set(), 0),
        ({("active-users", CONTOSO)}, 1),
        ({("deleted-users", CONTOSO)}, 1),
        ({("licenses", UserRef(CONTOSO, "u"))}, 1),
        ({("user-roles", UserRef(CONTOSO, "u"))}, 1),
        ({("active-users", ADVENTURE)}, 0),
        ({("licenses", UserRef(ADVENTURE, "u"))}, 0),
        ({("customer", CONTOSO)}, 0),
    ],
)
def test_coverage_tells_of_a_list_that_an_older_copy_stands_in_for(stale, told):
    info = cast(Info, SimpleNamespace(context=SimpleNamespace(upstream_use=UpstreamUse(stale=stale))))

    assert covering_one(info, CONTOSO, []).stale == told


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_sign_in_names_order_people(gateway, direction):
    listed = await people(gateway, orderBy={"field": "USER_PRINCIPAL_NAME", "direction": direction})
    found = [one["userPrincipalName"] for one in listed]

    assert found == sorted(found, key=str.casefold, reverse=direction == "DESC")


@pytest.mark.parametrize(
    ("direction", "first"),
    [("ASC", ["Irvin Sayers", "Enrico Cattaneo"]), ("DESC", ["Enrico Cattaneo", "Irvin Sayers"])],
)
async def test_by_deletion_those_who_are_not_deleted_come_last_in_either_direction(gateway, direction, first):
    listed = await people(gateway, orderBy={"field": "DELETED_AT", "direction": direction})

    assert [one["displayName"] for one in listed[:2]] == first
    assert [one["microsoftId"] for one in listed[2:]] == sorted(one["microsoftId"] for one in listed[2:])


async def test_an_order_without_a_field_is_by_display_name(gateway):
    backwards = await people(gateway, orderBy={"direction": "DESC"})

    assert [one["displayName"] for one in backwards] == [one["displayName"] for one in reversed(await people(gateway))]


async def test_who_was_deleted_31_days_ago_is_nowhere(gateway, sandbox):
    """The sandbox still lists Ben Walters, as a late purge would."""
    sandbox.switches = sandbox.switches.changed({"deleted_user_readable": True})
    ben = {"microsoftId": BEN}
    assert BEN not in [one["microsoftId"] for one in await people(gateway)]
    assert await gateway.data(USER, {"tenant": CONTOSO, "by": ben}) == {"tenant": {"user": None}}
    by_name = {"userPrincipalName": "ben.walters@contoso.onmicrosoft.com"}
    assert await gateway.data(USER, {"tenant": CONTOSO, "by": by_name}) == {"tenant": {"user": None}}
    gone_for(sandbox, BEN, days=1)
    [again] = await nodes_named(gateway, "Ben Walters")
    gone_for(sandbox, BEN, days=31)

    asked = "query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }"
    answer = await gateway.data(asked, {"id": again}, Cache_Control="no-cache")
    assert answer == {"node": None, "nodes": [None]}


async def nodes_named(gateway, name):
    answer = await gateway.data(LIST, {"tenant": CONTOSO, "filter": {"search": name}}, Cache_Control="no-cache")
    return [one["id"] for one in answer["tenant"]["users"]["nodes"]]


@pytest.mark.parametrize("readable", [False, True])
async def test_at_exactly_30_days_it_is_over_and_a_second_before_it_is_not(gateway, sandbox, readable):
    """By the service's clock, cached or not, and whether or not Partner Center gives deleted users by id."""
    sandbox.switches = sandbox.switches.changed({"deleted_user_readable": readable})
    sandbox.clock.stop()
    gone_for(sandbox, ENRICO, days=29, hours=23, minutes=59, seconds=58)
    by = {"microsoftId": ENRICO}
    [id] = await nodes_named(gateway, "Enrico")
    asked = "query ($id: ID!) { node(id: $id) { ... on User { status deletion { daysLeft } } } }"

    assert "Enrico Cattaneo" in await names(gateway)
    answer = await gateway.data(USER, {"tenant": CONTOSO, "by": by})
    assert answer == {"tenant": {"user": {"displayName": "Enrico Cattaneo", "status": "DELETED"}}}
    assert await gateway.data(asked, {"id": id}) == {"node": {"status": "DELETED", "deletion": {"daysLeft": 0}}}
    sandbox.clock.advance(2)

    assert "Enrico Cattaneo" not in await names(gateway)
    assert await gateway.data(USER, {"tenant": CONTOSO, "by": by}) == {"tenant": {"user": None}}
    assert await gateway.data(asked, {"id": id}) == {"node": None}


@pytest.mark.parametrize(
    ("ago", "days_left"),
    [
        ({"seconds": 1}, 29),
        ({"hours": 23}, 29),
        ({"days": 1, "seconds": 1}, 28),
        ({"days": 29}, 0),
        ({"days": 28, "hours": 23}, 1),
    ],
)
async def test_deletion_counts_whole_days_left_rounded_down(gateway, sandbox, ago, days_left):
    gone_for(sandbox, ENRICO, **ago)
    deleted_at = account(sandbox, ENRICO).deleted_at.replace(microsecond=0)
    account(sandbox, ENRICO).deleted_at = deleted_at
    [found] = await people(gateway, filter={"search": "enrico"})

    assert found["deletion"] == {
        "deletedAt": deleted_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "restorableUntil": (deleted_at + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "daysLeft": days_left,
        "forecast": None,
    }


async def test_active_people_have_no_deletion(gateway):
    [found] = await people(gateway, filter={"search": "adele"})

    assert found["deletion"] is None
    assert found["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("MULLER", []),
        ("mueller", ["Henrietta Mueller"]),
        ("jose munoz", ["José Muñoz"]),
        ("JOSÉ", ["José Muñoz"]),
        ("zoe angstrom", ["Zoë Ångström"]),
        ("lukasz zak", ["Łukasz Żak"]),
        ("Łukasz", ["Łukasz Żak"]),
        ("o'brien", ["Siobhán O'Brien"]),
        ("O’Brien", ["Siobhán O'Brien"]),
        ("太郎", ["山田 太郎"]),
        ("taro.yamada@", ["山田 太郎"]),
        ("παπαδοπουλου", ["Ελένη Παπαδοπούλου"]),
        ("ΠΑΠΑΔΟΠΟΎΛΟΥ", ["Ελένη Παπαδοπούλου"]),
        ("eleni.pap", ["Ελένη Παπαδοπούλου"]),
        ("#EXT#", ["Mara Lindt"]),
        ("  lind ", ["Mara Lindt", "Robert Lindqvist"]),
        ("@contoso.com", ["Robert Lindqvist"]),
        ("ben walters", []),
        ("no such person", []),
    ],
)
async def test_search_looks_into_names_and_sign_in_names_without_case_and_accents(gateway, search, found):
    assert await names(gateway, search=search) == found


async def test_an_empty_search_finds_everybody(gateway):
    assert len(await names(gateway, search="")) == len(await names(gateway, search="  ")) == 32


async def test_a_user_is_found_by_either_name_in_either_case(gateway):
    for by in (
        {"microsoftId": contoso_id("adele.vance")},
        {"microsoftId": contoso_id("adele.vance").upper()},
        {"userPrincipalName": "Adele.Vance@CONTOSO.onmicrosoft.com"},
    ):
        answer = await gateway.data(USER, {"tenant": CONTOSO, "by": by})
        assert answer == {"tenant": {"user": {"displayName": "Adele Vance", "status": "ACTIVE"}}}


@pytest.mark.parametrize(
    "by", [{"microsoftId": stable_id("nobody")}, {"userPrincipalName": ""}, {"userPrincipalName": "nobody@contoso.com"}]
)
async def test_an_unknown_user_is_null(gateway, by):
    assert await gateway.data(USER, {"tenant": CONTOSO, "by": by}) == {"tenant": {"user": None}}


@pytest.mark.parametrize("readable", [False, True])
async def test_a_deleted_user_is_found_by_id_whether_partner_center_gives_it_or_not(gateway, sandbox, readable):
    sandbox.switches = sandbox.switches.changed({"deleted_user_readable": readable})
    answer = await gateway.data(USER, {"tenant": CONTOSO, "by": {"microsoftId": IRVIN}})

    assert answer == {"tenant": {"user": {"displayName": "Irvin Sayers", "status": "DELETED"}}}
    one = f"GET /v1/customers/{CONTOSO}/users/{IRVIN}"
    assert gateway.calls() == ([one] if readable else [one, DELETED])


async def test_an_active_user_is_preferred_to_a_deleted_namesake(gateway, sandbox):
    new = person("contoso.onmicrosoft.com", "Irvin the Second", sign_in="irvin.sayers")
    new.id = stable_id("user", "irvin the second")
    sandbox.world.customers[CONTOSO].users[new.id] = new
    by = {"userPrincipalName": "irvin.sayers@contoso.onmicrosoft.com"}

    answer = await gateway.data(USER, {"tenant": CONTOSO, "by": by})
    assert answer["tenant"]["user"]["displayName"] == "Irvin the Second"
    assert gateway.calls() == [ACTIVE, DELETED]


async def test_who_is_in_both_lists_is_shown_once_as_the_later_list_says(gateway, sandbox):
    """Restored between two readings: the kept list of deleted users still has the user."""
    assert (await people(gateway, filter={"status": ["DELETED"]}))[1]["microsoftId"] == IRVIN
    account(sandbox, IRVIN).deleted_at = None
    found = [one for one in await people(gateway) if one["microsoftId"] == IRVIN]

    assert [one["status"] for one in found] == ["ACTIVE"]


async def test_the_version_changes_with_the_information_and_only_then(gateway, sandbox):
    async def version():
        answer = await gateway.data(LIST, {"tenant": CONTOSO, "filter": {"search": "adele"}}, Cache_Control="no-cache")
        return answer["tenant"]["users"]["nodes"][0]["version"]

    first = await version()
    adele = account(sandbox, contoso_id("adele.vance"))
    adele.password = "another"
    assert await version() == first
    adele.usage_location = "GR"
    second = await version()
    adele.usage_location, adele.deleted_at = "US", sandbox.clock.now()
    assert len({first, second, await version()}) == 3


async def test_as_of_is_when_microsoft_gave_the_data_also_from_the_cache(gateway):
    before = datetime.now().astimezone()
    first = (await people(gateway))[0]["asOf"]
    again = (await people(gateway))[0]["asOf"]

    assert again == first
    assert before <= datetime.fromisoformat(first) <= datetime.now().astimezone()


async def test_a_failed_second_page_is_an_error_and_not_the_end(gateway, sandbox):
    """Partner Center once answered 404 to every second page."""
    northwind = stable_id("tenant", "northwindtraders.onmicrosoft.com")
    sandbox.faults.rules = read_rules([{"path": "seekOperation=Next", "status": 404}])
    answer = await gateway.ask(LIST, {"tenant": northwind})

    assert answer["data"] == {"tenant": {"users": None}}
    [error] = answer["errors"]
    assert error["path"] == ["tenant", "users"]
    assert error["extensions"] == {"code": "UPSTREAM_ERROR"}
