"""Replicas over one Redis: one renews, the others get the token from it, and Redis keeps none of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis

from services.errors import SignInUnavailable
from services.partner_center.refresh_tokens import MemoryRefreshTokens
from services.partner_center.token_handover import TokenHandover
from services.partner_center.token_handover_redis import RedisChannel
from services.partner_center.tokens import TokenSource
from services.secret import Secret
from services.store_connection import connect_redis_store
from tests.services.partner_center.scripted import CREDENTIALS, Clock, ScriptedUpstream, reply, token_reply

PATIENCE_SECONDS = 1.0


class Replica:
    def __init__(self, http: ScriptedUpstream, handover: TokenHandover, clock: Clock) -> None:
        self.store = MemoryRefreshTokens()
        self.tokens = TokenSource(http, CREDENTIALS, store=self.store, now=clock, handover=handover)


def answering(*replies: httpx.Response) -> ScriptedUpstream:
    http = ScriptedUpstream()
    http.token_replies = list(replies)
    return http


@asynccontextmanager
async def replicas(
    redis_url: str,
    http: ScriptedUpstream,
    count: int,
    secrets: tuple[str, ...] = (),
    answer_seconds: float = PATIENCE_SECONDS,
) -> AsyncIterator[list[Replica]]:
    """So many replicas that hear each other, and wait long for an answer since the machine may be loaded."""
    clock = Clock()
    channels = [RedisChannel(connect_redis_store(redis_url, "live:partner")) for _ in range(count)]
    handovers = [
        TokenHandover(
            channel, Secret(secrets[number] if secrets else "the same"), now=clock, answer_seconds=answer_seconds
        )
        for number, channel in enumerate(channels)
    ]
    listening = [asyncio.create_task(each.listen()) for each in handovers]
    async with Redis.from_url(redis_url) as client:
        while True:
            found = await client.pubsub_numsub(*await client.pubsub_channels())
            if found and found[0][1] == count:
                break
            await asyncio.sleep(0.01)
    try:
        yield [Replica(http, handover, clock) for handover in handovers]
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        for handover in handovers:
            await handover.close()


async def test_a_token_is_got_once_for_all_replicas_and_so_is_the_newer_refresh_token(redis_url):
    http = answering(token_reply("first", refresh_token="newer"))
    async with replicas(redis_url, http, 3) as each:
        got = await asyncio.gather(*(one.tokens.get() for one in each for _ in range(5)))

        assert set(got) == {"first"}
        assert len(http.token_requests) == 1
        assert [one.store.load() for one in each] == ["newer"] * 3


async def test_a_replica_that_comes_later_gets_the_token_that_is_in_force(redis_url):
    http = answering(token_reply("first"))
    async with replicas(redis_url, http, 2) as [early, late]:
        await early.tokens.get()
        late.tokens._handover._newest = None  # type: ignore[union-attr]  # as if it had not listened then

        assert await late.tokens.get() == "first"
        assert len(http.token_requests) == 1


async def test_a_token_that_microsoft_refused_is_not_taken_from_another_replica(redis_url):
    http = answering(token_reply("first"), token_reply("second"))
    async with replicas(redis_url, http, 2) as [one, other]:
        assert await one.tokens.get() == "first"
        one.tokens.invalidate("first")

        assert await one.tokens.get() == "second"
        other.tokens.invalidate("first")
        assert await other.tokens.get() == "second"
        assert len(http.token_requests) == 2


async def test_where_one_cannot_renew_the_other_tries_by_itself(redis_url):
    http = answering(reply(503, {}), token_reply("second"))
    async with replicas(redis_url, http, 2, answer_seconds=0.05) as [one, other]:
        with pytest.raises(SignInUnavailable):
            await one.tokens.get()

        assert await other.tokens.get() == "second"


async def test_who_does_not_know_the_secret_learns_nothing_and_renews_by_itself(redis_url):
    http = answering(token_reply("first"), token_reply("second"))
    async with replicas(redis_url, http, 2, ("ours", "of another partner"), answer_seconds=0.05) as [one, stranger]:
        assert await one.tokens.get() == "first"
        assert await stranger.tokens.get() == "second"


async def test_redis_keeps_nothing_of_a_token(redis_url):
    http = answering(token_reply("canary-access", refresh_token="canary-refresh"))
    async with replicas(redis_url, http, 2) as [one, other]:
        await one.tokens.get()
        await other.tokens.get()
        async with Redis.from_url(redis_url) as client:
            assert await client.keys("*") == []


async def test_without_an_answer_of_redis_each_renews_for_itself(tmp_path):
    http = answering(token_reply("first"), token_reply("second"))
    clock = Clock()
    got = []
    for _ in range(2):
        handover = TokenHandover(
            RedisChannel(connect_redis_store(f"unix://{tmp_path}/nobody", "live:partner")), Secret("s"), now=clock
        )
        got.append(await Replica(http, handover, clock).tokens.get())
        await handover.close()

    assert got == ["first", "second"]
