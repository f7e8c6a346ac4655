"""Redis in trouble, seen by the cache: a miss, soon; left alone; and nothing old when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from redis import Redis

from services.cache import CacheUnavailable, LookupCache
from services.cache_redis import RedisCache
from services.lookups import ACTIVE_USERS, DOMAINS, Volatile
from services.redis_client import connect_client
from services.redis_guard import TROUBLES, RedisGuard
from tests.redis_server import free_ports, running, running_on_socket, server_folder, wait_until_it_answers
from tests.services.cache_steps import NAMESPACE, NUMBERS, TENANT, look
from tests.tcp_proxy import TcpProxy, Trouble, proxy_to
from tests.virtual_time import run_in_virtual_time

OTHER = "22222222-2222-4222-8222-222222222222"
PATIENCE_SECONDS = 60.0
"""How long an operation goes on where a test shows that its caller does not wait for its end."""
QUICK_SECONDS = 20.0
"""What is called quick then: this machine may be loaded."""
TROUBLED = [trouble for trouble in Trouble if trouble is not Trouble.NONE]


@asynccontextmanager
async def connected(
    url: str, *, operation_seconds: float = 0.05, rest_seconds: float = 0.3, whole_seconds: float = 1
) -> AsyncIterator[tuple[LookupCache, RedisGuard]]:
    client, close = connect_client(url, connect_seconds=0.2, answer_seconds=whole_seconds)
    guard = RedisGuard(client, operation_seconds, close, rest_seconds=rest_seconds, whole_seconds=whole_seconds)
    cache = RedisCache(guard, NAMESPACE)
    yield cache, guard
    await cache.close()


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    async with proxy_to(redis_url.removeprefix("unix://")) as proxy:
        yield proxy


def address(proxy: TcpProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def rests(guard: RedisGuard) -> bool:
    """Whether Redis is left alone. A function, since a type checker takes an attribute for settled."""
    return guard.resting


async def number(cache: LookupCache, key: str = TENANT) -> int | None:
    kept = (await look(cache, key=key)).kept
    return None if kept is None else kept.value


async def keep(cache: LookupCache, value: int, key: str = TENANT) -> None:
    """Stores as a reader does who looked before, and insists, since this machine may be loaded."""
    async with asyncio.timeout(30):
        while await number(cache, key) != value:  # no event tells
            await asyncio.sleep(0.01)
            looked = await look(cache, key=key)
            if looked.storable:
                await cache.store_many(NUMBERS, {key: value}, {key: looked.generation})


async def use(cache: LookupCache) -> None:
    """Does everything that readers do."""
    await cache.look_up(NUMBERS, [TENANT, OTHER])
    await cache.look_up(DOMAINS, [TENANT])
    await cache.claim(NUMBERS, {TENANT: "-"})
    await cache.store_many(DOMAINS, {OTHER: ["a.example"]}, {OTHER: "-"})
    await cache.release(NUMBERS, {TENANT: "-"})


async def use_until_it_rests(cache: LookupCache, guard: RedisGuard) -> None:
    """Goes on, never waiting for an operation to its end, until Redis is left alone."""
    while not rests(guard):
        async with asyncio.timeout(QUICK_SECONDS):
            await use(cache)


def without_waiting(work: Coroutine[Any, Any, Any]) -> Any:
    """Gives what comes of work that waits for nothing, so cannot have asked anybody."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    pytest.fail("it waited")


def test_who_asks_waits_as_long_as_an_operation_may_take_and_who_insists_until_it_is_given_up():
    async def close() -> None: ...

    async def asked(*, insist: bool) -> float:
        client, _ = connect_client("redis://nobody.invalid", connect_seconds=1)
        guard = RedisGuard(client, 0.05, close)
        assert await guard.attempt("wait", asyncio.Event().wait, otherwise="nothing", insist=insist) == "nothing"
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(asked(insist=False)) == pytest.approx(0.05)
    assert run_in_virtual_time(asked(insist=True)) == pytest.approx(1)


