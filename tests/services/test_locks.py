"""What holds for locks, in one process and across replicas with a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog
from redis import Redis

from services.locks import Locks, MemoryLocks, sign_in_name_lock, sku_lock, user_lock
from services.locks_redis import RedisLocks
from services.models import UserRef
from services.store_connection import connect_redis_store
from services.store_errors import LockTimeout
from tests.redis_server import running_on_socket

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
TENANT_ID = "11111111-1111-4111-8111-111111111111"
A, B, C = (sku_lock(TENANT_ID, name) for name in "abc")
LONG = 20.0
"""Longer than anything takes here, and shorter than a lease: what is not given back is not to be had in it."""


@pytest.fixture
async def open_redis_locks(redis_url: str):
    opened = []

    def open_one(**settings: float) -> RedisLocks:
        connection = connect_redis_store(redis_url, NAMESPACE)
        locks = RedisLocks(connection, **settings)
        opened.append((locks, connection))
        return locks

    yield open_one
    for locks, connection in opened:
        await locks.close()
        await connection.close()


@pytest.fixture(params=["memory", "redis", "two replicas"])
async def replicas(request: pytest.FixtureRequest, open_redis_locks) -> tuple[Locks, Locks]:
    """Two holders of the same locks: in one process, or in two that share Redis."""
    if request.param == "memory":
        return (MemoryLocks(),) * 2
    if request.param == "redis":
        return (open_redis_locks(),) * 2
    return open_redis_locks(), open_redis_locks()


async def test_of_two_holders_of_a_lock_one_waits_for_the_other(replicas):
    one, other = replicas
    happened = []

    async def work(locks: Locks, name: str) -> None:
        async with locks.hold([A], deadline_seconds=LONG):
            happened.append(f"{name} in")
            await asyncio.sleep(0.03)
            happened.append(f"{name} out")

    await asyncio.gather(*(work(locks, str(number)) for number, locks in enumerate([one, other] * 5)))

    assert len(happened) == 20
    assert all(happened[i].replace("in", "out") == happened[i + 1] for i in range(0, 20, 2))


async def test_different_locks_are_held_side_by_side(replicas):
    one, other = replicas
    async with one.hold([A], deadline_seconds=LONG), other.hold([B], deadline_seconds=LONG):
        pass


async def test_holders_of_several_locks_never_wait_for_each_other_in_a_circle(replicas):
    one, other = replicas
    inside: set[str] = set()

    async def work(locks: Locks, names: list[str]) -> None:
        async with locks.hold(names, deadline_seconds=LONG):
            assert not inside & set(names)
            inside.update(names)
            await asyncio.sleep(0.005)
            inside.difference_update(names)

    orders = [[A, B], [B, A], [B, C, A], [C, B], [A, A]]
    await asyncio.gather(*(work(locks, names) for names in orders for locks in [one, other] * 2))


async def test_one_who_takes_products_while_holding_a_person_closes_no_circle(replicas):
    """A deletion learns only inside the person's lock which products it touches."""
    people = [user_lock(UserRef(TENANT_ID, name)) for name in "uv"]
    assert sorted([A, people[0], sign_in_name_lock(TENANT_ID, "x")])[1:] == [people[0], A]

    async def delete(locks: Locks, person: str) -> None:
        async with locks.hold([person], deadline_seconds=LONG):
            await asyncio.sleep(0.002)
            async with locks.hold([A, B], deadline_seconds=LONG):
                await asyncio.sleep(0.002)

    async def update(locks: Locks, person: str) -> None:
        async with locks.hold([A, person], deadline_seconds=LONG):
            await asyncio.sleep(0.002)

    await asyncio.gather(
        *(work(locks, person) for locks in replicas for person in people for work in (delete, update) * 3)
    )


async def test_a_lock_that_is_not_to_be_had_in_time_is_refused_and_nothing_is_held(replicas):
    one, other = replicas
    async with one.hold([B], deadline_seconds=LONG):
        started = time.monotonic()
        with pytest.raises(LockTimeout) as refusal:
            async with asyncio.timeout(LONG), other.hold([A, B], deadline_seconds=0.1):
                pytest.fail("the lock was given twice")
        assert time.monotonic() - started > 0.05
        assert (refusal.value.code, refusal.value.sent) == ("UPSTREAM_ERROR", False)
        async with one.hold([A], deadline_seconds=LONG):
            pass
    async with other.hold([A, B], deadline_seconds=LONG):
        pass


async def test_the_deadline_is_for_taking_not_for_holding(replicas):
    async with replicas[0].hold([A], deadline_seconds=1):
        await asyncio.sleep(1.1)


