"""Builds what requests need out of the settings: opened here, and closed in reverse when the process ends."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import httpx
import structlog

from gateway.authentication import build_authenticator
from gateway.background import Background, watch_loop
from gateway.config import Settings
from gateway.endpoint import Collaborators
from gateway.issuer_keys import FIRST_FETCH_AGAIN_SECONDS, IssuerKeys, KeysUnavailable
from gateway.kept_answers import KeptAnswers
from gateway.lifecycle import Lifecycle, Phase
from gateway.metrics import Sample
from gateway.overload import CallerTurns, Turns
from gateway.readiness import Dependencies
from gateway.upstream_figures import CountedTokenEndpoint, UpstreamFigures, WatchedTokens
from loaders.shared_reads import SharedReads
from resolvers.context import ChangeServices
from services.bulk_licenses import BulkLicenseService
from services.cache import LookupCache, connect_cache
from services.change_runner import ChangeRunner
from services.deletions import DeletionService
from services.jobs_feed import JobFeed
from services.jobs_runner import JobRunner
from services.jobs_work import JobWork
from services.licenses import LicenseService
from services.mailer import Mailer, connect_mailer
from services.new_users import NewUserService
from services.partner_center.breakers import Breakers, BreakerState, GuardedTokenEndpoint
from services.partner_center.client import PartnerCenterClient
from services.partner_center.gates import connect_gates
from services.partner_center.network import Network
from services.partner_center.refresh_tokens import FileRefreshTokens, MemoryRefreshTokens
from services.partner_center.token_handover import TokenHandover
from services.partner_center.tokens import PartnerCredentials, TokenSource
from services.partner_center.transport import Transport
from services.password_changes import PasswordService
from services.secret import Secret
from services.stores import Stores, connect_stores
from services.users import UserService
from services.writes import WritePolicy

JOURNALS = Path("~/.local/state/partner-center-gateway")

log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class Wired:
    """What the routes ask for: for requests, for `/ready`, for `/metrics`, and for the sandbox's reset."""

    collaborators: Collaborators
    dependencies: Dependencies
    sample: Sample
    transport: Transport
    jobs: JobRunner

    async def forget(self) -> None:
        """Forgets what was kept, throttled and failed, as at start."""
        await self.jobs.abandon()
        await self.collaborators.cache.clear()
        await self.collaborators.stores.clear()
        await self.transport.reset()


