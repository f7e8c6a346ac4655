"""Idempotency keys: the same change asked twice is done once, and answered twice.

A record is running (with a lease of its holder), done (with the answer) or unknown (a write was sent and its
outcome could not be settled), and is kept for 24 hours. Dry runs, and refusals before the first write, leave
none. Without Redis the records are in this process's memory: lost with it, and unknown to other replicas.

No password is in a record: answers are stored without, and of a password in the input only 16 bits of a keyed
digest take part in the fingerprint; enough to notice another password, too little to find one out.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from hashlib import sha256
from typing import Any, Final, Literal, Protocol, TypeAlias

import structlog

from services.secret import Secret
from services.secret_names import names_a_secret, without_secrets
from services.store_errors import StoreUnavailable

LEASE_SECONDS: Final = 30.0
KEPT_SECONDS: Final = 24 * 3600.0
MEMORY_RECORDS: Final = 10_000
POLL_SECONDS: Final = 0.2

_REQUEST_IDS = uuid.UUID("6a0f9c55-8c1e-5d0b-9c53-3f1f7f2a4f0e")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class New:
    """The key is the claimer's. `resumed`: an earlier holder died while it ran, so read back before writing."""

    lease: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """Another holder is at work."""


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; `answer` is what was answered, with null in place of a password."""

    answer: dict[str, Any]  # JSON


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was sent, and nobody could tell whether it was done. The key is the claimer's: read back, then finish."""

    lease: str


@dataclass(frozen=True, slots=True)
class Reused:
    """The key was used with another input."""


Claim: TypeAlias = New | Running | Done | Unknown | Reused


def key_scope(issuer: str, subject: str, mutation: str, key: str) -> str:
    """Gives the name of an idempotency key of one caller and mutation; none of the four can be read in it."""
    return sha256(json.dumps([issuer, subject, mutation, key]).encode()).hexdigest()


def request_id_for(scope: str, step: str) -> str:
    """Gives the MS-RequestId of a step, the same each time and on every replica: to Microsoft a repeat after a
    crash is the same request. A change without a key takes a random scope."""
    return str(uuid.uuid5(_REQUEST_IDS, f"{scope}:{step}"))


def fingerprint_of(secret: Secret, given: Mapping[str, object]) -> str:
    """Gives a keyed digest of an input, the idempotency key left out; equal for equal inputs."""
    key = secret.reveal().encode()

    def plain(value: object, named: bool) -> object:
        if isinstance(value, Secret):
            return plain(value.reveal(), True)
        if isinstance(value, Mapping):
            return {str(name): plain(inner, named or names_a_secret(str(name))) for name, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [plain(inner, named) for inner in value]
        if isinstance(value, str) and named:
            return hmac.digest(key, value.encode(), "sha256")[:2].hex()
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, date | uuid.UUID):
            return str(value)
        return value

    rest = {name: value for name, value in given.items() if name not in ("idempotencyKey", "idempotency_key")}
    text = json.dumps(plain(rest, False), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.digest(key, text.encode(), "sha256").hex()


class IdempotencyStore(Protocol):
    """Keeps what became of keyed changes. `claim` and `renew` raise StoreUnavailable; the rest is logged and
    survived, since the change is made by then: the lease runs out, and the next claimer reads back."""

    lease_seconds: float

    def fingerprint(self, given: Mapping[str, object]) -> str:
        """Gives the fingerprint of an input under this deployment's secret."""

    async def claim(self, scope: str, fingerprint: str) -> Claim:
        """Takes the key, or says what became of it. Of many at once exactly one gets New or Unknown."""

    async def renew(self, scope: str, lease: str) -> bool:
        """Keeps the lease for another 30 seconds; False where another has taken the key over."""

    async def finish(self, scope: str, lease: str, answer: Mapping[str, Any]) -> bool:
        """Records the answer, which is JSON. False where that could not be done, as below."""

    async def mark_unknown(self, scope: str, lease: str) -> bool:
        """Records that something was sent and its outcome is open."""

    async def release(self, scope: str, lease: str) -> bool:
        """Removes the record, as if never asked: only where it is certain that nothing was written."""

    async def clear(self) -> None: ...

    async def wait_done(self, scope: str, fingerprint: str, *, timeout_seconds: float) -> Claim:
        """Claims again and again while another is at work; Running when the time is over. Any other claim is
        the claimer's as after `claim`: New where the other released the key, or died."""
        deadline = time.monotonic() + timeout_seconds
        while isinstance(claim := await self.claim(scope, fingerprint), Running):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(POLL_SECONDS, self.lease_seconds, left))
        return claim

    @asynccontextmanager
    async def renewing(self, scope: str, lease: str) -> AsyncIterator[None]:
        """Renews the lease for as long as the block runs."""

        async def keep() -> None:
            while True:
                await asyncio.sleep(self.lease_seconds / 3)
                try:
                    if not await self.renew(scope, lease):
                        _log.warning("idempotency_lease_lost")
                        return
                except StoreUnavailable:
                    continue  # said by the connection; the lease may outlast the trouble

        keeper = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])


