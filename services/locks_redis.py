"""Locks that all replicas share: the local lock first, so that a process asks Redis once a name, then a lease.

A lease is `SET NX PX` with a token of the holder, renewed while it is held and deleted only if it still has
that token. Leases of one name are not given in turn across replicas.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from services.locks import LEASE_SECONDS, MemoryLocks
from services.store_connection import Pipe, StoreConnection
from services.store_errors import LockTimeout, StoreUnavailable

STORE: Final = "lock"
FIRST_LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 0.2
AWAY_SECONDS: Final = 5.0
"""How long Redis is not asked for leases after it failed."""

_chance = random.SystemRandom()
_log = structlog.get_logger(__name__)


class RedisLocks:
    """Locks of this process, and leases in Redis for as long as it answers."""

    def __init__(self, connection: StoreConnection, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._connection = connection
        self._lease_seconds = lease_seconds
        self._local = MemoryLocks()
        self._ask_again_at = float("-inf")
        self._away = False
        self._releasing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def hold(self, names: Sequence[str], *, deadline_seconds: float) -> AsyncIterator[None]:
        deadline = time.monotonic() + deadline_seconds
        token = secrets.token_hex(16)
        tried: list[str] = []
        leased: list[str] = []
        keeper: asyncio.Task[None] | None = None
        async with AsyncExitStack() as local:
            try:
                # Name by name, both kinds: else one who takes more while holding some could close a circle.
                for name in sorted(set(names)):
                    key = self._key(name)
                    left = deadline - time.monotonic()
                    await local.enter_async_context(self._local.hold([name], deadline_seconds=left))
                    if time.monotonic() < self._ask_again_at:
                        continue
                    tried.append(key)
                    if await self._take(key, token, deadline):
                        leased.append(key)
                        keeper = keeper or asyncio.create_task(self._keep(leased, token))
                yield
            finally:
                if keeper is not None:
                    keeper.cancel()
                # Also what was only tried: the answer may have been lost, or the wait cut short.
                await self._finish(asyncio.create_task(self._release(tried, token)))

    async def close(self) -> None:
        """Returns when all leases are given back."""
        if self._releasing:
            await asyncio.wait(self._releasing)

    def _key(self, name: str) -> str:
        tenant, _, rest = name.partition(":")
        if not tenant or set("{}") & set(name):
            raise ValueError("The name of a lock begins with a tenant's id and has no braces.")
        return self._connection.key(STORE, tenant, f":{rest}")

    async def _take(self, key: str, token: str, deadline: float) -> bool:
        """Returns True with the lease, False where Redis is away."""
        pause = FIRST_LOOK_SECONDS
        while True:
            try:
                holder = await self._connection.run(
                    lambda: self._connection.client.set(
                        key, token, nx=True, get=True, px=round(self._lease_seconds * 1000)
                    )
                )
            except StoreUnavailable:
                self._ask_again_at = time.monotonic() + AWAY_SECONDS
                if not self._away:
                    self._away = True
                    _log.warning("locks_local_only")
                return False
            if self._away:
                self._away = False
                _log.info("locks_shared_again")
            if holder is None or holder == token.encode():  # our own: the answer to the first try was lost
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockTimeout
            await asyncio.sleep(min(left, _chance.uniform(0.5, 1) * pause))
            pause = min(pause * 2, LONGEST_LOOK_SECONDS)

    async def _keep(self, keys: list[str], token: str) -> None:
        """Renews the leases; `keys` grows while they are taken."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            for key in list(keys):
                try:
                    kept = await self._if_ours(key, token, renew=True)
                except StoreUnavailable:
                    break  # said by the connection
                if not kept:
                    keys.remove(key)
                    _log.warning("lock_lease_lost")

    async def _release(self, keys: list[str], token: str) -> None:
        for key in reversed(keys):
            try:
                await self._if_ours(key, token, renew=False)
            except StoreUnavailable:
                return  # they run out by themselves

    async def _if_ours(self, key: str, token: str, *, renew: bool) -> bool:
        async def act(pipe: Pipe) -> bool:
            if await pipe.get(key) != token.encode():
                await pipe.unwatch()
                return False
            pipe.multi()
            if renew:
                pipe.pexpire(key, round(self._lease_seconds * 1000))
            else:
                pipe.delete(key)
            return True

        return await self._connection.change(act, key)

    async def _finish(self, task: asyncio.Task[None]) -> None:
        """Waits for a release, which goes on when the waiter is cancelled."""
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)
        await asyncio.shield(task)
