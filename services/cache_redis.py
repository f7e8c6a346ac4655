"""The cache that all replicas share: one MGET a batch, one pipeline of SETs with expiry.

A value is JSON, `{"v":1,"at":<seconds>,"data":…}`, encoded from the models and decoded straight into them;
over 1 MiB it is compressed. What cannot be read is a miss and is deleted. Nothing here fails a request:
trouble with Redis is logged, seldom, and counts as a miss. Only MGET, SET, UNLINK and SCAN, no scripts.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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

from services.cache import LARGEST_ENTRY_BYTES, CacheUnavailable, Kept, lifetime_seconds
from services.lookups import K, Lookup, V, key_prefix

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


class _Stored(msgspec.Struct, Generic[V]):
    v: Literal[1]
    at: float
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

    async def get_many(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Kept[V] | None]:
        if not keys:
            return []
        names = [self._name(lookup, key) for key in keys]
        found = await self._attempt("get", lambda: self._read(names))
        if found is None:
            return [None] * len(keys)
        answers = [raw if raw is None else await _decode(lookup.value_type, raw) for raw in found]
        unreadable = [
            name for name, raw, kept in zip(names, found, answers, strict=True) if raw is not None and kept is None
        ]
        if unreadable:
            _log.warning("cache_value_unreadable", kind=lookup.kind, count=len(unreadable))
            await self._attempt("delete", lambda: self._delete(unreadable))
        return answers

    async def store_many(self, lookup: Lookup[K, V], values: Mapping[K, V]) -> None:
        if not values:
            return
        at = time.time()
        forms = [
            (self._name(lookup, key), await self._encode(at, value), lifetime_seconds(lookup, value))
            for key, value in values.items()
        ]

        async def write() -> None:
            pipeline = self._client.pipeline(transaction=False)
            for name, raw, lifetime in forms:
                if raw is None or not lifetime:  # too large, or not to be kept; what was kept before is out of date
                    pipeline.execute_command("UNLINK", name)
                else:
                    pipeline.set(name, raw, px=round(lifetime * 1000))
            await pipeline.execute()

        await self._attempt("store", write)

    async def forget(self, lookup: Lookup[K, V], *keys: K) -> None:
        if keys:
            await self._attempt("forget", lambda: self._delete([self._name(lookup, key) for key in keys]))

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

    def look(self, lookup: Lookup[K, V], key: K) -> Kept[V] | None:
        return None

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

    async def _encode(self, at: float, value: object) -> bytes | None:
        raw = self._encoder.encode({"v": 1, "at": at, "data": value})
        if len(raw) > LARGEST_ENTRY_BYTES:
            return None
        return raw if len(raw) <= COMPRESSED_OVER_BYTES else await asyncio.to_thread(zlib.compress, raw, 1)

    async def _attempt(
        self, operation: str, do: Callable[[], Awaitable[T]], *, seconds: float = WHOLE_SECONDS
    ) -> T | None:
        """Gives what Redis answers, or None when there was trouble of any kind."""
        try:
            async with asyncio.timeout(seconds), self._slots:
                return await do()
        except Exception as error:  # beside RedisError: OSError, the cluster's own, uvloop's RuntimeError
            self._tell(operation, error)
            return None

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


async def _decode(value_type: type[V], raw: bytes | str) -> Kept[V] | None:
    try:
        if isinstance(raw, bytes) and not raw.startswith(b"{"):
            raw = await asyncio.to_thread(_decompress, raw)
        stored = _decoder(value_type).decode(raw)  # type: ignore[arg-type]  # a type can be hashed
    except (msgspec.DecodeError, zlib.error, ValueError):
        return None
    return Kept(stored.data, stored.at)


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
