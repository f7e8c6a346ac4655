"""One gateway for all tests of a module: for tests that leave it as they found it, and are many.

A module that uses it runs on one loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from gateway.app import create_app
from gateway.config import Settings
from sandbox.app import create_app as create_sandbox
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from tests.gateway_client import SANDBOX_URL, Gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway over a sandbox of its own; who asks without a token is the demo partner."""
    sandbox = SandboxState()
    settings = Settings.from_env({}, sandbox=True).with_sandbox(connection_settings(SANDBOX_URL))
    app = create_app(settings, sandbox, http=httpx.ASGITransport(create_sandbox(sandbox)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000", timeout=30) as http,
    ):
        yield Gateway(http, sandbox)
