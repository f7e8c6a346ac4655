"""GraphQL over HTTP: who asks is settled before anything is read, then Strawberry answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import strawberry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from gateway.authentication import AuthenticationError, Authenticator
from gateway.graphiql_page import Example, graphiql_response
from loaders.registry import build_loaders
from loaders.shared_reads import SharedReads
from resolvers.context import ChangeServices, GatewayContext
from services.authorization import Caller
from services.cache import LookupCache
from services.partner_center.client import PartnerCenterClient
from services.stores import Stores
from services.upstream_use import start_counting

_MAX_AGE = re.compile(r"max-age=(\d{1,9})")


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


class GraphQLEndpoint(GraphQL[GatewayContext, None]):
    """`/graphql`. `collaborators` is asked at each request, since it is wired after the application is built."""

    def __init__(
        self,
        schema: strawberry.Schema,
        collaborators: Callable[[], Collaborators],
        *,
        max_page_size: int,
        graphiql: bool,
        examples: Sequence[Example],
    ) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if graphiql else None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
        )
        self._collaborators = collaborators
        self._max_page_size = max_page_size
        self._examples = examples

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope["state"]["caller"] = await self._collaborators().authenticator.authenticate(scope["headers"])
        except AuthenticationError as error:
            if scope["type"] != "http":
                raise
            await _refused(error)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> GatewayContext:
        wired = self._collaborators()
        caller: Caller = request.state.caller
        return GatewayContext(
            caller=caller,
            loaders=build_loaders(wired.partner_center, wired.reads, _max_age_seconds(request)),
            now=wired.now,
            max_page_size=self._max_page_size,
            request_id=request.state.request_id,
            upstream_use=start_counting(),
            changes=wired.changes,
        )

    async def render_graphql_ide(self, request: Request) -> Response:
        return graphiql_response(self._examples)


def _refused(error: AuthenticationError) -> Response:
    body = {"errors": [{"message": error.message, "extensions": error.extensions()}]}
    challenge = getattr(error, "challenge", None)
    return JSONResponse(body, status_code=error.status, headers={"WWW-Authenticate": challenge} if challenge else None)


def _max_age_seconds(request: Request | WebSocket) -> float | None:
    """How old an answer may be by the request's Cache-Control (RFC 9111): `no-cache`, `max-age=N`."""
    wanted = request.headers.get("cache-control", "").lower()
    if "no-cache" in wanted:
        return 0
    found = _MAX_AGE.search(wanted)
    return float(found[1]) if found else None
