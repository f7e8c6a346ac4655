"""What deleted users held, shared by all replicas: `…:held:{<tenant>}:<user>`, a JSON list that expires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from services.deletion_memory import KEPT_SECONDS
from services.models import UserRef
from services.store_connection import StoreConnection
from services.store_errors import StoreUnavailable

STORE: Final = "held"
_log = structlog.get_logger(__name__)


class RedisDeletions:
    """Remembers in Redis."""

    def __init__(self, connection: StoreConnection, *, kept_seconds: float = KEPT_SECONDS) -> None:
        self._connection = connection
        self._kept_ms = round(kept_seconds * 1000)

    async def remember(self, user: UserRef, sku_ids: Sequence[str]) -> None:
        form = msgspec.json.encode(list(sku_ids))
        try:
            await self._connection.run(lambda: self._connection.client.set(self._key(user), form, px=self._kept_ms))
        except StoreUnavailable:
            _log.warning("deletion_not_remembered", tenant_id=user.tenant_id, user_id=user.user_id)

    async def recall(self, user: UserRef) -> tuple[str, ...] | None:
        try:
            raw = await self._connection.run(lambda: self._connection.client.get(self._key(user)))
            return None if raw is None else tuple(msgspec.json.decode(raw, type=list[str]))
        except (StoreUnavailable, msgspec.DecodeError):
            _log.warning("deletion_not_recalled", tenant_id=user.tenant_id, user_id=user.user_id)
            return None

    async def forget(self, user: UserRef) -> None:
        try:
            await self._connection.run(lambda: self._connection.client.delete(self._key(user)))
        except StoreUnavailable:
            _log.warning("deletion_not_forgotten", tenant_id=user.tenant_id, user_id=user.user_id)

    async def clear(self) -> None:
        await self._connection.delete_all(STORE)

    def _key(self, user: UserRef) -> str:
        return self._connection.key(STORE, user.tenant_id, f":{user.user_id}")
