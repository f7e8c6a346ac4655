"""`/health` and `/ready`: whether the process lives, whether it can answer, and how what it depends on is.

A dependency that is away does not make the process unready: there is a cache, and there are partial answers. It
is unready while it starts and drains, and where it could answer nobody: without the issuer's keys no token can
be checked. Names no tenant, no address and no secret.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.issuer_keys import IssuerKeys
from gateway.lifecycle import Lifecycle, Phase
from gateway.upstream_figures import UpstreamFigures, WatchedTokens
from services.audit import AuditLog
from services.cache import CacheUnavailable, LookupCache
from services.errors import Misconfigured, SignInAgain
from services.mailer import Mailer
from services.partner_center.admission import CallEvent, UpstreamHealth
from services.partner_center.breakers import BreakerState

ASKED_AGAIN_AFTER_SECONDS = 1.0
"""Redis is pinged no more often, however many look."""
PING_SECONDS = 0.25

UP, DOWN, OFF, UNKNOWN = "up", "down", "off", "unknown"
State = dict[str, object]


@dataclass(slots=True, kw_only=True)
class Dependencies:
    """What `/ready` tells of. `store_problems` are what was wrong with Redis at start, in our words."""

    cache: LookupCache
    uses_redis: bool
    figures: UpstreamFigures
    health: Callable[[], UpstreamHealth]
    tokens: WatchedTokens
    keys: IssuerKeys
    mailer: Mailer
    audit: AuditLog
    store_problems: list[str] = field(default_factory=list)
    _redis: State = field(default_factory=dict)
    _asked_at: float = float("-inf")
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def states(self) -> Mapping[str, State]:
        return {
            "redis": await self._redis_state() if self.uses_redis else {"state": OFF},
            "partnerCenter": self._partner_center_state(),
            "signIn": self._sign_in_state(),
            "issuerKeys": {"state": UP if self.keys.usable else DOWN, "keys": self.keys.usable},
            "mail": {"state": "configured" if self.mailer.configured else OFF},
            "auditJournal": self._audit_state(),
        }

    async def _redis_state(self) -> State:
        async with self._asking:
            if time.monotonic() - self._asked_at >= ASKED_AGAIN_AFTER_SECONDS:
                self._redis = {"state": UP if await _answers(self.cache.ping) else DOWN}
                self._asked_at = time.monotonic()
            found = dict(self._redis)
        if self.store_problems and found["state"] == UP:
            found["detail"] = self.store_problems[0]
        return found

    def _partner_center_state(self) -> State:
        health, last = self.health(), self.figures.last
        throttled = health.partner_gate_closed_seconds
        if health.partner_center is not BreakerState.CLOSED:
            state = "left alone"
        elif throttled > 0:
            state = "throttled"
        elif last is None:
            state = UNKNOWN
        else:
            state = DOWN if last is CallEvent.FAILED else UP
        return {
            "state": state,
            "tenantsLeftAlone": health.tenants_left_alone,
            "gatesClosed": health.gates_closed,
            "throttledSeconds": round(throttled),
        }

    def _sign_in_state(self) -> State:
        failure = self.tokens.failure
        if failure is not None:
            final = isinstance(failure, (SignInAgain, Misconfigured))
            return {"state": "refused" if final else DOWN, "detail": failure.message}
        if self.health().token_endpoint is not BreakerState.CLOSED:
            return {"state": "left alone"}
        return {"state": UP if self.tokens.asked else UNKNOWN}

    def _audit_state(self) -> State:
        if not self.uses_redis:
            return {"state": OFF}
        return {"state": "waiting" if self.audit.catching_up else "empty"}


def readiness_page(
    lifecycle: Lifecycle, dependencies: Callable[[], Dependencies | None]
) -> Callable[[Request], Awaitable[Response]]:
    """The route `/ready`."""

    async def ready(_: Request) -> Response:
        known = dependencies()
        if known is None:
            return JSONResponse({"status": lifecycle.phase.value, "dependencies": {}}, status_code=503)
        states = await known.states()
        status = lifecycle.phase.value
        if lifecycle.phase is Phase.READY and states["issuerKeys"]["state"] == DOWN:
            status = "unready"
        return JSONResponse(
            {"status": status, "dependencies": states}, status_code=200 if status == Phase.READY.value else 503
        )

    return ready


async def health(_: Request) -> Response:
    """The route `/health`: 200 while the process lives, and its event loop comes round."""
    return JSONResponse({"status": "alive"})


async def _answers(ping: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await ping()
    except (CacheUnavailable, TimeoutError):
        return False
    return True
