"""What the cache in Redis has of its own: its form there, other programs' keys, what cannot be read, claims."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator

import pytest

from services.cache import LARGEST_ENTRY_BYTES, Absent, LookupCache, connect_cache
from services.generations import UNCHANGING
from services.lookups import ACTIVE_USERS, DOMAINS, Lookup, Volatile
from tests.services.cache_steps import NAMESPACE, TEXTS, connect, store, values

TENANT_ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
DOMAINS_KEY = f"gw:3:{NAMESPACE}:{{{TENANT_ID}}}:domains:"
GENERATION_KEY = f"gw:3:{NAMESPACE}:{{{TENANT_ID}}}:generation:users"
SHORT: Lookup[str, str] = Lookup("short", str, 2, lambda _: "", lambda key: key)


@pytest.fixture
async def redis_cache(redis_url: str) -> AsyncIterator[LookupCache]:
    cache = connect(redis_url, max_bytes=0)
    yield cache
    await cache.close()


async def test_redis_holds_json_under_the_key_for_as_long_as_it_can_be_of_use(redis, redis_cache):
    await store(redis_cache, DOMAINS, {TENANT_ID: ["contoso.com"]})

    assert redis.keys() == [DOMAINS_KEY.encode()]
    head, data = redis.get(DOMAINS_KEY).split(b"\n")
    form = json.loads(head)
    times = {name: form.pop(name) for name in ("at", "fresh", "renew")}
    assert form == {"v": 3, "generation": "-"}
    assert json.loads(data) == ["contoso.com"]
    assert 810 <= times["fresh"] - times["at"] <= 990
    assert 3240 <= times["renew"] - times["at"] <= 3960
    assert 86_400_000 * 0.9 - 10_000 <= redis.pttl(DOMAINS_KEY) <= 86_400_000 * 1.1


async def test_redis_holds_no_value_for_what_is_absent(redis, redis_cache):
    await store(redis_cache, DOMAINS, {TENANT_ID: Absent("tenant", "There is no such tenant.")})

    form = json.loads(redis.get(DOMAINS_KEY))
    assert form["absent"] == {"what": "tenant", "message": "There is no such tenant."}
    assert 10_000 <= redis.pttl(DOMAINS_KEY) <= 16_500


async def test_redis_expires_a_value_by_itself(redis, redis_cache):
    await store(redis_cache, SHORT, {"a": "value"})
    assert redis.keys() != []

    await asyncio.sleep(2.25)

    assert await values(redis_cache, SHORT, "a") == [None]
    assert redis.keys() == []


async def test_a_large_value_is_compressed_in_redis(redis, redis_cache):
    await store(redis_cache, DOMAINS, {TENANT_ID: ["x" * 2 * 1024 * 1024]})

    [name] = redis.keys()
    assert redis.strlen(name) < 50_000
    assert json.loads(zlib.decompress(redis.get(name)).split(b"\n")[1]) == ["x" * 2 * 1024 * 1024]


START = b'{"v":3,"generation":"-","at":1.0,"fresh":9e9,"renew":9e9'


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"garbage",
        b"{",
        b"\x80\x04pickled",
        START.replace(b"3", b"4", 1) + b'}\n["contoso.com"]',
        START + b"}\n[7]",
        START + b"}\nnull",
        START + b"}\n",
        START + b"}",
        START + b',"absent":{"what":"else","message":""}}',
        START + b',"absent":{"what":"tenant","message":""}}\n[]',
        b'{"v":3,"at":1.0,"fresh":9e9,"renew":9e9}\n["contoso.com"]',
        START + b'}\n["\xff"]',
        START + b"}\n=\xff",
        zlib.compress(b"garbage"),
        zlib.compress(START + b'}\n["contoso.com"]')[:-9],
        zlib.compress(START + b'}\n["' + b"x" * LARGEST_ENTRY_BYTES + b'"]'),
    ],
    ids=lambda raw: repr(raw[-30:]),
)
async def test_a_value_that_cannot_be_read_is_a_miss_and_is_deleted(redis, redis_cache, foreign):
    await store(redis_cache, DOMAINS, {TENANT_ID: ["contoso.com"], OTHER_ID: ["fabrikam.com"]})
    redis.set(DOMAINS_KEY, foreign)

    assert await values(redis_cache, DOMAINS, TENANT_ID, OTHER_ID) == [None, ["fabrikam.com"]]
    assert redis.keys() == [f"gw:3:{NAMESPACE}:{{{OTHER_ID}}}:domains:".encode()]


async def test_what_it_would_read_if_it_were_not_garbled(redis, redis_cache):
    """The tests above would pass with any form: this one says that theirs is otherwise right."""
    redis.set(DOMAINS_KEY, START + b'}\n["contoso.com"]')

    assert await values(redis_cache, DOMAINS, TENANT_ID) == [["contoso.com"]]


async def test_a_value_of_another_redis_type_is_a_miss_until_stored_over(redis, redis_cache):
    redis.rpush(DOMAINS_KEY, "contoso.com")
    assert await values(redis_cache, DOMAINS, TENANT_ID) == [None]

    await store(redis_cache, DOMAINS, {TENANT_ID: ["contoso.com"]})

    assert await values(redis_cache, DOMAINS, TENANT_ID) == [["contoso.com"]]


@pytest.mark.parametrize("garbage", ["text", "1.x|", "\udcff", "list"])
async def test_a_generation_that_cannot_be_read_is_a_miss_and_is_begun_anew(redis, redis_cache, garbage):
    await store(redis_cache, ACTIVE_USERS, {TENANT_ID: []})
    if garbage == "list":
        redis.delete(GENERATION_KEY)
        redis.rpush(GENERATION_KEY, "a")
    else:
        redis.set(GENERATION_KEY, garbage.encode("utf-8", "surrogateescape"))

    assert await values(redis_cache, ACTIVE_USERS, TENANT_ID) == [None]
    await store(redis_cache, ACTIVE_USERS, {TENANT_ID: []})
    assert await values(redis_cache, ACTIVE_USERS, TENANT_ID) == [[]]


@pytest.mark.parametrize("garbage", ["text", "list"])
async def test_a_change_replaces_a_generation_that_cannot_be_read(redis, redis_cache, garbage):
    redis.rpush(GENERATION_KEY, "a") if garbage == "list" else redis.set(GENERATION_KEY, garbage)

    async with redis_cache.changing(TENANT_ID, {Volatile.USERS}):
        [amid] = await redis_cache.look_up(ACTIVE_USERS, [TENANT_ID])
    [after] = await redis_cache.look_up(ACTIVE_USERS, [TENANT_ID])

    assert (amid.storable, after.storable) == (False, True)
    assert amid.generation != after.generation


async def test_clear_leaves_other_namespaces_and_other_programs_alone(redis, redis_cache, redis_url):
    longer = connect_cache(redis_url, NAMESPACE + ":more")
    await store(longer, DOMAINS, {TENANT_ID: ["longer.example"]})
    await store(redis_cache, DOMAINS, {TENANT_ID: ["contoso.com"]})
    redis.set("theirs", "1")

    await redis_cache.clear()

    assert sorted(redis.keys()) == [f"gw:3:{NAMESPACE}:more:{{{TENANT_ID}}}:domains:".encode(), b"theirs"]
    await longer.close()


@pytest.mark.parametrize("namespace", ["", "live:*", "a{b}", "live:x\n", "LIVE"])
async def test_a_namespace_that_would_reach_other_keys_is_refused(redis_url, namespace):
    with pytest.raises(ValueError, match="small letters"):
        connect_cache(redis_url, namespace)


async def test_two_replicas_share_what_is_stored(redis_cache, redis_url):
    other = connect(redis_url)
    await store(redis_cache, ACTIVE_USERS, {TENANT_ID: []})

    assert await values(other, ACTIVE_USERS, TENANT_ID) == [[]]
    await other.close()


async def test_one_replica_has_a_claim_until_it_gives_it_back_or_the_state_changes(redis, redis_cache, redis_url):
    other = connect(redis_url)

    assert await redis_cache.claim(DOMAINS, {TENANT_ID: UNCHANGING}) == {TENANT_ID}
    assert await other.claim(DOMAINS, {TENANT_ID: UNCHANGING, OTHER_ID: UNCHANGING}) == {OTHER_ID}
    assert await other.claim(DOMAINS, {TENANT_ID: "another generation"}) == {TENANT_ID}
    assert all(0 < redis.pttl(name) <= 4000 for name in redis.keys())  # noqa: SIM118  # a command, not a dict's

    await redis_cache.release(DOMAINS, {TENANT_ID: UNCHANGING})
    assert await other.claim(DOMAINS, {TENANT_ID: UNCHANGING}) == {TENANT_ID}
    await other.close()


async def test_a_batch_is_one_mget_with_the_generation_in_it_and_one_pipeline_of_sets(redis, redis_cache):
    tenants = [TENANT_ID, OTHER_ID]
    looked = await redis_cache.look_up(ACTIVE_USERS, tenants)
    redis.config_resetstat()

    generations = {key: one.generation for key, one in zip(tenants, looked, strict=True)}
    await redis_cache.store_many(ACTIVE_USERS, {key: [] for key in tenants}, generations)
    assert await values(redis_cache, ACTIVE_USERS, *tenants) == [[], []]

    calls = {name: figures["calls"] for name, figures in redis.info("commandstats").items()}
    assert {name: calls.get(f"cmdstat_{name}", 0) for name in ("mget", "get", "set", "multi", "unlink")} == {
        "mget": 1,
        "get": 0,
        "set": 2,
        "multi": 0,
        "unlink": 0,
    }


async def test_a_thousand_reads_at_once_use_at_most_fifty_connections(redis, redis_cache):
    await store(redis_cache, TEXTS, {"a": "sku"})

    answers = await asyncio.gather(*(values(redis_cache, TEXTS, "a") for _ in range(1000)))

    assert answers == [["sku"]] * 1000
    assert redis.info("clients")["connected_clients"] <= 51  # and this test's own


async def test_a_cancelled_read_never_gives_its_answer_to_another(redis_cache):
    await store(redis_cache, TEXTS, {f"k{number}": f"v{number}" for number in range(30)})
    for number in range(30):
        task = asyncio.create_task(redis_cache.look_up(TEXTS, [f"k{number}"]))
        for _ in range(number % 10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert await values(redis_cache, TEXTS, f"k{29 - number}") == [f"v{29 - number}"]
