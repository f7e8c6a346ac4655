"""Where the process stands between its start and its end, and how it takes leave of those it is connected to.

    starting ──wired──► ready ──SIGTERM──► draining ──some seconds──► the listener closes ──work ends──► gone

While draining, requests are still taken, and answered with `Connection: close`, so that clients look for
another replica before this one is gone. `gateway.serving` decides when each step is taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.running_operations import RunningOperations

GOING_AWAY = 1001


class Phase(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Lifecycle:
    """The phase of one process, and the end of its operations and sockets."""

    def __init__(self, operations: RunningOperations, *, query_seconds: float, write_seconds: float) -> None:
        self.phase = Phase.STARTING
        self.open_sockets = 0
        self.sockets_end = asyncio.Event()
        self._operations = operations
        self._query_seconds = query_seconds
        self._write_seconds = write_seconds
        self._ends_at: float | None = None

    def started(self) -> None:
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def begin_drain(self) -> None:
        """From now on `/ready` says no. May be called by the handler of a signal."""
        self.phase = Phase.DRAINING

    def stop_listening(self) -> None:
        """From now on queries and writes have their last seconds."""
        self.phase = Phase.DRAINING
        self._ends_at = time.monotonic() + self._write_seconds
        self._operations.cut_queries(self._query_seconds)

    def seconds_left(self) -> float:
        """Gives what is left for writes that are under way."""
        return self._write_seconds if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    async def end_sockets(self) -> None:
        """Closes the sockets when nothing is asked over them any more, at the end of the time at the latest."""
        await self._operations.wait_until_none(self.seconds_left())
        self.sockets_end.set()


class TakesLeave:
    """ASGI middleware: tells clients to connect elsewhere while draining, ends streams, closes sockets with 1001."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] == "http" and _asks_for_a_stream(scope):
            with self._ending(receive, _nothing, {"type": "http.disconnect"}) as ending:
                await self._app(scope, ending, send)
            return
        if scope["type"] == "http" and self._lifecycle.phase is Phase.DRAINING:
            send = _closing(send)
        await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = False

        async def close() -> None:
            nonlocal ended
            if not ended:
                await send({"type": "websocket.close", "code": GOING_AWAY, "reason": "The gateway is stopping"})
                ended = True

        async def sending(message: Message) -> None:
            if not ended:
                await send(message)

        self._lifecycle.open_sockets += 1
        try:
            gone = {"type": "websocket.disconnect", "code": GOING_AWAY, "reason": ""}
            with self._ending(receive, close, gone) as ending:
                await self._app(scope, ending, sending)
        finally:
            self._lifecycle.open_sockets -= 1

    @contextmanager
    def _ending(self, receive: Receive, close: Callable[[], Awaitable[None]], gone: Message) -> Iterator[Receive]:
        """Gives what receives as before until sockets are to end; then it closes, and says that the other is gone."""
        coming: asyncio.Task[Message] | None = None
        end = asyncio.create_task(self._lifecycle.sockets_end.wait())

        async def receiving() -> Message:
            nonlocal coming
            coming = coming or asyncio.create_task(_next(receive))
            await asyncio.wait({coming, end}, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                message, coming = coming.result(), None
                return message
            await close()
            return gone

        try:
            yield receiving
        finally:
            end.cancel()
            if coming is not None:
                coming.cancel()


async def _nothing() -> None:
    return None


def _asks_for_a_stream(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"])


async def _next(receive: Receive) -> Message:
    return await receive()


def _closing(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
        await send(message)

    return sending
