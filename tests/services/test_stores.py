"""What holds for the stores together: how they are opened, checked, emptied, and that a cluster serves them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import pytest
import structlog
from redis import Redis

from services.audit import AuditOutcome, new_record
from services.authorization import DEMO_PARTNER
from services.cache import connect_cache
from services.idempotency import Done, New, Running, key_scope
from services.jobs import JobOrder, JobResult, JobState, JobUser
from services.license_plans import LicenseEdit
from services.locks import sku_lock
from services.models import UserRef
from services.secret import Secret
from services.store_connection import connect_redis_store
from services.store_errors import LockTimeout
from services.stores import Stores, connect_stores
from tests.redis_server import free_ports, running, running_on_socket, server_folder, wait_until_it_answers

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
SECRET = Secret("of this deployment")
ADA = UserRef("11111111-1111-4111-8111-111111111111", "ada")


async def use(stores: Stores, tenant_id: str) -> None:
    """Goes through every store once in one tenant."""
    record = new_record(DEMO_PARTNER, tenant_id, "updateUser", at=datetime.now(UTC))
    await stores.audit.begin(record)
    await stores.audit.complete(record, AuditOutcome.DONE)
    assert (await stores.audit.list(tenant_id, 10)).total == 1

    scope = key_scope("i", "s", "m", tenant_id)
    claim = await stores.idempotency.claim(scope, "f")
    assert isinstance(claim, New)
    assert await stores.idempotency.claim(scope, "f") == Running()
    assert await stores.idempotency.renew(scope, claim.lease)
    assert await stores.idempotency.finish(scope, claim.lease, {"n": 1})
    assert await stores.idempotency.claim(scope, "f") == Done({"n": 1})

    names = [sku_lock(tenant_id, "a"), sku_lock(ADA.tenant_id, "b")]
    async with stores.locks.hold(names, deadline_seconds=20):
        with pytest.raises(LockTimeout):
            async with stores.locks.hold(names[:1], deadline_seconds=0.01):
                pass

    await stores.deletions.remember(UserRef(tenant_id, "u"), ["e3"])
    assert await stores.deletions.recall(UserRef(tenant_id, "u")) == ("e3",)

    order = JobOrder(
        job_id=tenant_id,
        caller=DEMO_PARTNER,
        edit=LicenseEdit([], ["e3"]),
        tenant_ids=(tenant_id,),
        total=1,
        created_at=datetime.now(UTC),
    )
    await stores.jobs.submit(order, [JobUser(UserRef(tenant_id, "u"))], None, "")
    [hold] = await stores.jobs.take(5)
    assert await stores.jobs.renew(hold)
    await stores.jobs.end_user(hold, JobResult(number=0, ref=UserRef(tenant_id, "u")))
    await stores.jobs.end(hold, JobState.SUCCEEDED)
    assert (await stores.jobs.results(tenant_id, False, 5, None)).total == 1


@pytest.mark.parametrize("where", ["memory", "redis"])
async def test_the_stores_work_together_and_clearing_empties_them(where, redis_url):
    stores = connect_stores(redis_url if where == "redis" else None, NAMESPACE, fingerprint_secret=SECRET)
    await stores.start()
    await use(stores, ADA.tenant_id)
    assert stores.durable is (where == "redis")
    assert await stores.check() == []

    await stores.clear()

    assert (await stores.audit.list(ADA.tenant_id, 10)).total == 0
    assert await stores.deletions.recall(UserRef(ADA.tenant_id, "u")) is None
    assert isinstance(await stores.idempotency.claim(key_scope("i", "s", "m", ADA.tenant_id), "f"), New)
    await stores.close()


async def test_emptying_the_cache_leaves_the_stores(redis_url):
    stores = connect_stores(Secret(redis_url), NAMESPACE, fingerprint_secret=SECRET)
    await use(stores, ADA.tenant_id)
    cache = connect_cache(redis_url, NAMESPACE)
    await cache.clear()
    await cache.close()

    assert (await stores.audit.list(ADA.tenant_id, 10)).total == 1
    await stores.close()


async def test_a_redis_user_without_scripts_and_admin_commands_is_enough():
    with running_on_socket() as (url, _):
        with Redis.from_url(url) as client:
            rules = ["on", ">pass", "~gw:*", "+@all", "-@scripting", "-@admin", "-@dangerous", "+info"]
            client.execute_command("ACL", "SETUSER", "gateway", *rules)
        stores = connect_stores(f"{url}?username=gateway&password=pass", NAMESPACE, fingerprint_secret=SECRET)
        await use(stores, ADA.tenant_id)
        assert await stores.check() == []
        with Redis.from_url(url) as client:
            client.execute_command("ACL", "SETUSER", "gateway", "-info")
        assert "allow its user the command INFO" in (await stores.check())[0]
        await stores.clear()
        with Redis.from_url(url) as client:
            assert client.keys() == []
        await stores.close()


@pytest.mark.parametrize("instead", ["an answer", "a timeout"])
async def test_a_cancellation_that_the_client_loses_is_kept(instead):
    connection = connect_redis_store("unix:///nowhere/s", NAMESPACE)
    tries = []

    async def lose() -> object:
        tries.append(1)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        if instead == "a timeout":
            raise TimeoutError
        return instead

    task = asyncio.create_task(connection.run(lose))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    await connection.close()

    assert task.cancelled()
    assert tries == [1]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_redis_that_evicts_is_named_loudly(policy):
    with running_on_socket() as (url, _):
        with Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", policy)
        stores = connect_stores(url, NAMESPACE, fingerprint_secret=SECRET)
        with structlog.testing.capture_logs() as logs:
            problems = await stores.check()
        await stores.close()

    assert problems == [
        f"Redis may evict audit records and idempotency keys: its maxmemory-policy is {policy}. "
        "Set maxmemory-policy to noeviction."
    ]
    assert [(line["event"], line["log_level"]) for line in logs] == [("redis_evicts", "error")]


async def test_a_redis_that_does_not_answer_is_named():
    stores = connect_stores("unix:///nowhere/s", NAMESPACE, fingerprint_secret=SECRET)
    [problem] = await stores.check()
    await stores.close()

    assert problem.startswith("Redis does not answer")


@pytest.mark.parametrize("url", ["http://:canary@host", "redis+sentinel://:canary@host"])
async def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match="A Redis address is") as refusal:
        connect_stores(url, NAMESPACE, fingerprint_secret=SECRET)
    assert "canary" not in str(refusal.value)
    with pytest.raises(ValueError, match="namespace"):
        connect_stores("redis://localhost", "a*", fingerprint_secret=SECRET)


async def test_a_cluster_serves_the_stores():
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
        async with asyncio.timeout(60):
            while not all(client.cluster("info")["cluster_state"] == "ok" for client in clients):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)
        clients[2].config_set("maxmemory-policy", "allkeys-lfu")

        stores = connect_stores(f"redis+cluster://127.0.0.1:{ports[0]}", NAMESPACE, fingerprint_secret=SECRET)
        for number in range(12):
            await use(stores, f"{number:08}-1111-4111-8111-111111111111")
        assert all(client.dbsize() > 0 for client in clients)
        [problem] = await stores.check()
        assert "allkeys-lfu" in problem
        await stores.clear()
        await stores.close()
        assert [client.dbsize() for client in clients] == [0, 0, 0]
