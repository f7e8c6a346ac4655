"""Gates that all replicas share, in Redis: a key a closed gate, which lives for as long as the gate is closed.

Its remaining time is what Redis says, so clocks need not agree. One more key lives as long as the longest of
them, so that looking costs one EXISTS while nothing is closed. A 429 is written before its call goes on, and
every call looks before it starts: after one replica was told to wait, none begins another call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from services.partner_center.gates import LOOK_SECONDS, PARTNER, TENANTS_THAT_CLOSE_ALL, TOGETHER_SECONDS, GateScope
from services.store_connection import StoreConnection
from services.store_errors import StoreUnavailable

STORE: Final = "gate"
TAG: Final = "partner"
"""All gates lie in one slot of a cluster, and are read together."""
SAME_LOOK_SECONDS: Final = 0.002
"""Calls that begin within it share a look, so that a burst costs one."""
ANNOUNCEMENT_IS_LONGER: Final = 4
"""An announcement is waited for so many times as long as a look."""
FIRST_IS_LONGER: Final = 5
"""The first look opens the connection."""
FIRST_AWAY_SECONDS: Final = 0.2
LONGEST_AWAY_SECONDS: Final = 5.0
"""How long Redis is not asked for gates after it failed, doubled each time: meanwhile each replica goes by what it
was told itself. Short at first, since it may be ourselves who were slow."""

T = TypeVar("T")


class RedisGates:
    """What replicas tell each other of gates, for as long as Redis answers."""

    def __init__(
        self,
        connection: StoreConnection,
        *,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._look_seconds = look_seconds
        self._client = connection.client
        self._clock = clock
        self._any = connection.key(STORE, TAG)
        self._throttled = connection.key(STORE, TAG, ":throttled")
        self._partner = self._key(PARTNER)
        self._looked_at = float("-inf")
        self._found = False
        self._looking: asyncio.Task[bool] | None = None
        self._ask_again_at = float("-inf")
        self._away_seconds = FIRST_AWAY_SECONDS
        self._has_asked = False

    async def look(self, scope: GateScope) -> tuple[float, float]:
        if not await self._is_any_closed():
            return 0.0, 0.0

        async def ask() -> list[int]:
            pipeline = self._client.pipeline(transaction=False)
            pipeline.pttl(self._partner)
            pipeline.pttl(self._key(scope))
            answers: list[int] = await pipeline.execute()
            return answers

        of_partner, of_scope = await self._run(ask, self._look_seconds, [0, 0])
        return max(0, of_partner) / 1000, max(0, of_scope) / 1000

    async def announce(self, scope: GateScope, seconds: float) -> bool:
        milliseconds = max(1, round(seconds * 1000))
        self._looked_at, self._found = self._clock(), True

        async def tell() -> int:
            now = time.time()  # scores of all replicas: a second's difference is of no weight in ten
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zremrangebyscore(self._throttled, "-inf", now - TOGETHER_SECONDS)
            if scope.tenant_id is not None:
                pipeline.zadd(self._throttled, {scope.tenant_id: now})
                pipeline.expire(self._throttled, round(TOGETHER_SECONDS))
            pipeline.zcard(self._throttled)
            for name in (self._key(scope), self._any):
                pipeline.set(name, 1, nx=True, px=milliseconds)
                pipeline.pexpire(name, milliseconds, gt=True)  # one that is closed for longer stays so
            answers = await pipeline.execute()
            tenants: int = answers[-5]
            return tenants

        return await self._run(tell, ANNOUNCEMENT_IS_LONGER * self._look_seconds, 0) >= TENANTS_THAT_CLOSE_ALL

    async def reset(self) -> None:
        with suppress(StoreUnavailable):
            await self._connection.delete_all(STORE)
        self._found = False

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await self._connection.close()

    async def _is_any_closed(self) -> bool:
        now = self._clock()
        if now - self._looked_at < SAME_LOOK_SECONDS:
            return self._found
        if now < self._ask_again_at:
            return False
        if self._looking is None:
            self._looking = asyncio.create_task(self._ask())
            self._looking.add_done_callback(self._looked)
        # Shielded: who gives up waiting must not end the look that others wait for.
        return await asyncio.shield(self._looking)

    async def _ask(self) -> bool:
        asked_at = self._clock()
        seconds = self._look_seconds * (1 if self._has_asked else FIRST_IS_LONGER)
        found = bool(await self._run(lambda: self._client.exists(self._any), seconds, 0))
        if asked_at >= self._looked_at:
            self._looked_at, self._found = asked_at, found
        return found

    def _looked(self, look: asyncio.Task[bool]) -> None:
        self._looking = None
        if not look.cancelled():
            look.exception()

    async def _run(self, do: Callable[[], Awaitable[T]], seconds: float, otherwise: T) -> T:
        if self._clock() < self._ask_again_at:
            return otherwise
        try:
            answer = await self._connection.run(do, seconds=seconds)
        except StoreUnavailable:  # said by the connection
            self._ask_again_at = self._clock() + self._away_seconds
            self._away_seconds = min(2 * self._away_seconds, LONGEST_AWAY_SECONDS)
            return otherwise
        finally:
            self._has_asked = True
        self._away_seconds = FIRST_AWAY_SECONDS
        return answer

    def _key(self, scope: GateScope) -> str:
        return self._connection.key(STORE, TAG, f":{scope.tenant_id or ''}:{scope.resource}")
