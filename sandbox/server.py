"""The sandbox over real HTTP, in the event loop it is started in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.app import create_app
from sandbox.connections import EXTENSION
from sandbox.state import SandboxState

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8010


class _Protocol(HttpToolsProtocol):
    """Hands the connection to the application, which may have to break it off."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class SandboxServer:
    """Async context manager: serves from entry to exit.

    With `free_port_if_taken` a port that is in use is replaced by a free one; port 0 always means a free one.
    `url` is known once it is entered.
    """

    def __init__(
        self,
        state: SandboxState,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        *,
        free_port_if_taken: bool = False,
    ) -> None:
        self.state = state
        self._host = host
        self._port = port
        self._free_port_if_taken = free_port_if_taken
        self._url: str | None = None
        self._server: _Server | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Address without a trailing slash."""
        if self._url is None:
            raise RuntimeError("The sandbox is not being served.")
        return self._url

    async def __aenter__(self) -> Self:
        listener = self._bind()
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            create_app(self.state),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]), name="sandbox")
        try:
            while not self._server.started:
                if self._running.done():
                    self._running.result()
                    raise RuntimeError("The sandbox did not start.")
                await asyncio.sleep(0.01)
        except BaseException:
            await self._stop()
            raise
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def wait_closed(self) -> None:
        """Returns when the server ends by itself; cancel it to stop waiting."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def _stop(self) -> None:
        self._url = None
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            await self._running

    def _bind(self) -> socket.socket:
        """Raises OSError when the port is taken and no other is wanted."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return _listener(family, self._host, self._port)
        except OSError:
            if not self._free_port_if_taken:
                raise
            return _listener(family, self._host, 0)


async def serve(state: SandboxState, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> None:
    """Serves until cancelled."""
    async with SandboxServer(state, host, port) as server:
        await server.wait_closed()


def _listener(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # Named as TCP: asyncio switches Nagle's delay off only then, and every answer would take 40 ms with it.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
