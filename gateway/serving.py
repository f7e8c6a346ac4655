"""What serves: the gateway in one process or several, the gateway with a sandbox, the sandbox alone.

Sockets are bound first, so that a taken port is known before anything else starts. A stop (SIGINT, SIGTERM)
lets what is under way end; the sandbox ends after the gateway, which may still have to ask it.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import Settings
    from sandbox.server import SandboxServer
    from sandbox.state import SandboxState


BACKLOG = 2048


class CannotListen(Exception):
    """The address cannot be listened on; the message names the port, and the option to change."""


def listen(host: str, port: int) -> socket.socket:
    """Gives a socket that listens already, so that a taken port is known before anything else starts."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as failure:
        raise CannotListen(_reason(host, port, failure)) from failure
    listener.set_inheritable(True)
    return listener


def url_of(listener: socket.socket) -> str:
    """The address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if listener.family == socket.AF_INET6:
        return f"http://[{'::1' if host == '::' else host}]:{port}"
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104  # compared, not bound to


def serve(settings: Settings, host: str, port: int, *, workers: int) -> int:
    """Serves until it is stopped; gives the exit status. CannotListen where the port is taken."""
    if workers > 1:  # each reads it for itself, but a bad one is told once and before they start
        from gateway.trusted_documents import load_trusted_documents

        load_trusted_documents(settings.trusted_documents)
    listener = listen(host, port)
    announce = partial(_announce, settings, url_of(listener), None)
    if workers > 1:
        from gateway.workers import Workers

        return Workers(workers, settings, listener, announce).run()
    return run_server(settings, listener, announce)


def run_server(
    settings: Settings, listener: socket.socket, announce: Callable[[], None], *, parent: int | None = None
) -> int:
    """Serves in this process until it is stopped; gives the exit status."""
    from gateway.app import create_app  # reads the whole schema, which other commands do without
    from gateway.server import DrainingServer

    server = DrainingServer(create_app(settings), settings, announce, parent=parent)
    return _run(server.serve(sockets=[listener]))


def serve_with_sandbox(settings: Settings, host: str, port: int, sandbox_port: int | None) -> int:
    """The same over a sandbox in this process, which answers before the gateway listens to anyone."""
    return _run(_serve_with_sandbox(settings, listen(host, port), sandbox_port))


async def _serve_with_sandbox(settings: Settings, listener: socket.socket, sandbox_port: int | None) -> None:
    from gateway.app import create_app
    from gateway.server import DrainingServer
    from sandbox.server import DEFAULT_HOST, DEFAULT_PORT, SandboxServer
    from sandbox.settings import connection_settings
    from sandbox.state import SandboxState

    state = SandboxState()
    port = DEFAULT_PORT if sandbox_port is None else sandbox_port
    sandbox = SandboxServer(state, DEFAULT_HOST, port, free_port_if_taken=sandbox_port is None)
    async with _entered(sandbox, DEFAULT_HOST, port, "--sandbox-port"):
        settings = settings.with_sandbox(connection_settings(sandbox.url))
        announce = partial(_announce, settings, url_of(listener), sandbox.url)
        await DrainingServer(create_app(settings, state), settings, announce).serve(sockets=[listener])


def serve_sandbox(host: str, port: int, *, tenants: int, users: int, throttle: bool) -> int:
    """Serves a sandbox alone, and prints the settings that reach it."""
    from sandbox.state import SandboxState

    return _run(_serve_sandbox(SandboxState(tenants, users, throttle), host, port))


async def _serve_sandbox(state: SandboxState, host: str, port: int) -> None:
    from sandbox.server import SandboxServer
    from sandbox.settings import connection_settings

    async with _entered(SandboxServer(state, host, port), host, port) as sandbox:
        stopped = asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stopped.set)
        url = sandbox.url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        for name, value in connection_settings(url).items():
            print(f"{name}={value}")
        sys.stdout.flush()
        await stopped.wait()


@asynccontextmanager
async def _entered(
    sandbox: SandboxServer, host: str, port: int, option: str = "--port"
) -> AsyncIterator[SandboxServer]:
    try:
        await sandbox.__aenter__()
    except OSError as failure:
        raise CannotListen(_reason(host, port, failure, option)) from failure
    try:
        yield sandbox
    finally:
        await sandbox.__aexit__(None, None, None)


def _run(serving: Coroutine[Any, Any, None]) -> int:
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(serving)
    except SystemExit:  # uvicorn's way out when the application does not start; the log says why
        return 1
    except KeyboardInterrupt:  # before the server took over the signals
        return 130
    return 0


def _new_event_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":  # uvloop is not made for it
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def _announce(settings: Settings, url: str, sandbox_url: str | None) -> None:
    print(f"{'GraphiQL' if settings.graphiql else 'GraphQL':<10} {url}/graphql")
    if sandbox_url is not None:
        print(f"{'Sandbox':<10} {sandbox_url}")
    sys.stdout.flush()


def _reason(host: str, port: int, failure: OSError, option: str = "--port") -> str:
    if failure.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program. Choose another with {option}."
    if failure.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} on {host} is for privileged programs only. Choose another with {option}."
    if isinstance(failure, socket.gaierror) or failure.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Choose another with --host."
    return f"Port {port} on {host} cannot be listened on ({failure.strerror}). Choose another with {option}."
