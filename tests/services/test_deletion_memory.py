"""What holds for the memory of what deleted users held, in memory and in a real Redis alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from redis import Redis

from services.deletion_memory import DeletionMemory, MemoryDeletions
from services.deletion_memory_redis import RedisDeletions
from services.models import UserRef
from services.store_connection import connect_redis_store
from tests.redis_server import running_on_socket

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
TENANT_ID = "11111111-1111-4111-8111-111111111111"
ADA, BOB = UserRef(TENANT_ID, "ada"), UserRef(TENANT_ID, "bob")


@pytest.fixture(params=["memory", "redis"])
async def open_memory(request: pytest.FixtureRequest, redis_url: str):
    connection = connect_redis_store(redis_url, NAMESPACE)

    def open_one(**settings: Any) -> DeletionMemory:
        return MemoryDeletions(**settings) if request.param == "memory" else RedisDeletions(connection, **settings)

    yield open_one
    await connection.close()


@pytest.fixture
def deletions(open_memory: Callable[[], DeletionMemory]) -> DeletionMemory:
    return open_memory()


async def test_what_a_user_held_is_recalled_and_nothing_is_not_unknown(deletions):
    await deletions.remember(ADA, ["e3", "e5"])
    await deletions.remember(BOB, [])

    assert await deletions.recall(ADA) == ("e3", "e5")
    assert await deletions.recall(BOB) == ()
    assert await deletions.recall(UserRef("another", "ada")) is None


async def test_the_last_deletion_counts_until_it_is_forgotten(deletions):
    await deletions.remember(ADA, ["e3"])
    await deletions.remember(ADA, ["e5"])
    assert await deletions.recall(ADA) == ("e5",)

    await deletions.forget(ADA)
    await deletions.forget(ADA)
    assert await deletions.recall(ADA) is None


async def test_it_is_forgotten_after_its_time(open_memory):
    deletions = open_memory(kept_seconds=0.05)
    await deletions.remember(ADA, ["e3"])
    await asyncio.sleep(0.1)

    assert await deletions.recall(ADA) is None


async def test_clearing_forgets_everyone(deletions):
    await deletions.remember(ADA, ["e3"])
    await deletions.clear()

    assert await deletions.recall(ADA) is None


async def test_memory_is_bounded():
    deletions = MemoryDeletions(max_users=1)
    await deletions.remember(ADA, ["e3"])
    await deletions.remember(BOB, ["e5"])

    assert (await deletions.recall(ADA), await deletions.recall(BOB)) == (None, ("e5",))


async def test_redis_keeps_it_for_thirty_days_in_the_tenants_slot(redis_url):
    connection = connect_redis_store(redis_url, NAMESPACE)
    await RedisDeletions(connection).remember(ADA, ["e3"])
    await connection.close()

    with Redis.from_url(redis_url) as client:
        assert client.keys() == [f"gw:1:{NAMESPACE}:held:{{{TENANT_ID}}}:ada".encode()]
        assert 2_591_990_000 < client.pttl(client.keys()[0]) <= 2_592_000_000


async def test_a_store_that_fails_is_a_warning():
    with running_on_socket() as (url, server):
        server.kill()
        server.wait()
        connection = connect_redis_store(url, NAMESPACE)
        deletions = RedisDeletions(connection)
        with structlog.testing.capture_logs() as logs:
            await deletions.remember(ADA, ["e3"])
            assert await deletions.recall(ADA) is None
            await deletions.forget(ADA)
        await connection.close()

    assert {line["log_level"] for line in logs} == {"warning"}
    assert "deletion_not_remembered" in [line["event"] for line in logs]
