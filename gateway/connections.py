"""A connection's time and size, which uvicorn itself does not bound.

A client that says nothing, or speaks a byte at a time, holds a connection for a while and no longer; a head that
does not end is not collected. (The time of a body that is waited for is kept where it is read, with an answer.)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.request_frame import SECURITY_HEADERS

if TYPE_CHECKING:
    from gateway.config import Settings

BODY_SLACK_SECONDS = 2.0
"""How much later than the answer 408 a connection is closed where nobody waits for its body."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 10.0
    max_head_bytes: int = 40 * 1024

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        return cls(
            settings.head_timeout_seconds,
            settings.body_timeout_seconds,
            settings.max_header_bytes + settings.max_url_bytes,
        )


class LimitedConnection(HttpToolsProtocol):
    """One connection, with a timer for what it has to say next."""

    _timer: asyncio.TimerHandle | None = None
    _in_message = False
    _in_head = True
    _head_bytes = 0

    def __init__(self, limits: ConnectionLimits, **given: Any) -> None:  # Any: what uvicorn hands over
        super().__init__(**given)
        self._limits = limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait(self._limits.head_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._in_message and not self._in_head:  # the next request on a connection that was kept
            self._in_head = True
            self._head_bytes = 0
            self._wait(self._limits.head_timeout_seconds)
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._limits.max_head_bytes and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", "The head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        self._wait(self._limits.body_timeout_seconds + BODY_SLACK_SECONDS)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._stop_waiting()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request", "This is no HTTP request that can be read.")

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._too_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: bytes, message: str) -> None:
        body = msgspec.json.encode({"errors": [{"message": message, "extensions": {"code": "BAD_REQUEST"}}]})
        headers = SECURITY_HEADERS | {
            "X-Request-Id": str(uuid4()),
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + body)
        self.transport.close()
