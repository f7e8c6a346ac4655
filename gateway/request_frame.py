"""What every HTTP answer has in common: a request id, headers that forbid much, one line in the log.

Heads that are too large or say two things are refused here, and what breaks unexpectedly is answered here.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_answers import INTERNAL_MESSAGE
from gateway.http_refusals import HttpRefused, error_response
from gateway.metrics import REQUEST_SECONDS

log = structlog.get_logger("gateway.requests")

_GUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_KNOWN_PATHS = frozenset(
    {"/graphql", "/health", "/ready", "/metrics"}
    | {f"/export/{what}.{form}" for what in ("users", "portfolio") for form in ("csv", "jsonl")}
)
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})


class RequestFrame:
    """ASGI middleware. A request id that is no GUID is replaced, never reflected. HEAD is answered as GET."""

    def __init__(
        self, app: ASGIApp, *, max_url_bytes: int = 8192, max_header_lines: int = 100, max_header_bytes: int = 32768
    ) -> None:
        self._app = app
        self._max_url_bytes = max_url_bytes
        self._max_header_lines = max_header_lines
        self._max_header_bytes = max_header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        method = scope.get("method", "GET")
        # A copy, since the server looks into its own to see whether a body is to be sent.
        scope = {**scope, "method": "GET"} if method == "HEAD" else scope
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            elif message["type"] == "http.response.body" and method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._answer(scope, receive, framed)
            except Exception:
                if scope["type"] != "http":
                    raise
                log.exception("request failed")
                if status:  # too late for another answer: the server closes the connection
                    raise
                failed = error_response(500, INTERNAL_MESSAGE, {"code": "INTERNAL", "requestId": request_id})
                await failed(scope, receive, framed)
            finally:
                if scope["type"] == "http":
                    seconds = time.perf_counter() - started
                    path = scope["path"] if scope["path"] in _KNOWN_PATHS else "other"
                    REQUEST_SECONDS.labels(path=path, status=str(status)).observe(seconds)
                    known_method = method if method in _KNOWN_METHODS else "other"
                    log.info("answered", method=known_method, path=path, status=status, ms=round(seconds * 1000))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})  # before accepting: 403
        else:
            await refused.response()(scope, receive, send)

    def _refusal(self, scope: Scope) -> HttpRefused | None:
        headers = scope["headers"]
        url_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        if url_bytes > self._max_url_bytes:
            return _too_long(
                HTTPStatus.REQUEST_URI_TOO_LONG, f"A URL may have {self._max_url_bytes:,} bytes. Use POST instead."
            )
        size = sum(len(name) + len(value) + 4 for name, value in headers)
        if len(headers) > self._max_header_lines or size > self._max_header_bytes:
            return _too_long(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"A head may have {self._max_header_lines} lines and {self._max_header_bytes:,} bytes.",
            )
        lengths = sum(name == b"content-length" for name, _ in headers)
        if lengths > 1 or (lengths and any(name == b"transfer-encoding" for name, _ in headers)):
            return _too_long(HTTPStatus.BAD_REQUEST, "The length of the body is given twice.")
        return None


def _too_long(status: HTTPStatus, message: str) -> HttpRefused:
    return HttpRefused(status, message, headers={"Connection": "close"})


def _request_id(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _GUID.fullmatch(given[0]):
        return str(given[0].decode().lower())
    return str(uuid4())
