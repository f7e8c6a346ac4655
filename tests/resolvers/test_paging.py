"""Pages of people: every page size gives the same whole list, whatever happens between two pages."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import pytest

from sandbox.people import person, stable_id
from tests.gateway_client import CONTOSO, running_gateway

NORTHWIND = stable_id("tenant", "northwindtraders.onmicrosoft.com")

PAGE = """
query ($tenant: UUID!, $first: Int, $after: String, $orderBy: UserOrder, $filter: UserFilter) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: $first, after: $after, orderBy: $orderBy, filter: $filter) {
      totalCount
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      edges { cursor node { microsoftId displayName } }
    }
  }
}
"""


async def page(gateway, tenant=CONTOSO, **variables):
    answer = await gateway.data(PAGE, {"tenant": tenant, **variables})
    return answer["tenant"]["users"]


async def walk(gateway, tenant, first, **variables):
    """Everybody, page after page, and the sizes of the pages."""
    people, sizes, after = [], [], None
    while True:
        users = await page(gateway, tenant, first=first, after=after, **variables)
        info = users["pageInfo"]
        assert info["hasPreviousPage"] is (after is not None)
        assert [info["startCursor"], info["endCursor"]] == [users["edges"][0]["cursor"], users["edges"][-1]["cursor"]]
        people += [edge["node"]["microsoftId"] for edge in users["edges"]]
        sizes.append(len(users["edges"]))
        after = info["endCursor"]
        if not info["hasNextPage"]:
            assert users["totalCount"] == len(people)
            return people, sizes


def shown(sandbox, tenant):
    """The people that callers see, from the sandbox's own records."""
    limit = sandbox.clock.now() - timedelta(days=30)
    users = sandbox.world.customers[tenant].users.values()
    return [user for user in users if user.deleted_at is None or user.deleted_at > limit]


def cursor(*parts):
    return urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


async def test_every_page_size_walked_to_the_end_gives_the_same_whole_list(gateway, sandbox):
    whole, _ = await walk(gateway, CONTOSO, 500)

    assert len(whole) == 32
    assert sorted(whole) == sorted(user.id for user in shown(sandbox, CONTOSO))
    for first in range(1, len(whole) + 1):
        people, sizes = await walk(gateway, CONTOSO, first)
        assert people == whole
        assert set(sizes[:-1]) <= {first}