async def wire(
    settings: Settings,
    now: Callable[[], datetime],
    stack: AsyncExitStack,
    http: httpx.AsyncBaseTransport,
    writes: WritePolicy,
    lifecycle: Lifecycle,
    turns: Turns,
    *,
    in_sandbox: bool,
) -> Wired:
    """Gives everything, started; the stack closes it."""
    kind = "sandbox" if in_sandbox else "live"
    redis_url = settings.redis_url.reveal() if settings.redis_url else None
    namespace = f"{kind}:{settings.partner_center_tenant_id.lower()}"
    cache = connect_cache(
        redis_url,
        namespace,
        max_bytes=settings.cache_bytes,
        connect_seconds=settings.redis_connect_timeout_seconds,
        operation_seconds=settings.redis_operation_timeout_seconds,
    )
    stack.push_async_callback(cache.close)
    if redis_url is None:
        log.info("keeping look-ups, audit log, idempotency keys and jobs in this process: GATEWAY_REDIS_URL is not set")
    await stack.enter_async_context(http)
    figures, breakers = UpstreamFigures(), Breakers()
    handover = _handover(settings, namespace, now)
    if handover is not None:
        stack.push_async_callback(handover.close)
    tokens = WatchedTokens(_token_source(settings, http, breakers, handover, now))
    gates = connect_gates(settings.redis_url, namespace, look_seconds=settings.redis_operation_timeout_seconds)
    stack.push_async_callback(gates.disconnect)
    transport = Transport(
        http,
        tokens,
        base_url=settings.partner_center_url,
        max_in_flight=settings.partner_center_max_in_flight,
        max_in_flight_per_tenant=settings.partner_center_max_in_flight_per_tenant,
        connect_seconds=settings.partner_center_connect_timeout_seconds,
        read_seconds=settings.partner_center_read_timeout_seconds,
        write_seconds=settings.partner_center_write_timeout_seconds,
        gates=gates,
        breakers=breakers,
        on_event=figures.note,
    )
    partner_center = PartnerCenterClient(transport)
    stores = connect_stores(
        settings.redis_url,
        namespace,
        fingerprint_secret=_fingerprint_secret(settings),
        journal_path=_journal_path(settings, namespace),
        clock=now,
        job_lease_seconds=settings.job_lease_seconds,
        lock_lease_seconds=settings.lock_lease_seconds,
        most_jobs_running=settings.max_caller_jobs_running,
        most_jobs_queued=settings.max_caller_jobs_queued,
    )
    stack.push_async_callback(stores.close)
    await stores.start()
    mailer = connect_mailer(settings.smtp_url, settings.mail_from)
    stack.push_async_callback(mailer.close)
    feed = JobFeed(stores.jobs, lifecycle.sockets_end, event_seconds=settings.job_event_seconds)
    changes, jobs = _change_services(partner_center, cache, stores, mailer, now, writes, settings, feed)
    stack.push_async_callback(lambda: changes.runner.close(lifecycle.seconds_left()))
    stack.push_async_callback(lambda: jobs.close(lifecycle.seconds_left()))
    reads = SharedReads(cache)
    stack.push_async_callback(reads.close)
    authenticator = build_authenticator(settings, now=now, sandbox=in_sandbox)
    dependencies = Dependencies(
        cache=cache,
        uses_redis=redis_url is not None,
        figures=figures,
        health=transport.health,
        tokens=tokens,
        keys=authenticator.keys,
        mailer=mailer,
        audit=stores.audit,
    )

    def sample() -> Mapping[str, float]:
        return _gauges(lifecycle, turns, transport, mailer, changes.runner, stores, jobs)

    background = Background()
    stack.push_async_callback(background.close)
    background.start("loop", lambda: watch_loop(sample))
    background.start("jobs", jobs.run)
    if not await _fetch_keys(authenticator.keys):
        background.start("issuer's keys", lambda: _keep_fetching(authenticator.keys))
    if redis_url is not None:
        background.start("stores", lambda: _check_stores(stores, dependencies))
    if handover is not None:
        background.start("token handover", handover.listen)
    return Wired(
        Collaborators(
            partner_center=partner_center,
            cache=cache,
            reads=reads,
            stores=stores,
            changes=changes,
            authenticator=authenticator,
            answers=KeptAnswers(cache, settings.answer_bytes),
            callers=CallerTurns(settings.max_caller_running, settings.max_caller_wait_seconds),
            now=now,
        ),
        dependencies,
        sample,
        transport,
        jobs,
    )


def network(settings: Settings) -> httpx.AsyncBaseTransport:
    """The one pool of connections to Microsoft: as many as calls may be in flight, and one for tokens."""
    most = settings.partner_center_max_in_flight + 1
    return Network(most)


def _token_source(
    settings: Settings,
    http: httpx.AsyncBaseTransport,
    breakers: Breakers,
    handover: TokenHandover | None,
    now: Callable[[], datetime],
) -> TokenSource:
    store = settings.partner_center_refresh_token_store
    return TokenSource(
        GuardedTokenEndpoint(CountedTokenEndpoint(http), breakers.token_endpoint),
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
        handover=handover,
    )


def _handover(settings: Settings, namespace: str, now: Callable[[], datetime]) -> TokenHandover | None:
    """How replicas hand each other tokens: over the Redis that they share, sealed with what only they know."""
    if settings.redis_url is None:
        return None
    from services.partner_center.token_handover_redis import RedisChannel
    from services.store_connection import connect_redis_store

    channel = RedisChannel(connect_redis_store(settings.redis_url.reveal(), namespace))
    return TokenHandover(channel, settings.partner_center_client_secret, now=now)


