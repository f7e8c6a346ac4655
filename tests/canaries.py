"""Looking for passwords where none may be, in every form in which they could have been written down."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging import DEBUG, Handler, LogRecord, getLogger
from typing import Any
from urllib.parse import quote, quote_plus

from redis import Redis
from structlog.testing import capture_logs


def forms(secret: str) -> set[str]:
    """The secret plain, in JSON, HTML and URLs, in base64 at each of its three offsets, and in hexadecimal."""
    raw = secret.encode()
    found = {secret, json.dumps(secret)[1:-1], html.escape(secret), quote(secret, safe=""), quote_plus(secret)}
    found |= {repr(secret)[1:-1], raw.hex()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            text = encode(b"\0" * offset + raw).decode().rstrip("=")
            # The first and last letters hold bits of the neighbours.
            found.add(text[(0, 2, 3)[offset] : len(text) - 1])
    return found


def find(secrets: Iterable[str], places: dict[str, str]) -> list[str]:
    """The names of the places that hold a secret."""
    wanted = {form for secret in secrets for form in forms(secret)}
    return [name for name, text in places.items() if any(form in text for form in wanted)]


@dataclass
class Logged:
    """All that was logged at DEBUG, by structlog and by the libraries, exceptions with all they hold."""

    events: list[Any] = field(default_factory=list)
    records: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "\n".join([*(_whole(event) for event in self.events), *self.records])


@contextmanager
def all_logs() -> Iterator[Logged]:
    logged = Logged()

    class Keep(Handler):
        def emit(self, record: LogRecord) -> None:
            if record.name.startswith("mail."):
                return  # of the tests' own mail server
            logged.records.append(f"{record.getMessage()} {record.args!r} {_whole(record.exc_info)}")

    root, keep = getLogger(), Keep(DEBUG)
    level = root.level
    root.addHandler(keep)
    root.setLevel(DEBUG)
    try:
        with capture_logs() as events:
            logged.events = events
            yield logged
    finally:
        root.removeHandler(keep)
        root.setLevel(level)


def _whole(value: Any) -> str:
    """A text form with exceptions told to their last cause."""
    if isinstance(value, dict):
        return repr({name: _whole(inner) for name, inner in value.items()})
    if isinstance(value, BaseException):
        return error_text(value)
    if isinstance(value, tuple | list):
        return repr([_whole(inner) for inner in value])
    return repr(value)


def error_text(error: BaseException | None) -> str:
    """An exception and its causes: text, arguments, attributes and the objects in them."""
    told, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told.append(f"{error!r} {error} {error.args!r} {vars(error)!r}")
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def redis_dump(client: Redis) -> str:
    """Every key with its value, of every type."""
    readers: dict[Any, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda key: client.xrange(key),
    }
    return "\n".join(f"{key!r} {readers[client.type(key)](key)!r}" for key in client.scan_iter(count=1000))
