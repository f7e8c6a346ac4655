"""Two replicas over one Redis: one call for what both want, and never an old answer after a change."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from sandbox.faults import read_rules
from sandbox.people import stable_id
from services.global_ids import encode_id
from services.lookups import ACTIVE_USERS
from tests.gateway_client import CONTOSO
from tests.two_gateways import MANY_AT_ONCE, Held, make_older, two_gateways

COUNT = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) { users(first: 1, filter: {status: [ACTIVE]}) { totalCount } }
}
"""
ADELE = encode_id("User", CONTOSO, stable_id("user", "adele.vance@contoso.onmicrosoft.com"))
NAME = "query ($user: ID!) { node(id: $user) { ... on User { displayName } } }"
RENAME = """
mutation ($user: ID!, $name: String!) {
  updateUser(input: {id: $user, displayName: $name}) { user { displayName } userErrors { code message } }
}
"""


def users_calls(sandbox):
    return [
        call
        for call in sandbox.calls
        if call.method == "GET" and call.path.startswith(f"/v1/customers/{CONTOSO}/users")
    ]


def order(sandbox, **rule):
    sandbox.faults.rules = read_rules([{"path": f"/customers/{CONTOSO}/users", **rule}])


async def ask_both(both, times=200):
    """The answers to so many equal questions, asked of the two at once."""
    asking = [both[number % 2].ask(COUNT, {"tenant": CONTOSO}) for number in range(times)]
    return [answer["data"]["tenant"]["users"]["totalCount"] for answer in await asyncio.gather(*asking)]


async def warm_up(both):
    """Lets both have their access token: what follows is about the question alone."""
    for each in both:
        await each.ask("query { tenants(first: 1) { nodes { name } } }", **{"Cache_Control": "no-cache"})


@pytest.mark.parametrize(("delay_ms", "most"), [(150, 1), (3000, 2)])
async def test_two_hundred_equal_questions_at_once_are_one_call_or_two_if_the_answer_is_slow(
    sandbox, redis_url, delay_ms, most
):
    order(sandbox, delay_ms=delay_ms)
    async with two_gateways(sandbox, redis_url, settings=MANY_AT_ONCE) as both:
        await warm_up(both)
        counts = await ask_both(both)

    assert len(set(counts)) == 1
    assert 1 <= len(users_calls(sandbox)) <= most


async def test_what_just_expired_is_one_call_and_nobody_waits_for_it(sandbox, redis_url):
    upstream = Held(sandbox)
    async with two_gateways(sandbox, redis_url, upstream, MANY_AT_ONCE) as both:
        await warm_up(both)
        [first] = await ask_both(both, 1)
        sandbox.calls.clear()
        with Redis.from_url(redis_url) as redis:
            assert make_older(redis, fresh=False, renewable=True) == 2

        with upstream.held():
            assert await ask_both(both) == [first] * 200
            await upstream.until_waiting(1)
        await asyncio.sleep(0.1)
        assert await ask_both(both, 2) == [first] * 2
        assert len(users_calls(sandbox)) == 1


async def test_if_the_replica_that_fetches_was_killed_the_other_soon_fetches_itself(sandbox, redis_url):
    async with two_gateways(sandbox, redis_url, settings={"GATEWAY_CACHE_BYTES": "0"}) as (one, _):
        await one.ask(COUNT, {"tenant": CONTOSO})
        with Redis.from_url(redis_url) as redis:
            [value] = [
                name
                for name in redis.keys("gw:3:*")
                if ACTIVE_USERS.key(CONTOSO) in name.decode() and b":claim:" not in name
            ]
            redis.delete(value)
            [claim] = redis.keys(value.decode() + ":claim:*")
            redis.pexpire(claim, 60_000)
        sandbox.calls.clear()

        async with asyncio.timeout(20):  # less than the query's time, and than the dead one's claim
            await one.data(COUNT, {"tenant": CONTOSO})

        assert len(users_calls(sandbox)) == 1


async def test_a_change_through_one_is_seen_through_the_other_at_once(sandbox, redis_url):
    async with two_gateways(sandbox, redis_url) as both:
        for number in range(6):
            for each in both:
                await each.data(NAME, {"user": ADELE})
            name = f"Adele {number}"
            await both[number % 2].data(RENAME, {"user": ADELE, "name": name})
            for each in both:
                assert (await each.data(NAME, {"user": ADELE}))["node"]["displayName"] == name


async def test_a_reader_of_one_held_between_fetch_and_store_does_not_pin_the_old_state_for_either(sandbox, redis_url):
    upstream = Held(sandbox)
    async with (
        two_gateways(sandbox, redis_url) as (writer, other),
        two_gateways(sandbox, redis_url, upstream) as (reader, _),
    ):
        await reader.data(COUNT, {"tenant": CONTOSO})  # has its token
        with upstream.held():
            held = asyncio.create_task(reader.data(NAME, {"user": ADELE}))
            await upstream.until_waiting(1)
            await writer.data(RENAME, {"user": ADELE, "name": "Adele the New"})
        assert (await held)["node"]["displayName"] == "Adele Vance"
        await asyncio.sleep(0.1)  # it could be stored now

        for each in (reader, writer, other):
            assert (await each.data(NAME, {"user": ADELE}))["node"]["displayName"] == "Adele the New"


async def test_an_unknown_user_is_asked_for_once_by_both(sandbox, redis_url):
    nobody = encode_id("User", CONTOSO, "00000000-0000-4000-8000-000000000000")
    async with two_gateways(sandbox, redis_url) as both:
        await both[0].data(NAME, {"user": nobody})
        sandbox.calls.clear()

        for number in range(6):
            assert await both[number % 2].data(NAME, {"user": nobody}) == {"node": None}

        assert [call for call in sandbox.calls if "/customers/" in call.path] == []
