"""What holds for idempotency keys, in memory and in a real Redis alike."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from redis import Redis

from services.idempotency import (
    Done,
    IdempotencyStore,
    MemoryIdempotency,
    New,
    Reused,
    Running,
    Unknown,
    fingerprint_of,
    key_scope,
    request_id_for,
)
from services.idempotency_redis import RedisIdempotency
from services.secret import Secret
from services.store_connection import connect_redis_store
from services.store_errors import StoreUnavailable
from tests.redis_server import running_on_socket

NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
SECRET = Secret("of this deployment")
SCOPE = key_scope("https://issuer.example", "ada", "updateUser", "key-1")
OTHER_SCOPE = key_scope("https://issuer.example", "ada", "updateUser", "key-2")


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def open_store(kind: str, redis_url: str):
    connections = []

    def open_one(**settings: Any) -> IdempotencyStore:
        if kind == "memory":
            return MemoryIdempotency(SECRET, **settings)
        connections.append(connect_redis_store(redis_url, NAMESPACE))
        return RedisIdempotency(connections[-1], SECRET, **settings)

    yield open_one
    for connection in connections:
        await connection.close()


@pytest.fixture
def store(open_store: Callable[[], IdempotencyStore]) -> IdempotencyStore:
    return open_store()


async def claim_new(store: IdempotencyStore, scope: str = SCOPE, fingerprint: str = "f") -> New:
    claim = await store.claim(scope, fingerprint)
    assert isinstance(claim, New)
    return claim


async def test_the_first_claim_gets_the_key_and_the_next_one_finds_it_running(store):
    first = await claim_new(store)

    assert not first.resumed
    assert await store.claim(SCOPE, "f") == Running()
    assert not (await claim_new(store, OTHER_SCOPE)).resumed


async def test_of_many_claims_at_once_exactly_one_gets_the_key(store):
    claims = await asyncio.gather(*(store.claim(SCOPE, "f") for _ in range(40)))

    assert sorted(type(claim).__name__ for claim in claims) == ["New"] + ["Running"] * 39


async def test_a_finished_change_gives_its_answer_each_time(store):
    lease = (await claim_new(store)).lease

    assert await store.finish(SCOPE, lease, {"user": {"id": "1"}, "effects": [{"before": 1}]})

    answer = {"user": {"id": "1"}, "effects": [{"before": 1}]}
    assert await store.claim(SCOPE, "f") == Done(answer)
    assert await store.claim(SCOPE, "f") == Done(answer)
    assert not await store.renew(SCOPE, lease)


async def test_what_a_reader_does_with_an_answer_does_not_change_it(store):
    await store.finish(SCOPE, (await claim_new(store)).lease, {"effects": [1]})
    claim = await store.claim(SCOPE, "f")
    claim.answer["effects"].append(2)

    assert await store.claim(SCOPE, "f") == Done({"effects": [1]})


async def test_an_answer_is_kept_without_its_password(store, kind, redis_url):
    lease = (await claim_new(store)).lease
    await store.finish(SCOPE, lease, {"temporaryPassword": "canary-Pa55", "user": {"id": "1"}})

    assert await store.claim(SCOPE, "f") == Done({"temporaryPassword": None, "user": {"id": "1"}})
    with Redis.from_url(redis_url) as client:
        kept = [client.get(name) or b"" for name in client.scan_iter()]
    assert len(kept) == (1 if kind == "redis" else 0)
    assert b"canary" not in b"".join(kept)


async def test_another_input_under_the_same_key_is_told_in_every_state(store):
    lease = (await claim_new(store)).lease
    assert await store.claim(SCOPE, "other") == Reused()

    await store.mark_unknown(SCOPE, lease)
    assert await store.claim(SCOPE, "other") == Reused()

    unknown = await store.claim(SCOPE, "f")
    assert isinstance(unknown, Unknown)
    await store.finish(SCOPE, unknown.lease, {})
    assert await store.claim(SCOPE, "other") == Reused()


async def test_a_released_key_is_as_if_never_used(store):
    await store.release(SCOPE, (await claim_new(store)).lease)

    assert not (await claim_new(store, fingerprint="other")).resumed


async def test_an_open_outcome_is_given_to_one_claimer_who_can_settle_it(store):
    await store.mark_unknown(SCOPE, (await claim_new(store)).lease)

    claim = await store.claim(SCOPE, "f")
    assert isinstance(claim, Unknown)
    assert await store.claim(SCOPE, "f") == Running()
    assert await store.finish(SCOPE, claim.lease, {"done": True})
    assert await store.claim(SCOPE, "f") == Done({"done": True})


async def test_a_holder_that_died_leaves_the_key_to_the_next_who_is_told_so(open_store):
    store = open_store(lease_seconds=0.1)
    dead = await claim_new(store)
    await asyncio.sleep(0.15)

    heir = await claim_new(store)

    assert heir.resumed
    assert not await store.renew(SCOPE, dead.lease)
    assert not await store.finish(SCOPE, dead.lease, {"from": "the dead"})
    assert not await store.mark_unknown(SCOPE, dead.lease)
    assert not await store.release(SCOPE, dead.lease)
    assert await store.finish(SCOPE, heir.lease, {"from": "the heir"})
    assert await store.claim(SCOPE, "f") == Done({"from": "the heir"})


async def test_a_holder_that_was_only_late_still_finishes(open_store):
    store = open_store(lease_seconds=0.05)
    lease = (await claim_new(store)).lease
    await asyncio.sleep(0.1)

    assert await store.renew(SCOPE, lease)
    await asyncio.sleep(0.1)
    assert await store.finish(SCOPE, lease, {})
    assert await store.claim(SCOPE, "f") == Done({})


async def test_a_lease_is_renewed_while_the_work_runs(open_store):
    store = open_store(lease_seconds=1.2)
    lease = (await claim_new(store)).lease

    async with store.renewing(SCOPE, lease):
        await asyncio.sleep(1.5)
        assert await store.claim(SCOPE, "f") == Running()

    await asyncio.sleep(1.3)
    assert (await claim_new(store)).resumed


async def test_a_repeat_waits_for_the_answer_of_the_one_that_runs(store):
    lease = (await claim_new(store)).lease
    waiting = asyncio.create_task(store.wait_done(SCOPE, "f", timeout_seconds=60))
    await asyncio.sleep(0.05)
    await store.finish(SCOPE, lease, {"n": 1})

    assert await waiting == Done({"n": 1})


async def test_a_repeat_waits_no_longer_than_it_may(store):
    await claim_new(store)

    async with asyncio.timeout(20):  # it runs for longer
        assert await store.wait_done(SCOPE, "f", timeout_seconds=0.1) == Running()


async def test_a_repeat_that_waits_takes_over_from_one_who_dies(open_store):
    store = open_store(lease_seconds=0.2)
    await claim_new(store)

    claim = await store.wait_done(SCOPE, "f", timeout_seconds=60)
    assert isinstance(claim, New)
    assert claim.resumed


async def test_a_record_is_forgotten_after_its_time(open_store):
    store = open_store(kept_seconds=0.1)
    await store.finish(SCOPE, (await claim_new(store)).lease, {})
    await asyncio.sleep(0.15)

    assert not (await claim_new(store, fingerprint="other")).resumed


async def test_clearing_forgets_every_key(store):
    await claim_new(store)
    await store.clear()

    assert not (await claim_new(store)).resumed


async def test_redis_is_shared_by_replicas_and_keeps_a_record_for_a_day(redis_url):
    one, other = (connect_redis_store(redis_url, NAMESPACE) for _ in range(2))
    lease = (await claim_new(RedisIdempotency(one, SECRET))).lease
    assert await RedisIdempotency(other, SECRET).claim(SCOPE, "f") == Running()
    await RedisIdempotency(one, SECRET).finish(SCOPE, lease, {"n": 1})
    assert await RedisIdempotency(other, SECRET).claim(SCOPE, "f") == Done({"n": 1})
    await one.close()
    await other.close()

    with Redis.from_url(redis_url) as client:
        assert client.keys() == [f"gw:1:{NAMESPACE}:idempotency:{{{SCOPE}}}".encode()]
        assert 86_390_000 < client.pttl(client.keys()[0]) <= 86_400_000


async def test_redis_away_refuses_a_claim_and_survives_the_rest():
    with running_on_socket() as (url, server):
        connection = connect_redis_store(url, NAMESPACE)
        store = RedisIdempotency(connection, SECRET, lease_seconds=0.1)
        lease = (await claim_new(store)).lease
        server.kill()
        server.wait()

        async with asyncio.timeout(60):
            with pytest.raises(StoreUnavailable) as refusal:
                await store.claim(OTHER_SCOPE, "f")
            assert (refusal.value.code, refusal.value.sent) == ("UPSTREAM_ERROR", False)
            with pytest.raises(StoreUnavailable):
                await store.renew(SCOPE, lease)
            assert not await store.finish(SCOPE, lease, {})
            assert not await store.mark_unknown(SCOPE, lease)
            assert not await store.release(SCOPE, lease)
            async with store.renewing(SCOPE, lease):
                await asyncio.sleep(0.1)
        await connection.close()


async def test_a_record_that_cannot_be_read_is_not_taken_for_none(redis_url):
    connection = connect_redis_store(redis_url, NAMESPACE)
    with Redis.from_url(redis_url) as client:
        client.set(f"gw:1:{NAMESPACE}:idempotency:{{{SCOPE}}}", "garbled")

    with pytest.raises(StoreUnavailable):
        await RedisIdempotency(connection, SECRET).claim(SCOPE, "f")
    await connection.close()


async def test_memory_is_bounded_and_running_records_go_last():
    store = MemoryIdempotency(SECRET, max_records=2)
    await claim_new(store, "running")
    await store.finish("done", (await claim_new(store, "done")).lease, {})
    await claim_new(store, "third")

    assert await store.claim("running", "f") == Running()
    assert await store.claim("third", "f") == Running()
    assert isinstance(await store.claim("done", "f"), New)


class Colour(Enum):
    RED = "RED"


def test_equal_inputs_have_equal_fingerprints_whatever_their_order_and_key():
    one = {"userId": "u", "assign": [{"skuId": uuid.UUID(int=1), "colour": Colour.RED}], "idempotencyKey": "a"}
    same = {"idempotencyKey": "b", "assign": [{"colour": "RED", "skuId": str(uuid.UUID(int=1))}], "userId": "u"}

    assert fingerprint_of(SECRET, one) == fingerprint_of(SECRET, same)
    assert fingerprint_of(SECRET, one) != fingerprint_of(SECRET, {**one, "userId": "v"})
    assert fingerprint_of(SECRET, one) != fingerprint_of(Secret("of another deployment"), one)
    assert fingerprint_of(SECRET, {"firstName": None}) != fingerprint_of(SECRET, {})


def test_another_password_is_another_input_yet_the_fingerprint_does_not_settle_which():
    def of(password: object) -> str:
        return fingerprint_of(SECRET, {"userId": "u", "password": password})

    assert of("Correct-Horse-1") == of(Secret("Correct-Horse-1"))
    assert of("Correct-Horse-1") != of("Correct-Horse-2")
    assert of("Correct-Horse-1") == of("guess-7332")  # one guess in 65,536 fits, so a fit proves nothing


def test_scopes_differ_by_each_part_and_cannot_be_read():
    parts = [
        ("i", "s", "m", "k"),
        ("i2", "s", "m", "k"),
        ("i", "s2", "m", "k"),
        ("i", "s", "m2", "k"),
        ("is", "", "m", "k"),
    ]
    scopes = {key_scope(*part) for part in parts}

    assert len(scopes) == 5
    assert all(len(scope) == 64 and int(scope, 16) for scope in scopes)


def test_a_step_has_the_same_request_id_on_every_replica():
    assert request_id_for(SCOPE, "create") == request_id_for(SCOPE, "create")
    assert (
        len({request_id_for(SCOPE, "create"), request_id_for(SCOPE, "roles"), request_id_for(OTHER_SCOPE, "create")})
        == 3
    )
    assert uuid.UUID(request_id_for(SCOPE, "create")).version == 5
