"""Circuit breakers: what fails again and again is left alone for a while, then tried by one call.

One for each tenant, one for Partner Center as a whole, one for the token endpoint. A failure is a broken
connection, a time limit or a 5xx; a 4xx or 429 is an answer of something that works.

    closed ──5 failures in a row, or half of at least 20 in 30 s──► open, 10 s
    open ──its time is over──► one call probes, the others are refused
    probe answered ──► closed        probe failed ──► open, twice as long as before, 60 s at most
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

import httpx
import structlog

from services.errors import UpstreamError

FAILURES_IN_A_ROW: Final = 5
LEAST_CALLS: Final = 20
WINDOW_SECONDS: Final = 30
FIRST_OPEN_SECONDS: Final = 10.0
LONGEST_OPEN_SECONDS: Final = 60.0
TENANTS_FOR_ALL: Final = 5
"""The common breaker opens only where so many tenants fail: one that is dead must not cost the others."""
MOST_IDLE: Final = 1000

log = structlog.get_logger(__name__)


class Outcome(Enum):
    """What a call says about the health of whom it asked."""

    ANSWERED = "answered"
    FAILED = "failed"
    NOTHING = "nothing"
    """Never sent, or given up by ourselves."""


class LeftAlone(UpstreamError):
    """Nothing was sent, since what would have been asked failed again and again."""

    def __init__(self) -> None:
        super().__init__("Microsoft failed repeatedly and is left alone for a moment. Try again later.", sent=False)


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    """The time is over: the next call, or the one under way, decides."""


class Breaker:
    """One breaker. `tenants` is from how many tenants failures must come."""

    __slots__ = (
        "_clock",
        "_failing",
        "_in_a_row",
        "_in_row",
        "_name",
        "_open_seconds",
        "_open_until",
        "_probing",
        "_tenants",
        "_window",
    )

    def __init__(self, name: str, *, tenants: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._tenants = tenants
        self._clock = clock
        self.reset()

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock() < self._open_until else BreakerState.PROBING

    @property
    def is_idle(self) -> bool:
        """Whether it is closed and knows nothing that is worth keeping."""
        return self._open_until is None and (not self._window or self._window[-1][0] < self._clock() - WINDOW_SECONDS)

    def reset(self) -> None:
        """Closes it and forgets everything, as at start."""
        self._open_until: float | None = None
        self._open_seconds = FIRST_OPEN_SECONDS
        self._probing = False
        self._in_a_row = 0
        self._in_row: set[str | None] = set()
        self._failing: dict[str | None, float] = {}
        self._window: deque[list[int]] = deque()

    def refuses(self) -> bool:
        """Whether a call would be refused now."""
        return self._open_until is not None and (self._probing or self._clock() < self._open_until)

    def enter(self) -> bool:
        """Lets a call begin that `refuses` allows; True where it is the probe."""
        if self._open_until is None:
            return False
        self._probing = True
        return True

    def leave(self, outcome: Outcome, tenant_id: str | None = None, *, is_probe: bool = False) -> None:
        """Ends a call."""
        if is_probe:
            self._probing = False
            if outcome is Outcome.ANSWERED:
                self.reset()
                log.info("breaker_closed", breaker=self._name)
            elif outcome is Outcome.FAILED:
                self._open(min(self._open_seconds * 2, LONGEST_OPEN_SECONDS))
        elif self._open_until is None and outcome is not Outcome.NOTHING:
            self._count(outcome is Outcome.FAILED, tenant_id)

    def _count(self, failed: bool, tenant_id: str | None) -> None:
        now = self._clock()
        second = int(now)
        window = self._window
        if not window or window[-1][0] != second:
            window.append([second, 0, 0])
            while window[0][0] <= second - WINDOW_SECONDS:
                window.popleft()
        window[-1][1] += 1
        if not failed:
            if self._in_a_row:
                self._in_a_row = 0
                self._in_row.clear()
            return
        window[-1][2] += 1
        self._in_a_row += 1
        self._in_row.add(tenant_id)
        self._failing[tenant_id] = now
        if len(self._failing) > 1:
            self._failing = {key: at for key, at in self._failing.items() if now - at < WINDOW_SECONDS}
        calls = sum(each[1] for each in window)
        failures = sum(each[2] for each in window)
        in_a_row = self._in_a_row >= FAILURES_IN_A_ROW and len(self._in_row) >= self._tenants
        half = calls >= LEAST_CALLS and failures * 2 >= calls and len(self._failing) >= self._tenants
        if in_a_row or half:
            self._open(FIRST_OPEN_SECONDS)

    def _open(self, seconds: float) -> None:
        self._open_seconds = seconds
        self._open_until = self._clock() + seconds
        log.warning("breaker_opened", breaker=self._name, seconds=seconds)


class Passage:
    """One call's way through the breakers of its tenant and of Partner Center."""

    __slots__ = ("_common", "_of_tenant", "_probes_common", "_probes_tenant", "_tenant_id")

    def __init__(self, of_tenant: Breaker, common: Breaker, tenant_id: str | None) -> None:
        self._of_tenant = of_tenant
        self._common = common
        self._tenant_id = tenant_id
        self._probes_tenant = of_tenant.enter()
        self._probes_common = common.enter()

    def leave(self, outcome: Outcome) -> None:
        self._of_tenant.leave(outcome, self._tenant_id, is_probe=self._probes_tenant)
        self._common.leave(outcome, self._tenant_id, is_probe=self._probes_common)