def _change_services(
    partner_center: PartnerCenterClient,
    cache: LookupCache,
    stores: Stores,
    mailer: Mailer,
    now: Callable[[], datetime],
    writes: WritePolicy,
    settings: Settings,
    feed: JobFeed,
) -> tuple[ChangeServices, JobRunner]:
    users = UserService(partner_center, stores.locks)
    licenses = LicenseService(partner_center, users, stores.locks)
    passwords = PasswordService(partner_center, mailer, stores.locks)
    runner = ChangeRunner(cache, stores.audit, stores.idempotency, now, settings.mutation_timeout_seconds, writes)
    jobs = JobRunner(
        stores.jobs,
        JobWork(runner, licenses),
        lease_seconds=settings.job_lease_seconds,
        look_seconds=settings.job_look_seconds,
    )
    changes = ChangeServices(
        runner=runner,
        users=users,
        licenses=licenses,
        deletions=DeletionService(partner_center, stores.deletions, stores.locks, now),
        passwords=passwords,
        new_users=NewUserService(partner_center, users, licenses, passwords, mailer, stores.locks, now),
        audit=stores.audit,
        deletion_memory=stores.deletions,
        jobs=stores.jobs,
        bulk=BulkLicenseService(
            partner_center,
            stores.locks,
            stores.audit,
            stores.idempotency,
            stores.jobs,
            now,
            jobs.wake,
            settings.max_job_users,
        ),
        job_feed=feed,
    )
    return changes, jobs


def _gauges(
    lifecycle: Lifecycle,
    turns: Turns,
    transport: Transport,
    mailer: Mailer,
    runner: ChangeRunner,
    stores: Stores,
    jobs: JobRunner,
) -> Mapping[str, float]:
    health = transport.health()
    return {
        "requests_running": turns.running,
        "requests_waiting": turns.waiting,
        "sockets_open": lifecycle.open_sockets,
        "upstream_in_flight": health.calls_in_flight,
        "upstream_waiting": health.calls_waiting,
        "upstream_slots": health.slots,
        "breaker_open": health.partner_center is not BreakerState.CLOSED,
        "breakers_open_tenants": health.tenants_left_alone,
        "token_breaker_open": health.token_endpoint is not BreakerState.CLOSED,
        "gates_closed": health.gates_closed,
        "partner_gate_closed_seconds": health.partner_gate_closed_seconds,
        "mails_waiting": mailer.waiting,
        "audit_waiting": stores.audit.catching_up,
        "changes_running": runner.running,
        "jobs_running": jobs.running,
        "jobs_queued": jobs.queued,
        "draining": lifecycle.phase is Phase.DRAINING,
    }


async def _fetch_keys(keys: IssuerKeys) -> bool:
    with suppress(KeysUnavailable):  # told in the log
        return await keys.refresh() > 0
    return False


async def _keep_fetching(keys: IssuerKeys) -> None:
    while True:
        await asyncio.sleep(FIRST_FETCH_AGAIN_SECONDS)
        if await _fetch_keys(keys):
            return


async def _check_stores(stores: Stores, dependencies: Dependencies) -> None:
    dependencies.store_problems[:] = await stores.check()


def _journal_path(settings: Settings, namespace: str) -> Path | None:
    """Where audit records wait while Redis is away. A file for each Redis: what was meant for one goes to no other."""
    if settings.audit_journal is not None or settings.redis_url is None:
        return settings.audit_journal
    name = sha256(f"{namespace} {settings.redis_url.reveal()}".encode()).hexdigest()[:16]
    try:
        folder = JOURNALS.expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or a file system that is read only
        log.warning("changes are refused while Redis is away: set GATEWAY_AUDIT_JOURNAL to a file that can be written")
        return None
    return folder / f"audit-{name}.jsonl"


def _fingerprint_secret(settings: Settings) -> Secret:
    """The same on every replica of a deployment, and of no use for anything else."""
    secret = settings.partner_center_client_secret.reveal().encode()
    return Secret(hmac.digest(secret, b"idempotency fingerprints", "sha256").hex())
