"""Readers and writers of two replicas in any order, with killed writers and flushes: nobody sees an old state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from services.cache import LookupCache
from services.cache_memory import MemoryCache
from tests.services.cache_steps import TENANT, USERS, connect, look, store_looked


@dataclass
class World:
    """Readers and writers over two replicas. `truth` is Microsoft's, `promised` what every later reader has to see."""

    caches: list[LookupCache]
    flush: Callable[[], object]
    truth: int = 0
    promised: int = 0
    killed: bool = False
    dead: list[Any] = field(default_factory=list)
    readers: list[dict[str, Any]] = field(default_factory=lambda: [{} for _ in range(3)])
    writers: list[dict[str, Any]] = field(default_factory=lambda: [{} for _ in range(2)])

    async def step(self, actor: str, number: int) -> None:
        if actor == "read":
            await self._read(self.readers[number], self.caches[number % 2])
        elif actor == "write":
            await self._write(self.writers[number % 2], self.caches[number % 2])
        elif actor == "kill":
            await self._kill(self.writers[number % 2])
        elif not self.killed:  # killed and flushed at once is more than is promised
            self.flush()

    async def _read(self, reader: dict[str, Any], cache: LookupCache) -> None:
        if "fetched" in reader:
            await store_looked(cache, reader["looked"], reader["fetched"])
            reader.clear()
        elif "looked" in reader:
            reader["fetched"] = self.truth
        else:
            looked = await look(cache)
            if looked.kept is None:
                reader["looked"] = looked
            else:
                assert looked.kept.value >= self.promised

    async def _write(self, writer: dict[str, Any], cache: LookupCache) -> None:
        if "applied" in writer:
            await writer["change"].__aexit__(None, None, None)
            self.promised = max(self.promised, writer["applied"])
            writer.clear()
        elif "change" in writer:
            self.truth += 1
            writer["applied"] = self.truth
        else:
            writer["change"] = cache.changing(TENANT, USERS)
            await writer["change"].__aenter__()

    async def _kill(self, writer: dict[str, Any]) -> None:
        if "change" in writer:
            self.truth += 1  # it had been sent
            self.promised = self.truth
            self.killed = True
            self.dead.append(writer.pop("change"))
            writer.clear()

    async def end(self) -> None:
        """Ends what is left."""
        for change in self.dead + [writer["change"] for writer in self.writers if "change" in writer]:
            await change.__aexit__(None, None, None)
        for cache in set(self.caches):
            await cache.close()


READS = st.tuples(st.just("read"), st.integers(0, 2))
WRITES = st.tuples(st.just("write"), st.integers(0, 1))
OTHERS = st.tuples(st.sampled_from(["flush", "kill"]), st.integers(0, 1))
STEPS = st.lists(st.one_of(READS, READS, WRITES, WRITES, OTHERS), max_size=40)
AT_RANDOM = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@AT_RANDOM
@given(STEPS)
@example([*[("read", 0)] * 2, *[("write", 0)] * 3, ("read", 0), ("read", 1)])
@example([*[("read", 0)] * 3, *[("write", 0)] * 3, ("read", 1)])
def test_no_interleaving_in_memory_shows_an_old_state(steps):
    async def run() -> None:
        world = World([MemoryCache()] * 2, lambda: None)
        try:
            for actor, number in steps:
                if actor in {"read", "write"}:
                    await world.step(actor, number)
        finally:
            await world.end()

    asyncio.run(run())


@AT_RANDOM
@given(STEPS)
@example([("read", 0), ("read", 0), ("write", 1), ("flush", 0), ("write", 1), ("write", 1), ("read", 0), ("read", 1)])
@example([("write", 1), ("flush", 0), *[("read", 0)] * 2, *[("write", 1)] * 2, ("read", 0), ("read", 1)])
@example([("read", 0), ("read", 0), ("write", 1), ("kill", 1), ("read", 0), ("read", 2)])
def test_no_interleaving_of_two_replicas_shows_an_old_state(redis_server_url, steps):
    async def run() -> None:
        with Redis.from_url(redis_server_url) as client:
            client.flushall()
            world = World([connect(redis_server_url) for _ in range(2)], client.flushall)
            try:
                for actor, number in steps:
                    await world.step(actor, number)
            finally:
                await world.end()

    asyncio.run(run())