async def test_a_lock_is_given_back_when_the_work_fails_or_is_cancelled(replicas):
    one, other = replicas
    with pytest.raises(ZeroDivisionError):
        async with one.hold([A], deadline_seconds=LONG):
            _ = 1 / 0

    async def hold() -> None:
        async with one.hold([A], deadline_seconds=LONG):
            held.set()
            await asyncio.sleep(60)

    held = asyncio.Event()
    holder = asyncio.create_task(hold())
    await held.wait()
    holder.cancel()
    await asyncio.wait([holder])
    async with other.hold([A], deadline_seconds=LONG):
        pass


async def test_one_who_gives_up_waiting_leaves_the_lock_to_the_next(replicas):
    one, other = replicas
    async with one.hold([A], deadline_seconds=LONG):

        async def wait() -> None:
            async with other.hold([A], deadline_seconds=LONG):
                pytest.fail("it was cancelled")

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
    async with other.hold([A], deadline_seconds=LONG):
        pass


async def test_in_one_process_the_first_who_asked_comes_first(replicas):
    locks = replicas[0]
    order = []

    async def work(number: int) -> None:
        async with locks.hold([A], deadline_seconds=LONG):
            order.append(number)

    async with locks.hold([A], deadline_seconds=LONG):
        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(work(number)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert order == list(range(10))


async def test_locks_that_nobody_wants_are_forgotten():
    locks = MemoryLocks()
    async with locks.hold([A, B], deadline_seconds=LONG):
        with pytest.raises(LockTimeout):
            async with locks.hold([A, C], deadline_seconds=0.01):
                pass
        assert len(locks) == 2
    assert len(locks) == 0


async def test_a_lease_stands_in_redis_while_it_is_held_and_is_renewed(redis_url, open_redis_locks):
    with Redis.from_url(redis_url) as client:
        name = f"gw:1:{NAMESPACE}:lock:{{{TENANT_ID}}}:sku:a"
        async with open_redis_locks(lease_seconds=3).hold([A], deadline_seconds=LONG):
            left = [client.pttl(name)]
            while len(left) < 2 or left[-1] <= left[-2]:  # it only gets less while nobody renews
                assert 0 < left[-1] <= 3000
                await asyncio.sleep(0.05)
                left.append(client.pttl(name))
            assert client.keys() == [name.encode()]
        assert client.keys() == []


async def test_a_holder_that_died_keeps_others_out_for_its_lease_only(redis_url, open_redis_locks):
    started = time.monotonic()
    with Redis.from_url(redis_url) as client:
        client.set(f"gw:1:{NAMESPACE}:lock:{{{TENANT_ID}}}:sku:a", "dead", px=200)
    async with open_redis_locks().hold([A], deadline_seconds=LONG):
        assert time.monotonic() - started > 0.19


async def test_a_lease_that_went_to_another_is_not_taken_from_them(redis_url, open_redis_locks):
    name = f"gw:1:{NAMESPACE}:lock:{{{TENANT_ID}}}:sku:a"
    with Redis.from_url(redis_url) as client, structlog.testing.capture_logs() as logs:
        async with open_redis_locks(lease_seconds=0.15).hold([A], deadline_seconds=LONG):
            client.set(name, "another")
            while not logs:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
        assert client.get(name) == b"another"
        assert client.pttl(name) == -1
    assert [line["event"] for line in logs] == ["lock_lease_lost"]


async def test_with_redis_away_local_locks_hold_and_it_is_told_once():
    with running_on_socket() as (url, server):
        connection = connect_redis_store(url, NAMESPACE)
        locks = RedisLocks(connection)
        async with locks.hold([A], deadline_seconds=LONG):
            server.kill()
            server.wait()
        with structlog.testing.capture_logs() as logs:
            async with asyncio.timeout(20):  # asked each time, a server that is away would take longer
                for _ in range(200):
                    async with locks.hold([A, B], deadline_seconds=LONG):
                        with pytest.raises(LockTimeout):
                            async with locks.hold([B], deadline_seconds=0.01):
                                pass
        assert [line["event"] for line in logs].count("locks_local_only") == 1
        await locks.close()
        await connection.close()


async def test_names_of_locks_show_no_sign_in_name_and_do_not_leave_their_tenant(open_redis_locks):
    assert user_lock(UserRef(TENANT_ID, "u")) == f"{TENANT_ID}:person:u"
    assert sign_in_name_lock(TENANT_ID, "Ada@contoso.com") == sign_in_name_lock(TENANT_ID, "ada@contoso.com")
    assert "ada" not in sign_in_name_lock(TENANT_ID, "ada@contoso.com")
    with pytest.raises(ValueError, match="begins with a tenant's id"):
        async with open_redis_locks().hold(["{x}:y"], deadline_seconds=LONG):
            pass
