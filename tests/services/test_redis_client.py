"""Every form of address, against real servers: one, with a password, over TLS, a cluster, sentinels that fail over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services.cache import CacheUnavailable, LookupCache, connect_cache
from services.cache_redis import RedisCache
from services.lookups import ACTIVE_USERS, DOMAINS, Volatile
from services.redis_client import connect_client
from services.redis_guard import RedisGuard
from tests.redis_server import free_ports, running, server_folder, wait_until_it_answers
from tests.services.cache_steps import NAMESPACE, store, values
from tests.smtp_server import make_certificate
from tests.tcp_proxy import proxy_to

TENANT_ID = "11111111-1111-4111-8111-111111111111"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[LookupCache]:
    """A cache that is as patient as a loaded machine needs, and tries again soon."""
    client, close = connect_client(url, connect_seconds=2, answer_seconds=2)
    cache = RedisCache(RedisGuard(client, 5, close, rest_seconds=0.2), NAMESPACE)
    yield cache
    await cache.close()


async def works(cache: LookupCache) -> bool:
    """Whether values and generations can be kept and are given back."""
    tenants = [f"{number:08}-1111-4111-8111-111111111111" for number in range(20)]
    async with cache.changing(tenants[0], {Volatile.USERS}):
        pass
    await store(cache, ACTIVE_USERS, {tenant: [] for tenant in tenants})
    await store(cache, DOMAINS, {tenant: ["a.example"] for tenant in tenants})
    users, domains = await values(cache, ACTIVE_USERS, *tenants), await values(cache, DOMAINS, *tenants)
    return (users, domains) == ([[]] * 20, [["a.example"]] * 20)


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "http://:secret@localhost",
        "redis://user:secret/word@localhost",
        "redis+cluster://:secret@",
        "redis+cluster://:secret@a:1,,b:2",
        "redis+cluster://localhost:secret",
        "redis+cluster://localhost?secret=1",
        "redis+sentinel://:secret@localhost:26379",
        "rediss+sentinel://localhost:26379/main?ssl_cert_reqs=secret",
        "unix+cluster:///secret",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="redis\\+sentinel://host:port,host:port/service") as refusal:
        connect_cache(url, NAMESPACE)

    assert "secret" not in str(refusal.value)


async def test_a_password_in_an_address_signs_in_and_the_documented_rights_are_enough(redis_url):
    with Redis.from_url(redis_url) as redis:
        categories = ["+@read", "+@write", "+@connection", "+@transaction", "-@scripting", "-@dangerous"]
        redis.acl_setuser("gateway", enabled=True, passwords=["+p@ss/1"], keys=["gw:*"], categories=categories)
        async with connected(f"{redis_url}?username=gateway&password=p%40ss%2F1") as cache:
            assert await works(cache)
            await cache.clear()
            assert redis.dbsize() == 0
        async with connected(f"{redis_url}?username=gateway&password=wrong") as cache:
            with pytest.raises(CacheUnavailable):
                await cache.ping()
            assert await values(cache, DOMAINS, TENANT_ID) == [None]
        redis.acl_deluser("gateway")


# TLS


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as folder:
        yield folder


async def test_a_server_with_tls_is_used_if_its_certificate_is_trusted(redis_url, folder):
    tls, _ = make_certificate(folder)
    async with proxy_to(redis_url.removeprefix("unix://"), tls) as server:
        address = f"rediss://127.0.0.1:{server.port}/0"
        async with connected(f"{address}?ssl_ca_certs={folder}/server.pem") as cache:
            assert await works(cache)
        async with connected(address) as cache:
            with pytest.raises(CacheUnavailable):
                await cache.ping()


# Cluster


@pytest.fixture
def cluster() -> Iterator[tuple[list[int], list[Redis]]]:
    """The ports of a cluster of three, and a client for each."""
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
        yield ports, clients


async def test_a_cluster_is_one_cache_with_each_tenants_keys_in_one_slot(cluster):
    ports, clients = cluster
    async with asyncio.timeout(30):
        while not all(client.cluster("info")["cluster_state"] == "ok" for client in clients):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)
    async with connected(f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}") as cache:
        await cache.ping()
        assert await works(cache)
        tenants = {f"{number:08}-1111-4111-8111-111111111111": [f"{number}.example"] for number in range(60)}
        await store(cache, DOMAINS, tenants)
        assert await values(cache, DOMAINS, *tenants) == list(tenants.values())
        assert all(client.dbsize() > 5 for client in clients)
        assert await cache.claim(DOMAINS, dict.fromkeys(tenants, "-")) == set(tenants)
        assert await cache.claim(DOMAINS, dict.fromkeys(tenants, "-")) == set()

        await cache.clear()
        assert [client.dbsize() for client in clients] == [0, 0, 0]


# Sentinels


async def test_a_sentinel_names_the_master_and_after_a_failover_the_next_one(folder):
    with ExitStack() as servers:
        port, other_port, sentinel_port, nobody = free_ports(4)
        started = []
        for number, one in enumerate((port, other_port)):
            (folder / str(one)).mkdir()
            own = ["--port", str(one), "--save", "", "--dir", str(folder / str(one)), "--repl-diskless-sync-delay", "0"]
            follows = ["--replicaof", f"127.0.0.1 {port}"] if number else []
            started.append(servers.enter_context(running(*own, *follows)))
            wait_until_it_answers(servers.enter_context(Redis(port=one)))
        replica = servers.enter_context(Redis(port=other_port))
        await until(lambda: replica.info("replication")["master_link_status"] == "up")
        (folder / "conf").write_text(
            f"port {sentinel_port}\nsentinel monitor main 127.0.0.1 {port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
        )
        servers.enter_context(running(f"{folder}/conf", "--sentinel", "--dir", str(folder)))
        sentinel = servers.enter_context(Redis(port=sentinel_port))
        wait_until_it_answers(sentinel)
        await until(lambda: len(sentinel.execute_command("SENTINEL REPLICAS main")) == 1)

        async with connected(f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel_port}/main") as cache:
            assert await works(cache)

            os.kill(started[0].pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                while not await works(cache):  # noqa: ASYNC110  # as above
                    await asyncio.sleep(0.05)
        assert replica.info("replication")["role"] == "master"


async def until(holds: Any) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)
