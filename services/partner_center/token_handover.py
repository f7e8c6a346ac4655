"""Access tokens among replicas: one renews, and hands the new token to the others. Nothing of it is stored.

A replica that needs a token asks the others first. Whoever has one that is good sends it, sealed with a key that
only the replicas of one partner can make, over a channel of Redis, which keeps no message. While one renews, the
others wait for what it sends. Without an answer each renews for itself, as without Redis.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, Protocol
from uuid import uuid4

import msgspec
import structlog
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from services.secret import Secret

ANSWER_SECONDS: Final = 0.3
"""How long the others are waited for who may have a token."""
RENEWAL_SECONDS: Final = 5.0
"""How long another's renewal is waited for."""
_SEALED = {"alg": "dir", "enc": "A256GCM"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HandedToken:
    """An access token, and the newest refresh token that came with it."""

    value: str = field(repr=False)
    renew_at: datetime
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)


class _Note(msgspec.Struct, omit_defaults=True):
    """One message: a token, or the wish for one other than that of the digest."""

    sender: str
    token: HandedToken | None = None
    but_not: str = ""


class Channel(Protocol):
    """Carries messages among replicas. Nothing here raises: without Redis nobody hears anything."""

    async def send(self, message: str) -> int:
        """Gives how many hear it, the sender included; 0 where it cannot be sent."""

    async def hear(self, heard: Callable[[str], Awaitable[None]]) -> None:
        """Hands on every message; never returns."""

    async def begin_renewal(self) -> bool:
        """Whether it is for this replica to renew; False: another one does just now."""

    async def end_renewal(self) -> None: ...

    async def close(self) -> None: ...


Renew = Callable[[], Awaitable[HandedToken]]


class TokenHandover:
    """One replica's part. `secret` is known to all replicas of a partner and to nobody else."""

    def __init__(
        self,
        channel: Channel,
        secret: Secret,
        *,
        now: Callable[[], datetime],
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._channel = channel
        self._answer_seconds = answer_seconds
        self._key = OctKey.import_key(hmac.digest(secret.reveal().encode(), b"tokens among replicas", "sha256"))
        self._now = now
        self._name = uuid4().hex
        self._newest: HandedToken | None = None
        self._refused = ""
        self._came = asyncio.Condition()

    async def listen(self) -> None:
        """Hears what others need and send; never returns."""
        await self._channel.hear(self._heard)

    async def close(self) -> None:
        await self._channel.close()

    def refuse(self, token: str) -> None:
        """Takes a token for no longer good: Microsoft refused it, so no other replica's copy is better."""
        self._refused = _digest(token)

    async def get(self, renew: Renew) -> HandedToken:
        """Gives a token that another replica has or just gets, else renews and hands it to the others."""
        await self._wait_for_renewal()
        try:
            if self._good() is None and await self._send(_Note(self._name, but_not=self._refused)) > 1:
                await self._wait(self._answer_seconds)
            token = self._good()
            if token is None:
                token = self._newest = await renew()
                await self._send(_Note(self._name, token))
        finally:
            await self._channel.end_renewal()
        return token

    async def _wait_for_renewal(self) -> None:
        """Returns when it is this replica's turn to renew, or there is nothing to renew any more."""
        until = time.monotonic() + RENEWAL_SECONDS
        while self._good() is None and time.monotonic() < until:
            if await self._channel.begin_renewal():
                return
            await self._wait(self._answer_seconds)

    def _good(self) -> HandedToken | None:
        """The newest token, if it need not be renewed."""
        token = self._newest
        return token if token and self._now() < token.renew_at and _digest(token.value) != self._refused else None

    async def _wait(self, seconds: float) -> None:
        async with self._came:
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait_for(lambda: self._good() is not None)
            except TimeoutError:
                return

    async def _send(self, note: _Note) -> int:
        return await self._channel.send(jwe.encrypt_compact(_SEALED, msgspec.json.encode(note), self._key))

    async def _heard(self, message: str) -> None:
        try:
            note = msgspec.json.decode(jwe.decrypt_compact(message, self._key).plaintext or b"", type=_Note)
        except (JoseError, ValueError, msgspec.MsgspecError):
            log.warning("token_handover_unreadable")
            return
        if note.sender == self._name:
            return
        good = self._good()
        if note.token is None:
            if good is not None and _digest(good.value) != note.but_not:
                await self._send(_Note(self._name, good))
        elif self._newest is None or note.token.expires_at >= self._newest.expires_at or good is None:
            async with self._came:
                self._newest = note.token
                self._came.notify_all()


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
