"""GraphQL over HTTP: who asks is settled before anything is read, then Strawberry answers.

What the answer of an operation looks like, its status included, is decided in `process_result` and
`create_response`: by the public checks of GraphQL over HTTP (npm `graphql-http`), which tests run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import msgspec
import strawberry
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from execution.records import plain
from gateway.authentication import AuthenticationError, Authenticator
from gateway.caller_tokens import LEEWAY_SECONDS
from gateway.config import Settings
from gateway.error_answers import answer_of
from gateway.event_streams import HEADERS, Subscriber, TooSlow, in_our_words, until_expired
from gateway.execution import LimitedSchema
from gateway.graphiql_page import Example, graphiql_response
from gateway.http_refusals import HttpRefused, error_response
from gateway.http_requests import AskedOperation, RequestLimits, decode, names_operation, read_request
from gateway.kept_answers import KeptAnswers
from gateway.media_types import GRAPHQL_RESPONSE, JSON, answer_type, names_html
from gateway.metrics import REPEATED, count_use
from gateway.overload import CallerTurns, caller_key
from gateway.sockets import SocketHandler, Sockets
from gateway.trusted_documents import NotTrusted, TrustedDocuments
from loaders.registry import Loaders
from loaders.shared_reads import SharedReads
from loaders.traces import ReadTrace
from resolvers.context import ChangeServices, GatewayContext
from services.authorization import Caller
from services.cache import LookupCache
from services.partner_center.client import PartnerCenterClient
from services.stores import Stores
from services.upstream_turns import ask_in_turn
from services.upstream_use import start_counting

_MAX_AGE = re.compile(r"max-age=(\d{1,9})")
_AFTER_EXECUTION = frozenset({"TIMEOUT", "INTERNAL", "UNAVAILABLE"})
"""Codes of errors without a path that nevertheless came about while the operation ran."""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What every request needs, wired once."""

    partner_center: PartnerCenterClient
    cache: LookupCache
    reads: SharedReads
    authenticator: Authenticator
    now: Callable[[], datetime]
    changes: ChangeServices
    stores: Stores
    callers: CallerTurns
    answers: KeptAnswers


