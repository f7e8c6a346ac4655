"""The control routes: reset, clock, calls, faults, switches.

They stand outside /v1 and are for whoever sits at this machine: the client's address and the Host header must
be loopback (a name that was bound anew to 127.0.0.1 is not), requests that a browser sends for another site
are refused, and bodies are JSON only.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.faults import InvalidRule, read_rules
from sandbox.state import SandboxState
from sandbox.switches import UnknownSwitch
from sandbox.wire import Json, instant

PREFIX = "/sandbox/"
_MOST_BODY_BYTES = 1_000_000


class ControlRefusal(Exception):
    """A control request that is refused, with the status to answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class ControlEndpoint:
    """ASGI application that answers `/sandbox/…` for one state; a route of any other application can hold it.

    `after_reset` is awaited once the state is reset: for what else its owner has to forget.
    """

    def __init__(self, state: SandboxState, after_reset: Callable[[], Awaitable[None]] | None = None) -> None:
        self._state = state
        self._after_reset = after_reset
        self._routes: dict[tuple[str, str], Callable[[Json], Json]] = {
            ("POST", "reset"): self._reset,
            ("GET", "clock"): self._get_clock,
            ("POST", "clock"): self._move_clock,
            ("GET", "calls"): self._get_calls,
            ("DELETE", "calls"): self._clear_calls,
            ("GET", "faults"): self._get_faults,
            ("POST", "faults"): self._set_faults,
            ("GET", "switches"): self._get_switches,
            ("POST", "switches"): self._change_switches,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            check_local(request)
            body = await _read_body(request)
            route = self._find(request)
            answer = route(body)
            if route == self._reset and self._after_reset is not None:
                await self._after_reset()
            response = _json_response(200, answer)
        except ControlRefusal as refusal:
            response = _json_response(refusal.status, {"error": str(refusal)})
        await response(scope, receive, send)

    def _find(self, request: Request) -> Callable[[Json], Json]:
        name = request.url.path.removeprefix(PREFIX).strip("/")
        route = self._routes.get((request.method, name))
        if route is not None:
            return route
        if any(known == name for _, known in self._routes):
            raise ControlRefusal(405, f"{request.method} is not answered here.")
        raise ControlRefusal(404, "There is no such control route.")

    def _reset(self, body: Json) -> Json:
        self._state.reset()
        return self._get_clock(body)

    def _get_clock(self, body: Json) -> Json:
        return {"now": instant(self._state.clock.now())}

    def _move_clock(self, body: Json) -> Json:
        seconds = body.get("advance_seconds")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not math.isfinite(seconds)
            or seconds < 0
        ):
            raise ControlRefusal(400, "advance_seconds: must be a number of seconds, 0 or more")
        try:
            self._state.clock.advance(seconds)
        except OverflowError:
            raise ControlRefusal(400, "advance_seconds: goes beyond the year 9999") from None
        return self._get_clock(body)

    def _get_calls(self, body: Json) -> Json:
        calls = self._state.calls
        return {"total": calls.total, "calls": [asdict(call) for call in calls]}

    def _clear_calls(self, body: Json) -> Json:
        self._state.calls.clear()
        return {"total": 0, "calls": []}

    def _get_faults(self, body: Json) -> Json:
        return {"rules": [rule.as_dict() for rule in self._state.faults.rules]}

    def _set_faults(self, body: Json) -> Json:
        unknown = sorted(set(body) - {"rules"})
        if unknown:
            raise ControlRefusal(400, f"{unknown[0]}: no such member")
        try:
            self._state.faults.rules = read_rules(body.get("rules"))
        except InvalidRule as error:
            raise ControlRefusal(400, str(error)) from None
        return self._get_faults(body)

    def _get_switches(self, body: Json) -> Json:
        return dict(self._state.switches.as_dict())

    def _change_switches(self, body: Json) -> Json:
        try:
            self._state.switches = self._state.switches.changed(body)
        except UnknownSwitch as error:
            raise ControlRefusal(400, str(error)) from None
        return self._get_switches(body)


def check_local(request: Request) -> None:
    """Refuses (403) what does not come from this machine's own programs."""
    if request.client is not None and not _is_loopback(request.client.host):
        raise ControlRefusal(403, "The control routes answer on loopback only.")
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if not _is_loopback(host):
        raise ControlRefusal(403, "The Host header must name localhost or a loopback address.")
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ControlRefusal(403, "Requests from other sites are refused.")
    origin = request.headers.get("origin")
    if origin is not None and not _is_loopback(urlsplit(origin).hostname or ""):
        raise ControlRefusal(403, "Requests from other origins are refused.")


async def _read_body(request: Request) -> Json:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_BODY_BYTES:
            raise ControlRefusal(413, "The body is too large.")
    if not content.strip():
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ControlRefusal(415, "The body must be application/json.")
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ControlRefusal(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise ControlRefusal(400, "The body must be a JSON object.")
    return body


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _json_response(status: int, body: Json) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json; charset=utf-8")