@pytest.mark.parametrize("field", ["DISPLAY_NAME", "USER_PRINCIPAL_NAME", "DELETED_AT"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_every_order_is_walked_without_gaps_in_either_direction(gateway, field, direction):
    order = {"field": field, "direction": direction}
    whole, _ = await walk(gateway, CONTOSO, 500, orderBy=order)

    for first in (1, 7, 31):
        assert (await walk(gateway, CONTOSO, first, orderBy=order))[0] == whole


@pytest.mark.parametrize("first", [500, 499, 50])
async def test_1200_people_are_paged_without_gaps(gateway, sandbox, first):
    people, sizes = await walk(gateway, NORTHWIND, first)

    assert len(people) == 1200
    assert sorted(people) == sorted(user.id for user in shown(sandbox, NORTHWIND))
    assert sizes == [first] * (1200 // first) + ([1200 % first] if 1200 % first else [])


async def test_reading_1200_people_costs_a_call_for_each_500_and_one_for_the_deleted(gateway):
    await walk(gateway, NORTHWIND, 50)

    assert [call.partition("?")[0] for call in gateway.calls()] == [f"GET /v1/customers/{NORTHWIND}/users"] * 4


async def test_who_comes_or_goes_between_two_pages_neither_repeats_nor_hides_others(gateway, sandbox):
    """Created before and after the mark, deleted, deleted for good, restored: those who stay are all seen once."""
    whole, _ = await walk(gateway, CONTOSO, 500)
    first_page = await page(gateway, first=10)
    users = sandbox.world.customers[CONTOSO].users
    for name in ("Aaron Early", "Zora Late"):
        new = person("contoso.onmicrosoft.com", name)
        users[new.id] = new
    users[whole[12]].deleted_at = sandbox.clock.now()
    del users[whole[9]]  # the last of the page, whose place the cursor holds
    del users[whole[15]]
    restored = next(user for user in users.values() if user.display_name == "Irvin Sayers")
    restored.deleted_at = None

    seen, after = [edge["node"]["microsoftId"] for edge in first_page["edges"]], first_page["pageInfo"]["endCursor"]
    more = True
    while more:
        answer = await gateway.data(PAGE, {"tenant": CONTOSO, "first": 4, "after": after}, Cache_Control="no-cache")
        users_page = answer["tenant"]["users"]
        seen += [edge["node"]["microsoftId"] for edge in users_page["edges"]]
        after, more = users_page["pageInfo"]["endCursor"], users_page["pageInfo"]["hasNextPage"]

    late = stable_id("user", "zora.late@contoso.onmicrosoft.com")
    expected = [one for one in whole if one != whole[15]]
    assert [one for one in seen if one != late] == expected
    assert seen.count(late) == 1


async def test_a_cursor_holds_in_a_new_process(gateway, sandbox):
    whole, _ = await walk(gateway, CONTOSO, 500)
    after = (await page(gateway, first=20))["pageInfo"]["endCursor"]

    async with running_gateway(sandbox) as another:
        rest = await page(another, first=500, after=after)

    assert [edge["node"]["microsoftId"] for edge in rest["edges"]] == whole[20:]


async def test_names_alike_for_longer_than_a_cursor_holds_are_paged_without_gaps(gateway, sandbox):
    """A cursor has 512 characters at most; of 256 letters with three bytes each it holds the beginning."""
    users = sandbox.world.customers[CONTOSO].users
    for number in range(6):
        new = person("contoso.onmicrosoft.com", "漢" * 255 + str(number % 3), sign_in=f"long{number}")
        users[new.id] = new
    whole, _ = await walk(gateway, CONTOSO, 500)

    assert (await walk(gateway, CONTOSO, 1))[0] == whole
    last = await page(gateway, first=500)
    assert max(len(edge["cursor"]) for edge in last["edges"]) <= 512


async def test_page_zero_is_empty_and_tells_the_number_of_all(gateway):
    users = await page(gateway, first=0)

    assert users == {
        "totalCount": 32,
        "pageInfo": {"hasNextPage": True, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
        "edges": [],
    }


async def test_null_means_the_default_page_size(gateway):
    assert len((await page(gateway, NORTHWIND, first=None))["edges"]) == 50
    answer = await gateway.data(f'{{ tenant(by: {{microsoftId: "{NORTHWIND}"}}) {{ users {{ nodes {{ id }} }} }} }}')
    assert len(answer["tenant"]["users"]["nodes"]) == 50


@pytest.mark.parametrize("first", [-1, 501, 2_147_483_647])
async def test_a_page_size_out_of_bounds_is_refused_and_nothing_is_asked(gateway, first):
    answer = await gateway.ask(PAGE, {"tenant": CONTOSO, "first": first})

    assert answer.get("data") is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["PAGE_SIZE_LIMIT"]
    assert gateway.calls() == []


@pytest.mark.parametrize(
    "after",
    [
        "",
        "garbage",
        "Ł",
        "=",
        "A" * 512,
        cursor("users DISPLAY_NAME ASC", "a"),
        cursor("users DISPLAY_NAME ASC", 1, "a"),
        cursor({"a": 1}),
        urlsafe_b64encode(b"[" * 300).decode(),
        urlsafe_b64encode(b"\xff\xfe\x00").decode(),
    ],
)
async def test_garbage_is_no_cursor(gateway, after):
    answer = await gateway.ask(PAGE, {"tenant": CONTOSO, "after": after})

    assert answer["data"] == {"tenant": {"users": None}}
    [error] = answer["errors"]
    assert error["path"] == ["tenant", "users"]
    assert error["extensions"] == {"code": "BAD_INPUT"}
    assert error["message"] == "after: this is no cursor of the gateway. Give an endCursor as it was answered."


async def test_a_cursor_of_another_order_is_refused(gateway):
    after = (await page(gateway, first=5))["pageInfo"]["endCursor"]
    order = {"field": "DISPLAY_NAME", "direction": "DESC"}
    answer = await gateway.ask(PAGE, {"tenant": CONTOSO, "after": after, "orderBy": order})

    [error] = answer["errors"]
    assert error["extensions"] == {"code": "BAD_INPUT"}
    assert error["message"] == "after: this cursor belongs to a list in another order. Start again without it."


async def test_a_refused_cursor_and_filter_ask_for_nothing_where_the_tenant_is_known(gateway):
    await gateway.data("{ tenants { totalCount } }")
    gateway.calls()
    for variables in ({"after": "garbage"}, {"filter": {"purgedWithinDays": 31}}):
        answer = await gateway.ask(PAGE, {"tenant": CONTOSO, **variables})
        assert len(answer["errors"]) == 1

    assert gateway.calls() == []


async def test_cursors_do_not_hold_a_number_but_a_place(gateway):
    """What a cursor says is the order, the key and the id: an item that goes leaves the rest where it was."""
    edge = (await page(gateway, first=1))["edges"][0]
    text = edge["cursor"]

    assert json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))) == [
        "users DISPLAY_NAME ASC",
        "adele vance",
        edge["node"]["microsoftId"],
    ]