@pytest.mark.parametrize("trouble", TROUBLED, ids=lambda trouble: trouble.value)
async def test_trouble_of_any_kind_is_a_quick_miss_and_then_redis_is_left_alone_until_it_is_over(proxy, trouble):
    async with connected(address(proxy), whole_seconds=PATIENCE_SECONDS) as (cache, guard):
        await keep(cache, 1)
        await proxy.switch(trouble)

        async with asyncio.timeout(QUICK_SECONDS):
            await asyncio.gather(*(use(cache) for _ in range(20)))
        await use_until_it_rests(cache, guard)
        without_waiting(use(cache))
        assert without_waiting(number(cache)) is None

        await proxy.switch(Trouble.NONE)
        await keep(cache, 2)
        assert not rests(guard)


@pytest.mark.parametrize("trouble", TROUBLED, ids=lambda trouble: trouble.value)
async def test_what_was_changed_meanwhile_is_not_given_old_when_redis_is_back(proxy, trouble):
    """In the replica that changed it, and in another one that noticed the trouble as well."""
    async with connected(address(proxy)) as (writer, writing), connected(address(proxy)) as (reader, reading):
        await keep(writer, 1)
        assert await number(reader) in {1, None}
        await proxy.switch(trouble)
        while not (rests(writing) and rests(reading)):
            await asyncio.gather(use(writer), use(reader))

        held = await look(writer)
        async with writer.changing(TENANT, {Volatile.USERS}):
            amid = await look(writer)
            assert (amid.kept, amid.storable) == (None, False)
        assert (await look(writer)).generation not in {held.generation, amid.generation}

        await proxy.switch(Trouble.NONE)
        while rests(writing) or rests(reading):
            assert await number(writer) is None
            assert await number(reader) is None
            await asyncio.sleep(0.01)
        for _ in range(20):
            assert await number(writer) is None
            assert await number(reader) is None
        await keep(reader, 2)
        await keep(writer, 2)


async def test_a_change_whose_marks_alone_failed_is_marked_soon_also_if_nobody_reads(proxy, redis_url):
    async with connected(address(proxy)) as (writer, guard), connected(redis_url, operation_seconds=5) as (reader, _):
        await keep(reader, 1)
        change = writer.changing(TENANT, {Volatile.USERS})
        await proxy.switch(Trouble.REFUSE)
        await change.__aenter__()
        await change.__aexit__(None, None, None)
        assert not rests(guard)
        assert await number(writer) is None
        await proxy.switch(Trouble.NONE)

        async with asyncio.timeout(30):
            while await number(reader) is not None:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)


async def test_time_in_which_the_process_itself_was_busy_is_not_held_against_redis(redis_url):
    async with connected(redis_url, operation_seconds=0.5) as (cache, guard):
        await keep(cache, 1)
        for _ in range(3):
            asking = asyncio.create_task(number(cache))
            await asyncio.sleep(0)
            time.sleep(0.8)  # noqa: ASYNC251  # that is the point
            assert await asking == 1
        assert not guard._troubles


async def test_a_server_that_stands_still_is_not_waited_for_and_used_again_after():
    with running_on_socket() as (url, server):
        async with connected(url, operation_seconds=0.5, whole_seconds=PATIENCE_SECONDS) as (cache, guard):
            await keep(cache, 1)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(QUICK_SECONDS):
                    assert await number(cache) is None
                assert not rests(guard)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await keep(cache, 1)


async def test_a_connection_that_the_server_cut_is_not_even_a_miss(redis_url):
    async with connected(redis_url, operation_seconds=5) as (cache, _):
        await keep(cache, 1)
        with Redis.from_url(redis_url) as redis:
            redis.client_kill_filter(_type="normal", skipme=True)

        assert await number(cache) == 1


async def test_trouble_is_told_once_and_then_seldom(redis_url):
    with running_on_socket() as (url, server):
        async with connected(url, operation_seconds=5) as (cache, guard):
            await keep(cache, 1)
            server.terminate()
            server.wait()

            with structlog.testing.capture_logs() as lines:
                for _ in range(TROUBLES + 1):
                    await use(cache)
                assert rests(guard)

            assert [line["event"] for line in lines] == ["cache_unavailable"]
            with pytest.raises(CacheUnavailable, match=r"^Redis does not answer \(ConnectionError\)\.$"):
                await cache.ping()


