"""The Redis client: which addresses there are, and how patient it is.

    redis://[user:password@]host:port/number        one server
    rediss://…                                      the same with TLS
    unix://[user:password@]/path
    redis+cluster://host:port,host:port             a cluster; with TLS rediss+cluster://
    redis+sentinel://host:port,host:port/service    the master that sentinels name; with TLS rediss+sentinel://

With TLS the server's certificate is checked against the system's authorities, or those in the file that
`?ssl_ca_certs=/path` names; `ssl_certfile` and `ssl_keyfile` are sent where given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hiredis import pack_command
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import BusyLoadingError, ConnectionError

CONNECTIONS: Final = 50
ANSWER_SECONDS: Final = 0.25
FORMS: Final = (
    "A Redis address is redis://, rediss:// or unix://, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/service."
)
_TLS_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})

Closing = Callable[[], Awaitable[None]]


def connect_client(
    url: str, *, connect_seconds: float, answer_seconds: float | None = ANSWER_SECONDS
) -> tuple[Redis | RedisCluster, Closing]:
    """Gives the client at an address, and what closes it. Nothing is opened yet.

    `answer_seconds` is None where whoever asks bounds the time of each operation: of a single server nothing else is
    needed, and before Python 3.12 the client's own bound makes a task for each command.

    ValueError for any other address, without repeating it: it may hold a password.
    """
    # A dead server costs 0.1 s instead of the 4.9 s of redis' own retries; a slow one is not asked again.
    settings: dict[str, Any] = {  # handed on to redis, which types them one by one
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": answer_seconds,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), 2, (ConnectionError, BusyLoadingError)),
        "protocol": 2,  # nothing of RESP3 is used; without it no greeting and no maintenance messages
    }
    try:
        return _client(url, settings)
    except ValueError:
        raise ValueError(FORMS) from None  # the cause may quote a piece of the address, so of the password


def _client(url: str, settings: dict[str, Any]) -> tuple[Redis | RedisCluster, Closing]:
    address = urlsplit(url)
    match address.scheme:
        case "redis" | "rediss" | "unix":
            client = Redis.from_url(url, max_connections=CONNECTIONS, **settings)
            client.connection_pool.connection_class = _packing(client.connection_pool.connection_class)
            return client, client.aclose
        case "redis+cluster" | "rediss+cluster":
            settings["socket_timeout"] = settings["socket_timeout"] or ANSWER_SECONDS  # by which nodes are found
            nodes = [ClusterNode(host, port) for host, port in _hosts(address, 6379)]
            settings |= _encryption(address) | _credentials(address)
            cluster = RedisCluster(startup_nodes=nodes, max_connections=CONNECTIONS, **settings)
            return cluster, cluster.aclose
        case "redis+sentinel" | "rediss+sentinel":
            service = address.path.strip("/")
            if not service:
                raise ValueError("no service")
            settings |= _encryption(address)
            settings["socket_timeout"] = settings["socket_timeout"] or ANSWER_SECONDS
            sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis leaves its parameters untyped
                _hosts(address, 26379), sentinel_kwargs=settings, **settings, **_credentials(address)
            )
            master = sentinel.master_for(service, max_connections=CONNECTIONS)

            async def close() -> None:
                await master.aclose()
                for one in sentinel.sentinels:
                    await one.aclose()

            return master, close
        case _:
            raise ValueError("unknown scheme")


def _packing(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """Has hiredis write commands, as in redis' blocking client: seven times as fast, which a thousand keys feel."""

    class Connection(connection_class):  # type: ignore[valid-type, misc]  # one of redis' three
        def pack_command(self, *args: Any) -> list[bytes]:  # Any: what redis takes as text, bytes or number
            name, *rest = args
            return [pack_command((*name.encode().split(), *rest))]

    return Connection


def _encryption(address: SplitResult) -> dict[str, Any]:  # as above
    given = dict(parse_qsl(address.query, strict_parsing=True)) if address.query else {}
    if not given.keys() <= _TLS_FILES:
        raise ValueError("unknown parameter")
    return {"ssl": True, **given} if address.scheme.startswith("rediss") else {}


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
