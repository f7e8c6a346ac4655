"""The connections to Microsoft: reads over aiohttp, writes over httpx's own transport.

A read over aiohttp costs a quarter of the CPU, or less. Writes need to know what was never sent and what may
have been: only httpx's own errors tell the two apart, and aiohttp may send again by itself what it takes for
safe. Tokens are written, too. Both verify TLS, follow no redirect and keep no cookie.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

READS = frozenset({"GET", "HEAD"})


class Network(httpx.AsyncBaseTransport):
    """At most `most_connections` of either kind; kept alive between calls. Opened by its first use."""

    def __init__(self, most_connections: int) -> None:
        limits = httpx.Limits(max_connections=most_connections, max_keepalive_connections=most_connections)
        self._most_connections = most_connections
        self._writes = httpx.AsyncHTTPTransport(limits=limits)
        self._reads = AiohttpTransport(client=self._session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method not in READS:
            return await self._writes.handle_async_request(request)
        try:
            return await self._reads.handle_async_request(request)
        except aiohttp.ClientError as error:  # such as an answer that is no HTTP; what is left is mapped already
            raise httpx.RemoteProtocolError(type(error).__name__, request=request) from error

    async def __aenter__(self) -> Self:
        await self._writes.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._reads.aclose()
        await self._writes.aclose()

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._most_connections, ssl=httpx.create_ssl_context())
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
