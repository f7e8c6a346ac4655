"""Carries calls to Partner Center: host, token, ids, time, repeated reads, and every foreign exception mapped.

    httpx.TransportError      ConnectError, ConnectTimeout, PoolTimeout   never left: `sent=False`
                              other timeouts, and our own total           Timeout
                              all the rest                                UpstreamError
    httpx's other errors, ssl, OSError, unreadable bytes                  UpstreamError

Redirects are not followed, cookies are not kept, and no proxy is read from the environment: the httpx
transport is used without its client, which does all three.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import DEBUG
from os import urandom
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

import httpx
import msgspec
import structlog
from msgspec.structs import replace

from services.deadlines import no_time_left, seconds_for_call, seconds_to_wait
from services.errors import Timeout, UpstreamError
from services.partner_center.admission import Admission, CallEvent, UpstreamHealth
from services.partner_center.breakers import Breakers, Outcome
from services.partner_center.gates import Gates, GateScope, scope_of
from services.partner_center.network import READS, Carried, HttpRequest, exchange_over
from services.partner_center.paths import leads_away, with_params
from services.partner_center.pauses import SharedPause
from services.partner_center.retries import BROKEN, Retries
from services.partner_center.slots import Slots
from services.partner_center.wire_errors import (
    BYTE_ORDER_MARK,
    find_retry_after,
    is_mfa_missing,
    read_error,
    read_fault,
)
from services.time_limits import TimeLimits
from services.upstream_use import current_use

CONNECT_SECONDS = 3.0
READ_SECONDS = 20.0
WRITE_SECONDS = 60.0
READ_TOGETHER_SECONDS = 0.001
"""How long an answer lies unread, at most, where calls wait for slots."""
TELLING_SECONDS = 5.0
"""A call that was given less, since its request's time ran out, says nothing of Microsoft by not being answered."""

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The real time: what stamps of data and waits are counted with, wherever the sandbox's clock stands."""
    return datetime.now(UTC)


class AccessTokens(Protocol):
    """Where access tokens come from; `services.partner_center.tokens.TokenSource` in the gateway."""

    async def get(self) -> str: ...

    def at_hand(self) -> str | None: ...

    def invalidate(self, token: str) -> None: ...


