"""Clients that ask the sandbox in process, about a small world made by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from sandbox.app import create_app
from sandbox.state import SandboxState
from tests.sandbox.small_world import V2_TOKEN, small_world, token_form


@pytest.fixture
def state() -> SandboxState:
    return SandboxState(build=small_world)


@pytest.fixture
async def anonymous(state: SandboxState) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
async def client(state: SandboxState, anonymous: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with an App+User token, and an empty call log."""
    answer = await anonymous.post(V2_TOKEN, data=token_form())
    anonymous.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    state.calls.clear()
    return anonymous


@pytest.fixture
def change_switches(anonymous: httpx.AsyncClient) -> Callable[..., Awaitable[None]]:
    async def change(**switches: int | bool) -> None:
        answer = await anonymous.post("/sandbox/switches", json=switches)
        assert answer.status_code == 200

    return change
