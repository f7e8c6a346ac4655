"""Streams of results: until their token expires, and never for a subscriber that does not read.

Nothing is kept for a subscriber: the next event is made when the last one has left. One that takes none for a while
is dropped; it can subscribe again, and begins with the state as it is then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog
from graphql import GraphQLError
from starlette.types import Message, Receive, Send
from strawberry.types import ExecutionResult

from gateway.error_answers import answer_of

log = structlog.get_logger(__name__)

HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
"""Of an event stream, beside its type: nobody on the way keeps it, changes it, or waits for more of it."""
_EXPIRED = "Your token has expired. Subscribe again with a new one."
_GONE: Message = {"type": "websocket.disconnect", "code": 1006, "reason": ""}


class TooSlow(Exception):
    """The subscriber took nothing for too long."""


class Subscriber:
    """The two ends of a connection. `send` gives up after some seconds; a socket then looks as if it had hung up."""

    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._seconds = seconds
        self._gone = asyncio.Event()
        self._coming: asyncio.Task[Message] | None = None

    async def send(self, message: Message) -> None:
        """Raises TooSlow where the message cannot leave in time."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            if not self._gone.is_set():
                log.info("slow subscriber dropped")
            self._gone.set()
            raise TooSlow from None

    async def send_or_drop(self, message: Message) -> None:
        """The same for a socket: whoever sends learns of the end by receiving it."""
        if self._gone.is_set():
            return
        try:
            await self.send(message)
        except TooSlow:
            return

    async def receive(self) -> Message:
        gone = asyncio.ensure_future(self._gone.wait())
        coming = self._coming = self._coming or asyncio.ensure_future(self._next())
        try:
            await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not coming.done():
            return _GONE
        self._coming = None
        return coming.result()

    def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()

    async def _next(self) -> Message:
        return await self._receive()


async def in_our_words(
    results: Any,
) -> AsyncGenerator[Any, None]:  # Any: a generator of results, as Strawberry has them
    """Errors become answers here: the extension that does it comes only after the last result of a stream."""
    async with aclosing(results):
        async for result in results:
            if getattr(result, "errors", None):
                result.errors = [answer_of(error) for error in result.errors]
            yield result


async def until_expired(results: Any, seconds: float) -> AsyncGenerator[Any, None]:  # Any: as above
    """The results, and after so many seconds an error in place of the next one."""
    loop = asyncio.get_running_loop()
    ends_at = None if math.isinf(seconds) else loop.time() + max(seconds, 0)
    async with aclosing(results):
        while True:
            try:
                async with asyncio.timeout_at(ends_at):
                    result = await anext(results)
            except StopAsyncIteration:
                return
            except TimeoutError:
                yield ExecutionResult(
                    data=None, errors=[GraphQLError(_EXPIRED, extensions={"code": "UNAUTHENTICATED"})]
                )
                return
            yield result
