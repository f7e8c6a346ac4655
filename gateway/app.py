"""The composition root: the routes and what stands around them, built from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from gateway.browsers import BrowserRules
from gateway.config import Settings
from gateway.disconnects import EndsWithItsCaller
from gateway.endpoint import GraphQLEndpoint
from gateway.export import ExportLimits, export_routes
from gateway.extensions import EXTENSIONS, GatewaySchema
from gateway.graphiql_page import load_examples, static_mount
from gateway.lifecycle import Lifecycle, TakesLeave
from gateway.limits import Limits
from gateway.metrics import metrics_page
from gateway.overload import TakesTurns, Turns
from gateway.readiness import health, readiness_page
from gateway.request_frame import RequestFrame
from gateway.trusted_documents import load_trusted_documents
from gateway.wiring import Wired, network, wire
from schema.build import build_schema
from services.writes import DEFAULT_POLICY, WritePolicy

if TYPE_CHECKING:
    from sandbox.state import SandboxState


def create_app(
    settings: Settings,
    sandbox: SandboxState | None = None,
    http: httpx.AsyncBaseTransport | None = None,
    writes: WritePolicy = DEFAULT_POLICY,
) -> Starlette:
    """Gives the application; its `state.lifecycle` is for who serves it. With a sandbox's state, the sandbox's
    clock and control routes are used too; the settings must already be aimed at it. `http` carries the calls to
    Microsoft, by default over the network; `writes` says how long a write waits whose answer was lost."""
    now = sandbox.clock.now if sandbox is not None else _utc_now
    schema = _limited_schema(settings)
    lifecycle = Lifecycle(
        schema.running, query_seconds=settings.drain_query_seconds, write_seconds=settings.drain_write_seconds
    )
    turns = Turns(settings.max_running, settings.max_waiting, settings.max_wait_seconds)
    wired: list[Wired] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            microsoft = http or network(settings)
            in_sandbox = sandbox is not None
            wired.append(await wire(settings, now, stack, microsoft, writes, lifecycle, turns, in_sandbox=in_sandbox))
            lifecycle.started()
            try:
                yield
            finally:
                wired.clear()

    endpoint = GraphQLEndpoint(
        schema,
        lambda: wired[0].collaborators,
        settings,
        examples=load_examples(),
        trusted=load_trusted_documents(settings.trusted_documents),
    )
    exports = ExportLimits(settings.export_timeout_seconds, settings.max_cost_calls)
    routes: list[BaseRoute] = [
        Route("/graphql", TakesTurns(EndsWithItsCaller(endpoint), turns)),
        WebSocketRoute("/graphql", endpoint),
        *export_routes(endpoint, schema.running, exports, turns),
        Route("/health", health),
        Route("/ready", readiness_page(lifecycle, lambda: wired[0].dependencies if wired else None)),
        Route("/metrics", metrics_page(lambda: wired[0].sample())),
    ]
    if settings.graphiql:
        routes.append(static_mount())
    if sandbox is not None:
        routes.append(_control_routes(sandbox, lambda: wired[0]))
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(
                RequestFrame,
                max_url_bytes=settings.max_url_bytes,
                max_header_lines=settings.max_header_lines,
                max_header_bytes=settings.max_header_bytes,
            ),
            Middleware(TakesLeave, lifecycle),
            Middleware(BrowserRules, settings.cors_origins, local_only=sandbox is not None),
        ],
    )
    app.state.lifecycle = lifecycle
    return app


def _limited_schema(settings: Settings) -> GatewaySchema:
    schema = build_schema(
        EXTENSIONS,
        GatewaySchema,
        introspection=settings.introspection,
        fast_execution=settings.fast_execution,
    )
    assert isinstance(schema, GatewaySchema)
    schema.limit(Limits.of(settings))
    return schema


def _control_routes(sandbox: SandboxState, wired: Callable[[], Wired]) -> Mount:
    """The sandbox's own control routes, under the gateway's port; a reset empties what the gateway keeps, too."""
    from sandbox.control import ControlEndpoint  # the sandbox is not loaded where none is asked for

    control = ControlEndpoint(sandbox)

    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        await control(scope, receive, send)
        if scope["path"].rstrip("/").endswith("/reset"):
            await wired().forget()

    return Mount("/sandbox", controlled)


def _utc_now() -> datetime:
    return datetime.now(UTC)
