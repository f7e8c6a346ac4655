"""The public keys that callers' tokens are signed with, and how they are fetched and kept.

Keys come from the configured address alone: no redirect, 256 KiB, 5 s, no more than one fetch at a time.
They are kept for an hour, and for a day while fetching fails. A key id that is not there causes a fetch, at
most once a minute: an issuer that has just changed its keys is followed, and made-up ids cost nothing.
"""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from gateway.setting_values import is_loopback

LONGEST_BODY_BYTES = 256 * 1024
FETCH_SECONDS = 5.0
KEPT_SECONDS = 3600.0
KEPT_WHILE_FAILING_SECONDS = 24 * 3600.0
REFETCH_SECONDS = 60.0
FIRST_FETCH_AGAIN_SECONDS = 5.0
"""Between two tries while there is no key at all: nobody can sign in meanwhile."""
SMALLEST_RSA_BITS = 2048

log = structlog.get_logger(__name__)


class KeysUnavailable(Exception):
    """The keys could not be fetched; the message says why, in words for an operator."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms that may be checked with it."""

    key: Key
    algorithms: frozenset[str]


class IssuerKeys(Protocol):
    @property
    def usable(self) -> int:
        """How many keys are at hand. Asks nobody."""

    async def find(self, key_id: str) -> VerificationKey | None:
        """Gives the key of this id, None where the issuer has none. KeysUnavailable: nothing is known."""

    async def refresh(self) -> int:
        """Makes sure that there are keys, and gives their number."""


class FixedKeys:
    """Keys that are at hand, such as the sandbox issuer's."""

    def __init__(self, key_set: object) -> None:
        self._keys = read_key_set(key_set)

    @property
    def usable(self) -> int:
        return len(self._keys)

    async def find(self, key_id: str) -> VerificationKey | None:
        return self._keys.get(key_id)

    async def refresh(self) -> int:
        return len(self._keys)


class PublishedKeys:
    """Keys that an issuer publishes as a JWK set (RFC 7517)."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failure = "they have not been fetched yet"
        self._fetching = asyncio.Lock()

    @property
    def usable(self) -> int:
        return len(self._keys) if self._age() < KEPT_WHILE_FAILING_SECONDS else 0

    async def find(self, key_id: str) -> VerificationKey | None:
        if self._age() >= KEPT_WHILE_FAILING_SECONDS:
            await self._fetch_at_most_each(FIRST_FETCH_AGAIN_SECONDS)
        elif key_id not in self._keys or (self._age() >= KEPT_SECONDS and not self._fetching.locked()):
            await self._fetch_at_most_each(REFETCH_SECONDS)
        if self._age() >= KEPT_WHILE_FAILING_SECONDS:
            raise KeysUnavailable(self._failure)
        return self._keys.get(key_id)

    async def refresh(self) -> int:
        await self._fetch_at_most_each(FIRST_FETCH_AGAIN_SECONDS)
        if self._age() >= KEPT_WHILE_FAILING_SECONDS:
            raise KeysUnavailable(self._failure)
        return len(self._keys)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _fetch_at_most_each(self, seconds: float) -> None:
        async with self._fetching:  # whoever waited finds that the fetch has just been made
            if self._clock() - self._tried_at < seconds:
                return
            self._tried_at = self._clock()
            try:
                self._keys = await fetch_key_set(self._url)
            except KeysUnavailable as failure:
                self._failure = str(failure)
                log.warning("issuer_keys_not_fetched", reason=self._failure, kept=len(self._keys))
                return
            self._fetched_at = self._clock()
            log.info("issuer_keys_fetched", keys=len(self._keys))


async def fetch_key_set(url: str) -> Mapping[str, VerificationKey]:
    """Asks for the keys once. KeysUnavailable with the reason where none can be read."""
    connector = aiohttp.TCPConnector(ssl=httpx.create_ssl_context())
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
            session.get(url, headers=headers, allow_redirects=False, proxy=_proxy_for(url)) as response,
        ):
            if response.status != 200:
                raise KeysUnavailable(f"the issuer answered {response.status}")
            body = await _read_body(response)
        return read_key_set(msgspec.json.decode(body))
    except TimeoutError as failure:
        raise KeysUnavailable(f"the issuer did not answer within {FETCH_SECONDS:.0f} s") from failure
    except aiohttp.ClientError as failure:
        raise KeysUnavailable(f"the issuer cannot be reached ({type(failure).__name__})") from failure
    except (msgspec.DecodeError, UnicodeError, RecursionError) as failure:
        raise KeysUnavailable("the issuer's answer is no JWK set") from failure


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names. It cannot know this machine's loopback addresses."""
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or is_loopback(parts.hostname) or proxy_bypass(parts.netloc):
        return None
    if "://" not in proxy:
        return f"http://{proxy}"
    if not proxy.lower().startswith(("http://", "https://")):
        raise KeysUnavailable(
            f"the environment names a proxy of a kind that is not supported ({urlsplit(proxy).scheme})"
        )
    return proxy


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    if "content-encoding" in response.headers:  # not asked for, and its length after decoding is unknown
        raise KeysUnavailable("the issuer's answer is compressed")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LONGEST_BODY_BYTES:
            raise KeysUnavailable("the issuer's answer is larger than 256 KiB")
    return bytes(body)


def read_key_set(key_set: object) -> Mapping[str, VerificationKey]:
    """Gives the usable keys by their id; keys for encryption, symmetric and short ones are passed over."""
    members = key_set.get("keys") if isinstance(key_set, Mapping) else None
    if not isinstance(members, list):
        raise KeysUnavailable("the issuer's answer is no JWK set")
    found: dict[str, VerificationKey] = {}
    for member in members:
        if isinstance(member, Mapping) and isinstance(key_id := member.get("kid"), str):
            key = _usable(dict(member))
            if key is not None:
                found.setdefault(key_id, key)
    return found


def _usable(member: dict[str, object]) -> VerificationKey | None:
    if member.get("use", "sig") != "sig":
        return None
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key, algorithms = _import(member)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if "alg" in member:
        algorithms &= {str(member["alg"])}
    return VerificationKey(key, algorithms) if algorithms else None


def _import(member: dict[str, object]) -> tuple[Key, frozenset[str]]:
    # Only what a public key consists of: neither certificates nor an address in it are ever looked at.
    match member.get("kty"), member.get("crv"):
        case "RSA", _:
            members = _members(member, "n", "e")
            if _bits(members["n"]) < SMALLEST_RSA_BITS:
                raise ValueError("short")
            return RSAKey.import_key(members), frozenset({"RS256", "PS256"})
        case "EC", "P-256":
            return ECKey.import_key(_members(member, "crv", "x", "y")), frozenset({"ES256"})
        case "OKP", "Ed25519":
            return OKPKey.import_key(_members(member, "crv", "x")), frozenset({"EdDSA"})
        case _:
            raise ValueError("foreign")


def _members(member: Mapping[str, object], *names: str) -> dict[str, str | list[str]]:
    texts = {name: member[name] for name in ("kty", *names)}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _bits(number: object) -> int:
    text = str(number)
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4))).bit_length()
