"""The gateway and its sandbox in this process, asked through the front door: GraphQL over HTTP.

The real client, transport, token source and cache run; only the network between the two is left out
(httpx.ASGITransport). A conftest that wants the fixtures imports them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.config import Settings
from sandbox.app import create_app as create_sandbox
from sandbox.contoso import CONTOSO_ID
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from services.writes import WritePolicy

SANDBOX_URL = "http://127.0.0.1:8010"
CONTOSO = CONTOSO_ID
IMPATIENT = WritePolicy(
    read_back_waits_seconds=(0.0, 0.01, 0.02),
    conflict_waits_seconds=(0.01, 0.02, 0.04),
    unsent_waits_seconds=(0.01, 0.02),
)
"""As long as the gateway waits in tests after a write whose answer was lost."""


PATIENT = {"GATEWAY_REDIS_CONNECT_TIMEOUT_SECONDS": "5", "GATEWAY_REDIS_OPERATION_TIMEOUT_SECONDS": "5"}
"""As much time for Redis as a loaded machine may take, where a test is not about Redis in trouble."""


class Gateway:
    """One running gateway. `ask` gives the whole answer as JSON; `data` insists that it has no errors."""

    def __init__(self, http: httpx.AsyncClient, sandbox: SandboxState) -> None:
        self.http = http
        self.sandbox = sandbox

    async def ask(self, query: str, variables: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=named)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def data(self, query: str, variables: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        answer = await self.ask(query, variables, **headers)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def calls(self) -> list[str]:
        """What the sandbox was asked since the last look, as `METHOD path?query`, token requests aside."""
        calls = [f"{call.method} {call.path}" for call in self.sandbox.calls if "/oauth2/" not in call.path]
        self.sandbox.calls.clear()
        return calls


@asynccontextmanager
async def running_gateway(
    sandbox: SandboxState,
    upstream: httpx.AsyncBaseTransport | None = None,
    writes: WritePolicy = IMPATIENT,
    /,
    **settings: str,
) -> AsyncIterator[Gateway]:
    """A gateway over that sandbox, or over `upstream`, with these settings by their environment variables.

    It waits for Redis with more patience than in service, unless told otherwise: a busy machine is no trouble.
    """
    read = Settings.from_env(PATIENT | settings, sandbox=True).with_sandbox(connection_settings(SANDBOX_URL))
    app = create_app(read, sandbox, http=upstream or httpx.ASGITransport(create_sandbox(sandbox)), writes=writes)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000", timeout=30) as http,
    ):
        yield Gateway(http, sandbox)


@pytest.fixture
def sandbox() -> SandboxState:
    """A sandbox with the named tenants, as at start."""
    return SandboxState()


@pytest.fixture
async def gateway(sandbox: SandboxState) -> AsyncIterator[Gateway]:
    """A gateway over that sandbox with an empty cache in memory; who asks without a token is the demo partner."""
    async with running_gateway(sandbox) as running:
        yield running
