"""A request ends with its caller: who hangs up no longer waits, so nothing more is asked on his behalf.

What must go on does so by itself: a change that was begun runs shielded (`services.change_runner`).
"""

from __future__ import annotations

import asyncio

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.metrics import HUNG_UP

WATCHED_AFTER_SECONDS = 0.05
"""Most answers are there by then, and cost no second task."""

log = structlog.get_logger("gateway.requests")


class EndsWithItsCaller:
    """ASGI middleware: cancels an HTTP request whose caller hung up after its body had arrived."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watch = _Watch(receive)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                watch.stop()  # what is answered already costs nothing more; a stream looks by itself
            await send(message)

        try:
            await self._app(scope, watch.receive, sending)
        except asyncio.CancelledError:
            if not watch.ended_here():
                raise
            HUNG_UP.inc()
            log.info("caller hung up")
        finally:
            watch.stop()


class _Watch:
    """Reads on behalf of a request, and once its body is there looks whether the caller stays."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._request = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._cancelled = False

    async def receive(self) -> Message:
        message = await self._receive()
        if self._timer is None and message["type"] == "http.request" and not message.get("more_body"):
            self._timer = asyncio.get_running_loop().call_later(WATCHED_AFTER_SECONDS, self._start)
        return message

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def ended_here(self) -> bool:
        """Whether this watch cancelled the request, and nobody else did."""
        return self._cancelled and self._request is not None and self._request.uncancel() == 0

    def _start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._request is not None:
            self._cancelled = self._request.cancel()
