"""The token endpoint over real sockets: what goes out, what is read, and that nothing is sent twice by itself."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.errors import SignInUnavailable
from services.partner_center.network import Network
from services.partner_center.refresh_tokens import MemoryRefreshTokens
from services.partner_center.tokens import TokenSource
from tests.redis_server import free_ports
from tests.services.partner_center.scripted import CREDENTIALS, NOW

TOKEN = json.dumps({"access_token": "the.access.token", "expires_in": 3600, "refresh_token": "next"}).encode()


class Endpoint:
    """Answers each request with these bytes, and closes the line; remembers heads and bodies."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.seen: list[tuple[bytes, bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        self.seen.append((head, await reader.readexactly(length)))
        writer.write(self.answer)
        writer.close()


def whole(content: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (headers, len(content), content)


@asynccontextmanager
async def tokens_from(endpoint: Endpoint) -> AsyncIterator[TokenSource]:
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{{tenant}}/oauth2/v2.0/token"
    async with Network(4) as http:
        yield TokenSource(http, CREDENTIALS, store=MemoryRefreshTokens(), now=lambda: NOW, token_url=url)
    server.close()


@pytest.mark.parametrize(
    "answer", [whole(TOKEN), whole(gzip.compress(TOKEN), b"Content-Encoding: gzip\r\n")], ids=["plain", "packed"]
)
async def test_a_token_is_asked_for_by_one_post_with_a_form_and_read_also_where_it_comes_packed(answer):
    endpoint = Endpoint(answer)
    async with tokens_from(endpoint) as tokens:
        assert await tokens.get() == "the.access.token"
        assert tokens.at_hand() == "the.access.token"

    [(head, body)] = endpoint.seen
    assert head.startswith(b"POST /partner-tenant/oauth2/v2.0/token HTTP/1.1\r\n")
    assert b"\r\ncontent-type: application/x-www-form-urlencoded\r\n" in head.lower()
    assert b"grant_type=refresh_token&refresh_token=configured" in body


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-", whole(TOKEN)[:-1], b"220 mail.example\r\n"])
async def test_where_the_line_breaks_a_token_is_asked_for_once(answer):
    endpoint = Endpoint(answer)
    async with tokens_from(endpoint) as tokens:
        with pytest.raises(SignInUnavailable):
            await tokens.get()
        assert tokens.at_hand() is None

    assert len(endpoint.seen) == 1


async def test_a_token_endpoint_that_does_not_listen_is_told_so():
    (port,) = free_ports(1)
    async with Network(4) as http:
        tokens = TokenSource(
            http,
            CREDENTIALS,
            store=MemoryRefreshTokens(),
            now=lambda: NOW,
            token_url=f"http://127.0.0.1:{port}/token",
        )
        with pytest.raises(SignInUnavailable, match="did not answer"):
            await tokens.get()
