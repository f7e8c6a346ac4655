"""Real sockets that break in every way: how a read gets on, how long it takes, and what the server saw."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.deadlines import start_deadline
from services.errors import Timeout, UpstreamError
from services.partner_center.network import MAX_BODY_BYTES, Network
from services.partner_center.retries import Retries
from services.partner_center.transport import Transport
from tests.redis_server import free_ports

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE_SECONDS = 60.0
QUICK_SECONDS = 20.0
"""Long enough for a loaded machine, and far from what a silent line is otherwise waited for."""
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

    def at_hand(self) -> str:
        return "token"

    def invalidate(self, token: str) -> None: ...


@asynccontextmanager
async def transport_to(line: Line, *, read_seconds: float = 20.0) -> AsyncIterator[Transport]:
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with Network(40) as http:
            yield Transport(
                http,
                Tokens(),
                base_url=f"http://127.0.0.1:{port}",
                read_seconds=read_seconds,
                write_seconds=read_seconds,
                retries=Retries(chance=lambda: 0.1),
            )
    finally:
        server.close()


async def ask(transport: Transport, method: str = "GET") -> int:
    return (await transport.request(method, "/customers/x/users", tenant_id="x", request_id="A")).status


BROKEN = [resets, closes, closes_its_half, cuts_the_head, cuts_the_body, resets_in_the_body, talks_nonsense]
SLOW = [is_silent, trickles]


@pytest.mark.parametrize("behaviour", BROKEN)
async def test_a_read_over_a_line_that_breaks_is_repeated_under_its_id(behaviour):
    line = Line(behaviour, behaviour)
    async with transport_to(line, read_seconds=PATIENCE_SECONDS) as transport, asyncio.timeout(QUICK_SECONDS):
        assert await ask(transport) == 200

    assert line.seen == ["A", "A", "A"]


@pytest.mark.parametrize("behaviour", SLOW)
async def test_a_read_that_takes_too_long_in_all_is_ended_and_repeated_under_its_id(behaviour):
    line = Line(behaviour)
    async with transport_to(line, read_seconds=1) as transport, asyncio.timeout(QUICK_SECONDS):
        started = time.monotonic()
        assert await ask(transport) == 200
        assert time.monotonic() - started >= 1

    assert line.seen == ["A", "A"]


@pytest.mark.parametrize("behaviour", SLOW)
async def test_a_read_ends_with_the_time_of_its_request(behaviour):
    line = Line(behaviour)
    start_deadline(1.5)
    async with transport_to(line, read_seconds=PATIENCE_SECONDS) as transport, asyncio.timeout(QUICK_SECONDS):
        with pytest.raises(Timeout) as caught:
            await ask(transport)

    assert caught.value.sent
    assert line.seen == ["A"]


@pytest.mark.parametrize("behaviour", [*BROKEN, *SLOW])
async def test_a_write_over_a_line_that_breaks_is_sent_once_and_perhaps_done(behaviour):
    line = Line(behaviour)
    async with transport_to(line, read_seconds=1) as transport:
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
    async with transport_to(line, read_seconds=PATIENCE_SECONDS) as transport, asyncio.timeout(QUICK_SECONDS):
        call = asyncio.create_task(ask(transport))
        while not line.seen:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert transport.health().calls_in_flight == 0


def packed_answer(content: bytes, coding: bytes = b"gzip") -> Behaviour:
    async def answer(writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(content))
        writer.write(head + content)
        await writer.drain()

    return answer


async def body_of(behaviour: Behaviour) -> bytes:
    async with transport_to(Line(*[behaviour] * 3)) as transport:
        return (await transport.request("GET", "/customers", tenant_id=None, request_id="A")).body


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
async def test_a_packed_answer_is_unpacked(coding):
    assert await body_of(packed_answer(gzip.compress(b"[1]" * 9), coding)) == b"[1]" * 9


async def test_a_packed_answer_may_have_16_mebibytes_unpacked():
    assert len(await body_of(packed_answer(gzip.compress(b" " * MAX_BODY_BYTES, 1)))) == MAX_BODY_BYTES
    with pytest.raises(UpstreamError, match="larger than"):
        await body_of(packed_answer(gzip.compress(b" " * (MAX_BODY_BYTES + 1), 1)))


@pytest.mark.parametrize(
    ("content", "coding"),
    [(b"no gzip", b"gzip"), (gzip.compress(b"{}" * 99)[:-9], b"gzip"), (b"{}", b"br")],
    ids=["broken", "cut short", "never asked for"],
)
async def test_an_answer_that_cannot_be_unpacked_cannot_be_read(content, coding):
    with pytest.raises(UpstreamError, match="could not be read"):
        await body_of(packed_answer(content, coding))


async def test_an_answer_that_is_too_large_as_it_comes_is_given_up():
    async def floods(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES * 100))
        while True:
            writer.write(b" " * 1024 * 1024)
            await writer.drain()

    with pytest.raises(UpstreamError, match="larger than"):
        await body_of(floods)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/customers/x/users", "/v1/customers/x/users"),
        ("/customers?size=5&filter=%7B%22a%22%3A1%7D", "/v1/customers?size=5&filter=%7B%22a%22%3A1%7D"),
        ("/a b/ü?q= x", "/v1/a%20b/%C3%BC?q=%20x"),
        ("//evil.example/x", "/v1//evil.example/x"),
    ],
)
async def test_a_path_goes_out_as_it_is_but_for_what_no_path_may_hold(path, target):
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        await answers(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Network(40) as http:
        root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await Transport(http, Tokens(), base_url=root).request("GET", path, tenant_id=None)
    server.close()

    assert lines == [f"GET {target} HTTP/1.1\r\n".encode()]


@pytest.mark.parametrize(
    "path", ["/../x", "/a/../../x", "/a/%2e%2e/x", "/a/..%2fx", "/a\\..\\x", "/./x", "/a#b", "/a\nb"]
)
async def test_a_path_that_may_lead_elsewhere_is_not_asked_for(path):
    line = Line()
    async with transport_to(line) as transport:
        with pytest.raises(UpstreamError) as caught:
            await transport.request("GET", path, tenant_id=None)

    assert line.seen == []
    assert "led away" in str(caught.value) or "could not be made" in str(caught.value)
