"""How the text of an environment variable becomes a value, and what is expected of it.

A `Reader` turns text into a value or raises ValueError; its `expected` completes the sentence
"GATEWAY_NAME must be …". Neither ever holds the text itself: it may be a secret in the wrong place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from services.secret import Secret

_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s,;<>()\"@\\]{1,64}@[^\s,;<>()\"@\\]{1,189}")
_CLAIM = re.compile(r"[\x21-\x7e]{1,256}")
_REDIS_SCHEMES = frozenset(
    {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"}
)


@dataclass(frozen=True, slots=True)
class Reader:
    expected: str
    read: Callable[[str], Any]  # Any: each reader gives the type of its own field


def is_loopback(host: str | None) -> bool:
    """Whether the host name stands for this machine and cannot be anything else."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def boolean() -> Reader:
    def read(text: str) -> bool:
        word = text.lower()
        if word not in _TRUE | _FALSE:
            raise ValueError
        return word in _TRUE

    return Reader("true or false (also 1/0, on/off, yes/no)", read)


def whole_number(at_least: int, at_most: int) -> Reader:
    kind = Annotated[int, msgspec.Meta(ge=at_least, le=at_most)]

    def read(text: str) -> int:
        # msgspec takes 5.0 for 5, which here is more likely a setting meant for another field.
        if not re.fullmatch(r"-?[0-9]+", text):
            raise ValueError
        return msgspec.convert(text, kind, strict=False)

    return Reader(f"a whole number between {at_least} and {at_most}", read)


def seconds(at_least: float, at_most: float) -> Reader:
    kind = Annotated[float, msgspec.Meta(ge=at_least, le=at_most)]

    def read(text: str) -> float:
        number = msgspec.convert(text, kind, strict=False)
        if not math.isfinite(number):  # nan passes every bound
            raise ValueError
        return number

    return Reader(f"a number of seconds between {at_least:g} and {at_most:g}", read)


def one_of(*words: str) -> Reader:
    def read(text: str) -> str:
        word = text.lower()
        if word not in words:
            raise ValueError
        return word

    return Reader("one of " + ", ".join(words), read)


def plain_text() -> Reader:
    def read(text: str) -> str:
        if len(text) > 1024 or not text.isprintable():
            raise ValueError
        return text

    return Reader("a line of text of at most 1024 characters", read)


def claim_name() -> Reader:
    return Reader("the name of a claim: printable ASCII without blanks", _matching(_CLAIM))


def directory_name() -> Reader:
    def read(text: str) -> str:
        if not _GUID.fullmatch(text) and not _DOMAIN.fullmatch(text):
            raise ValueError
        return text.lower()

    return Reader("a tenant id (GUID) or a domain of the tenant", read)


def mail_address() -> Reader:
    return Reader("a plain e-mail address, without a display name", _matching(_ADDRESS))


def secret() -> Reader:
    return Reader("a text", Secret)


def file_to_read() -> Reader:
    def read(text: str) -> Path:
        path = Path(text).expanduser()
        try:
            with path.open("rb"):
                return path
        except OSError as failure:
            raise ValueError from failure

    return Reader("the path of a file that can be read", read)


def file_to_write() -> Reader:
    def read(text: str) -> Path:
        path = Path(text).expanduser()
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ValueError
        return path

    return Reader("the path of a file, in a folder that exists", read)


def web_url(*, without: tuple[str, ...] = ()) -> Reader:
    """https, or plain http on a loopback address; a path may not end in one of `without`."""

    def read(text: str) -> str:
        parts = _split(text)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError
        if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
            raise ValueError
        if parts.path.rstrip("/").endswith(without):
            raise ValueError
        return text

    ending = f", without {' or '.join(without)} at its end" if without else ""
    return Reader(
        f"an https:// URL without user, query and fragment{ending}; http:// is for loopback addresses only",
        read,
    )


def base_url(*, without: tuple[str, ...]) -> Reader:
    reader = web_url(without=without)
    return Reader(reader.expected, lambda text: reader.read(text).rstrip("/"))


def redis_url() -> Reader:
    def read(text: str) -> Secret:
        # Several hosts are no URL to urlsplit's port, so each is looked at by itself.
        parts = _printable(text)
        if parts.scheme not in _REDIS_SCHEMES:
            raise ValueError
        if parts.scheme == "unix" and parts.path:
            return Secret(text)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if len(hosts) > 1 and "+" not in parts.scheme:
            raise ValueError
        if not all(_split(f"redis://{host}").hostname for host in hosts):
            raise ValueError
        if parts.scheme.endswith("sentinel") and not parts.path.strip("/"):
            raise ValueError
        return Secret(text)

    return Reader(
        "an address of Redis: redis://, rediss://, unix://, redis+cluster://host:port,host:port "
        "or redis+sentinel://host:port,host:port/service",
        read,
    )


def smtp_url() -> Reader:
    def read(text: str) -> Secret:
        parts = _split(text)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError
        return Secret(text)

    return Reader("smtp:// or smtps://, as in smtps://user:password@host:465", read)


def origins() -> Reader:
    def read(text: str) -> tuple[str, ...]:
        found = _words(text)
        for origin in found:
            parts = _split(origin)
            if f"{parts.scheme}://{parts.netloc}" != origin or parts.username is not None or "*" in origin:
                raise ValueError
            if parts.scheme not in {"http", "https"} or origin != origin.lower():
                raise ValueError
        return found

    return Reader("exact origins in lower case, separated by commas, such as https://portal.example.com", read)


def some_of(*words: str) -> Reader:
    def read(text: str) -> tuple[str, ...]:
        found = _words(text)
        if not found or not set(found) <= set(words):
            raise ValueError
        return found

    return Reader("one or more of " + ", ".join(words) + ", separated by commas", read)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return read


def _split(text: str) -> SplitResult:
    parts = _printable(text)
    _ = parts.port  # raises ValueError for a port that is none
    return parts


def _printable(text: str) -> SplitResult:
    # urlsplit drops tabs and line breaks silently; what is checked must be what is used.
    if not text.isprintable() or " " in text:
        raise ValueError
    return urlsplit(text)
