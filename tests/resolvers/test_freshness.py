"""How old an answer is: what callers may ask for, what stands in when Microsoft does not answer, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sandbox.faults import read_rules
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.gateway_client import CONTOSO, PATIENT, Gateway, running_gateway
from tests.two_gateways import make_older

ADELE = encode_id("User", CONTOSO, stable_id("user", "adele.vance@contoso.onmicrosoft.com"))
NOBODY = encode_id("User", CONTOSO, "00000000-0000-4000-8000-000000000000")
PERSON = "query ($user: ID!) { node(id: $user) { ... on User { displayName asOf } } }"
LIST = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: 1, filter: {status: [ACTIVE]}) { totalCount coverage { asked answered stale oldestAsOf } }
  }
}
"""


@pytest.fixture
async def shared(sandbox, redis_url) -> AsyncIterator[Gateway]:
    """A gateway whose cache is in Redis alone, where a test can make it older."""
    settings = PATIENT | {"GATEWAY_REDIS_URL": redis_url, "GATEWAY_CACHE_BYTES": "0"}
    async with running_gateway(sandbox, None, **settings) as running:
        yield running


def break_upstream(sandbox) -> None:
    sandbox.faults.rules = read_rules([{"path": "/customers/", "status": 501}])


async def ask(gateway: Gateway, cache_control: str | None = None) -> dict:
    headers = {"Cache_Control": cache_control} if cache_control else {}
    return await gateway.ask(PERSON, {"user": ADELE}, **headers)


@pytest.mark.parametrize(
    ("cache_control", "calls"),
    [(None, 0), ("max-age=3600", 0), ("max-age=0", 1), ("no-cache", 1), ("No-Cache", 1), ("private, no-cache", 1)],
)
async def test_a_caller_says_how_old_an_answer_may_be(gateway, cache_control, calls):
    first = await ask(gateway)
    gateway.calls()

    second = await ask(gateway, cache_control)

    assert len(gateway.calls()) == second["extensions"]["upstream"]["calls"] == calls
    old, new = (answer["data"]["node"]["asOf"] for answer in (first, second))
    assert (new > old) if calls else (new == old)


async def test_what_was_asked_for_anew_is_kept_for_the_next_caller(gateway):
    await ask(gateway)
    second = await ask(gateway, "no-cache")
    gateway.calls()

    assert (await ask(gateway))["data"] == second["data"]
    assert gateway.calls() == []


async def test_nothing_older_than_max_age_is_given(shared, redis):
    first = await ask(shared)
    await asyncio.sleep(1.1)
    shared.calls()

    assert (await ask(shared, "max-age=60"))["data"] == first["data"]
    assert shared.calls() == []
    assert (await ask(shared, "max-age=1"))["data"]["node"]["asOf"] > first["data"]["node"]["asOf"]
    assert len(shared.calls()) == 1


async def test_what_is_no_longer_fresh_is_given_at_once_and_renewed_behind_the_callers_back(shared, redis):
    first = await ask(shared)
    shared.calls()
    make_older(redis, fresh=False, renewable=True)

    second = await ask(shared)

    assert second["data"] == first["data"]
    assert second["extensions"]["upstream"] | {"waitedMs": 0} == {
        "calls": 0,
        "cacheHits": 1,
        "cacheMisses": 0,
        "stale": 0,
        "waitedMs": 0,
        "throttledSeconds": 0,
    }
    async with asyncio.timeout(30):
        while (await ask(shared))["data"] == first["data"]:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)
    assert len(shared.calls()) == 1


@pytest.mark.parametrize("renewable", [True, False])
@pytest.mark.parametrize("cache_control", ["no-cache", "max-age=60"])
async def test_who_wants_it_new_gets_the_error_rather_than_an_older_copy(
    shared, redis, sandbox, cache_control, renewable
):
    await ask(shared)
    make_older(redis, fresh=False, renewable=renewable)
    break_upstream(sandbox)

    answer = await ask(shared, cache_control)

    assert answer["data"]["node"] is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UPSTREAM_ERROR"]
    assert answer["extensions"]["upstream"]["stale"] == 0


async def test_where_microsoft_does_not_answer_an_older_copy_stands_in_and_is_marked_and_its_time_is_true(
    shared, redis, sandbox
):
    first = await shared.data(LIST, {"tenant": CONTOSO})
    make_older(redis, fresh=False, renewable=False)
    break_upstream(sandbox)

    answer = await shared.ask(LIST, {"tenant": CONTOSO})

    assert "errors" not in answer
    users = answer["data"]["tenant"]["users"]
    before = first["tenant"]["users"]
    assert users == before | {"coverage": before["coverage"] | {"stale": 1}}
    assert answer["extensions"]["upstream"]["stale"] == 1


async def test_without_an_older_copy_there_is_the_error(shared, sandbox):
    break_upstream(sandbox)

    answer = await ask(shared)

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UPSTREAM_ERROR"]


async def test_an_unknown_user_costs_nothing_for_a_moment_unless_asked_for_anew(gateway):
    assert await gateway.data(PERSON, {"user": NOBODY}) == {"node": None}
    assert len(gateway.calls()) == 2  # by id, and among the deleted

    for _ in range(5):
        assert await gateway.data(PERSON, {"user": NOBODY}) == {"node": None}
    assert gateway.calls() == []

    assert await gateway.data(PERSON, {"user": NOBODY}, Cache_Control="no-cache") == {"node": None}
    assert len(gateway.calls()) == 2


async def test_an_unknown_tenant_costs_nothing_for_a_moment(gateway):
    unknown = "00000000-0000-4000-8000-000000000000"
    query = "query ($tenant: UUID!) { tenant(by: {microsoftId: $tenant}) { name } }"
    assert await gateway.data(query, {"tenant": unknown}) == {"tenant": None}
    gateway.calls()

    for _ in range(5):
        assert await gateway.data(query, {"tenant": unknown}) == {"tenant": None}

    assert gateway.calls() == []
