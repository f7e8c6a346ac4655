"""The server of one process: announces itself, drains when it is told to stop, and ends on its own terms.

    signal ──► `/ready` says no ──some seconds──► the listener closes ──► queries, then writes end
           ──► sockets are closed with 1001 ──► what is open is closed, in reverse ──► exit 0

A second signal changes nothing: a write that is under way is not cut off by impatience.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.background import settle_memory, tell_unseen_failures
from gateway.connections import ConnectionLimits, LimitedConnection
from gateway.serving import BACKLOG

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from gateway.config import Settings
    from gateway.lifecycle import Lifecycle

LOOK_SECONDS = 0.05
CUT_OFF_SECONDS = 1

log = structlog.get_logger(__name__)


def server_config(app: Starlette, settings: Settings) -> uvicorn.Config:
    """uvicorn's settings. Its access log is off: it holds whole URLs, and a line a request costs as much
    as a small request does."""
    return uvicorn.Config(
        app,
        loop="auto" if sys.platform == "win32" else "uvloop",
        http=cast("type[asyncio.Protocol]", partial(LimitedConnection, ConnectionLimits.of(settings))),
        ws="websockets-sansio",
        ws_max_size=settings.websocket_message_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=cast("int", settings.keep_alive_seconds),
        timeout_graceful_shutdown=CUT_OFF_SECONDS,
    )


class DrainingServer(uvicorn.Server):
    """Serves one application until a signal comes. With `parent` it also stops when that process is gone."""

    def __init__(
        self, app: Starlette, settings: Settings, announce: Callable[[], None], *, parent: int | None = None
    ) -> None:
        super().__init__(server_config(app, settings))
        self._lifecycle: Lifecycle = app.state.lifecycle
        self._accept_seconds = settings.drain_accept_seconds
        self._announce = announce
        self._parent = parent
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        tell_unseen_failures(asyncio.get_running_loop())
        await super().startup(sockets)
        settle_memory()
        self._announce()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, ends without raising the signal that stopped it a second time."""
        stopping = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in stopping}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, *_: Any) -> None:  # Any: number and frame of a signal
        if self._stop_at is None:
            self._lifecycle.begin_drain()
            self._stop_at = time.monotonic() + self._accept_seconds

    async def on_tick(self, counter: int) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            self.handle_exit()
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("stopping", requests=len(self.server_state.tasks), connections=len(self.server_state.connections))
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        self._lifecycle.stop_listening()
        for connection in list(self.server_state.connections):
            # Sockets are told by the application, with the right code and after their answers.
            if not isinstance(connection, WebSocketsSansIOProtocol):
                connection.shutdown()
        await self._lifecycle.end_sockets()
        state = self.server_state
        # uvicorn tells nobody when one ends.
        while self._lifecycle.seconds_left() > 0 and (state.connections or state.tasks):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        await super().shutdown(sockets)