class Answer(Carried):
    """Answer with success."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    received_at: datetime
    request_id: str
    correlation_id: str
    reason_phrase: str = ""

    def json(self) -> object:
        """Gives the body as plain Python, None where it is empty."""
        with map_exceptions():
            return msgspec.json.decode(self.body) if self.body else None


class _Call(Carried):
    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes | None
    request_id: str
    scope: GateScope


class Transport:
    """Sends calls to one Partner Center. Everything that waits or gives up, and what repeats reads, belongs in here.

    A write is sent once, and once more with a new token after a 401; `services.writes` repeats it.
    """

    def __init__(
        self,
        http: httpx.AsyncBaseTransport,
        tokens: AccessTokens,
        *,
        base_url: str = "https://api.partnercenter.microsoft.com",
        max_in_flight: int = 32,
        max_in_flight_per_tenant: int = 8,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
        gates: Gates | None = None,
        breakers: Breakers | None = None,
        retries: Retries | None = None,
        on_event: Callable[[CallEvent], None] = lambda _: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._exchange = exchange_over(http).exchange
        self._tokens = tokens
        self._root = base_url.rstrip("/") + "/v1"
        self._admission = Admission(
            Slots(max_in_flight, max_in_flight_per_tenant), gates or Gates(), breakers or Breakers(), on_event
        )
        self._retries = retries or Retries()
        self._limits = TimeLimits()
        self._reading = SharedPause(READ_TOGETHER_SECONDS)
        self._on_event = on_event
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._clock = clock
        self._log = log.bind()  # once: it takes longer than not to write the line

    def health(self) -> UpstreamHealth:
        """How the way to Partner Center is now."""
        return self._admission.health()

    async def reset(self) -> None:
        """Forgets what was throttled and what failed, as at start: for a sandbox that begins anew."""
        await self._admission.reset()

    async def request(
        self,
        method: str,
        path: str,
        *,
        tenant_id: str | None,
        body: object | None = None,
        params: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Gives the answer to one intended call, or raises what stands in `services.errors`.

        `path` is relative to /v1. `tenant_id` names whose slots the call takes, None for calls that are
        about no tenant. `request_id` makes a repeated write the same one to Microsoft; new when left out.
        Source: learn.microsoft.com/partner-center/developer/headers
        """
        call = _Call(
            method=method,
            path=with_params(path, params),
            headers=headers or {},
            content=None if body is None else msgspec.json.encode(body),
            request_id=request_id or new_id(),
            scope=scope_of(tenant_id, path),
        )
        answer = await (self._read(call) if method in READS else self._send(call, call.request_id))
        if self._admission.calls_waiting and method in READS:
            # Who waited for this call's slot sends before this answer is read, and what came meanwhile is read in a
            # row: that takes less time than each between two others' sending.
            await self._reading.take()
        if 200 <= answer.status < 300:
            return answer
        error = read_error(
            status=answer.status,
            content=answer.body,
            headers=answer.headers,
            path=call.path,
            now=answer.received_at,
            reason_phrase=answer.reason_phrase,
        )
        raise self._admission.throttled_error(call.scope, error) if answer.status == 429 else error

    def _read(self, call: _Call) -> Awaitable[Answer]:
        return self._retries.read(
            lambda request_id: self._send(call, request_id),
            call.request_id,
            lambda longest: self._admission.may_repeat(call.scope, longest),
            lambda: self._on_event(CallEvent.RETRIED),
        )

    async def _send(self, call: _Call, request_id: str) -> Answer:
        """Sends when it is the call's turn, and takes note of what the answer says of Microsoft's health."""
        if request_id != call.request_id:
            call = replace(call, request_id=request_id)
        admitted = await self._admission.admit(call.scope)
        try:
            started = time.monotonic()
            try:
                token = self._tokens.at_hand() or await self._token()
                answer = await self._send_once(call, token)
                if answer.status == 401 and not is_mfa_missing(read_fault(answer.body), answer.reason_phrase):
                    answer = await self._send_with_another_token(call, token)
            except UpstreamError as error:
                admitted.outcome = _outcome(error, time.monotonic() - started)
                self._on_event(CallEvent.FAILED)
                raise
            failed = answer.status >= 500
            admitted.outcome = Outcome.FAILED if failed else Outcome.ANSWERED
            if answer.status == 429:
                seconds = find_retry_after(answer.headers, answer.received_at)
                await self._admission.throttled(call.scope, admitted, seconds)
            else:
                self._on_event(CallEvent.FAILED if failed else CallEvent.ANSWERED)
            return answer
        finally:
            self._admission.leave(admitted)

    async def _send_with_another_token(self, call: _Call, token: str) -> Answer:
        """Sends once more after a 401, with a new token, which all calls that met the same 401 share.

        It is a new request to Microsoft (the first was answered), so it has another id; the id is derived, so that
        a repeat of the whole call makes the same two requests.
        """
        self._tokens.invalidate(token)
        token = await self._token()
        return await self._send_once(replace(call, request_id=str(uuid5(NAMESPACE_URL, call.request_id))), token)

    async def _token(self) -> str:
        """Gives a token, or Timeout where the request's time does not allow to wait for one."""
        try:
            with self._limits.within(seconds_to_wait()):
                return await self._tokens.get()
        except TimeoutError:
            raise no_time_left() from None

    async def _send_once(self, call: _Call, token: str) -> Answer:
        """Sends one HTTP request and reads the whole answer, whatever its status."""
        correlation_id = new_id()
        total_seconds = seconds_for_call(self._read_seconds if call.method in READS else self._write_seconds)
        started = time.perf_counter()
        status = None
        try:
            request = self._build(call, token, correlation_id, total_seconds)
            use = current_use()
            use.calls += 1
            if call.method not in READS:
                use.write_correlation_ids.append(correlation_id)
            with self._limits.within(total_seconds):
                answer = await self._exchange(request)
            status = answer.status
        except tuple(FOREIGN) as error:
            raise as_ours(error) from error
        finally:
            if self._log.is_enabled_for(DEBUG):
                self._log.debug(
                    "partner_center_call",
                    method=call.method,
                    path=call.path.partition("?")[0],
                    status=status,
                    request_id=call.request_id,
                    correlation_id=correlation_id,
                    duration_seconds=round(time.perf_counter() - started, 4),
                )
        return Answer(
            status=answer.status,
            body=answer.body.removeprefix(BYTE_ORDER_MARK),
            headers=answer.headers,
            received_at=self._clock(),
            request_id=call.request_id,
            correlation_id=correlation_id,
            reason_phrase=answer.reason_phrase,
        )

    def _build(self, call: _Call, token: str, correlation_id: str, total_seconds: float) -> HttpRequest:
        if leads_away(call.path):
            raise UpstreamError("A path would have led away from Partner Center.", sent=False)
        headers = {
            **call.headers,
            "Authorization": f"Bearer {token}",
            "MS-RequestId": call.request_id,
            "MS-CorrelationId": correlation_id,
        }
        if call.content is not None:
            headers["Content-Type"] = "application/json"
        url = self._root + call.path
        return HttpRequest(call.method, url, headers, call.content, total_seconds, self._connect_seconds)


