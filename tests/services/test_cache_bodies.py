"""What many keys of a tenant have in common is in Redis once: the people of a tenant hold the same sets of licenses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.cache import LookupCache
from services.cache_bodies import BODY_OVER_BYTES, BODY_SECONDS, MOST_BODIES, MOST_STORED, Bodies, Body
from services.lookups import LICENSES
from services.models import License, ServicePlan, UserRef
from tests.services.cache_steps import NAMESPACE, TENANT, connect, store, values

OTHER = "22222222-2222-4222-8222-222222222222"
ADA, BOB = (UserRef(TENANT, f"aaaaaaaa-aaaa-4aaa-8aaa-00000000000{number}") for number in (1, 2))
ZOE = UserRef(OTHER, "aaaaaaaa-aaaa-4aaa-8aaa-000000000003")
PLANS = tuple(
    ServicePlan(f"99999999-9999-4999-8999-00000000000{number}", f"PLAN_{number}", None) for number in range(6)
)


def licenses(tenant_id: str, name: str = "Office 365 E3") -> list[License]:
    """A fresh list each time, as two answers of Microsoft are."""
    return [License(tenant_id, "05e9a617-0261-4cee-bb44-138d3ef5d965", "SPE_E3", name, "group1", PLANS)]


@pytest.fixture
async def one(redis_url: str) -> AsyncIterator[LookupCache]:
    cache = connect(redis_url, max_bytes=0)
    yield cache
    await cache.close()


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[LookupCache]:
    """The cache of another process."""
    cache = connect(redis_url, max_bytes=0)
    yield cache
    await cache.close()


def bodies(redis: Any, tenant_id: str = TENANT) -> list[str]:
    prefix = f"gw:3:{NAMESPACE}:{{{tenant_id}}}:body:"
    return sorted(name.decode() for name in redis.keys("*:body:*") if name.decode().startswith(prefix))


async def test_what_two_people_hold_alike_is_stored_once_and_is_one_object_in_every_process(redis, one, other):
    await store(one, LICENSES, {ADA: licenses(TENANT), BOB: licenses(TENANT)})

    [body] = bodies(redis)
    assert redis.strlen(body) > BODY_OVER_BYTES
    assert redis.ttl(body) > BODY_SECONDS - 60
    for user in (ADA, BOB):
        assert redis.strlen(f"gw:3:{NAMESPACE}:{LICENSES.key(user)}") < 200
    for cache in (one, other):
        found = await values(cache, LICENSES, ADA, BOB)
        assert found == [licenses(TENANT), licenses(TENANT)]
        assert found[0] is found[1]


async def test_people_of_two_tenants_or_with_other_licenses_have_nothing_in_common(redis, one, other):
    stored = {ADA: licenses(TENANT), BOB: licenses(TENANT, "Microsoft 365 E5"), ZOE: licenses(OTHER)}
    await store(one, LICENSES, stored)

    assert (len(bodies(redis)), len(bodies(redis, OTHER))) == (2, 1)
    assert await values(other, LICENSES, *stored) == list(stored.values())


async def test_a_small_value_stands_in_its_own_form(redis, one, other):
    await store(one, LICENSES, {ADA: []})

    assert bodies(redis) == []
    assert await values(other, LICENSES, ADA) == [[]]


@pytest.mark.parametrize("spoiled", [None, b"[]", b"garbage"])
async def test_where_a_body_is_gone_or_not_what_it_was_the_value_is_a_miss_until_it_is_stored_again(
    redis, one, other, spoiled
):
    await store(one, LICENSES, {ADA: licenses(TENANT)})
    [body] = bodies(redis)
    whole = redis.get(body)
    redis.delete(body) if spoiled is None else redis.set(body, spoiled)

    assert await values(other, LICENSES, ADA) == [None]
    await store(other, LICENSES, {ADA: licenses(TENANT)})
    assert redis.get(body) == whole
    assert await values(other, LICENSES, ADA) == [licenses(TENANT)]


async def test_a_process_that_stored_a_body_stores_it_again_once_it_saw_that_it_is_gone(redis, one):
    await store(one, LICENSES, {ADA: licenses(TENANT)})
    [body] = bodies(redis)
    await store(one, LICENSES, {UserRef(OTHER, str(n)): licenses(OTHER, f"Product {n}") for n in range(MOST_BODIES)})
    redis.delete(body)

    assert await values(one, LICENSES, ADA) == [None]
    await store(one, LICENSES, {ADA: licenses(TENANT)})

    assert bodies(redis) == [body]
    assert await values(one, LICENSES, ADA) == [licenses(TENANT)]


async def test_clearing_the_cache_takes_the_bodies_too_and_the_next_value_brings_its_own(redis, one, other):
    await store(one, LICENSES, {ADA: licenses(TENANT)})
    await one.clear()
    assert redis.keys() == []

    await store(one, LICENSES, {ADA: licenses(TENANT)})

    assert len(bodies(redis)) == 1
    assert await values(other, LICENSES, ADA) == [licenses(TENANT)]


async def test_a_body_that_could_not_be_stored_is_stored_with_the_next_value(redis, one, other):
    await store(one, LICENSES, {ZOE: []})
    redis.config_set("maxmemory", "1")
    try:
        await store(one, LICENSES, {ADA: licenses(TENANT)})
        assert bodies(redis) == []
    finally:
        redis.config_set("maxmemory", "0")

    await store(one, LICENSES, {ADA: licenses(TENANT)})

    assert await values(other, LICENSES, ADA) == [licenses(TENANT)]


def test_a_process_remembers_a_bounded_number_of_bodies_and_of_what_it_stored():
    known = Bodies()
    for number in range(MOST_BODIES + 1):
        known.meet("licenses", str(number), Body([], 2))
    assert known.find("licenses", "0") is None
    assert known.find("licenses", "1") == Body([], 2)
    assert known.find("roles", "1") is None

    for number in range(MOST_STORED):
        known.stored(str(number), 0)
    assert not known.is_due("0", 60)
    assert known.is_due("0", BODY_SECONDS)
    known.stored("one more", 0)
    assert known.is_due("0", 60)
    assert not known.is_due("one more", 60)
