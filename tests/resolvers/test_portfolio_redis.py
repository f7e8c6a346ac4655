"""Totals over many tenants where replicas share a Redis: few round trips, and nobody waits for the whole of it."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from sandbox.state import SandboxState
from tests.two_gateways import Held, two_gateways

TENANTS = 200
PORTFOLIO = """
{ portfolio { coverage { answered } lines { unusedUnits subscribedSkus(first: 3) { nodes { tenant { name } } } } } }
"""
PRODUCTS = "query ($t: UUID!) { tenant(by: {microsoftId: $t}) { subscribedSkus { availableUnits } } }"
FIRST = "{ viewer { name } }"


@pytest.fixture
def many() -> SandboxState:
    return SandboxState(tenants=TENANTS - 13, users=2)


def commands(redis: Redis) -> dict[str, int]:
    """How often each command was run since `config_resetstat`."""
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in redis.info("commandstats").items()}


async def kept(redis: Redis, values: int) -> None:
    """Returns when so many tenants' products are in Redis."""
    async with asyncio.timeout(30):
        while len(redis.keys("gw:3:*:subscribed-skus:")) < values:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.1)


async def test_of_a_process_that_has_read_nothing_the_values_of_all_tenants_are_one_mget_and_no_call(
    many, redis_url, redis
):
    """One for the list of tenants, and then one for what all of them hold."""
    async with two_gateways(many, redis_url) as (one, two):
        first = await one.ask(PORTFOLIO)
        await kept(redis, TENANTS)
        many.calls.clear()
        redis.config_resetstat()
        fresh = await two.ask(PORTFOLIO)

        assert fresh["data"] == first["data"]
        assert fresh["extensions"]["upstream"]["calls"] == 0
        assert two.calls() == []
        assert commands(redis)["mget"] == 2


async def test_cold_the_round_trips_are_not_one_a_tenant(many, redis_url, redis):
    async with two_gateways(many, redis_url) as (one, _):
        await one.ask(FIRST)
        redis.config_resetstat()
        answer = await one.ask(PORTFOLIO)
        await kept(redis, TENANTS)
        found = commands(redis)

        assert answer["extensions"]["upstream"]["calls"] == 1 + TENANTS
        assert found["mget"] == 2
        assert found["set"] > 3 * (TENANTS - 2)  # generation, claim and value of each
        # All that is said to Redis, by this test, too, and however the network cuts it into pieces.
        assert redis.info("stats")["total_reads_processed"] < 1.25 * TENANTS


async def test_a_single_question_through_the_other_replica_does_not_wait_for_what_the_first_claimed(
    many, redis_url, redis
):
    upstream = Held(many)
    async with two_gateways(many, redis_url, upstream) as (one, other):
        for each in (one, other):
            await each.ask("{ tenants(first: 1) { nodes { name } } }", Cache_Control="no-cache")
        [last] = list(many.world.customers)[-1:]
        with upstream.held():
            totals = asyncio.create_task(one.ask(PORTFOLIO))
            await upstream.until_waiting(32)
            redis.config_resetstat()
            single = asyncio.create_task(other.ask(PRODUCTS, {"t": last}))
            await upstream.until_waiting(33)
            looks = commands(redis)["mget"]
        await asyncio.gather(totals, single)

        assert looks < 5  # it did not look again and again for what the other fetches
