"""Redis in trouble under load, as callers see it: every query is answered, soon, and nothing is old after a change."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.gateway_client import CONTOSO, Gateway
from tests.redis_server import free_ports, running, running_on_socket, server_folder, wait_until_it_answers
from tests.tcp_proxy import TcpProxy, Trouble, proxy_to
from tests.two_gateways import two_gateways

ADELE = encode_id("User", CONTOSO, stable_id("user", "adele.vance@contoso.onmicrosoft.com"))
PERSON = "query ($user: ID!) { node(id: $user) { ... on User { displayName } } }"
LIST = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) { name users(first: 50) { nodes { displayName } } roles { name } }
}
"""
RENAME = """
mutation ($user: ID!, $name: String!) {
  updateUser(input: {id: $user, displayName: $name}) { user { displayName } userErrors { code message } }
}
"""
SLOW_SECONDS = 10.0
"""More than any answer may take on a loaded machine; redis' own retries would take far longer, all together."""
TROUBLED = [trouble for trouble in Trouble if trouble is not Trouble.NONE]


class Load:
    """Readers of both gateways, each asking again as soon as it is answered. A name is a number that only grows:
    `promised` is the last whose change was answered, and nothing older may be seen by who asks after that."""

    def __init__(self, gateways: tuple[Gateway, Gateway]) -> None:
        self.gateways = gateways
        self.promised = 0
        self.answers = 0
        self.slowest = 0.0
        self.over = False
        self.refused: list[Any] = []

    async def read(self, number: int) -> None:
        gateway = self.gateways[number % 2]
        while not self.over:
            promised, start = self.promised, time.monotonic()
            seen = (await gateway.data(PERSON, {"user": ADELE}))["node"]["displayName"]
            assert int(seen) >= promised, f"{seen} is older than {promised}"
            users = (await gateway.data(LIST, {"tenant": CONTOSO}))["tenant"]["users"]["nodes"]
            [seen] = [user["displayName"] for user in users if user["displayName"].isdigit()]
            assert int(seen) >= promised, f"{seen} is older than {promised}"
            self.slowest = max(self.slowest, time.monotonic() - start)
            self.answers += 1
            await asyncio.sleep(0.01)

    async def change(self) -> None:
        """Writes through both in turn. Where the intent cannot be recorded, a change is refused and nothing is sent."""
        number = self.promised
        while not self.over:
            number += 1
            answer = await self.gateways[number % 2].ask(RENAME, {"user": ADELE, "name": str(number)})
            payload = answer["data"]["updateUser"]
            if payload["userErrors"]:
                self.refused += payload["userErrors"]
            else:
                self.promised = number
            await asyncio.sleep(0.05)

    async def until_answers(self, count: int) -> None:
        """Returns when so many more answers have come."""
        wanted = self.answers + count
        async with asyncio.timeout(60):
            while self.answers < wanted:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)

    async def until_promised(self) -> None:
        """Returns when another change is made."""
        known = self.promised
        async with asyncio.timeout(60):
            while self.promised == known:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)


@asynccontextmanager
async def under_load(sandbox: Any, url: str, folder: Path) -> AsyncIterator[Load]:
    settings = {"GATEWAY_REDIS_CONNECT_TIMEOUT_SECONDS": "0.2", "GATEWAY_REDIS_OPERATION_TIMEOUT_SECONDS": "0.05"}
    journal = {"GATEWAY_AUDIT_JOURNAL": str(folder / "journal")}
    async with two_gateways(sandbox, url, settings=settings | journal) as both:
        await both[0].data(RENAME, {"user": ADELE, "name": "0"})
        load = Load(both)
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(load.read(number))
            tasks.create_task(load.change())
            await load.until_answers(4)
            yield load
            load.over = True
        assert load.slowest < SLOW_SECONDS


@pytest.mark.parametrize("trouble", TROUBLED, ids=lambda trouble: trouble.value)
async def test_redis_in_trouble_under_load_fails_no_query_and_shows_nothing_old(sandbox, redis_url, tmp_path, trouble):
    async with (
        proxy_to(redis_url.removeprefix("unix://")) as proxy,
        under_load(sandbox, address(proxy), tmp_path) as load,
    ):
        await proxy.switch(trouble)
        await load.until_answers(20)
        await proxy.switch(Trouble.NONE)
        await load.until_promised()
        await load.until_answers(20)


async def test_redis_killed_and_started_again_empty_fails_no_query_and_shows_nothing_old(sandbox, tmp_path):
    [port] = free_ports(1)
    with server_folder() as folder:
        own = ["--port", str(port), "--save", "", "--dir", str(folder)]
        with running(*own) as first, Redis(port=port) as redis:
            wait_until_it_answers(redis)
            async with under_load(sandbox, f"redis://127.0.0.1:{port}/0", tmp_path) as load:
                first.kill()
                await load.until_answers(20)
                with running(*own):
                    await load.until_promised()
                    await load.until_answers(20)


async def test_redis_stopped_for_a_while_keeps_what_it_holds_and_nothing_of_it_is_shown_old(sandbox, tmp_path):
    with running_on_socket() as (url, server):
        async with under_load(sandbox, url, tmp_path) as load:
            os.kill(server.pid, signal.SIGSTOP)
            try:
                await load.until_answers(20)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await load.until_promised()
            await load.until_answers(20)


async def test_redis_flushed_again_and_again_fails_no_query_and_shows_nothing_old(sandbox, redis_url, tmp_path):
    async with under_load(sandbox, redis_url, tmp_path) as load:
        with Redis.from_url(redis_url) as redis:
            for _ in range(10):
                redis.flushall()
                await load.until_answers(3)
        await load.until_promised()


async def test_redis_full_fails_no_query_and_shows_nothing_old(sandbox, tmp_path):
    with running_on_socket() as (url, _), Redis.from_url(url) as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        async with under_load(sandbox, url, tmp_path) as load:
            redis.config_set("maxmemory", "1")
            await load.until_answers(20)
            redis.config_set("maxmemory", "0")
            await load.until_promised()
            await load.until_answers(10)


def address(proxy: TcpProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"
