"""The sandbox as an ASGI application: one door for Partner Center, the token endpoint, both issuers and
control."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox import issuer, token_errors
from sandbox.calls import Call
from sandbox.connections import close_connection, reset_connection
from sandbox.control import PREFIX, ControlEndpoint
from sandbox.faults import FaultRule
from sandbox.partner_center import answer_partner_center
from sandbox.refusals import GatewayRefusal, Refusal, throttled
from sandbox.state import SandboxState
from sandbox.token_endpoint import (
    instance_discovery,
    issue_token,
    openid_configuration,
    read_form,
)
from sandbox.token_errors import TokenRefusal
from sandbox.tokens import token_keys
from sandbox.wire import Answer, instant, trace_headers

_TOKEN_PATH = re.compile(r"/([^/]+)/oauth2(/v2\.0)?/token/?\Z", re.IGNORECASE)
_OPENID_PATH = re.compile(r"/([^/]+)(/v2\.0)?/\.well-known/openid-configuration/?\Z", re.IGNORECASE)
_KEYS_PATH = re.compile(r"/[^/]+/discovery(/v2\.0)?/keys/?\Z", re.IGNORECASE)
_INSTANCE_PATH = re.compile(r"/common/discovery/instance/?\Z", re.IGNORECASE)
_API_PATH = re.compile(r"/v1(\.0)?(/|\Z)", re.IGNORECASE)
_MOST_BODY_BYTES = 4_000_000
_DEFAULT_RETRY_AFTER_SECONDS = 1
_ORDERED_FAULTS = {
    401: (400, "Access denied"),
    403: (900308, "Insufficient privileges to complete the operation."),
    404: (1000, "Not found"),
    409: (900278, "There is a pending operation on this subscription. Please try again after 24 hours."),
}


def create_app(state: SandboxState) -> Starlette:
    """The application on this state; run it with `sandbox.server` or call it through httpx.ASGITransport."""
    return Starlette(routes=[Route("/{path:path}", SandboxEndpoint(state))])


class SandboxEndpoint:
    """Answers every path. Each request is logged, then looked at by the fault rules, then carried out."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._control = ControlEndpoint(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(PREFIX):
            await self._control(scope, receive, send)
            return
        state = self._state
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = headers.get("ms-requestid") or str(uuid.uuid4())
        correlation_id = headers.get("ms-correlationid") or headers.get("client-request-id") or str(uuid.uuid4())
        query: str = scope["query_string"].decode("latin-1")
        target = _raw_path(scope) + (f"?{query}" if query else "")
        method: str = scope["method"]
        call = Call(method, target, request_id, correlation_id, instant(state.clock.now()))
        state.calls.append(call)
        try:
            content = await _read_body(receive)
        except ClientDisconnect:
            return
        rule = state.faults.next_for(method, target)
        if rule is not None:
            if rule.delay_ms:
                await asyncio.sleep(rule.delay_ms / 1000)
            if rule.reset:
                await reset_connection(scope)
                return
        if rule is not None and rule.status is not None:
            answer = self._ordered_answer(rule, rule.status, path, request_id, correlation_id)
        elif content is None:
            answer = GatewayRefusal(413, "Request entity too large.").answer()
        else:
            answer = self._answer(scope, path, query, headers, content, request_id, correlation_id)
        call.status = answer.status
        if rule is not None and rule.lost_answer:
            await close_connection(scope, "Server disconnected without sending a response.")
            return
        await _write(answer, scope, send, truncated=rule is not None and rule.truncate)

    def _answer(
        self,
        scope: Scope,
        path: str,
        query: str,
        headers: Mapping[str, str],
        content: bytes,
        request_id: str,
        correlation_id: str,
    ) -> Answer:
        method: str = scope["method"]
        if _API_PATH.match(path):
            return answer_partner_center(self._state, method, path, query, headers, content, request_id, correlation_id)
        if token_path := _TOKEN_PATH.match(path):
            if method != "POST":
                return GatewayRefusal(405, "The token endpoint takes POST.").answer()
            try:
                return issue_token(
                    self._state,
                    token_path[1],
                    read_form(content),
                    headers.get("authorization", ""),
                    v2=token_path[2] is not None,
                )
            except TokenRefusal as refusal:
                return refusal.answer(self._state.clock.now(), correlation_id)
        if method in ("GET", "HEAD"):
            host = headers.get("host", "localhost")
            document = _document(path, f"{scope['scheme']}://{host}", host)
            if document is not None:
                return Answer(200, document, traced=False)
        return GatewayRefusal(404, "Resource not found").answer()

    def _ordered_answer(self, rule: FaultRule, status: int, path: str, request_id: str, correlation_id: str) -> Answer:
        """The error that a fault rule orders, in the shape this path answers with."""
        retry_after = rule.retry_after
        if _TOKEN_PATH.match(path):
            answer = token_errors.ordered(status).answer(self._state.clock.now(), correlation_id)
        elif status == 429:
            retry_after = _DEFAULT_RETRY_AFTER_SECONDS if retry_after is None else retry_after
            answer = throttled(retry_after).answer()
        else:
            code, text = _ORDERED_FAULTS.get(status, (800002, "Invalid request input"))
            if status >= 500:
                code, text = 800003, "Unexpected service error"
            answer = Refusal(status, code, text).answer()
            answer.headers |= trace_headers(request_id, correlation_id)
        if retry_after is not None:
            answer.headers["Retry-After"] = str(retry_after)
        return answer


def _document(path: str, base_url: str, host: str) -> dict[str, object] | None:
    """Metadata and keys: of the callers' issuer at the root, of the authority below a tenant's name."""
    if path == issuer.JWKS_PATH:
        return issuer.jwks()
    if path == "/.well-known/openid-configuration":
        return issuer.discovery(base_url)
    if openid_path := _OPENID_PATH.match(path):
        return openid_configuration(base_url, openid_path[1], v2=openid_path[2] is not None)
    if _KEYS_PATH.match(path):
        return token_keys()
    if _INSTANCE_PATH.match(path):
        return instance_discovery(base_url, host)
    return None


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None when it is larger than anything Partner Center takes. Raises ClientDisconnect where it
    breaks off: half a request is none."""
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        content += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(content) if len(content) <= _MOST_BODY_BYTES else None


def _raw_path(scope: Mapping[str, Any]) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1").partition("?")[0]


async def _write(answer: Answer, scope: Scope, send: Send, *, truncated: bool) -> None:
    content = answer.content()
    headers = {"Content-Length": str(len(content)), **answer.headers}
    if content:
        headers["Content-Type"] = "application/json; charset=utf-8" if answer.traced else _untraced_type(answer)
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if scope["method"] == "HEAD":
        content = b""
    if truncated and content:
        await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        await close_connection(scope, "Peer closed connection without sending complete message body.")
        return
    await send({"type": "http.response.body", "body": content})


def _untraced_type(answer: Answer) -> str:
    """The gateway's own answers name no charset
    (learn.microsoft.com/partner-center/developer/api-throttling-guidance)."""
    return "application/json" if answer.status == 429 else "application/json; charset=utf-8"
