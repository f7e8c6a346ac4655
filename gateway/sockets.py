"""GraphQL over a WebSocket, in the protocol `graphql-transport-ws`.

Source: github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. Every message is checked before Strawberry sees it,
who asks is settled at `connection_init`, and each operation has a context of its own, as a request has.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import structlog
from graphql import GraphQLError
from starlette.websockets import WebSocket
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation

from gateway.authentication import AuthenticationError
from gateway.caller_tokens import LEEWAY_SECONDS, VerifiedToken
from gateway.error_answers import INTERNAL_MESSAGE
from gateway.event_streams import in_our_words
from gateway.http_refusals import HttpRefused
from gateway.http_requests import AskedOperation, read_members
from services.authorization import Caller

if TYPE_CHECKING:
    from gateway.endpoint import GraphQLEndpoint

log = structlog.get_logger("gateway.sockets")

LONGEST_OPERATION_ID = 128
BAD_MESSAGE = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
ID_IN_USE = 4409
TOO_MANY = 4429
_PAYLOADS = {"connection_init": False, "ping": False, "pong": False, "subscribe": True}
"""Types of messages with a payload, and whether it must be there."""
_IDENTIFIED = frozenset({"subscribe", "complete"})


class Sockets:
    """How many sockets each caller has open in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[tuple[str, str]] = Counter()

    def enter(self, caller: Caller) -> bool:
        key = (caller.issuer, caller.subject)
        if self._open[key] >= self._most:
            return False
        self._open[key] += 1
        return True

    def leave(self, caller: Caller) -> None:
        key = (caller.issuer, caller.subject)
        self._open[key] -= 1
        if self._open[key] <= 0:
            del self._open[key]


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):  # Any: the socket has no context, operations have
    """One socket, from its acceptance to its end."""

    _caller: Caller | None = None
    _expiry: asyncio.TimerHandle | None = None
    _closing: asyncio.Task[None] | None = None

    def __init__(self, **given: Any) -> None:  # Any: what Strawberry hands over
        super().__init__(**given)
        self._endpoint: GraphQLEndpoint = given["view"]
        self._socket: WebSocket = given["websocket"].ws
        self._asked: dict[str, AskedOperation] = {}

    async def shutdown(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._caller is not None:
            self._endpoint.sockets.leave(self._caller)
            self._caller = None
        await super().shutdown()

    async def handle_message(self, message: Any) -> None:
        """Takes whatever came; what is malformed closes the socket."""
        if not _is_message(message):
            await self.handle_invalid_message("Malformed message")
            return
        await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        if self.connection_init_received:
            await self.websocket.close(TOO_MANY, "Too many initialisation requests")
            return
        payload = message.get("payload") or {}
        try:
            verified = await self._identify(payload.get("authorization"))
        except AuthenticationError:
            await self.websocket.close(FORBIDDEN, "Forbidden")
            return
        if self.connection_timed_out:
            return
        if not self._endpoint.sockets.enter(verified.caller):
            await self.websocket.close(TOO_MANY, "Too many connections")
            return
        self._caller = verified.caller
        self._close_when_expired(verified)
        await super().handle_connection_init({"type": "connection_init", "payload": {}})

    async def _identify(self, authorization: object) -> VerifiedToken:
        authenticator = self._endpoint.wired.authenticator
        if authorization is None:
            return await authenticator.identify(self._socket.scope["headers"])
        text = authorization if isinstance(authorization, str) else ""
        return await authenticator.identify_by(text.encode("utf-8", "replace"))

    def _close_when_expired(self, verified: VerifiedToken) -> None:
        if math.isfinite(verified.expires_at):
            left = verified.expires_at + LEEWAY_SECONDS - self._endpoint.wired.now().timestamp()
            self._expiry = asyncio.get_running_loop().call_later(max(left, 0), self._expire)

    def _expire(self) -> None:
        self._closing = asyncio.create_task(self.websocket.close(FORBIDDEN, "Token expired"))

    async def handle_subscribe(self, message: Any) -> None:
        if not self.connection_acknowledged:
            await self.websocket.close(UNAUTHORIZED, "Unauthorized")
            return
        operation_id: str = message["id"]
        if operation_id in self.operations:
            await self.websocket.close(ID_IN_USE, "The id is in use")
            return
        try:
            asked = read_members(message["payload"], self._endpoint.request_limits)
        except HttpRefused:
            await self.handle_invalid_message("Malformed payload")
            return
        try:
            if len(self.operations) >= (self.max_subscriptions_per_connection or math.inf):
                raise HttpRefused(
                    HTTPStatus.TOO_MANY_REQUESTS, "Too many operations at once on this socket.", code="THROTTLED"
                )
            text = self._endpoint.document_of(asked)
        except HttpRefused as refused:
            error = GraphQLError(refused.message, extensions={"code": refused.code})
            await self.send_message({"id": operation_id, "type": "error", "payload": [error.formatted]})
            return
        operation = Operation[Any, None](self, operation_id, text, asked.variables, asked.operation_name)
        operation.task = asyncio.create_task(self.run_operation(operation))
        operation.task.add_done_callback(self._task_done)
        self.operations[operation_id] = operation

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        assert self._caller is not None
        request_id = str(uuid4())
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            context = self._endpoint.new_context(self._caller, request_id, None)
            try:
                results = await self.schema.stream(
                    operation.query,
                    variable_values=cast("dict[str, Any] | None", operation.variables),
                    context_value=context,
                    operation_name=operation.operation_name,
                )
                async with aclosing(in_our_words(results)) as told:
                    await self._send_result_stream(operation, told)
                await operation.send_operation_message({"id": operation.id, "type": "complete"})
            except Exception:
                log.exception("operation failed")
                error = GraphQLError(INTERNAL_MESSAGE, extensions={"code": "INTERNAL", "requestId": request_id})
                if operation.id in self.operations:
                    await operation.send_initial_errors([error])

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        return None  # a document that is refused is told so; the socket and its other operations go on


def _is_message(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in {*_PAYLOADS, *_IDENTIFIED}:
        return False
    if kind in _IDENTIFIED:
        operation_id = message.get("id")
        if not isinstance(operation_id, str) or not 0 < len(operation_id) <= LONGEST_OPERATION_ID:
            return False
    payload = message.get("payload")
    if payload is None:
        return not _PAYLOADS.get(kind, False)
    return kind not in _PAYLOADS or isinstance(payload, dict)
