"""Two gateways over one sandbox and one Redis, in this process, and calls to Microsoft that a test holds back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx
from redis import Redis

from sandbox.app import create_app as create_sandbox
from sandbox.state import SandboxState
from tests.gateway_client import PATIENT, Gateway, running_gateway

MANY_AT_ONCE = {
    "GATEWAY_MAX_RUNNING": "1000",
    "GATEWAY_MAX_WAITING": "1000",
    "GATEWAY_MAX_CALLER_RUNNING": "1000",
}


class Held(httpx.AsyncBaseTransport):
    """The way to the sandbox. `answers` are held back, the question being answered, until they are let go."""

    def __init__(self, sandbox: SandboxState) -> None:
        self._inner = httpx.ASGITransport(create_sandbox(sandbox))
        self._let_go = asyncio.Event()
        self._let_go.set()
        self.waiting = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        self.waiting += 1
        try:
            await self._let_go.wait()
        finally:
            self.waiting -= 1
        return answer

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds every answer back until the block ends."""
        self._let_go.clear()
        try:
            yield
        finally:
            self._let_go.set()

    async def until_waiting(self, calls: int) -> None:
        """Returns when so many calls are held back."""
        async with asyncio.timeout(30):
            while self.waiting < calls:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.01)


@asynccontextmanager
async def two_gateways(
    sandbox: SandboxState, redis_url: str, upstream: Held | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Both with everything that comes from Redis; each has its own connections and memory."""
    shared = PATIENT | {"GATEWAY_REDIS_URL": redis_url} | dict(settings or {})
    async with running_gateway(sandbox, upstream, **shared) as one, running_gateway(sandbox, upstream, **shared) as two:
        yield one, two


def make_older(redis: Redis, *, fresh: bool, renewable: bool) -> int:
    """Makes every kept value one that is no longer fresh, or not even given while it is renewed; gives how many.

    As after so much time the claims of those who fetched them are gone.
    """
    changed = 0
    for claim in redis.keys("gw:3:*:claim:*"):
        redis.delete(claim)
    for name in redis.keys("gw:3:*"):
        raw = redis.get(name) if redis.type(name) == b"string" else None
        if isinstance(raw, bytes) and raw.startswith(b'{"v":3,"generation"'):
            head, line_end, data = raw.partition(b"\n")
            form = json.loads(head)
            now = time.time()
            form["fresh"] = form["fresh"] if fresh else now - 1
            form["renew"] = now + 3600 if renewable else now - 1
            redis.set(name, json.dumps(form, separators=(",", ":")).encode() + line_end + data, keepttl=True)
            changed += 1
    return changed
