"""The sandbox over real HTTP: ports, addresses, settings, what a wire client sees."""

from __future__ import annotations

import asyncio
import socket
import time

import httpx
import pytest

from sandbox import settings
from sandbox.issuer import AUDIENCE, ISSUER
from sandbox.server import SandboxServer, serve
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from tests.sandbox.small_world import CONTOSO, V2_TOKEN, token_form


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def test_it_serves_on_the_port_it_is_given_and_stops(state: SandboxState) -> None:
    port = free_port()
    async with SandboxServer(state, port=port) as server, httpx.AsyncClient() as client:
        assert server.url == f"http://127.0.0.1:{port}"
        assert (await client.get(f"{server.url}/sandbox/clock")).status_code == 200

    with pytest.raises(RuntimeError):
        _ = server.url
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/sandbox/clock")


async def test_a_taken_port_is_an_error_or_makes_room_for_a_free_one(state: SandboxState) -> None:
    async with SandboxServer(state, port=0) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await SandboxServer(state, port=port).__aenter__()
        async with SandboxServer(state, port=port, free_port_if_taken=True) as second:
            assert second.url != first.url
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{second.url}/sandbox/clock")).status_code == 200


async def test_serving_ends_when_it_is_cancelled(state: SandboxState) -> None:
    port = free_port()
    running = asyncio.create_task(serve(state, "127.0.0.1", port))
    async with httpx.AsyncClient() as client:
        for _ in range(1000):
            try:
                assert (await client.get(f"http://127.0.0.1:{port}/sandbox/clock")).status_code == 200
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/sandbox/clock")


async def test_the_printed_settings_reach_it(state: SandboxState) -> None:
    async with SandboxServer(state, port=0) as server, httpx.AsyncClient() as client:
        found = connection_settings(server.url)
        token_url = found["GATEWAY_PARTNER_CENTER_TOKEN_URL"].format(tenant=found["GATEWAY_PARTNER_CENTER_TENANT_ID"])
        form = token_form(
            client_id=found["GATEWAY_PARTNER_CENTER_CLIENT_ID"],
            client_secret=found["GATEWAY_PARTNER_CENTER_CLIENT_SECRET"],
            refresh_token=found["GATEWAY_PARTNER_CENTER_REFRESH_TOKEN"],
        )
        token = (await client.post(token_url, data=form)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{found['GATEWAY_PARTNER_CENTER_URL']}/v1/customers/{CONTOSO}"

        assert (await client.get(url, headers=headers)).status_code == 200
        assert (found["GATEWAY_AUTH_ISSUER"], found["GATEWAY_AUTH_AUDIENCE"]) == (ISSUER, AUDIENCE)
        assert len((await client.get(found["GATEWAY_AUTH_JWKS_URL"])).json()["keys"]) == 1


def test_the_settings_are_those_that_a_gateway_reads() -> None:
    found = connection_settings("http://127.0.0.1:8010")

    assert list(found) == [
        "GATEWAY_PARTNER_CENTER_URL",
        "GATEWAY_PARTNER_CENTER_TOKEN_URL",
        "GATEWAY_PARTNER_CENTER_TENANT_ID",
        "GATEWAY_PARTNER_CENTER_CLIENT_ID",
        "GATEWAY_PARTNER_CENTER_CLIENT_SECRET",
        "GATEWAY_PARTNER_CENTER_REFRESH_TOKEN",
        "GATEWAY_AUTH_ISSUER",
        "GATEWAY_AUTH_AUDIENCE",
        "GATEWAY_AUTH_JWKS_URL",
    ]
    assert found["GATEWAY_PARTNER_CENTER_TOKEN_URL"] == "http://127.0.0.1:8010/{tenant}/oauth2/v2.0/token"


def test_the_partner_of_the_settings_is_the_seeds() -> None:
    assert SandboxState().world.partner_id == settings.PARTNER_TENANT_ID


async def test_an_expectation_of_100_continue_is_met(state: SandboxState) -> None:
    """The .NET SDK waits for it before it sends a body."""
    body = b"grant_type=refresh_token"
    async with SandboxServer(state, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST {V2_TOKEN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nserver:" not in head


async def test_answers_do_not_wait_for_acknowledgements(state: SandboxState) -> None:
    async with SandboxServer(state, port=0) as server, httpx.AsyncClient(base_url=server.url) as client:
        seconds = []
        for _ in range(50):
            started = time.monotonic()
            await client.get("/v1/customers")
            seconds.append(time.monotonic() - started)

    # With Nagle's delay every answer but the first few takes 40 ms, on however idle a machine.
    assert min(seconds[10:]) < 0.03
