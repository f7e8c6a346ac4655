"""The composition root: builds every part from the settings, and nothing else does."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from gateway.authentication import build_authenticator
from gateway.browsers import BrowserRules
from gateway.config import Settings, load_settings
from gateway.endpoint import Collaborators, GraphQLEndpoint
from gateway.extensions import EXTENSIONS, GatewaySchema
from gateway.graphiql_page import load_examples, static_mount
from gateway.limits import Limits
from gateway.metrics import metrics
from gateway.request_frame import RequestFrame
from gateway.trusted_documents import load_trusted_documents
from loaders.shared_reads import SharedReads
from resolvers.context import ChangeServices
from schema.build import build_schema
from services.cache import CacheUnavailable, LookupCache, connect_cache
from services.change_runner import ChangeRunner
from services.deletions import DeletionService
from services.licenses import LicenseService
from services.mailer import Mailer, connect_mailer
from services.new_users import NewUserService
from services.partner_center.client import PartnerCenterClient
from services.partner_center.refresh_tokens import FileRefreshTokens, MemoryRefreshTokens
from services.partner_center.tokens import PartnerCredentials, TokenSource
from services.partner_center.transport import Transport
from services.password_changes import PasswordService
from services.secret import Secret
from services.stores import Stores, connect_stores
from services.users import UserService
from services.writes import DEFAULT_POLICY, WritePolicy

if TYPE_CHECKING:
    from sandbox.state import SandboxState

log = structlog.get_logger("gateway")


def create_app(
    settings: Settings,
    sandbox: SandboxState | None = None,
    http: httpx.AsyncBaseTransport | None = None,
    writes: WritePolicy = DEFAULT_POLICY,
) -> Starlette:
    """Gives the application. With a sandbox's state, the sandbox's clock and control routes are used too;
    the settings must already be aimed at it. `http` carries the calls to Microsoft, by default over the network;
    `writes` says how long a write waits whose answer was lost."""
    now = sandbox.clock.now if sandbox is not None else _utc_now
    wired: list[Collaborators] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            network = http or _network(settings)
            wired.append(await _wire(settings, now, stack, network, writes, in_sandbox=sandbox is not None))
            try:
                yield
            finally:
                wired.clear()

    endpoint = GraphQLEndpoint(
        _limited_schema(settings),
        lambda: wired[0],
        settings,
        examples=load_examples(),
        trusted=load_trusted_documents(settings.trusted_documents),
    )

    async def ready(_: Request) -> Response:
        return await _readiness(wired[0] if wired else None)

    routes: list[BaseRoute] = [
        Route("/graphql", endpoint),
        WebSocketRoute("/graphql", endpoint),
        Route("/health", _health),
        Route("/ready", ready),
        Route("/metrics", metrics),
    ]
    if settings.graphiql:
        routes.append(static_mount())
    if sandbox is not None:
        routes.append(_control_routes(sandbox, lambda: wired[0]))
    frame = Middleware(
        RequestFrame,
        max_url_bytes=settings.max_url_bytes,
        max_header_lines=settings.max_header_lines,
        max_header_bytes=settings.max_header_bytes,
    )
    browsers = Middleware(BrowserRules, settings.cors_origins, local_only=sandbox is not None)
    return Starlette(routes=routes, lifespan=lifespan, middleware=[frame, browsers])


def _limited_schema(settings: Settings) -> GatewaySchema:
    schema = build_schema(EXTENSIONS, GatewaySchema, introspection=settings.introspection)
    assert isinstance(schema, GatewaySchema)
    schema.limit(Limits.of(settings))
    return schema


def create_app_from_environment() -> Starlette:
    """What each of several worker processes serves."""
    return create_app(load_settings(sandbox=False))


async def _wire(
    settings: Settings,
    now: Callable[[], datetime],
    stack: AsyncExitStack,
    http: httpx.AsyncBaseTransport,
    writes: WritePolicy,
    *,
    in_sandbox: bool,
) -> Collaborators:
    kind = "sandbox" if in_sandbox else "live"
    redis_url = settings.redis_url.reveal() if settings.redis_url else None
    namespace = f"{kind}:{settings.partner_center_tenant_id.lower()}"
    cache = connect_cache(redis_url, namespace, max_bytes=settings.cache_bytes)
    stack.push_async_callback(cache.close)
    if redis_url is None:
        log.info("keeping look-ups, audit log and idempotency keys in this process: GATEWAY_REDIS_URL is not set")
    await stack.enter_async_context(http)
    store = settings.partner_center_refresh_token_store
    tokens = TokenSource(
        http,
        PartnerCredentials(
            tenant_id=settings.partner_center_tenant_id,
            client_id=settings.partner_center_client_id,
            client_secret=settings.partner_center_client_secret,
            refresh_token=settings.partner_center_refresh_token,
        ),
        store=FileRefreshTokens(store) if store else MemoryRefreshTokens(),
        now=now,
        token_url=settings.partner_center_token_url,
        connect_seconds=settings.partner_center_connect_timeout_seconds,
    )
    transport = Transport(
        http,
        tokens,
        base_url=settings.partner_center_url,
        max_in_flight=settings.partner_center_max_in_flight,
        max_in_flight_per_tenant=settings.partner_center_max_in_flight_per_tenant,
        connect_seconds=settings.partner_center_connect_timeout_seconds,
        read_seconds=settings.partner_center_read_timeout_seconds,
        write_seconds=settings.partner_center_write_timeout_seconds,
    )
    partner_center = PartnerCenterClient(transport)
    stores = connect_stores(settings.redis_url, namespace, fingerprint_secret=_fingerprint_secret(settings), clock=now)
    stack.push_async_callback(stores.close)
    await stores.start()
    mailer = connect_mailer(settings.smtp_url, settings.mail_from)
    stack.push_async_callback(mailer.close)
    changes = _change_services(partner_center, cache, stores, mailer, now, writes)
    stack.push_async_callback(changes.runner.close)
    reads = SharedReads(cache)
    stack.push_async_callback(reads.close)
    return Collaborators(
        partner_center=partner_center,
        cache=cache,
        reads=reads,
        stores=stores,
        changes=changes,
        authenticator=build_authenticator(settings, now=now, sandbox=in_sandbox),
        now=now,
    )


def _change_services(
    partner_center: PartnerCenterClient,
    cache: LookupCache,
    stores: Stores,
    mailer: Mailer,
    now: Callable[[], datetime],
    writes: WritePolicy,
) -> ChangeServices:
    users = UserService(partner_center, stores.locks)
    licenses = LicenseService(partner_center, users, stores.locks)
    passwords = PasswordService(partner_center, mailer, stores.locks)
    return ChangeServices(
        runner=ChangeRunner(cache, stores.audit, stores.idempotency, now, policy=writes),
        users=users,
        licenses=licenses,
        deletions=DeletionService(partner_center, stores.deletions, stores.locks, now),
        passwords=passwords,
        new_users=NewUserService(partner_center, users, licenses, passwords, mailer, stores.locks, now),
        audit=stores.audit,
        deletion_memory=stores.deletions,
    )


def _fingerprint_secret(settings: Settings) -> Secret:
    """The same on every replica of a deployment, and of no use for anything else."""
    secret = settings.partner_center_client_secret.reveal().encode()
    return Secret(hmac.digest(secret, b"idempotency fingerprints", "sha256").hex())


def _network(settings: Settings) -> httpx.AsyncBaseTransport:
    """The one pool of connections to Microsoft: as many as calls may be in flight, and one for tokens."""
    most = settings.partner_center_max_in_flight + 1
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=most, max_keepalive_connections=most))


def _control_routes(sandbox: SandboxState, wired: Callable[[], Collaborators]) -> Mount:
    """The sandbox's own control routes, under the gateway's port; a reset empties what the gateway keeps, too."""
    from sandbox.control import ControlEndpoint  # the sandbox is not loaded where none is asked for

    control = ControlEndpoint(sandbox)

    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        await control(scope, receive, send)
        if scope["path"].rstrip("/").endswith("/reset"):
            await wired().cache.clear()
            await wired().stores.clear()

    return Mount("/sandbox", controlled)


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def _readiness(wired: Collaborators | None) -> Response:
    if wired is None:
        return JSONResponse({"status": "starting"}, status_code=503)
    try:
        await wired.cache.ping()
        cache = "answers"
    except CacheUnavailable:
        cache = "does not answer; look-ups go to Partner Center"
    return JSONResponse({"status": "ready", "cache": cache})


def _utc_now() -> datetime:
    return datetime.now(UTC)
