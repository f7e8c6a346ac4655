"""A TCP proxy for tests that can be in trouble: switched at any time, also amid an answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK_BYTES = 64 * 1024


class Trouble(Enum):
    """What the proxy does to answers; questions always get through, unless nothing is connected."""

    NONE = "none"
    DELAY = "delay"  # by half a second
    RESET = "reset"
    BLACK_HOLE = "black hole"  # nothing comes while it lasts; what was held comes afterwards
    HALF_CLOSE = "half close"  # the answer's side ends, the question's stays open
    REFUSE = "refuse"  # nobody listens
    CUT = "cut"  # half of an answer, then a reset
    TRICKLE = "trickle"  # an answer byte by byte
    GARBAGE = "garbage"


class TcpProxy:
    """Between a client and a server on this machine. `connections` counts those that were ever made."""

    def __init__(self, target: str | int, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._changed = asyncio.Event()
        self._pairs: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self.trouble = Trouble.NONE
        self.port = 0
        self.connections = 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def switch(self, trouble: Trouble) -> None:
        """Changes what happens, to connections there are and to new ones."""
        self.trouble = trouble
        self._changed.set()
        self._changed = asyncio.Event()
        if trouble is Trouble.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
            for writer in self._pairs.values():
                _reset(writer)
        elif trouble is not Trouble.REFUSE and self._server is None:
            await self.listen()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._pairs):
            task.cancel()
        if self._pairs:
            await asyncio.wait(list(self._pairs))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = writer
        far_writer: asyncio.StreamWriter | None = None
        try:
            if isinstance(self._target, int):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            else:
                far_reader, far_writer = await asyncio.open_unix_connection(self._target)
            answers = asyncio.ensure_future(self._answer(far_reader, writer))
            try:
                await _copy(reader, far_writer)
            finally:
                answers.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await answers
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            del self._pairs[task]
            for one in (writer, far_writer):
                if one is not None:
                    one.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if not await self._pass(chunk, writer):
                return
        writer.transport.abort()  # the server has hung up

    def _lasts(self, trouble: Trouble) -> bool:
        return self.trouble is trouble

    async def _pass(self, chunk: bytes, writer: asyncio.StreamWriter) -> bool:
        """Sends an answer on, as well as it goes; False: it was the last one."""
        match self.trouble:
            case Trouble.DELAY:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._changed.wait()
            case Trouble.BLACK_HOLE:
                await self._changed.wait()
                return await self._pass(chunk, writer)
            case Trouble.RESET | Trouble.REFUSE:
                _reset(writer)
                return False
            case Trouble.HALF_CLOSE:
                writer.write_eof()
                return False
            case Trouble.CUT:
                writer.write(chunk[: len(chunk) // 2])
                await writer.drain()
                _reset(writer)
                return False
            case Trouble.TRICKLE:
                for index in range(len(chunk)):
                    if not self._lasts(Trouble.TRICKLE):
                        chunk = chunk[index:]
                        break
                    writer.write(chunk[index : index + 1])
                    await asyncio.sleep(0.02)
                else:
                    return True
            case Trouble.GARBAGE:
                chunk = b"?\x00garbage\r\n" + chunk
        writer.write(chunk)
        await writer.drain()
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: whatever was on its way is lost."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


@asynccontextmanager
async def proxy_to(target: str | int, tls: ssl.SSLContext | None = None) -> AsyncIterator[TcpProxy]:
    """A proxy to a port of this machine, or to a Unix socket's path; with a server's context it speaks TLS."""
    proxy = TcpProxy(target, tls)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
