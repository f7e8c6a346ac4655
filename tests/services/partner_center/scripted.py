"""A Partner Center that says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx

from services.partner_center.client import PartnerCenterClient
from services.partner_center.refresh_tokens import MemoryRefreshTokens, RefreshTokenStore
from services.partner_center.retries import Retries
from services.partner_center.tokens import PartnerCredentials, TokenSource
from services.partner_center.transport import Transport
from services.secret import Secret

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
BASE_URL = "https://partner-center.example"
TOKEN_URL = "https://login.example/{tenant}/oauth2/v2.0/token"
CREDENTIALS = PartnerCredentials(
    tenant_id="partner-tenant",
    client_id="client",
    client_secret=Secret("client-secret"),
    refresh_token=Secret("configured"),
)

Reply = httpx.Response | Exception | Callable[[httpx.Request], Any]


def reply(status: int = 200, body: object = None, **headers: str) -> httpx.Response:
    """An answer with JSON; dashes in header names are written as underscores."""
    content = b"" if body is None else json.dumps(body).encode()
    return httpx.Response(
        status, content=content, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def raw(status: int, content: bytes) -> httpx.Response:
    return httpx.Response(status, content=content)


def token_reply(value: str, **members: object) -> httpx.Response:
    return reply(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": value, **members})


@dataclass
class Clock:
    """A clock that stands until it is moved on."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


class ScriptedUpstream(httpx.AsyncBaseTransport):
    """Answers from a list. Token requests have their own, and by default get `token-1`, `token-2` …"""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.token_replies: list[Reply] = []
        self.requests: list[httpx.Request] = []
        self.token_requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if request.url.path.endswith("/token"):
            self.token_requests.append(request)
            number = len(self.token_requests)
            answer: Any = self.token_replies.pop(0) if self.token_replies else token_reply(f"token-{number}")
        else:
            self.requests.append(request)
            answer = self.replies.pop(0)
        if callable(answer):
            answer = await answer(request)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method, and path with query, of every call but those for tokens."""
        return [(request.method, request.url.raw_path.decode()) for request in self.requests]

    def body(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].content)

    def sent(self, header: str) -> list[str | None]:
        return [request.headers.get(header) for request in self.requests]

    @property
    def token_forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(request.content.decode())) for request in self.token_requests]


@dataclass
class Wired:
    """The real client over a scripted upstream. Reads are not repeated unless `transport_options` say so."""

    upstream: ScriptedUpstream = field(default_factory=ScriptedUpstream)
    clock: Clock = field(default_factory=Clock)
    store: RefreshTokenStore = field(default_factory=MemoryRefreshTokens)
    token_url: str = TOKEN_URL
    transport_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tokens = TokenSource(
            self.upstream, CREDENTIALS, store=self.store, now=self.clock, token_url=self.token_url
        )
        options = {"retries": Retries(most=0)} | self.transport_options
        self.transport = Transport(self.upstream, self.tokens, base_url=BASE_URL, clock=lambda: NOW, **options)
        self.client = PartnerCenterClient(self.transport)
