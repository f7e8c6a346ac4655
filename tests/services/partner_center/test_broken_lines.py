"""Real sockets that break in every way: how a read gets on, how long it takes, and what the server saw."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.deadlines import start_deadline
from services.errors import Timeout, UpstreamError
from services.partner_center.network import Network
from services.partner_center.retries import Retries
from services.partner_center.transport import Transport
from tests.redis_server import free_ports

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def answers(writer: asyncio.StreamWriter) -> None:
    writer.write(WHOLE)
    await writer.drain()


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def closes(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def closes_its_half(writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    await asyncio.sleep(60)


async def cuts_the_head(writer: asyncio.StreamWriter) -> None:
    writer.write(WHOLE[:30])
    writer.close()


async def cuts_the_body(writer: asyncio.StreamWriter) -> None:
    writer.write(WHOLE[:-1])
    writer.close()


async def resets_in_the_body(writer: asyncio.StreamWriter) -> None:
    writer.write(WHOLE[:-1])
    await writer.drain()
    await asyncio.sleep(0.02)
    await resets(writer)


async def is_silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def trickles(writer: asyncio.StreamWriter) -> None:
    writer.write(WHOLE[:-2].replace(b": 2", b": 100000"))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def talks_nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    writer.close()


class Line:
    """A server whose connections behave as listed, then well; it remembers the request ids it saw."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.seen: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                (line,) = (each for each in head.split(b"\r\n") if each.lower().startswith(b"ms-requestid:"))
                self.seen.append(line.split()[1].decode())
                await (self.behaviours.pop(0) if self.behaviours else answers)(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Tokens:
    async def get(self) -> str:
        return "token"

    def invalidate(self, token: str) -> None: ...


@asynccontextmanager
async def transport_to(line: Line, *, read_seconds: float = 20.0) -> AsyncIterator[Transport]:
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Network(40) as http:
        yield Transport(
            http,
            Tokens(),
            base_url=f"http://127.0.0.1:{port}",
            read_seconds=read_seconds,
            write_seconds=read_seconds,
            retries=Retries(chance=lambda: 0.1),
        )
    server.close()


async def ask(transport: Transport, method: str = "GET") -> int:
    return (await transport.request(method, "/customers/x/users", tenant_id="x", request_id="A")).status


BROKEN = [resets, closes, closes_its_half, cuts_the_head, cuts_the_body, resets_in_the_body, talks_nonsense]
SLOW = [is_silent, trickles]


@pytest.mark.parametrize("behaviour", BROKEN)
async def test_a_read_over_a_line_that_breaks_is_repeated_under_its_id(behaviour):
    line = Line(behaviour, behaviour)
    async with transport_to(line) as transport:
        started = time.monotonic()
        assert await ask(transport) == 200
        took = time.monotonic() - started

    assert line.seen == ["A", "A", "A"]
    assert took < 2


@pytest.mark.parametrize("behaviour", SLOW)
async def test_a_read_that_takes_too_long_in_all_is_ended_and_repeated_under_its_id(behaviour):
    line = Line(behaviour)
    async with transport_to(line, read_seconds=0.3) as transport:
        started = time.monotonic()
        assert await ask(transport) == 200
        took = time.monotonic() - started

    assert line.seen == ["A", "A"]
    assert 0.3 <= took < 1


@pytest.mark.parametrize("behaviour", SLOW)
async def test_a_read_ends_with_the_time_of_its_request(behaviour):
    line = Line(behaviour)
    start_deadline(0.8)
    async with transport_to(line) as transport:
        started = time.monotonic()
        with pytest.raises(Timeout) as caught:
            await ask(transport)
        took = time.monotonic() - started

    assert caught.value.sent
    assert line.seen == ["A"]
    assert took < 0.8


@pytest.mark.parametrize("behaviour", [*BROKEN, *SLOW])
async def test_a_write_over_a_line_that_breaks_is_sent_once_and_perhaps_done(behaviour):
    line = Line(behaviour)
    async with transport_to(line, read_seconds=0.3) as transport:
        with pytest.raises(UpstreamError) as caught:
            await ask(transport, "POST")

    assert caught.value.sent
    assert line.seen == ["A"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_where_nobody_listens_nothing_was_sent(method):
    (port,) = free_ports(1)
    async with Network(40) as http:
        transport = Transport(http, Tokens(), base_url=f"http://127.0.0.1:{port}")
        with pytest.raises(UpstreamError) as caught:
            await ask(transport, method)

    assert not caught.value.sent


@pytest.mark.parametrize("behaviour", SLOW)
async def test_who_gives_up_ends_the_call_at_once(behaviour):
    line = Line(behaviour)
    async with transport_to(line) as transport:
        call = asyncio.create_task(ask(transport))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        took = time.monotonic() - started
        assert transport.health().calls_in_flight == 0

    assert took < 0.1
