"""What the way to Microsoft tells of itself: counted for metrics, and remembered for `/ready`."""

from __future__ import annotations

import httpx

from gateway.metrics import TOKEN_REQUESTS, UPSTREAM_CALLS
from services.errors import SignInError
from services.partner_center.admission import CallEvent
from services.partner_center.transport import AccessTokens

_COUNTERS = {event: UPSTREAM_CALLS.labels(outcome=event.value) for event in CallEvent}
_SAYS_SOMETHING = frozenset({CallEvent.ANSWERED, CallEvent.FAILED, CallEvent.THROTTLED})


class UpstreamFigures:
    """Takes note of every call; `last` is what came of the newest that was made."""

    def __init__(self) -> None:
        self.last: CallEvent | None = None

    def note(self, event: CallEvent) -> None:
        _COUNTERS[event].inc()
        if event in _SAYS_SOMETHING:
            self.last = event


class WatchedTokens:
    """Access tokens, and what became of the last wish for one."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens
        self.asked = False
        self.failure: SignInError | None = None

    async def get(self) -> str:
        self.asked = True
        try:
            token = await self._tokens.get()
        except SignInError as error:
            self.failure = error
            raise
        self.failure = None
        return token

    def at_hand(self) -> str | None:
        token = self._tokens.at_hand()
        if token is not None:
            self.asked, self.failure = True, None
        return token

    def invalidate(self, token: str) -> None:
        self._tokens.invalidate(token)


class CountedTokenEndpoint(httpx.AsyncBaseTransport):
    """Carries requests to the token endpoint, and counts them."""

    def __init__(self, http: httpx.AsyncBaseTransport) -> None:
        self._http = http

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        outcome = "failed"
        try:
            response = await self._http.handle_async_request(request)
            outcome = "given" if response.status_code == 200 else "refused" if response.status_code < 500 else "failed"
            return response
        finally:
            TOKEN_REQUESTS.labels(outcome=outcome).inc()