class GraphQLEndpoint(GraphQL[GatewayContext, None]):
    """`/graphql`. `collaborators` is asked at each request, since it is wired after the application is built."""

    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: strawberry.Schema,
        collaborators: Callable[[], Collaborators],
        settings: Settings,
        *,
        examples: Sequence[Example],
        trusted: TrustedDocuments | None = None,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if settings.graphiql else None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=timedelta(seconds=settings.websocket_init_timeout_seconds),
            max_subscriptions_per_connection=settings.max_socket_operations,
            allowed_origins=settings.cors_origins,
        )
        self.request_limits = RequestLimits(
            settings.max_body_bytes, settings.max_json_depth, settings.body_timeout_seconds
        )
        self.sockets = Sockets(settings.max_caller_sockets)
        self._collaborators = collaborators
        self._settings = settings
        self._examples = examples
        self._trusted = trusted

    @property
    def wired(self) -> Collaborators:
        return self._collaborators()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            no_context: Any = None  # each operation gets its own
            subscriber = Subscriber(receive, send, self._settings.subscriber_timeout_seconds)
            try:
                socket = WebSocket(scope, subscriber.receive, subscriber.send_or_drop)
                await self.run(socket, context=no_context)
            finally:
                subscriber.close()
            return
        with ExitStack() as followed:
            await self._respond(scope, receive, send, followed)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, followed: ExitStack) -> None:
        request = Request(scope, receive)
        request.state.followed = followed
        accept = request.headers.getlist("accept")
        try:
            response = await self._answer(request, accept)
        except AuthenticationError as error:
            headers = {"WWW-Authenticate": error.challenge} if error.challenge else None
            response = error_response(error.status, error.message, error.extensions(), headers)
        except HttpRefused as refused:
            response = refused.response(answer_type(accept) or JSON)
        if not isinstance(response, StreamingResponse):
            await response(scope, receive, send)
            return
        subscriber = Subscriber(receive, send, self._settings.subscriber_timeout_seconds)
        with suppress(TooSlow):  # the server closes what is not finished
            await response(scope, receive, subscriber.send)

    async def _answer(self, request: Request, accept: list[str]) -> Response:
        if self.graphql_ide and request.method == "GET" and not names_operation(request) and names_html(accept):
            return graphiql_response(self._examples)
        verified = await self.wired.authenticator.identify(request.scope["headers"])
        caller, request.state.expires_at = verified.caller, verified.expires_at
        request.state.caller = caller
        request.state.held.callback(await self.wired.callers.enter(caller))
        transport = self._get_stream_transport_from_headers(request.headers)
        media_type = answer_type(accept)
        if media_type is None and transport is None:
            raise HttpRefused(HTTPStatus.NOT_ACCEPTABLE, f"Answers are {JSON} or {GRAPHQL_RESPONSE}.")
        asked = await read_request(request, self.request_limits)
        request.state.media_type = media_type or JSON
        request.state.asked = GraphQLRequestData(
            self.document_of(asked), asked.variables, asked.operation_name, asked.extensions, "http"
        )
        # Clients name event streams beside JSON in every request; what has one answer is given as JSON then.
        if transport is not None and (media_type is None or self._is_subscription(request.state.asked)):
            request.state.asked = replace(request.state.asked, protocol=transport.protocol)
            self._begin_stream(request, caller)
        elif asked.body is not None and "cache-control" not in request.headers:
            return await self._answer_or_repeat(request, (caller, request.state.media_type, asked.body))
        return self._cachable(request, await self.run(request))

    async def _answer_or_repeat(self, request: Request, key: Hashable) -> Response:
        """Gives what was answered to the same question where it would be answered again, else answers it."""
        kept = await self.wired.answers.find(key)
        if kept is not None:
            count_use(kept.use)
            REPEATED.inc()
            return PiecesResponse(kept.pieces(request.state.request_id), request.state.media_type)
        trace = request.state.trace = ReadTrace()
        try:
            response: Response = await self.run(request)
        finally:
            basis = trace.take()
        use = getattr(request.state, "whole_answers_use", None)
        if use is not None and trace.repeatable:
            self.wired.answers.keep(key, bytes(response.body), request.state.request_id, basis, use)
        return response

    def _begin_stream(self, request: Request, caller: Caller) -> None:
        """A subscription lasts: it takes no turn of the requests, but counts with the caller's sockets."""
        if self._is_subscription(request.state.asked):
            if not self.sockets.enter(caller):
                message = "You have too many sockets and streams open. Close one first."
                raise HttpRefused(HTTPStatus.TOO_MANY_REQUESTS, message, code="THROTTLED")
            request.state.followed.callback(self.sockets.leave, caller)
            request.state.held.close()

    def _is_subscription(self, asked: GraphQLRequestData) -> bool:
        assert isinstance(self.schema, LimitedSchema)
        return self.schema.is_subscription(asked.query or "", asked.operation_name)

    def document_of(self, asked: AskedOperation) -> str:
        """Gives the text that is to be answered; raises HttpRefused where there is none, or it is not trusted."""
        if self._trusted is None:
            if not asked.query:
                raise HttpRefused(HTTPStatus.BAD_REQUEST, "The request holds no query.")
            return asked.query
        names: tuple[str, ...] = () if asked.document_id is None else (asked.document_id,)
        persisted = (asked.extensions or {}).get("persistedQuery")
        if isinstance(persisted, dict):
            names += (str(persisted.get("sha256Hash")),)
        try:
            return self._trusted.find(names, asked.query)
        except NotTrusted as refused:
            raise HttpRefused(HTTPStatus.BAD_REQUEST, str(refused), code=refused.code) from refused

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> GatewayContext:
        state = request.state
        trace = getattr(state, "trace", None)
        context = self.new_context(state.caller, state.request_id, max_age_seconds(request.headers), trace)
        state.upstream_use = context.upstream_use
        return context

    def new_context(
        self, caller: Caller, request_id: str, max_age_seconds: float | None, trace: ReadTrace | None = None
    ) -> GatewayContext:
        """The context of one operation, whose calls to Microsoft take their turn among those of all callers."""
        ask_in_turn(caller_key(caller))
        wired = self.wired
        return GatewayContext(
            caller=caller,
            loaders=Loaders(wired.partner_center, wired.reads, max_age_seconds, trace),
            clock=wired.now,
            max_page_size=self._settings.max_page_size,
            request_id=request_id,
            upstream_use=start_counting(),
            services=wired.changes,
            trace=trace or ReadTrace(),
        )

    def is_request_allowed(self, request: Any) -> bool:  # Any: Strawberry's view of a request
        return True  # settled by read_request

    def should_render_graphql_ide(self, request: Any) -> bool:  # Any: as above
        return False  # settled before anybody was asked for a token

    async def parse_http_body(self, request: Any) -> GraphQLRequestData:  # Any: as above
        asked: GraphQLRequestData = request._request.state.asked
        return asked

    def decode_json(self, data: str | bytes) -> object:
        try:
            return decode(data)
        except HttpRefused as refused:  # what Strawberry waits for where it reads a socket
            raise json.JSONDecodeError("", "", 0) from refused

    async def execute_operation(  # type: ignore[override]  # requests are never lists here
        self,
        request: Request,
        request_adapter: Any,  # Any: as above
        request_data: GraphQLRequestData,
        context: GatewayContext,
        root_value: None,
        sub_response: Response,
    ) -> Any:  # Any: a result, or a stream of them
        if self._get_stream_transport(request_data.protocol):
            results = await super().execute_operation(
                request, request_adapter, request_data, context, root_value, sub_response
            )
            left = request.state.expires_at + LEEWAY_SECONDS - self.wired.now().timestamp()
            return until_expired(in_our_words(results), left)
        reads_only = request.method == "GET"
        try:
            return await self.schema.execute(
                request_data.query,
                variable_values=request_data.variables,
                context_value=context,
                operation_name=request_data.operation_name,
                allowed_operation_types={OperationType.QUERY} if reads_only else _ANSWERED_ONCE,
                operation_extensions=request_data.extensions,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                message = "Subscriptions are answered over a WebSocket, or to Accept: text/event-stream."
                raise HttpRefused(HTTPStatus.BAD_REQUEST, message) from error
            message = "Changes are made by POST only."
            raise HttpRefused(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": "POST"}) from error

    async def create_streaming_response(
        self, request: Request | WebSocket, stream: Any, sub_response: Response, headers: Mapping[str, str]
    ) -> Response:  # Any: what makes the generator of texts
        return StreamingResponse(stream(), headers={**headers, **HEADERS})

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        return Response(media_type=request.state.media_type)

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        answer: GraphQLHTTPResponse = {}
        if result.errors:
            answer["errors"] = [error.formatted for error in map(answer_of, result.errors)]
        if not _was_refused(result):
            answer["data"] = result.data
        if not result.errors:
            request.state.whole_answers_use = request.state.upstream_use
        if result.extensions:
            answer["extensions"] = result.extensions
        if self._trusted is not None and request.method == "GET" and not result.errors:
            request.state.etag = f'W/"{sha256(_encode(result.data)).hexdigest()}"'
        return answer

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        media_type = sub_response.media_type or JSON
        refused = media_type == GRAPHQL_RESPONSE and "data" not in response_data
        status = HTTPStatus.BAD_REQUEST if refused else HTTPStatus.OK
        return _response(_encode(response_data), media_type, status)

    def encode_json(self, data: object) -> str:
        return _encode(data).decode()  # a text: the sockets' messages are

    def _cachable(self, request: Request, response: Response) -> Response:
        """Lets a client keep an answer to a trusted document that it asked for by GET: see docs/configuration.md."""
        etag = getattr(request.state, "etag", None)
        if etag is None:
            return response
        headers = {
            "Cache-Control": f"private, max-age={self._settings.trusted_documents_max_age_seconds}, must-revalidate",
            "ETag": etag,
            "Vary": "Authorization, Accept",
        }
        known = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
        if etag in known or etag.removeprefix("W/") in known:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        response.headers.update(headers)
        return response


_ANSWERED_ONCE = {OperationType.QUERY, OperationType.MUTATION}


def _was_refused(result: ExecutionResult) -> bool:
    """Whether the operation never ran: its document, its name or its variables could not be used."""
    if isinstance(result, PreExecutionError):
        return True
    errors = result.errors or []
    codes = {(error.extensions or {}).get("code") for error in errors}
    return result.data is None and bool(errors) and not any(e.path for e in errors) and not codes & _AFTER_EXECUTION


COPIED_BYTES = 64 * 1024
"""So much is put together faster than it is sent in pieces."""


class PiecesResponse(Response):
    """An answer that is made of pieces; a large one is sent in these, as they are."""

    def __init__(self, pieces: Sequence[bytes], media_type: str) -> None:
        size_bytes = sum(map(len, pieces))
        self._pieces = pieces if size_bytes > COPIED_BYTES else (b"".join(pieces),)
        super().__init__(headers={"Content-Length": str(size_bytes)}, media_type=f"{media_type}; charset=utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for number, piece in enumerate(self._pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(self._pieces)})


def _response(body: bytes, media_type: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status, media_type=f"{media_type}; charset=utf-8")


def _encode(data: object) -> bytes:
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only spell out
        return json.dumps(plain(data), separators=(",", ":")).encode()


def max_age_seconds(headers: Headers) -> float | None:
    """How old an answer may be by the request's Cache-Control (RFC 9111): `no-cache`, `max-age=N`."""
    wanted = headers.get("cache-control", "").lower()
    if "no-cache" in wanted:
        return 0
    found = _MAX_AGE.search(wanted)
    return float(found[1]) if found else None