State: TypeAlias = Literal["running", "done", "unknown"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a key. `by` is the lease of whoever wrote it last; an answer is JSON."""

    fingerprint: str
    state: State
    by: str
    resumed: bool = False
    answer: str | None = None


def settle_claim(entry: Entry | None, holder: str | None, fingerprint: str, lease: str) -> tuple[Claim, Entry | None]:
    """Gives the claim, and the record to write with a new lease, if any.

    `holder` has the lease now. A claimer that finds itself lost the answer to its own first try.
    """
    if entry is None:
        return New(lease), Entry(fingerprint, "running", lease)
    if entry.fingerprint != fingerprint:
        return Reused(), None
    if entry.state == "done":
        return Done(json.loads(entry.answer or "{}")), None
    if holder not in (None, lease):
        return Running(), None
    if entry.state == "unknown":
        return Unknown(lease), replace(entry, by=lease)
    resumed = entry.resumed if holder == lease else True
    return New(lease, resumed), Entry(fingerprint, "running", lease, resumed)


def still_holds(entry: Entry | None, holder: str | None, lease: str) -> bool:
    """Tells whether the key is still the lease's: also after it ran out, unless another took the key over."""
    return entry is not None and entry.by == lease and holder in (None, lease)


def new_lease() -> str:
    return secrets.token_hex(16)


def answer_text(answer: Mapping[str, Any]) -> str:
    """Gives an answer as it is kept: JSON, with null in place of a password."""
    return json.dumps(without_secrets(answer), allow_nan=False)


@dataclass(slots=True)
class _Held:
    entry: Entry
    holder: str | None
    leased_until: float
    kept_until: float


class MemoryIdempotency(IdempotencyStore):
    """Keeps the records in this process, the newest 10,000; a running one is the last to go."""

    def __init__(
        self,
        secret: Secret,
        *,
        lease_seconds: float = LEASE_SECONDS,
        kept_seconds: float = KEPT_SECONDS,
        max_records: int = MEMORY_RECORDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = secret
        self.lease_seconds = lease_seconds
        self._kept_seconds = kept_seconds
        self._max_records = max_records
        self._clock = clock
        self._records: OrderedDict[str, _Held] = OrderedDict()

    def fingerprint(self, given: Mapping[str, object]) -> str:
        return fingerprint_of(self._secret, given)

    async def claim(self, scope: str, fingerprint: str) -> Claim:
        held = self._find(scope)
        kept, holder = (held.entry, held.holder) if held else (None, None)
        claim, entry = settle_claim(kept, holder, fingerprint, lease := new_lease())
        if entry is not None:
            self._keep(scope, entry, lease)
        return claim

    async def renew(self, scope: str, lease: str) -> bool:
        held = self._find(scope)
        if held is None or held.entry.state == "done" or not still_holds(held.entry, held.holder, lease):
            return False
        held.holder, held.leased_until = lease, self._clock() + self.lease_seconds
        return True

    async def finish(self, scope: str, lease: str, answer: Mapping[str, Any]) -> bool:
        return self._end(scope, lease, "done", answer_text(answer))

    async def mark_unknown(self, scope: str, lease: str) -> bool:
        return self._end(scope, lease, "unknown", None)

    async def release(self, scope: str, lease: str) -> bool:
        held = self._find(scope)
        if held is None or not still_holds(held.entry, held.holder, lease):
            return False
        del self._records[scope]
        return True

    async def clear(self) -> None:
        self._records.clear()

    def _end(self, scope: str, lease: str, state: State, answer: str | None) -> bool:
        held = self._find(scope)
        if held is None or not still_holds(held.entry, held.holder, lease):
            return False
        self._keep(scope, replace(held.entry, state=state, answer=answer), None)
        return True

    def _find(self, scope: str) -> _Held | None:
        held = self._records.get(scope)
        if held is None:
            return None
        if held.kept_until <= self._clock():
            del self._records[scope]
            return None
        if held.leased_until <= self._clock():
            held.holder = None
        return held

    def _keep(self, scope: str, entry: Entry, holder: str | None) -> None:
        now = self._clock()
        self._records[scope] = _Held(entry, holder, now + self.lease_seconds, now + self._kept_seconds)
        self._records.move_to_end(scope)
        while len(self._records) > self._max_records:
            ended = (name for name, held in self._records.items() if held.holder is None or held.leased_until <= now)
            del self._records[next(ended, next(iter(self._records)))]
