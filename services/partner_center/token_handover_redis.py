"""The channel among replicas in Redis: PUBLISH and SUBSCRIBE, which keep nothing, and a short lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from services.store_connection import StoreConnection
from services.store_errors import StoreUnavailable

STORE: Final = "handover"
TAG: Final = "partner"
RENEWAL_MILLISECONDS: Final = 20_000
SECONDS: Final = 0.25
LISTEN_AGAIN_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class RedisChannel:
    """Carries messages for as long as Redis answers. A user of Redis without the right to channels is alone."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection
        self._client = connection.client
        self._channel = connection.key(STORE, TAG, ":tokens")
        self._lock = connection.key(STORE, TAG, ":renewing")
        self._holds = False

    async def send(self, message: str) -> int:
        try:
            return int(
                await self._connection.run(lambda: self._client.publish(self._channel, message), seconds=SECONDS)
            )
        except StoreUnavailable:
            return 0

    async def hear(self, heard: Callable[[str], Awaitable[None]]) -> None:
        while True:
            try:
                await self._listen(heard)
            except Exception as error:  # whatever is wrong with Redis: each replica renews for itself meanwhile
                log.info("token_handover_deaf", error=type(error).__name__)
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _listen(self, heard: Callable[[str], Awaitable[None]]) -> None:
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(self._channel)
            while True:
                message = await subscription.get_message(timeout=LISTEN_AGAIN_SECONDS)
                if message is not None:
                    data = message["data"]
                    await heard(data.decode() if isinstance(data, bytes) else str(data))

    async def begin_renewal(self) -> bool:
        async def take() -> bool:
            return bool(await self._client.set(self._lock, 1, nx=True, px=RENEWAL_MILLISECONDS))

        try:
            self._holds = await self._connection.run(take, seconds=SECONDS)
        except StoreUnavailable:
            return True
        return self._holds

    async def end_renewal(self) -> None:
        if self._holds:
            self._holds = False
            try:
                await self._connection.run(lambda: self._client.delete(self._lock), seconds=SECONDS)
            except StoreUnavailable:
                return  # it expires by itself

    async def close(self) -> None:
        await self._connection.close()
