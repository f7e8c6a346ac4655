"""Too much at once: requests wait in turn for a little while, then are told to come back.

A process answers so many requests side by side, so many more wait, and the rest is answered 503 at once; so is
who waited in vain. Of one caller fewer run at once, so that one cannot take the places of all: 429. Refused
early, with `Retry-After`, callers come back when there is room; a queue without end would only answer those
who are gone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http_refusals import HttpRefused
from gateway.metrics import REFUSED
from services.authorization import Caller

LONGEST_RETRY_SECONDS = 5
CALLER_RETRY_SECONDS = 1


class TooMuch(Exception):
    """No turn was to be had."""


class Turns:
    """So many at once, the others in the order in which they came, up to a number and for a time."""

    def __init__(self, most_running: int, most_waiting: int, wait_seconds: float) -> None:
        self._most_running = most_running
        self._most_waiting = most_waiting
        self._wait_seconds = wait_seconds
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> None:
        """Returns when it is one's turn; `leave` ends it. TooMuch where it does not come."""
        if self.running < self._most_running:  # whoever waited was woken when one left
            self.running += 1
            return
        if len(self._waiting) >= self._most_waiting:
            raise TooMuch
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except TimeoutError:
            if not _was_given(turn):
                raise TooMuch from None
        except asyncio.CancelledError:
            if _was_given(turn):
                self.leave()
            raise
        finally:
            self._waiting.pop(turn, None)

    def leave(self) -> None:
        """Hands the place on to the one that waited longest."""
        while self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


class CallerTurns:
    """The turns of each caller. One who has none running is forgotten."""

    def __init__(self, most_running: int, wait_seconds: float) -> None:
        self._most_running = most_running
        self._wait_seconds = wait_seconds
        self._turns: dict[str, Turns] = {}

    async def enter(self, caller: Caller) -> Callable[[], None]:
        """Gives what ends this request's turn. HttpRefused where too many of the caller run."""
        key = caller_key(caller)
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = Turns(self._most_running, self._most_running, self._wait_seconds)
        try:
            await turns.enter()
        except TooMuch:
            REFUSED.labels(reason="caller").inc()
            message = "Too many of your requests are running. Wait for their answers before you send more."
            raise _refusal(HTTPStatus.TOO_MANY_REQUESTS, message, "THROTTLED", CALLER_RETRY_SECONDS) from None

        def leave() -> None:
            turns.leave()
            if not turns.running:
                self._turns.pop(key, None)

        return leave


class TakesTurns:
    """ASGI middleware around what costs work: HTTP requests run in turn.

    What a request holds until its end goes onto the stack that it finds in its state, as `held`; a stream that has
    begun closes the stack, and gives its turn to others.
    """

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self._app = app
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._turns.enter()
        except TooMuch:
            await overloaded().response()(scope, receive, send)
            return
        with ExitStack() as held:
            held.callback(self._turns.leave)
            scope["state"]["held"] = held
            await self._app(scope, receive, send)


def caller_key(caller: Caller) -> str:
    """Names a caller among all: a subject is unique within its issuer only."""
    return f"{caller.issuer} {caller.subject}"


def overloaded() -> HttpRefused:
    """What is told to who finds no place in this process; when to come back by chance, lest all come at once."""
    REFUSED.labels(reason="overload").inc()
    seconds = random.randint(1, LONGEST_RETRY_SECONDS)  # noqa: S311  # spreads those who come back
    message = "The gateway has too much to do at the moment."
    return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, "UNAVAILABLE", seconds)


def _refusal(status: HTTPStatus, message: str, code: str, seconds: int) -> HttpRefused:
    text = f"{message} Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
    return HttpRefused(
        status, text, code=code, headers={"Retry-After": str(seconds)}, figures={"retryAfterSeconds": seconds}
    )


def _was_given(turn: asyncio.Future[None]) -> bool:
    return turn.done() and not turn.cancelled()
