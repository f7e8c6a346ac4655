"""What web pages may do: those of listed origins call, others do not.

Where a token is needed, a page of another origin can do nothing anyway: a browser asks before it sends
JSON or a token. Where none is needed (with a sandbox), what is open to everyone on this machine must not be open
to every page that somebody here has open: such requests are refused, and so are names bound to 127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http_refusals import HttpRefused
from gateway.setting_values import is_loopback

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": "Authorization, Cache-Control, Content-Type, If-None-Match, X-Request-Id",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = (
    "Content-Disposition, ETag, Retry-After, WWW-Authenticate, X-Coverage-Answered, X-Coverage-Asked, "
    "X-Coverage-Failed, X-Coverage-Stale, X-Request-Id"
)


class BrowserRules:
    """ASGI middleware. `local_only` is for a gateway that needs no token."""

    def __init__(self, app: ASGIApp, origins: Sequence[str], *, local_only: bool) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        listed = len(origins) == 1 and origins[0] in self._origins
        if self._local_only and (refused := _refusal(headers, listed=listed)):
            await _refuse(refused, scope, receive, send)
            return
        if scope["type"] == "websocket" or not self._origins:
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.add_vary_header("Origin")
                if listed:
                    answer["Access-Control-Allow-Origin"] = origins[0]
                    answer["Access-Control-Expose-Headers"] = _EXPOSED
            await send(message)

        if listed and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, marked)
        else:
            await self._app(scope, receive, marked)


def _refusal(headers: Headers, *, listed: bool) -> HttpRefused | None:
    host = headers.get("host", "")
    if not is_loopback(_name_of(host)):
        return _forbidden("Without a token this answers at localhost and loopback addresses only.")
    if listed:
        return None
    origins = headers.getlist("origin")
    if headers.get("sec-fetch-site", "").lower() == "cross-site" or any(not _is_own(each, host) for each in origins):
        return _forbidden("Without a token this does not answer to pages of other origins.")
    return None


def _forbidden(message: str) -> HttpRefused:
    return HttpRefused(HTTPStatus.FORBIDDEN, message, code="NOT_PERMITTED")


def _name_of(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError for a port that is none
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _is_own(origin: str, host: str) -> bool:
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


async def _refuse(refused: HttpRefused, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": ""})  # before accepting: 403
    else:
        await refused.response()(scope, receive, send)
