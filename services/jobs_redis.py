"""Jobs that all replicas share: a stream of those that wait, a hash a job, a lease for whoever runs it.

    …:jobs:{jobs}:queue            the stream; its group `workers` gives each entry to one process, and an entry that
                                   its process left alone for a lease's length to another
    …:jobs:{jobs}:caller:<hash>    a caller's jobs that wait or run: job id → queued or running
    …:jobs:{jobs}:key:<key>        an idempotency key: the job, and the fingerprint of its input
    …:jobs:{jobs}:<id>             the job: order, state, counts, holder
    …:jobs:{jobs}:<id>:users       whom it is about
    …:jobs:{jobs}:<id>:started     number of a user → what was about to be written
    …:jobs:{jobs}:<id>:ended       results, in the order in which users ended
    …:jobs:{jobs}:<id>:failed      the numbers of those among them that failed
    …:jobs:{jobs}:<id>:marks       a bit a user: ended
    …:jobs:{jobs}:<id>:plans       service plans of the products that results speak of
    …:jobs:{jobs}:<id>:lease       the holder's token, until it runs out

All have one tag, so that what belongs together changes together, on a cluster too. Each record of a holder is
written only while its token is the lease's: that is the fence.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

from services.audit import utc_now
from services.jobs import (
    KEPT_SECONDS,
    KEY_KEPT_SECONDS,
    LEASE_SECONDS,
    MOST_QUEUED,
    MOST_RUNNING,
    Claimed,
    Hold,
    Job,
    JobOrder,
    JobResult,
    JobState,
    JobUser,
    LeaseLost,
    ResultItem,
    ResultPage,
    StartedUser,
    TooManyJobs,
    owner_of,
    read_cursor,
)
from services.jobs_queue import JobQueue
from services.jobs_records import (
    deaths_so_far,
    is_marked,
    products_of,
    read_claim,
    read_job,
    read_plans,
    read_result,
    read_users,
    with_plans,
    write_plans,
    write_result,
    write_users,
)
from services.store_connection import Pipe, StoreConnection
from services.store_errors import StoreUnavailable

T = TypeVar("T")

STORE: Final = "jobs"
TAG: Final = "jobs"
PARTS: Final = ("", ":users", ":started", ":ended", ":failed", ":marks", ":plans")
_NOT_KEPT: Final = "Jobs cannot be kept or looked up at the moment; nothing was changed."


class RedisJobs:
    """Keeps jobs in Redis. Jobs taken here are this process's until it ends them, or its lease runs out."""

    durable: Final = True

    def __init__(
        self,
        connection: StoreConnection,
        *,
        lease_seconds: float = LEASE_SECONDS,
        most_running: int = MOST_RUNNING,
        most_queued: int = MOST_QUEUED,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._connection = connection
        self._lease_seconds = lease_seconds
        self._lease_ms = round(lease_seconds * 1000)
        self._kept_ms = round(KEPT_SECONDS * 1000)
        self._most_running = most_running
        self._most_queued = most_queued
        self._clock = clock
        self._queue = JobQueue(connection, self._key("queue"), self._lease_ms)
        self._writing: dict[str, asyncio.Lock] = {}

    @property
    def queued(self) -> int:
        return self._queue.waiting

    async def find_key(self, key: str, fingerprint: str) -> Claimed | None:
        found = await self._run(lambda: self._connection.client.get(self._key(f"key:{key}")))
        return read_claim(found, fingerprint)

    async def submit(self, order: JobOrder, users: Sequence[JobUser], key: str | None, fingerprint: str) -> Claimed:
        name, caller = self._job(order.job_id), self._caller(owner_of(order.caller))
        claim = self._key(f"key:{key or order.job_id}")
        named = write_users(order, users)
        await self._run(lambda: self._connection.client.set(f"{name}:users", named, px=self._kept_ms))

        async def queue(pipe: Pipe) -> Claimed:
            if (known := read_claim(await pipe.get(claim), fingerprint)) is not None:
                await pipe.unwatch()
                return known
            states = await pipe.hvals(caller)
            if sum(state == b"queued" for state in states) >= self._most_queued:
                await pipe.unwatch()
                return Claimed("", False)
            pipe.multi()
            state = {"order": msgspec.json.encode(order), "state": JobState.QUEUED.value, "done": 0, "failed": 0}
            pipe.hset(name, mapping=state)
            pipe.pexpire(name, self._kept_ms)
            pipe.hset(caller, order.job_id, "queued")
            pipe.pexpire(caller, self._kept_ms)
            # Without a key, too: the answer to this may be lost, and it is then done again.
            pipe.set(claim, f"{order.job_id} {fingerprint}", px=round(KEY_KEPT_SECONDS * 1000))
            self._queue.add(pipe, order.job_id)
            return Claimed(order.job_id, True)

        claimed = await self._change(queue, claim, caller)
        if not claimed.job_id:
            raise TooManyJobs(self._most_queued)
        return claimed

    async def find(self, job_id: str) -> Job | None:
        members = await self._run(lambda: self._connection.client.hgetall(self._job(job_id)))
        return read_job(members) if members else None

    async def results(self, job_id: str, only_failed: bool, first: int, after: str | None) -> ResultPage:
        name, start = self._job(job_id), read_cursor(after)
        client = self._connection.client

        async def read() -> ResultPage:
            if only_failed:
                total = int(await client.llen(f"{name}:failed"))
                places = await client.lrange(f"{name}:failed", start, start + first - 1) if first else []
                pipeline = client.pipeline(transaction=False)
                for place in places:
                    pipeline.lindex(f"{name}:ended", int(place))
                forms = await pipeline.execute()
            else:
                total = int(await client.llen(f"{name}:ended"))
                forms = await client.lrange(f"{name}:ended", start, start + first - 1) if first else []
            found = [read_result(form) for form in forms]
            products = sorted({product for one in found for product in products_of(one)})
            kept = await client.hmget(f"{name}:plans", products) if products else []
            plans = {product: read_plans(form) for product, form in zip(products, kept, strict=True) if form}
            items = tuple(
                ResultItem(str(start + number), with_plans(one, plans)) for number, one in enumerate(found, 1)
            )
            return ResultPage(items, total, start + len(items) < total)

        return await self._run(read)

    async def cancel(self, job_id: str) -> None:
        name = self._job(job_id)

        async def mark(pipe: Pipe) -> None:
            members = await pipe.hgetall(name)
            job = read_job(members) if members else None
            if job is None or job.state.is_end:
                await pipe.unwatch()
                return
            pipe.multi()
            pipe.hset(name, "cancelled", 1)
            if job.state is JobState.QUEUED:  # whoever reads its entry drops it
                pipe.hset(name, mapping={"state": JobState.CANCELLED.value, "ended_at": self._now()})
                pipe.hdel(self._caller(job.owner), job_id)

        await self._change(mark, name)

    async def take(self, most: int) -> list[Hold]:
        taken: list[Hold] = []
        for entry, job_id in await self._run(lambda: self._queue.read(most)):
            hold = await self._take(entry, job_id)
            if hold is not None:
                taken.append(hold)
        return taken

    async def _take(self, entry: str, job_id: str) -> Hold | None:
        """Takes the job of an entry of the queue; None where it has ended, is held, or has to wait."""
        name, token, asked = self._job(job_id), secrets.token_hex(16), time.monotonic()

        async def hold(pipe: Pipe) -> Hold | None:
            members = await pipe.hgetall(name)
            job = read_job(members) if members else None
            holder = await pipe.get(f"{name}:lease")
            if job is None or job.state.is_end or (holder is not None and members.get(b"entry") != entry.encode()):
                pipe.multi()
                self._queue.drop(pipe, entry)
                return None
            if holder is not None and holder != token.encode():
                await pipe.unwatch()  # alive after all
                return None
            caller = self._caller(job.owner)
            states = await pipe.hgetall(caller)
            running = sum(state == b"running" for other, state in states.items() if other.decode() != job_id)
            if running >= self._most_running:
                pipe.multi()
                self._queue.put_back(pipe, entry, job_id)
                return None
            order = msgspec.json.decode(members[b"order"], type=JobOrder)
            users = read_users(order, await pipe.get(f"{name}:users") or b"[]")
            marks = await pipe.get(f"{name}:marks") or b""
            started = await pipe.hgetall(f"{name}:started")
            # A holder that finds itself lost the answer to its own first try.
            deaths = int(members[b"deaths"]) if holder is not None else deaths_so_far(members)
            pipe.multi()
            pipe.set(f"{name}:lease", token, px=self._lease_ms)
            holder_members = {"entry": entry, "holder": token, "deaths": deaths, "done_when_taken": job.done}
            pipe.hset(name, mapping={"state": JobState.RUNNING.value, **holder_members})
            pipe.hset(caller, job_id, "running")
            pipe.pexpire(caller, self._kept_ms)
            return Hold(
                order,
                users,
                token,
                frozenset(number for number in range(len(users)) if is_marked(marks, number)),
                {int(number): msgspec.json.decode(form, type=StartedUser) for number, form in started.items()},
                deaths,
                entry,
                asked + self._lease_seconds,
            )

        return await self._change(hold, name, f"{name}:lease")

    async def renew(self, hold: Hold) -> bool:
        lease, asked = self._lease(hold), time.monotonic()

        async def extend(pipe: Pipe) -> bool:
            if await pipe.get(lease) != hold.token.encode():
                await pipe.unwatch()
                return False
            pipe.multi()
            pipe.pexpire(lease, self._lease_ms)
            self._queue.keep(pipe, hold.entry)
            return True

        kept = await self._change(extend, lease)
        if kept:
            hold.until = asked + self._lease_seconds
        return kept

    async def is_cancelled(self, hold: Hold) -> bool:
        async def look() -> tuple[bytes | None, bytes | None]:
            pipeline = self._connection.client.pipeline(transaction=True)
            pipeline.get(self._lease(hold))
            pipeline.hget(self._job(hold.order.job_id), "cancelled")
            token, cancelled = await pipeline.execute()
            return token, cancelled

        token, cancelled = await self._run(look)
        if token != hold.token.encode():
            raise LeaseLost
        return cancelled is not None

    async def start_user(self, hold: Hold, number: int, started: StartedUser) -> None:
        name, form = f"{self._job(hold.order.job_id)}:started", msgspec.json.encode(started)

        async def write(pipe: Pipe) -> None:
            pipe.hset(name, number, form)
            pipe.pexpire(name, self._kept_ms)

        await self._fenced(hold, write)

    async def end_user(self, hold: Hold, result: JobResult) -> None:
        name = self._job(hold.order.job_id)
        form, plans = write_result(result)

        async def look(pipe: Pipe) -> int | None:
            if await pipe.getbit(f"{name}:marks", result.number):
                return None
            return int(await pipe.llen(f"{name}:ended"))

        async def write(pipe: Pipe, place: int) -> None:
            pipe.setbit(f"{name}:marks", result.number, 1)
            pipe.hdel(f"{name}:started", result.number)
            pipe.rpush(f"{name}:ended", form)
            pipe.hincrby(name, "done", 1)
            if result.is_failed:
                pipe.rpush(f"{name}:failed", place)
                pipe.hincrby(name, "failed", 1)
            for product, known in plans.items():
                pipe.hsetnx(f"{name}:plans", product, write_plans(known))
            for part in PARTS:
                pipe.pexpire(name + part, self._kept_ms)

        await self._fenced(hold, write, look)

    async def end(self, hold: Hold, state: JobState) -> None:
        name, order = self._job(hold.order.job_id), hold.order

        async def write(pipe: Pipe) -> None:
            pipe.hset(name, mapping={"state": state.value, "ended_at": self._now(), "holder": ""})
            pipe.hdel(self._caller(owner_of(order.caller)), order.job_id)
            pipe.delete(f"{name}:lease", f"{name}:users", f"{name}:started", f"{name}:marks")
            for part in PARTS:
                pipe.pexpire(name + part, self._kept_ms)
            self._queue.drop(pipe, hold.entry)

        await self._fenced(hold, write)

    async def hand_back(self, hold: Hold) -> None:
        name = self._job(hold.order.job_id)

        async def write(pipe: Pipe) -> None:
            pipe.hset(name, mapping={"holder": "", "deaths": 0})
            pipe.delete(f"{name}:lease")
            self._queue.put_back(pipe, hold.entry, hold.order.job_id)

        await self._fenced(hold, write)

    async def clear(self) -> None:
        await self._connection.delete_all(STORE)
        self._queue.forget()

    async def _fenced(self, hold: Hold, write: Any, look: Any = None) -> None:  # Any: coroutine functions on a Pipe
        """Queues what `write` says if the lease is the holder's; what `look` gives comes along, None for nothing."""
        lease = self._lease(hold)

        async def fenced(pipe: Pipe) -> bool:
            if await pipe.get(lease) != hold.token.encode():
                await pipe.unwatch()
                return False
            found = await look(pipe) if look is not None else None
            if look is not None and found is None:
                await pipe.unwatch()
                return True
            pipe.multi()
            await (write(pipe) if look is None else write(pipe, found))
            return True

        # One after the other, since places in the list are counted before they are taken.
        async with self._writing.setdefault(hold.token, asyncio.Lock()):
            kept = await self._change(fenced, lease)
        if not kept:
            self._writing.pop(hold.token, None)
            raise LeaseLost

    def _key(self, rest: str) -> str:
        return self._connection.key(STORE, TAG, f":{rest}")

    def _job(self, job_id: str) -> str:
        return self._key(job_id)

    def _lease(self, hold: Hold) -> str:
        return f"{self._job(hold.order.job_id)}:lease"

    def _caller(self, owner: str) -> str:
        return self._key(f"caller:{sha256(owner.encode()).hexdigest()}")

    def _now(self) -> str:
        return self._clock().isoformat()

    async def _run(self, do: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._connection.run(do)
        except StoreUnavailable as error:
            raise StoreUnavailable(_NOT_KEPT) from error

    async def _change(self, decide: Callable[[Pipe], Awaitable[T]], *names: str) -> T:
        try:
            return await self._connection.change(decide, *names)
        except StoreUnavailable as error:
            raise StoreUnavailable(_NOT_KEPT) from error