class Breakers:
    """All breakers of a process. Each process learns by itself."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.common = Breaker("partner_center", tenants=TENANTS_FOR_ALL, clock=clock)
        self.token_endpoint = Breaker("token_endpoint", clock=clock)
        self._of_tenants: dict[str | None, Breaker] = {}

    @property
    def open_tenants(self) -> int:
        """How many tenants are left alone now."""
        return sum(each.state is not BreakerState.CLOSED for each in self._of_tenants.values())

    def enter(self, tenant_id: str | None) -> Passage:
        """Lets a call begin; raises LeftAlone where it may not."""
        of_tenant = self._of_tenants.get(tenant_id)
        if of_tenant is None:
            of_tenant = self._new(tenant_id)
        if self.common.refuses() or of_tenant.refuses():
            raise LeftAlone
        return Passage(of_tenant, self.common, tenant_id)

    def refuses(self, tenant_id: str | None) -> bool:
        """Whether a call to the tenant would be refused now."""
        of_tenant = self._of_tenants.get(tenant_id)
        return self.common.refuses() or (of_tenant is not None and of_tenant.refuses())

    def reset(self) -> None:
        """Closes all, as at start."""
        self.common.reset()
        self.token_endpoint.reset()
        self._of_tenants.clear()

    def _new(self, tenant_id: str | None) -> Breaker:
        if len(self._of_tenants) >= MOST_IDLE:
            self._of_tenants = {key: each for key, each in self._of_tenants.items() if not each.is_idle}
        breaker = self._of_tenants[tenant_id] = Breaker("tenant", clock=self._clock)
        return breaker


class GuardedTokenEndpoint(httpx.AsyncBaseTransport):
    """Carries requests to the token endpoint, unless its breaker is open: then they never leave."""

    def __init__(self, http: httpx.AsyncBaseTransport, breaker: Breaker) -> None:
        self._http = http
        self._breaker = breaker

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._breaker.refuses():
            raise httpx.ConnectError("The token endpoint failed repeatedly and is left alone for a moment.")
        is_probe = self._breaker.enter()
        outcome = Outcome.FAILED  # also when cancelled: it is the token source's time limit that does so
        try:
            response = await self._http.handle_async_request(request)
            outcome = Outcome.FAILED if response.status_code >= 500 else Outcome.ANSWERED
            return response
        finally:
            self._breaker.leave(outcome, is_probe=is_probe)
