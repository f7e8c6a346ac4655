"""Every exception of the libraries below the transport becomes one of ours, and says whether the call left."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import zlib
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from services.errors import Timeout, UpstreamError
from services.partner_center.transport import FOREIGN, map_exceptions
from tests.services.partner_center.scripted import BASE_URL, Wired


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


NEVER_SENT = {httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout}
HTTPX_EXCEPTIONS = [kind for kind in subclasses(Exception) if kind.__module__.split(".")[0] == "httpx"]


@pytest.mark.parametrize("kind", HTTPX_EXCEPTIONS, ids=lambda kind: kind.__name__)
async def test_every_exception_of_httpx_is_mapped_and_only_what_never_left_says_so(kind):
    wired = Wired()
    required = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    arguments = {
        parameter.name: httpx.Response(200)
        if parameter.name == "response"
        else httpx.Request("GET", BASE_URL)
        if parameter.name == "request"
        else "Bearer token-1"
        for parameter in required
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    wired.upstream.replies = [kind(**arguments)]

    with pytest.raises(UpstreamError) as caught:
        await wired.transport.request("GET", "/customers", tenant_id=None)

    assert any(base in FOREIGN for base in kind.__mro__)
    assert caught.value.sent is (kind not in NEVER_SENT)
    assert isinstance(caught.value, Timeout) is issubclass(kind, httpx.TimeoutException)
    assert caught.value.detail == kind.__name__


def test_the_walk_through_httpx_finds_its_exceptions():
    assert {httpx.ReadTimeout, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamClosed} <= set(HTTPX_EXCEPTIONS)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ssl.SSLError("no"), UpstreamError),
        (ssl.SSLCertVerificationError("no"), UpstreamError),
        (ConnectionResetError("no"), UpstreamError),
        (OSError("no"), UpstreamError),
        (TimeoutError("no"), Timeout),
        (msgspec.DecodeError("no"), UpstreamError),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "no"), UpstreamError),
    ],
)
def test_exceptions_of_other_libraries_are_mapped_too(error, kind):
    with pytest.raises(UpstreamError) as caught, map_exceptions():
        raise error

    assert type(caught.value) is kind
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("ours"), zlib.error("ours")])
def test_what_is_not_foreign_passes_as_it_is(error):
    with pytest.raises(type(error)), map_exceptions():
        raise error