@dataclass(frozen=True, slots=True)
class _Meaning:
    error: type[UpstreamError]
    message: str
    sent: bool = True


_TOO_LATE = "Microsoft did not answer in time. Try again later."
_UNREACHABLE = "Microsoft could not be reached. Try again later."
_CUT_SHORT = "The connection to Microsoft broke before the answer was complete."
_UNREADABLE = "Microsoft's answer could not be read."
_OUR_FAULT = "The call to Microsoft could not be made."

FOREIGN: Mapping[type[Exception], _Meaning] = {
    httpx.ConnectTimeout: _Meaning(Timeout, _UNREACHABLE, sent=False),
    httpx.PoolTimeout: _Meaning(Timeout, _TOO_LATE, sent=False),
    httpx.ConnectError: _Meaning(UpstreamError, _UNREACHABLE, sent=False),
    httpx.TimeoutException: _Meaning(Timeout, _TOO_LATE),
    httpx.NetworkError: _Meaning(UpstreamError, _CUT_SHORT),
    httpx.ProtocolError: _Meaning(UpstreamError, _CUT_SHORT),
    httpx.ProxyError: _Meaning(UpstreamError, _UNREACHABLE),
    httpx.DecodingError: _Meaning(UpstreamError, _UNREADABLE),
    httpx.HTTPError: _Meaning(UpstreamError, _OUR_FAULT),
    httpx.StreamError: _Meaning(UpstreamError, _CUT_SHORT),
    httpx.InvalidURL: _Meaning(UpstreamError, _OUR_FAULT),
    httpx.CookieConflict: _Meaning(UpstreamError, _OUR_FAULT),
    TimeoutError: _Meaning(Timeout, _TOO_LATE),
    ssl.SSLError: _Meaning(UpstreamError, _CUT_SHORT),
    OSError: _Meaning(UpstreamError, _CUT_SHORT),
    msgspec.DecodeError: _Meaning(UpstreamError, _UNREADABLE),
    UnicodeError: _Meaning(UpstreamError, _UNREADABLE),
}
UNREADABLE = (msgspec.DecodeError, UnicodeError)
"""What reading an answer raises."""


@contextmanager
def map_exceptions() -> Iterator[None]:
    """Turns every exception of a library below us into one of ours."""
    try:
        yield
    except tuple(FOREIGN) as error:
        raise as_ours(error) from error


def as_ours(error: Exception, unreadable: str = _UNREADABLE) -> UpstreamError:
    """What an exception of a library below us, one of those in `FOREIGN`, is to us: the one place that says so.

    `unreadable` is the message for an answer that cannot be read, where the caller knows what it was for.
    `detail` is only the class name: the text of a protocol error may quote a header, and that is a token.
    """
    meaning = next(FOREIGN[kind] for kind in type(error).__mro__ if kind in FOREIGN)
    message = unreadable if meaning.message is _UNREADABLE else meaning.message
    return meaning.error(message, sent=meaning.sent, detail=type(error).__name__)


def _outcome(error: UpstreamError, seconds: float) -> Outcome:
    """What a failure says of Microsoft's health: nothing where we gave up, or never asked."""
    cause = error.__cause__
    if not isinstance(cause, BROKEN) or isinstance(cause, httpx.PoolTimeout):
        return Outcome.NOTHING
    if type(cause) is TimeoutError and seconds < TELLING_SECONDS:
        return Outcome.NOTHING
    return Outcome.FAILED


def new_id() -> str:
    """Gives a random id as `uuid4` makes them, in a third of its time: each call has two."""
    random = urandom(16).hex()
    variant = "89ab"[int(random[16], 16) % 4]
    return f"{random[:8]}-{random[8:12]}-4{random[13:16]}-{variant}{random[17:20]}-{random[20:]}"
