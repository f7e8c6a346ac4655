"""What the cache in Redis has of its own: its form there, other programs' keys, trouble, addresses."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import structlog
from redis import Redis

from services.cache import LARGEST_ENTRY_BYTES, CacheUnavailable, LookupCache, connect_cache
from services.lookups import DOMAINS, Lookup
from tests.redis_server import free_ports, running, running_on_socket, server_folder, wait_until_it_answers

TENANT_ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
TEXTS: Lookup[str, str] = Lookup("texts", str, 86_400, lambda _: "", lambda key: key)
SHORT: Lookup[str, str] = Lookup("short", str, 1, lambda _: "", lambda key: key)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def redis_cache(redis_url: str) -> AsyncIterator[LookupCache]:
    cache = connect_cache(redis_url, NAMESPACE)
    yield cache
    await cache.close()


async def values(cache: LookupCache, lookup: Lookup[Any, Any], *keys: object) -> list[object]:
    return [kept and kept.value for kept in await cache.get_many(lookup, keys)]


async def test_redis_holds_json_under_the_key_with_an_expiry_near_the_fresh_time(redis, redis_cache):
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})

    [name] = redis.keys()
    form = json.loads(redis.get(name))
    assert name.decode() == f"gw:1:{NAMESPACE}:{{{TENANT_ID}}}:domains:"
    assert form == {"v": 1, "at": form["at"], "data": ["contoso.com"]}
    assert 809_000 <= redis.pttl(name) <= 990_000


async def test_redis_expires_a_value_by_itself(redis, redis_cache):
    await redis_cache.store_many(SHORT, {"a": "value"})
    assert await values(redis_cache, SHORT, "a") == ["value"]

    await asyncio.sleep(1.15)

    assert await values(redis_cache, SHORT, "a") == [None]
    assert redis.keys() == []


async def test_a_large_value_is_compressed_in_redis(redis, redis_cache):
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["x" * 2 * 1024 * 1024]})

    [name] = redis.keys()
    assert redis.strlen(name) < 50_000
    assert json.loads(zlib.decompress(redis.get(name)))["data"] == ["x" * 2 * 1024 * 1024]


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"garbage",
        b"{",
        b"\x80\x04pickled",
        b'{"v":2,"at":1.0,"data":["contoso.com"]}',
        b'{"v":1,"at":1.0,"data":[7]}',
        b'{"v":1,"data":["contoso.com"]}',
        b'{"v":1,"at":1.0,"data":["\xff"]}',
        zlib.compress(b"garbage"),
        zlib.compress(b'{"v":1,"at":1.0,"data":["contoso.com"]}')[:-9],
        zlib.compress(b'{"v":1,"at":1.0,"data":["' + b"x" * LARGEST_ENTRY_BYTES + b'"]}'),
    ],
    ids=lambda raw: repr(raw[:24]),
)
async def test_a_value_that_cannot_be_read_is_a_miss_and_is_deleted(redis, redis_cache, foreign):
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"], OTHER_ID: ["fabrikam.com"]})
    redis.set(f"gw:1:{NAMESPACE}:{{{TENANT_ID}}}:domains:", foreign)

    assert await values(redis_cache, DOMAINS, TENANT_ID, OTHER_ID) == [None, ["fabrikam.com"]]
    assert redis.keys() == [f"gw:1:{NAMESPACE}:{{{OTHER_ID}}}:domains:".encode()]


async def test_a_value_of_another_redis_type_is_a_miss_until_stored_over(redis, redis_cache):
    redis.rpush(f"gw:1:{NAMESPACE}:{{{TENANT_ID}}}:domains:", "contoso.com")
    assert await values(redis_cache, DOMAINS, TENANT_ID) == [None]

    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})

    assert await values(redis_cache, DOMAINS, TENANT_ID) == [["contoso.com"]]


async def test_clear_leaves_other_namespaces_and_other_programs_alone(redis, redis_cache, redis_url):
    longer = connect_cache(redis_url, NAMESPACE + ":more")
    await longer.store_many(DOMAINS, {TENANT_ID: ["longer.example"]})
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
    redis.set("theirs", "1")

    await redis_cache.clear()

    assert sorted(redis.keys()) == [f"gw:1:{NAMESPACE}:more:{{{TENANT_ID}}}:domains:".encode(), b"theirs"]
    await longer.close()


@pytest.mark.parametrize("namespace", ["", "live:*", "a{b}", "live:x\n", "LIVE"])
async def test_a_namespace_that_would_reach_other_keys_is_refused(redis_url, namespace):
    with pytest.raises(ValueError, match="small letters"):
        connect_cache(redis_url, namespace)


async def test_two_replicas_share_what_is_stored(redis_cache, redis_url):
    other = connect_cache(redis_url, NAMESPACE)
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})

    assert await values(other, DOMAINS, TENANT_ID) == [["contoso.com"]]
    assert other.look(DOMAINS, TENANT_ID) is None
    await other.close()


async def test_a_batch_is_one_mget_and_one_pipeline_of_sets(redis, redis_cache):
    await redis_cache.ping()
    redis.config_resetstat()

    await redis_cache.store_many(TEXTS, {"a": "1", "b": "2", "c": "3"})
    await redis_cache.get_many(TEXTS, ["a", "b", "c"])

    calls = {name: figures["calls"] for name, figures in redis.info("commandstats").items()}
    assert {name: calls.get(f"cmdstat_{name}", 0) for name in ("mget", "get", "set", "multi")} == {
        "mget": 1,
        "get": 0,
        "set": 3,
        "multi": 0,
    }


async def test_a_thousand_reads_at_once_use_at_most_fifty_connections(redis, redis_cache):
    await redis_cache.store_many(TEXTS, {"a": "sku"})

    answers = await asyncio.gather(*(values(redis_cache, TEXTS, "a") for _ in range(1000)))

    assert answers == [["sku"]] * 1000
    assert redis.info("clients")["connected_clients"] <= 51  # and this test's own


async def test_a_cancelled_read_never_gives_its_answer_to_another(redis_cache):
    await redis_cache.store_many(TEXTS, {f"k{number}": f"v{number}" for number in range(30)})
    for number in range(30):
        task = asyncio.create_task(redis_cache.get_many(TEXTS, [f"k{number}"]))
        for _ in range(number % 10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert await values(redis_cache, TEXTS, f"k{29 - number}") == [f"v{29 - number}"]


async def timed(work: Awaitable[Any]) -> tuple[Any, float]:
    start = time.monotonic()
    result = await work
    return result, time.monotonic() - start


async def test_when_the_server_has_stopped_everything_is_a_quick_miss_told_once():
    with running_on_socket() as (url, server):
        cache = connect_cache(url, NAMESPACE)
        await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
        server.terminate()
        server.wait()

        with structlog.testing.capture_logs() as lines:
            answer, seconds = await timed(values(cache, DOMAINS, TENANT_ID, OTHER_ID))
            await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
            await cache.forget(DOMAINS, TENANT_ID)
            await cache.clear()

        assert answer == [None, None]
        assert seconds < 0.5
        assert [(line["event"], line["operation"]) for line in lines] == [("cache_unavailable", "get")]
        with pytest.raises(CacheUnavailable, match=r"^Redis does not answer \(ConnectionError\)\.$"):
            await cache.ping()
        await cache.close()


async def test_a_server_that_is_slow_is_a_miss_within_half_a_second_and_used_again_after(redis, redis_cache):
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
    redis.client_pause(600, all=True)

    answer, seconds = await timed(values(redis_cache, DOMAINS, TENANT_ID))

    assert answer == [None]
    assert 0.2 < seconds < 0.5
    await asyncio.sleep(0.5)
    assert await values(redis_cache, DOMAINS, TENANT_ID) == [["contoso.com"]]


async def test_a_connection_that_the_server_cut_is_not_even_a_miss(redis, redis_cache):
    await redis_cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
    redis.client_kill_filter(_type="normal", skipme=True)

    assert await values(redis_cache, DOMAINS, TENANT_ID) == [["contoso.com"]]


async def test_a_full_server_drops_stores_and_still_answers_reads():
    with running_on_socket() as (url, _), Redis.from_url(url) as client:
        cache = connect_cache(url, NAMESPACE)
        await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
        client.config_set("maxmemory", "1mb")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")

        await cache.store_many(DOMAINS, {OTHER_ID: ["fabrikam.com"]})

        assert await values(cache, DOMAINS, TENANT_ID, OTHER_ID) == [["contoso.com"], None]
        await cache.close()


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "http://:secret@localhost",
        "redis://user:secret/word@localhost",
        "redis+cluster://:secret@",
        "redis+cluster://:secret@a:1,,b:2",
        "redis+cluster://localhost:secret",
        "redis+sentinel://:secret@localhost:26379",
        "unix+cluster:///secret",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="redis\\+sentinel://host:port,host:port/service") as refusal:
        connect_cache(url, NAMESPACE)

    assert "secret" not in str(refusal.value)


async def test_a_password_in_an_address_signs_in(redis_url, redis):
    redis.acl_setuser("gateway", enabled=True, passwords=["+p@ss/1"], keys=["gw:*"], categories=["+@all"])
    cache = connect_cache(f"{redis_url}?username=gateway&password=p%40ss%2F1", NAMESPACE)

    await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})

    assert await values(cache, DOMAINS, TENANT_ID) == [["contoso.com"]]
    await cache.close()
    redis.acl_deluser("gateway")


async def test_a_cluster_is_one_cache_with_each_tenants_keys_in_one_slot():
    with ExitStack() as servers:
        folder = servers.enter_context(server_folder())
        chosen = free_ports(6)
        ports, bus_ports = chosen[:3], chosen[3:]
        for port, bus_port in zip(ports, bus_ports, strict=True):
            (folder / str(port)).mkdir()
            own = ["--port", str(port), "--cluster-port", str(bus_port), "--dir", str(folder / str(port))]
            servers.enter_context(running(*own, "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", ""))
        clients = [servers.enter_context(Redis(port=port)) for port in ports]
        for number, client in enumerate(clients):
            wait_until_it_answers(client)
            first, last = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for client in clients[1:]:
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], bus_ports[0])
        async with asyncio.timeout(10):
            while not all(client.cluster("info")["cluster_state"] == "ok" for client in clients):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)

        cache = connect_cache(f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}", NAMESPACE)
        tenants = {f"{number:08}-1111-4111-8111-111111111111": [f"{number}.example"] for number in range(60)}
        await cache.ping()
        await cache.store_many(DOMAINS, tenants)
        assert await values(cache, DOMAINS, *tenants) == list(tenants.values())
        assert all(client.dbsize() > 5 for client in clients)

        await cache.forget(DOMAINS, *list(tenants)[:30])
        assert await values(cache, DOMAINS, *tenants) == [None] * 30 + list(tenants.values())[30:]

        await cache.clear()
        assert [client.dbsize() for client in clients] == [0, 0, 0]
        await cache.close()


async def test_a_sentinel_names_the_master():
    with ExitStack() as servers:
        folder = servers.enter_context(server_folder())
        port, sentinel_port = free_ports(2)
        servers.enter_context(running("--port", str(port), "--save", "", "--dir", str(folder)))
        wait_until_it_answers(servers.enter_context(Redis(port=port)))
        (folder / "conf").write_text(f"port {sentinel_port}\nsentinel monitor main 127.0.0.1 {port} 1\n")
        servers.enter_context(running(f"{folder}/conf", "--sentinel", "--dir", str(folder)))
        wait_until_it_answers(servers.enter_context(Redis(port=sentinel_port)))

        url = f"redis+sentinel://127.0.0.1:{free_ports(1)[0]},127.0.0.1:{sentinel_port}/main"
        cache = connect_cache(url, NAMESPACE)
        await cache.ping()
        await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})

        assert await values(cache, DOMAINS, TENANT_ID) == [["contoso.com"]]
        await cache.close()