async def test_a_full_server_drops_what_is_to_be_kept_and_still_answers_reads_and_forgets_what_changes():
    with running_on_socket() as (url, _), Redis.from_url(url) as redis:
        async with (
            connected(url, operation_seconds=5) as (cache, guard),
            connected(url, operation_seconds=5) as (other, _),
        ):
            await keep(cache, 1)
            await keep(cache, 2, OTHER)
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", "1")

            for _ in range(2 * TROUBLES):
                await cache.store_many(DOMAINS, {OTHER: ["fabrikam.com"]}, {OTHER: "-"})
            assert await number(cache) == 1
            async with cache.changing(TENANT, {Volatile.USERS}):
                pass
            assert await number(cache) is None
            assert await number(other) is None
            assert await number(other, OTHER) == 2
            assert not rests(guard)

            redis.config_set("maxmemory", "0")
            await keep(other, 3)
            assert await number(cache) == 3


async def test_a_read_only_server_is_not_used_for_its_answers_are_another_ones():
    with running_on_socket() as (url, _), Redis.from_url(url) as redis:
        async with connected(url, operation_seconds=5) as (cache, guard):
            await keep(cache, 1)
            redis.replicaof("127.0.0.1", 1)

            await cache.store_many(DOMAINS, {OTHER: ["fabrikam.com"]}, {OTHER: "-"})
            assert rests(guard)
            await asyncio.sleep(0.5)
            assert rests(guard)
            async with cache.changing(TENANT, {Volatile.USERS}):
                pass
            assert await number(cache) is None

            redis.replicaof("NO", "ONE")
            while rests(guard):
                assert await number(cache) is None
                await asyncio.sleep(0.01)
            assert await number(cache) is None
            await keep(cache, 2)


@pytest.mark.parametrize(
    "answer", [b"-LOADING Redis is loading the dataset in memory\r\n", b"-NOAUTH required\r\n", b"+\r\n"]
)
async def test_a_server_that_says_something_else_is_a_miss(answer):
    async def answer_always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(answer_always, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with connected(f"redis://127.0.0.1:{port}/0") as (cache, guard):
        for _ in range(TROUBLES):
            await use(cache)
            assert await number(cache) is None
        async with cache.changing(TENANT, {Volatile.USERS}):
            pass
        assert rests(guard)
    server.close()


async def test_a_server_that_was_killed_and_started_again_is_used_again():
    [port] = free_ports(1)
    with server_folder() as folder:
        own = ["--port", str(port), "--save", "", "--dir", str(folder)]
        async with connected(f"redis://127.0.0.1:{port}/0", whole_seconds=PATIENCE_SECONDS) as (cache, guard):
            for value in (1, 2):
                with running(*own) as server, Redis(port=port) as redis:
                    wait_until_it_answers(redis)
                    await keep(cache, value)
                    server.kill()
                    server.wait()
                    await use_until_it_rests(cache, guard)


async def test_a_flush_is_a_miss_and_what_is_read_then_is_kept(redis_url):
    async with connected(redis_url, operation_seconds=5) as (cache, guard):
        with Redis.from_url(redis_url) as redis:
            for value in range(3):
                await keep(cache, value)
                redis.flushall()
                assert await number(cache) is None
        [looked] = await cache.look_up(ACTIVE_USERS, [TENANT])
        assert looked.storable
        assert not rests(guard)


async def test_an_operation_with_the_work_of_several_has_their_time_and_counts_as_so_many(redis_url):
    async def slow() -> int:
        await asyncio.sleep(0.2)
        return 7

    async def never() -> int:
        raise ConnectionError

    async with connected(redis_url, rest_seconds=60) as (_, guard):
        assert await guard.attempt("slow", slow) is None
        assert await guard.attempt("slow", slow, size=20) == 7

    async with connected(redis_url, rest_seconds=60) as (_, guard):
        assert await guard.attempt("never", never, size=20) is None
        assert not rests(guard)
        assert await guard.attempt("never", never) is None
        assert rests(guard)
