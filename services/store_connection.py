"""What the stores in Redis share: one client, one way to fail, and changes that nobody else can get between.

A change is WATCH, look, MULTI, EXEC, not a script: the documented Redis user of a production gateway may not
run scripts. Commands are those of Redis 7.0.

Keys are `gw:1:<namespace>:<store>:{<tag>}…`. The cache's begin with the brace, so clearing it leaves these.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from services.cache import CONNECT_SECONDS
from services.redis_client import ANSWER_SECONDS, CONNECTIONS, connect_client
from services.store_errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

KEY_FORMAT: Final = "gw:1"
"""Not the cache's, which may be raised at any time: a new number here leaves audit records behind."""

WHOLE_SECONDS: Final = 2.0
"""Longest that one operation takes, with its tries; the client's own times are the cache's and shorter."""

TRIES: Final = 3
PAUSE_SECONDS: Final = 0.05
QUIET_SECONDS: Final = 5.0
CLEAR_SECONDS: Final = 30.0
_DELETED_AT_ONCE: Final = 500
_NAMESPACE = re.compile(r"[a-z0-9:-]+")
_log = structlog.get_logger(__name__)
T = TypeVar("T")

Pipe = Any
"""A pipeline of redis: its methods give an answer before `multi()` and a pipeline after it, which its types
do not say."""


class StoreConnection:
    """Runs operations against Redis, each within two seconds. Trouble of any kind is `StoreUnavailable`."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        namespace: str,
        *,
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        if not _NAMESPACE.fullmatch(namespace):  # braces would move the tag, a star would clear others' keys
            raise ValueError("A namespace has small letters, digits, colons and hyphens only.")
        self.client: Any = client  # commands of the two clients are typed differently, and answer alike
        self.prefix = f"{KEY_FORMAT}:{namespace}:"
        self._on_close = on_close
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._logged_at = float("-inf")

    def key(self, store: str, tag: str, rest: str = "") -> str:
        """Gives a key; all with the same tag lie in one slot of a cluster."""
        return f"{self.prefix}{store}:{{{tag}}}{rest}"

    async def run(self, do: Callable[[], Awaitable[T]], *, seconds: float = WHOLE_SECONDS) -> T:
        """Gives what the operation answers. It may be done more than once: a failed one is tried again."""
        try:
            async with asyncio.timeout(seconds), self._slots:
                for _ in range(TRIES - 1):
                    try:
                        return await _or_cancelled(do)
                    except Exception:  # perhaps a stall: what must be kept is not given up at the first
                        await asyncio.sleep(PAUSE_SECONDS)
                return await _or_cancelled(do)
        except Exception as error:  # beside RedisError: OSError, the cluster's own, uvloop's RuntimeError
            self._tell(error)
            raise StoreUnavailable from error

    async def change(self, decide: Callable[[Pipe], Awaitable[T]], *names: str) -> T:
        """Gives what `decide` answers, with its writes done at once, or begun anew where another came between.

        `decide` reads with `await pipe.get(…)`, then calls `pipe.multi()` and queues writes, or `unwatch()`.
        """

        async def transact() -> T:
            answer: T = await self.client.transaction(decide, *names, value_from_callable=True)
            return answer

        return await self.run(transact)

    async def delete_all(self, store: str) -> None:
        """Deletes every key of a store in this namespace."""

        async def delete() -> None:
            names: list[bytes] = []
            found: AsyncIterator[bytes] = self.client.scan_iter(
                match=f"{self.prefix}{store}:{{*", count=_DELETED_AT_ONCE
            )
            async for name in found:
                names.append(name)
                if len(names) == _DELETED_AT_ONCE:
                    await self._unlink(names)
                    names.clear()
            await self._unlink(names)

        await self.run(delete, seconds=CLEAR_SECONDS)

    async def _unlink(self, names: list[bytes]) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for name in names:  # one key a command, since they may lie in several slots
            pipeline.execute_command("UNLINK", name)
        await pipeline.execute()

    async def eviction_policies(self) -> set[str]:
        """Gives what the servers do when their memory is full; `noeviction` is the one that loses nothing, and
        `unknown` stands for a server that does not say.

        Read from INFO, since CONFIG is not open to the gateway's Redis user.
        """

        async def ask() -> set[str]:
            if hasattr(self.client, "get_primaries"):
                answers = await self.client.info("memory", target_nodes="primaries")
                each = [answers] if "used_memory" in answers else list(answers.values())  # one node answers flat
            else:
                each = [await self.client.info("memory")]
            return {str(answer.get("maxmemory_policy", "unknown")) for answer in each}

        await self.run(lambda: self.client.ping())
        try:
            return await self.run(ask)
        except StoreUnavailable:  # it answers, so this user may not ask
            return {"unknown"}

    async def close(self) -> None:
        await self._on_close()

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at >= QUIET_SECONDS:
            self._logged_at = now
            _log.warning("store_unavailable", error=type(error).__name__, detail=str(error)[:200])


async def _or_cancelled(do: Callable[[], Awaitable[T]]) -> T:
    """Keeps a cancellation that the client loses: it sends with `asyncio.wait_for`, which before Python 3.12
    gives the result where both come at the same moment; and a connection that is slow to close makes it a timeout.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        answer = await do()
    except Exception as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


def connect_redis_store(url: str, namespace: str, *, answer_seconds: float | None = ANSWER_SECONDS) -> StoreConnection:
    """Gives the connection to an address; see `services.redis_client`. Nothing is opened yet."""
    client, close = connect_client(url, connect_seconds=CONNECT_SECONDS, answer_seconds=answer_seconds)
    return StoreConnection(client, namespace, on_close=close)
