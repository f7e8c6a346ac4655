"""What every HTTP answer has in common: a request id, headers that forbid much, one line in the log."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.metrics import REQUEST_SECONDS

log = structlog.get_logger("gateway.requests")

_GUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_KNOWN_PATHS = frozenset({"/graphql", "/health", "/ready", "/metrics"})


class RequestFrame:
    """ASGI middleware. A request id that is no GUID is replaced, never reflected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, framed)
            finally:
                if scope["type"] == "http":
                    seconds = time.perf_counter() - started
                    path = scope["path"] if scope["path"] in _KNOWN_PATHS else "other"
                    REQUEST_SECONDS.labels(path=path, status=str(status)).observe(seconds)
                    log.info("answered", method=scope["method"], path=path, status=status, ms=round(seconds * 1000))


def _request_id(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _GUID.fullmatch(given[0]):
        return str(given[0].decode().lower())
    return str(uuid4())
