"""The gateway on a real socket in this process, over a sandbox whose answers a test can hold back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.app import create_app
from gateway.config import Settings
from gateway.server import DrainingServer
from gateway.serving import listen, url_of
from sandbox.app import create_app as create_sandbox
from sandbox.issuer import AUDIENCE, ISSUER, sign_token
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from tests.gateway_client import SANDBOX_URL

PATIENCE_SECONDS = 60.0


class HeldUpstream(httpx.AsyncBaseTransport):
    """Hands calls on to the sandbox; those of the held methods wait at the door until they are let go."""

    def __init__(self, sandbox: SandboxState) -> None:
        self._sandbox = httpx.ASGITransport(create_sandbox(sandbox))
        self._held: frozenset[str] = frozenset()
        self._path = ""
        self._open = asyncio.Event()
        self.waiting = 0
        self.given_up = 0
        """Calls that the gateway cancelled while they waited."""
        self.seen = 0

    def hold(self, *methods: str, path: str = "") -> None:
        """Holds calls of these methods back, where `path` occurs in their path."""
        self._held, self._path = frozenset(methods), path
        self._open.clear()

    def let_go(self) -> None:
        self._held = frozenset()
        self._open.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/v1/" in request.url.path:
            self.seen += 1
            if request.method in self._held and self._path in request.url.path:
                await self._wait()
        return await self._sandbox.handle_async_request(request)

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.waiting -= 1


class Served:
    """A gateway that listens. `stop` does what SIGTERM does."""

    def __init__(self, url: str, server: DrainingServer, ended: asyncio.Task[None], upstream: HeldUpstream) -> None:
        self.url = url
        self.server = server
        self.ended = ended
        self.upstream = upstream
        self.http = httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=httpx.Limits(max_connections=None))

    def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        fresh: bool = False,
        authorization: str | None = None,
    ) -> asyncio.Task[httpx.Response]:
        """Asks on a connection of the pool, past the cache if `fresh`, and gives the answer to come."""
        body = {"query": query, "variables": variables or {}}
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        if authorization is not None:
            headers["Authorization"] = authorization
        return asyncio.create_task(self.http.post("/graphql", json=body, headers=headers))

    def stop(self) -> None:
        self.server.handle_exit()

    async def shows(self, name: str, value: float) -> bool:
        """Whether a figure is that now."""
        return await self.metric(name) == value

    async def metric(self, name: str) -> float:
        text = (await self.http.get("/metrics")).text
        [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])


async def until(reached: Callable[[], bool | Awaitable[bool]]) -> None:
    """Returns when it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (await found if isinstance(found := reached(), Awaitable) else found):
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def served(sandbox: SandboxState, **settings: str) -> AsyncIterator[Served]:
    """A gateway in sandbox mode with these settings; it is stopped with the block."""
    read = Settings.from_env(settings, sandbox=True).with_sandbox(connection_settings(SANDBOX_URL))
    upstream = HeldUpstream(sandbox)
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    listening = asyncio.Event()
    server = DrainingServer(create_app(read, sandbox, http=upstream), read, listening.set)
    ended = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait({ended, asyncio.create_task(listening.wait())}, return_when=asyncio.FIRST_COMPLETED)
    running = Served(url, server, ended, upstream)
    try:
        yield running
    finally:
        upstream.let_go()
        await running.http.aclose()
        running.stop()
        await asyncio.wait_for(ended, PATIENCE_SECONDS)


def token_of(subject: str) -> str:
    """The `Authorization` of a partner of that name who may everything."""
    from tests.callers import EVERYTHING

    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": int(time.time()) + 3600,
        "sub": subject,
        "name": subject,
        "kind": "partner",
        "permissions": list(EVERYTHING),
    }
    return f"Bearer {sign_token(claims)}"
