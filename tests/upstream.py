"""The way from the gateway to the sandbox, on which a test lets happen what it likes to writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.app import create_app
from sandbox.state import SandboxState

READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Write:
    method: str
    path: str
    """Behind the tenant's id."""
    request_id: str
    correlation_id: str
    body: Any


class Upstream(httpx.AsyncBaseTransport):
    """Hands everything on to the sandbox. Each write takes the next word of `script`; without one it goes well.

    | word | what happens |
    |---|---|
    | `ok` | nothing |
    | `refused` | there is no connection: nothing is sent |
    | `reset` | the connection breaks before anything is done |
    | `lost` | it breaks after it was done |
    | `cut` | the answer breaks off, after it was done |
    | `garbled` | the answer is no JSON, after it was done |
    | `503`, `429:7`, … | that status, with that `Retry-After`, and nothing is done |
    | `503 done` | that status, after it was done |
    """

    def __init__(self, sandbox: SandboxState, *script: str) -> None:
        self._sandbox = httpx.ASGITransport(create_app(sandbox))
        self.script = list(script)
        self.writes: list[Write] = []
        self.reads_fail = False
        """Whether reads of what lies in a tenant are refused, from the first write on."""
        self.failed_reads = 0

    @property
    def ids(self) -> list[int]:
        """The request ids of the writes as numbers: the same id, the same number."""
        known: list[str] = []
        for write in self.writes:
            if write.request_id not in known:
                known.append(write.request_id)
        return [known.index(write.request_id) + 1 for write in self.writes]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/v1/" not in request.url.path:
            return await self._sandbox.handle_async_request(request)
        path = request.url.path.partition("/customers/")[2].partition("/")[2]
        if request.method in READS:
            if self.writes and self.reads_fail and path:
                self.failed_reads += 1
                body = {"code": 900308, "description": "Insufficient privileges to complete the operation."}
                return httpx.Response(403, json=body, request=request)
            return await self._sandbox.handle_async_request(request)
        content = await request.aread()
        ids = request.headers["MS-RequestId"], request.headers["MS-CorrelationId"]
        self.writes.append(Write(request.method, path, *ids, json.loads(content) if content else None))
        return await self._happen(self.script.pop(0) if self.script else "ok", request)

    async def _happen(self, word: str, request: httpx.Request) -> httpx.Response:
        if word == "refused":
            raise httpx.ConnectError("No connection.")
        if word == "reset":
            raise httpx.ReadError("Connection reset.")
        done = word in ("ok", "lost", "cut", "garbled") or word.endswith(" done")
        answer = await self._sandbox.handle_async_request(request) if done else None
        if word == "ok":
            assert answer is not None
            return answer
        if answer is not None:
            await answer.aread()
        if word == "lost":
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        if word == "cut":
            raise httpx.RemoteProtocolError("Peer closed connection without sending complete message body.")
        if word == "garbled":
            return httpx.Response(200, text="{", request=request)
        status, _, wait = word.removesuffix(" done").partition(":")
        body = {"code": 900278 if status == "409" else 800003, "description": "Something happened."}
        return httpx.Response(int(status), json=body, headers={"Retry-After": wait} if wait else {}, request=request)
