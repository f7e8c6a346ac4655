"""Idempotency keys that all replicas share: `…:idempotency:{<scope>}` the record, with `:lease` beside it.

The lease is a key that expires by Redis' clock, so replicas need not agree on the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
import structlog

from services.idempotency import (
    KEPT_SECONDS,
    LEASE_SECONDS,
    Claim,
    Entry,
    IdempotencyStore,
    State,
    answer_text,
    fingerprint_of,
    new_lease,
    settle_claim,
    still_holds,
)
from services.secret import Secret
from services.store_connection import Pipe, StoreConnection
from services.store_errors import StoreUnavailable

STORE: Final = "idempotency"
_log = structlog.get_logger(__name__)


class RedisIdempotency(IdempotencyStore):
    """Keeps the records in Redis."""

    def __init__(
        self,
        connection: StoreConnection,
        secret: Secret,
        *,
        lease_seconds: float = LEASE_SECONDS,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._connection = connection
        self._secret = secret
        self.lease_seconds = lease_seconds
        self._lease_ms = round(lease_seconds * 1000)
        self._kept_ms = round(kept_seconds * 1000)

    def fingerprint(self, given: Mapping[str, object]) -> str:
        return fingerprint_of(self._secret, given)

    async def claim(self, scope: str, fingerprint: str) -> Claim:
        name, lease_name = self._names(scope)
        lease = new_lease()

        async def take(pipe: Pipe) -> Claim:
            entry, holder = await _read(pipe, name, lease_name)
            claim, written = settle_claim(entry, holder, fingerprint, lease)
            if written is None:
                await pipe.unwatch()
                return claim
            pipe.multi()
            pipe.set(name, msgspec.json.encode(written), px=self._kept_ms)
            pipe.set(lease_name, lease, px=self._lease_ms)
            return claim

        return await self._connection.change(take, name, lease_name)

    async def renew(self, scope: str, lease: str) -> bool:
        name, lease_name = self._names(scope)

        async def extend(pipe: Pipe) -> bool:
            entry, holder = await _read(pipe, name, lease_name)
            if entry is None or entry.state == "done" or not still_holds(entry, holder, lease):
                await pipe.unwatch()
                return False
            pipe.multi()
            pipe.set(lease_name, lease, px=self._lease_ms)
            return True

        return await self._connection.change(extend, name, lease_name)

    async def finish(self, scope: str, lease: str, answer: Mapping[str, Any]) -> bool:
        return await self._end(scope, lease, "done", answer_text(answer))

    async def mark_unknown(self, scope: str, lease: str) -> bool:
        return await self._end(scope, lease, "unknown", None)

    async def release(self, scope: str, lease: str) -> bool:
        return await self._end(scope, lease, None, None)

    async def clear(self) -> None:
        await self._connection.delete_all(STORE)

    async def _end(self, scope: str, lease: str, state: State | None, answer: str | None) -> bool:
        name, lease_name = self._names(scope)

        async def end(pipe: Pipe) -> bool:
            entry, holder = await _read(pipe, name, lease_name)
            if entry is None or not still_holds(entry, holder, lease):
                await pipe.unwatch()
                return False
            pipe.multi()
            pipe.delete(lease_name)
            if state is None:
                pipe.delete(name)
            else:
                written = replace(entry, state=state, answer=answer)
                pipe.set(name, msgspec.json.encode(written), px=self._kept_ms)
            return True

        try:
            return await self._connection.change(end, name, lease_name)
        except StoreUnavailable:
            _log.warning("idempotency_record_not_kept", state=state or "released")
            return False

    def _names(self, scope: str) -> tuple[str, str]:
        return self._connection.key(STORE, scope), self._connection.key(STORE, scope, ":lease")


async def _read(pipe: Pipe, name: str, lease_name: str) -> tuple[Entry | None, str | None]:
    raw = await pipe.get(name)
    holder = await pipe.get(lease_name)
    # A record that cannot be read fails the claim: to take it for none could repeat a write.
    return raw and msgspec.json.decode(raw, type=Entry), holder and holder.decode()
