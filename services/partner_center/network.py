"""One HTTP exchange with Microsoft: reads and tokens over aiohttp, writes over httpx's own transport.

A read over aiohttp costs a fraction of the CPU. Writes need to know what was never sent and what may have been: only
httpx's own errors tell the two apart, and aiohttp may send a DELETE again by itself. Both verify TLS, follow no
redirect, keep no cookie, and read no proxy from the environment. Errors are httpx's, whoever carries.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import httpx
import msgspec
from yarl import URL

from services.errors import UpstreamError

READS = frozenset({"GET", "HEAD"})
MAX_BODY_BYTES = 16 * 1024 * 1024
SEND_SECONDS = 10.0
ALWAYS_SENT = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "partner-center-gateway"}
"""With every request, beside its own headers: here, since a session puts them together once."""
_PLAIN_URL = re.compile(
    r"(https?)://([A-Za-z0-9.\[\]:-]+)((?:/[A-Za-z0-9_~!$&'()*+,;=:@%-][\w~!$&'()*+,;=:@%.-]*)+/?)"
    r"(?:\?([\w~!$&'()*+,;=:@%/?.-]*))?",
    re.ASCII,
)
"""Nothing in it is left to be quoted or made shorter, so it goes out as it stands."""


class Carried(msgspec.Struct):
    """What is made for each call, in a fifth of a dataclass's time. Its text form is a name alone: headers hold our
    token, and replies to writes echo passwords."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class HttpAnswer(Carried):
    """A whole answer."""

    status: int
    reason_phrase: str
    headers: Mapping[str, str]
    body: bytes


class HttpRequest(Carried):
    """What is sent. `connect_seconds` bounds the connecting alone; the whole is bounded by who asks."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None
    total_seconds: float
    connect_seconds: float


class Exchange(Protocol):
    """Carries one request. Raises httpx's errors, and UpstreamError for an answer that is too large."""

    async def exchange(self, request: HttpRequest) -> HttpAnswer: ...


class OverHttpx:
    """Carries requests over any transport of httpx."""

    def __init__(self, http: httpx.AsyncBaseTransport) -> None:
        self._http = http

    async def exchange(self, request: HttpRequest) -> HttpAnswer:
        sent = httpx.Request(
            request.method,
            request.url,
            headers={**ALWAYS_SENT, **request.headers},
            content=request.content,
            extensions=httpx_timeouts(request.total_seconds, request.connect_seconds),
        )
        response = await self._http.handle_async_request(sent)
        try:
            pieces, size = [], 0
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise too_large(response.status_code)
                pieces.append(piece)
        finally:
            await response.aclose()
        return HttpAnswer(response.status_code, response.reason_phrase, response.headers, b"".join(pieces))


class Network(httpx.AsyncBaseTransport):
    """At most `most_connections` of either kind; kept alive between calls. Opened by its first use.

    As a transport of httpx it carries requests for tokens.
    """

    def __init__(self, most_connections: int) -> None:
        self._most_connections = most_connections
        self._session: aiohttp.ClientSession | None = None
        self._writes: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        seconds = request.extensions["timeout"]["connect"]
        response, body = await self._carry(
            request.method, URL(str(request.url), encoded=True), request.headers, content, seconds
        )
        return httpx.Response(response.status, headers=list(response.headers.items()), content=body, request=request)

    async def exchange(self, request: HttpRequest) -> HttpAnswer:
        if request.method not in READS or request.content is not None:
            return await OverHttpx(self._for_writes()).exchange(request)
        seconds = min(request.connect_seconds, request.total_seconds)
        response, body = await self._carry(request.method, _url(request.url), request.headers, None, seconds)
        return HttpAnswer(response.status, response.reason or "", response.headers, _unpacked(response, body))

    async def _carry(
        self, method: str, url: URL, headers: Mapping[str, str], content: bytes | None, connect_seconds: float
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Gives an answer and its body as it came."""
        session = self._session
        if session is None:
            session = self._session = _open_session(self._most_connections)
        try:
            response = await session.request(
                method,
                url,
                headers=headers,
                data=content,
                allow_redirects=False,
                timeout=_connect_timeout(connect_seconds),
            )
            try:
                return response, await _read_body(response)
            except BaseException:
                response.close()
                raise
        except (aiohttp.ClientError, aiohttp.ServerTimeoutError) as error:
            raise _httpx_error(error) from error

    def _for_writes(self) -> httpx.AsyncHTTPTransport:
        if self._writes is None:  # 6 MiB, in vain where nobody writes
            limits = httpx.Limits(
                max_connections=self._most_connections, max_keepalive_connections=self._most_connections
            )
            self._writes = httpx.AsyncHTTPTransport(limits=limits)
        return self._writes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._writes is not None:
            await self._writes.aclose()


def exchange_over(http: httpx.AsyncBaseTransport) -> Exchange:
    """The cheapest way to exchange whole requests and answers over a transport."""
    return http if isinstance(http, Network) else OverHttpx(http)


def httpx_timeouts(total_seconds: float, connect_seconds: float) -> dict[str, object]:
    """httpx's own limits, between two bytes: they notice a dead connection, the total bounds a slow one."""
    timeout = httpx.Timeout(
        total_seconds, connect=min(connect_seconds, total_seconds), write=min(SEND_SECONDS, total_seconds)
    )
    return {"timeout": timeout.as_dict()}


def too_large(status: int) -> UpstreamError:
    return UpstreamError(f"Microsoft's answer is larger than {MAX_BODY_BYTES} bytes.", status=status)


def _open_session(most_connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=most_connections, ssl=httpx.create_ssl_context()),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=ALWAYS_SENT,
        # Inflated here, with a bound.
        auto_decompress=False,
    )


def _url(text: str) -> URL:
    plain = _PLAIN_URL.fullmatch(text)
    if plain is None:
        return URL(str(httpx.URL(text)), encoded=True)
    scheme, authority, path, query = plain.groups("")
    # Put together from its parts: to take it apart again takes three times as long.
    return URL.build(scheme=scheme, authority=authority, path=path, query_string=query, encoded=True)


@lru_cache(maxsize=64)
def _connect_timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=seconds)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    content, pieces, size = response.content, [], 0
    while True:
        piece = await content.readany()
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise too_large(response.status)
        pieces.append(piece)
        if content.at_eof():
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _unpacked(response: aiohttp.ClientResponse, body: bytes) -> bytes:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("", "identity") or not body:
        return body
    if coding not in ("gzip", "x-gzip"):
        raise httpx.DecodingError("a coding that was not asked for")
    return _inflate(body, response.status)


def _inflate(body: bytes, status: int) -> bytes:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise httpx.DecodingError("no gzip") from error
    if len(plain) > MAX_BODY_BYTES:
        raise too_large(status)
    if not inflater.eof:
        raise httpx.DecodingError("gzip that is cut short")
    return plain


def _httpx_error(error: Exception) -> httpx.HTTPError:
    """httpx's word for what aiohttp says. Only what failed before there was a connection was certainly not sent."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(name)
    if isinstance(error, aiohttp.ServerTimeoutError):
        return httpx.ReadTimeout(name)
    if isinstance(error, aiohttp.ClientConnectorError):
        return httpx.ConnectError(name)
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        return httpx.ReadError(name)
    return httpx.RemoteProtocolError(name)  # such as an answer that is no HTTP
