"""What changes leave behind beside Partner Center: audit records, idempotency keys, locks, what deleted users held,
and jobs.

In Redis where it is configured, so that all replicas share it and nothing is lost with a process; else in this
process's memory. Redis must not evict: its `maxmemory-policy` is `noeviction`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from services.audit import AuditLog, MemoryAudit, utc_now
from services.deletion_memory import DeletionMemory, MemoryDeletions
from services.idempotency import IdempotencyStore, MemoryIdempotency
from services.jobs import LEASE_SECONDS, MOST_QUEUED, MOST_RUNNING, JobStore
from services.jobs_memory import MemoryJobs
from services.locks import LEASE_SECONDS as LOCK_LEASE_SECONDS
from services.locks import Locks, MemoryLocks
from services.secret import Secret
from services.store_errors import StoreUnavailable

_log = structlog.get_logger(__name__)


async def _no_policy() -> set[str]:
    return set()


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Stores:
    """The five stores, opened and closed together. `durable` is False where they end with the process."""

    audit: AuditLog
    idempotency: IdempotencyStore
    locks: Locks
    deletions: DeletionMemory
    jobs: JobStore
    durable: bool = False
    _eviction_policies: Callable[[], Awaitable[set[str]]] = field(default=_no_policy, repr=False)
    _disconnect: Callable[[], Awaitable[None]] = field(default=_nothing, repr=False)

    async def start(self) -> None:
        """Takes up what an earlier process could not bring in."""
        await self.audit.start()

    async def check(self) -> list[str]:
        """Gives what is wrong with Redis for these stores, also in the log: no answer, or that it evicts."""
        try:
            policies = await self._eviction_policies()
        except StoreUnavailable:
            return [
                "Redis does not answer: audit records wait or are refused, and so are changes with an idempotency key."
            ]
        problems = [_problem(policy) for policy in sorted(policies - {"noeviction"})]
        for problem in problems:
            _log.error("redis_evicts", detail=problem)
        return problems

    async def clear(self) -> None:
        """Empties all but the locks, which are left to their holders."""
        await self.audit.clear()
        await self.idempotency.clear()
        await self.deletions.clear()
        await self.jobs.clear()

    async def close(self) -> None:
        """Brings in what waits, gives back leases, and closes the connection."""
        await self.audit.close()
        await self._disconnect()


def _problem(policy: str) -> str:
    if policy == "unknown":
        return "Redis does not say its maxmemory-policy, which must be noeviction: allow its user the command INFO."
    return (
        f"Redis may evict audit records and idempotency keys: its maxmemory-policy is {policy}. "
        "Set maxmemory-policy to noeviction."
    )


def connect_stores(
    redis_url: Secret | str | None,
    namespace: str,
    *,
    fingerprint_secret: Secret,
    journal_path: Path | None = None,
    clock: Callable[[], datetime] = utc_now,
    job_lease_seconds: float = LEASE_SECONDS,
    lock_lease_seconds: float = LOCK_LEASE_SECONDS,
    most_jobs_running: int = MOST_RUNNING,
    most_jobs_queued: int = MOST_QUEUED,
) -> Stores:
    """Gives the stores at a Redis address, or in this process where there is none. Nothing is opened yet.

    `fingerprint_secret` is the same on all replicas. The journal is used with Redis only. ValueError for an
    address or namespace that cannot be used, without repeating it.
    """
    if not redis_url:
        return Stores(
            audit=MemoryAudit(clock=clock),
            idempotency=MemoryIdempotency(fingerprint_secret),
            locks=MemoryLocks(),
            deletions=MemoryDeletions(),
            jobs=MemoryJobs(most_running=most_jobs_running, most_queued=most_jobs_queued, clock=clock),
        )
    # Half a second, in vain where there is no Redis.
    from services.audit_journal import AuditJournal
    from services.audit_redis import RedisAudit
    from services.deletion_memory_redis import RedisDeletions
    from services.idempotency_redis import RedisIdempotency
    from services.jobs_redis import RedisJobs
    from services.locks_redis import RedisLocks
    from services.store_connection import connect_redis_store

    url = redis_url.reveal() if isinstance(redis_url, Secret) else redis_url
    connection = connect_redis_store(url, namespace)
    locks = RedisLocks(connection, lease_seconds=lock_lease_seconds)

    async def disconnect() -> None:
        await locks.close()
        await connection.close()

    journal = AuditJournal(journal_path) if journal_path is not None else None
    return Stores(
        audit=RedisAudit(connection, journal=journal, clock=clock),
        idempotency=RedisIdempotency(connection, fingerprint_secret),
        locks=locks,
        deletions=RedisDeletions(connection),
        jobs=RedisJobs(
            connection,
            lease_seconds=job_lease_seconds,
            most_running=most_jobs_running,
            most_queued=most_jobs_queued,
            clock=clock,
        ),
        durable=True,
        _eviction_policies=connection.eviction_policies,
        _disconnect=disconnect,
    )
