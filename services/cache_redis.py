"""The cache that all replicas share: one MGET a batch, one pipeline of SETs with expiry.

A value is JSON, `{"v":2,"at":<seconds>,…,"data":…}`, encoded from the models and decoded straight into them;
over 1 MiB it is compressed. What cannot be read is a miss and is deleted. Nothing here fails a request:
trouble with Redis is logged, seldom, and counts as a miss; after five troubles in ten seconds Redis is left
alone for five. No scripts: MGET, SET, INCR, DECR, PEXPIRE, UNLINK and SCAN.

Beside the values stand, for each tenant and kind of change, its generation (see `services.cache`) and how many
changes are under way; a process that died amid a change is waited for two minutes.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
import structlog
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import BusyLoadingError, ConnectionError

from services.cache import (
    LARGEST_ENTRY_BYTES,
    NEVER,
    UNCHANGING,
    CacheUnavailable,
    Generation,
    Kept,
    Looked,
    new_generation,
    times_of,
)
from services.lookups import K, Lookup, V, Volatile, key_prefix

CONNECT_SECONDS: Final = 0.2
OPERATION_SECONDS: Final = 0.25
WHOLE_SECONDS: Final = 1.0
"""Longest that one step of a request waits for Redis, with reconnecting and finding the master or node."""

CLEAR_SECONDS: Final = 30.0
CONNECTIONS: Final = 50
COMPRESSED_OVER_BYTES: Final = 1024 * 1024
QUIET_SECONDS: Final = 5.0
"""Shortest time between two log lines about trouble."""

_log = structlog.get_logger(__name__)
_NAMESPACE = re.compile(r"[a-z0-9:-]+")
_DELETED_AT_ONCE = 500
T = TypeVar("T")


GENERATION_SECONDS: Final = 2 * 86_400
CHANGE_SECONDS: Final = 120
CLAIM_SECONDS: Final = 5
TROUBLES: Final = 5
TROUBLE_SECONDS: Final = 10.0
REST_SECONDS: Final = 5.0

_Name = tuple[str, Volatile]


class _Stored(msgspec.Struct, Generic[V]):
    v: Literal[2]
    generation: str
    at: float
    fresh: float
    renew: float
    data: V


@cache
def _decoder(value_type: Any) -> msgspec.json.Decoder[_Stored[Any]]:  # the type is known at run time
    return msgspec.json.Decoder(_Stored[value_type])


class RedisCache:
    """Keeps look-ups in Redis under a namespace. At most `CONNECTIONS` operations run at once."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        namespace: str,
        *,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        if not _NAMESPACE.fullmatch(namespace):  # braces would move the tag, a star would clear others' keys
            raise ValueError("A cache namespace has small letters, digits, colons and hyphens only.")
        self._client = client
        self._prefix = key_prefix(namespace)
        self._on_close = on_close
        self._encoder = msgspec.json.Encoder()
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._logged_at = float("-inf")
        self._unlogged = 0
        self._troubles: deque[float] = deque(maxlen=TROUBLES)
        self._resting_until = float("-inf")
        self._unmarked: set[_Name] = set()
        """Where a change could not be marked: read past the cache until it could."""

    async def look_up(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Looked[V]]:
        if not keys:
            return []
        places = [self._tenant_kind(lookup, key) for key in keys]
        kinds = list(dict.fromkeys(place for place in places if place is not None))
        await self._mark_late(kinds)
        marks = [mark for kind in kinds for mark in (self._generation_name(kind), self._changing_name(kind))]
        names = [self._name(lookup, key) for key in keys]
        found = await self._attempt("get", lambda: self._read([*marks, *names]))
        if found is None:
            return [Looked(None, NEVER)] * len(keys)
        current = {kind: _text(found[2 * index]) for index, kind in enumerate(kinds)}
        changing = {kind for index, kind in enumerate(kinds) if int(found[2 * index + 1] or 0) > 0}
        changing |= self._unmarked.intersection(kinds)
        for kind in [kind for kind, generation in current.items() if generation is None]:
            current[kind] = await self._begin_generation(kind)
        answers: list[Looked[V]] = []
        unreadable = []
        for name, raw, place in zip(names, found[len(marks) :], places, strict=True):
            generation = UNCHANGING if place is None else current[place] or NEVER
            stored = None if raw is None else await _decode(lookup.value_type, raw)
            if raw is not None and stored is None:
                unreadable.append(name)
            holds = stored is not None and stored.generation == generation and place not in self._unmarked
            kept = Kept(stored.data, stored.at, stored.fresh, stored.renew) if stored is not None and holds else None
            answers.append(Looked(kept, NEVER if place in changing else generation))
        if unreadable:
            _log.warning("cache_value_unreadable", kind=lookup.kind, count=len(unreadable))
            await self._attempt("delete", lambda: self._delete(unreadable))
        return answers

    async def store_many(
        self, lookup: Lookup[K, V], values: Mapping[K, V], generations: Mapping[K, Generation]
    ) -> None:
        now = time.time()
        forms = []
        for key, value in values.items():
            generation = generations[key]
            times = times_of(lookup, value, generation) if generation != NEVER else None
            raw = None
            if times is not None and times.kept:
                fresh, renew = now + times.fresh, now + times.renew
                raw = await self._encode(_Stored(2, generation, now, fresh, renew, value))
            forms.append((self._name(lookup, key), raw, times))
        if not forms:
            return

        async def write() -> None:
            pipeline = self._client.pipeline(transaction=False)
            for name, raw, times in forms:
                if raw is not None and times is not None:
                    pipeline.set(name, raw, px=max(1, round(times.kept * 1000)))
                elif times is not None:  # too large, or not to be kept; what was kept before is out of date
                    pipeline.execute_command("UNLINK", name)
                pipeline.execute_command("UNLINK", _claim_name(name))
            await pipeline.execute()

        await self._attempt("store", write)

    @asynccontextmanager
    async def changing(self, tenant_id: str, kinds: Collection[Volatile]) -> AsyncIterator[None]:
        names = [(tenant_id, kind) for kind in kinds]
        await self._mark(names, +1)
        try:
            yield
        finally:
            await self._mark(names, -1)

    async def claim(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[bool]:
        async def take() -> list[bool]:
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.set(_claim_name(self._name(lookup, key)), "1", nx=True, px=CLAIM_SECONDS * 1000)
            return [bool(taken) for taken in await pipeline.execute()]

        return await self._attempt("claim", take) or [True] * len(keys)

    async def release(self, lookup: Lookup[K, V], keys: Sequence[K]) -> None:
        if keys:
            names = [_claim_name(self._name(lookup, key)) for key in keys]
            await self._attempt("release", lambda: self._delete(names))

    async def _begin_generation(self, kind: _Name) -> Generation | None:
        """Gives the generation of a tenant that had none, or lost it; another reader may be quicker."""
        begun = new_generation(changed=False)

        async def begin() -> str | bytes | None:
            name = self._generation_name(kind)
            return await self._client.set(name, begun, nx=True, get=True, ex=GENERATION_SECONDS)  # type: ignore[return-value]  # with get=True it is the older value

        trouble = object()
        quicker = await self._attempt("begin generation", begin, otherwise=trouble)
        return None if quicker is trouble else _text(quicker) or begun

    async def _mark(self, names: Sequence[_Name], step: int) -> None:
        """Begins a new generation, and counts the changes that are under way up or down."""

        async def mark() -> bool:
            pipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipeline.set(self._generation_name(name), new_generation(changed=True), ex=GENERATION_SECONDS)
                if step > 0:
                    pipeline.incr(self._changing_name(name))
                    pipeline.pexpire(self._changing_name(name), CHANGE_SECONDS * 1000)
                elif step < 0:
                    pipeline.decr(self._changing_name(name))
            await pipeline.execute()
            return True

        if names and not await self._attempt("mark a change", mark, insist=True):
            self._unmarked.update(names)

    async def _mark_late(self, kinds: Sequence[_Name]) -> None:
        """Marks changes that could not be marked when they were made: until then their tenants are read past."""
        late = list(self._unmarked.intersection(kinds))
        if late:
            self._unmarked.difference_update(late)
            await self._mark(late, 0)

    def _tenant_kind(self, lookup: Lookup[K, V], key: K) -> _Name | None:
        return None if lookup.volatile is None else (lookup.tenant_of(key), lookup.volatile)

    def _generation_name(self, name: _Name) -> str:
        return f"{self._prefix}{{{name[0]}}}:generation:{name[1].value}"

    def _changing_name(self, name: _Name) -> str:
        return f"{self._prefix}{{{name[0]}}}:changing:{name[1].value}"

    async def clear(self) -> None:
        async def delete_all() -> None:
            names: list[bytes] = []
            # The brace ends the namespace: another one that only begins alike is left alone.
            async for name in self._client.scan_iter(match=f"{self._prefix}{{*", count=_DELETED_AT_ONCE):
                names.append(name)
                if len(names) == _DELETED_AT_ONCE:
                    await self._delete(names)
                    names.clear()
            await self._delete(names)

        await self._attempt("clear", delete_all, seconds=CLEAR_SECONDS)

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                await self._client.ping()
        except Exception as error:
            raise CacheUnavailable(f"Redis does not answer ({type(error).__name__}).") from error

    async def close(self) -> None:
        await self._client.aclose()
        if self._on_close is not None:
            await self._on_close()

    def _name(self, lookup: Lookup[K, V], key: K) -> str:
        return self._prefix + lookup.key(key)

    async def _read(self, names: Sequence[str]) -> Sequence[bytes | str | None]:
        if isinstance(self._client, RedisCluster):
            return await self._client.mget_nonatomic(names)  # an MGET a slot, a round trip a node
        return await self._client.mget(names)

    async def _delete(self, names: Iterable[str | bytes]) -> None:
        # One key a command, since they may lie in several slots; and not by the pipeline's `unlink`, which on
        # a cluster is a coroutine that asks at once.
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.execute_command("UNLINK", name)
        await pipeline.execute()

    async def _encode(self, stored: _Stored[Any]) -> bytes | None:
        raw = self._encoder.encode(stored)
        if len(raw) > LARGEST_ENTRY_BYTES:
            return None
        return raw if len(raw) <= COMPRESSED_OVER_BYTES else await asyncio.to_thread(zlib.compress, raw, 1)

    async def _attempt(
        self,
        operation: str,
        do: Callable[[], Awaitable[T]],
        *,
        seconds: float = WHOLE_SECONDS,
        otherwise: Any = None,  # what the caller takes for trouble
        insist: bool = False,
    ) -> T | Any:
        """Gives what Redis answers, or `otherwise` when there was trouble of any kind, or Redis is left alone."""
        if time.monotonic() < self._resting_until and not insist:
            return otherwise
        try:
            async with asyncio.timeout(seconds), self._slots:
                return await do()
        except Exception as error:  # beside RedisError: OSError, the cluster's own, uvloop's RuntimeError
            self._tell(operation, error)
            now = time.monotonic()
            self._troubles.append(now)
            if len(self._troubles) == TROUBLES and now - self._troubles[0] < TROUBLE_SECONDS:
                self._resting_until = now + REST_SECONDS
                self._troubles.clear()
            return otherwise

    def _tell(self, operation: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at < QUIET_SECONDS:
            self._unlogged += 1
            return
        _log.warning(
            "cache_unavailable",
            operation=operation,
            error=type(error).__name__,
            detail=str(error)[:200],
            unlogged_before=self._unlogged,
        )
        self._logged_at = now
        self._unlogged = 0


def _claim_name(name: str) -> str:
    return f"{name}:claim"


def _text(raw: bytes | str | None) -> str | None:
    return raw.decode() if isinstance(raw, bytes) else raw


async def _decode(value_type: type[V], raw: bytes | str) -> _Stored[V] | None:
    try:
        if isinstance(raw, bytes) and not raw.startswith(b"{"):
            raw = await asyncio.to_thread(_decompress, raw)
        return _decoder(value_type).decode(raw)  # type: ignore[arg-type]  # a type can be hashed
    except (msgspec.DecodeError, zlib.error, ValueError):
        return None


def _decompress(raw: bytes) -> bytes:
    inflate = zlib.decompressobj()
    plain = inflate.decompress(raw, LARGEST_ENTRY_BYTES + 1)
    if not inflate.eof:
        raise ValueError("cut short, or larger than anything that is kept")
    return plain


_FORMS = (
    "A Redis address is redis://, rediss:// or unix://, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/service."
)


def connect_redis(url: str, namespace: str) -> RedisCache:
    """Gives the cache at an address; see `connect_cache`. Nothing is opened yet."""
    try:
        client, on_close = _client(url)
    except ValueError:
        raise ValueError(_FORMS) from None  # the cause may quote a piece of the address, so of the password
    return RedisCache(client, namespace, on_close=on_close)


def _client(url: str) -> tuple[Redis | RedisCluster, Callable[[], Awaitable[None]] | None]:
    address = urlsplit(url)
    settings = _settings()
    if address.scheme in ("rediss+cluster", "rediss+sentinel"):
        settings["ssl"] = True
    match address.scheme:
        case "redis" | "rediss" | "unix":
            return Redis.from_url(url, max_connections=CONNECTIONS, **settings), None
        case "redis+cluster" | "rediss+cluster":
            nodes = [ClusterNode(host, port) for host, port in _hosts(address, 6379)]
            login = _credentials(address)
            cluster = RedisCluster(startup_nodes=nodes, max_connections=CONNECTIONS, **settings, **login)
            return cluster, None
        case "redis+sentinel" | "rediss+sentinel":
            service = address.path.strip("/")
            if not service:
                raise ValueError("no service")
            sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis leaves its parameters untyped
                _hosts(address, 26379),
                sentinel_kwargs=settings,
                **settings,
                **_credentials(address),
            )
            return sentinel.master_for(service, max_connections=CONNECTIONS), sentinel.aclose
        case _:
            raise ValueError("unknown scheme")


def _settings() -> dict[str, Any]:  # handed on to redis, which types them one by one
    # A dead server costs 0.1 s instead of the 4.9 s of redis' own retries; a slow one is not asked again.
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.1)
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": OPERATION_SECONDS,
        "retry": Retry(backoff, 2, (ConnectionError, BusyLoadingError)),
        "protocol": 2,  # nothing of RESP3 is used; without it no greeting and no maintenance messages
    }


def _hosts(address: SplitResult, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for text in address.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{text}")
        if not one.hostname:
            raise ValueError("no host")
        hosts.append((one.hostname, one.port or default_port))
    return hosts


def _credentials(address: SplitResult) -> dict[str, Any]:  # as above
    user, _, password = address.netloc.rpartition("@")[0].partition(":")
    return {"username": unquote(user) or None, "password": unquote(password) or None}
