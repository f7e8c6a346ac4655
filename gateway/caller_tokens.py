"""What makes a caller's token acceptable, and the caller that it stands for (RFC 7519, 8725, 9068)."""

from __future__ import annotations

import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from gateway.issuer_keys import VerificationKey
from services.authorization import Caller, Permission, ViewerKind

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
LEEWAY_SECONDS = 30
OLDEST_SECONDS = 24 * 3600
LATEST_DATE = 2**53
"""Beyond it a number of seconds is no date, and a large one does not fit into a float."""
LONGEST_SUBJECT = 256
MOST_TENANTS = 5_000

KINDS: Mapping[str, ViewerKind] = {
    "partner": ViewerKind.PARTNER,
    "reseller": ViewerKind.RESELLER,
    "direct-customer": ViewerKind.DIRECT_CUSTOMER,
}
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PART = re.compile(r"[A-Za-z0-9_-]+")
_REFUSED_HEADERS = ("crit", "zip", "b64", "nonce", "enc")


class TokenRefused(Exception):
    """The token is not acceptable. The cause is for the log; callers get one text for all causes."""


class KindUnknown(Exception):
    """The token is good, and says nothing that the gateway understands about who the caller is."""


class TokenHeader(NamedTuple):
    algorithm: str
    key_id: str


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claim says what."""

    name: str = "name"
    kind: str = "kind"
    reseller_id: str = "reseller_id"
    tenant_ids: str = "tenant_ids"
    permissions: str = "permissions"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. `types` are the values of `typ` that are taken."""

    issuer: str
    audience: str
    types: tuple[str, ...] = ("at+jwt",)
    claims: ClaimNames = field(default_factory=ClaimNames)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """`expires_at` is in seconds since 1970, by the issuer's word and without leeway."""

    caller: Caller
    expires_at: float


class _Registry(JWSRegistry):
    """joserfc's own registry, with longer headers, and without its warning that EdDSA has got a new name."""

    max_header_length = 8 * 1024

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError("not one of ours")
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


def read_header(token: str, types: tuple[str, ...]) -> TokenHeader:
    """Gives what the key is looked for by. Nothing in a header is believed: it is compared."""
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("not of three parts")
    header = _json_object(_decoded(parts[0]))
    for part in parts[1:]:
        _decoded(part)
    for name in _REFUSED_HEADERS:
        if name in header:
            raise TokenRefused(f"header {name}")
    kind, algorithm, key_id = header.get("typ"), header.get("alg"), header.get("kid")
    if not isinstance(kind, str) or _media_type(kind) not in map(_media_type, types):
        raise TokenRefused("typ")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("alg")
    if not isinstance(key_id, str):
        raise TokenRefused("kid")
    return TokenHeader(algorithm, key_id)


def read_token(
    token: str, header: TokenHeader, key: VerificationKey | None, rules: TokenRules, now: datetime
) -> VerifiedToken:
    """Checks the signature, then the claims, and gives the caller."""
    if key is None:
        raise TokenRefused("key unknown")
    if header.algorithm not in key.algorithms:
        raise TokenRefused("alg is not the key's")
    try:
        payload = jws.deserialize_compact(token, key.key, registry=_REGISTRY).payload
    except (JoseError, ValueError) as failure:
        raise TokenRefused("signature") from failure
    claims = _json_object(payload)
    _check_standard_claims(claims, rules, now.timestamp())
    return VerifiedToken(_caller(claims, rules), float(claims["exp"]))


def _check_standard_claims(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    registry = JWTClaimsRegistry(
        now=math.floor(now),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": rules.issuer},
        aud={"essential": True, "value": rules.audience},
        exp={"essential": True},
        sub={"essential": True},
    )
    try:
        registry.validate(claims)
    except JoseError as failure:
        raise TokenRefused(f"claims: {type(failure).__name__}") from failure
    if claims["exp"] > LATEST_DATE:
        raise TokenRefused("exp")
    if not 1 <= len(claims["sub"]) <= LONGEST_SUBJECT or not _is_text(claims["sub"]):
        raise TokenRefused("sub")
    if "nonce" in claims:  # an id token: made for a client to read, not for us
        raise TokenRefused("nonce")
    if "iat" in claims and claims["iat"] < now - OLDEST_SECONDS - LEEWAY_SECONDS:
        raise TokenRefused("older than a day")
    if "iat" not in claims and claims["exp"] > now + OLDEST_SECONDS + LEEWAY_SECONDS:  # it could be of any age
        raise TokenRefused("valid for more than a day, without iat")


def _caller(claims: dict[str, Any], rules: TokenRules) -> Caller:
    names = rules.claims
    kind = claims.get(names.kind)
    if not isinstance(kind, str) or kind not in KINDS:
        raise KindUnknown
    viewer_kind = KINDS[kind]
    name = claims.get(names.name)
    # Null is no list: taken for "not narrowed", it would open every tenant to whom it was to close them.
    tenant_ids = _tenant_ids(claims[names.tenant_ids]) if names.tenant_ids in claims else None
    if tenant_ids is None and viewer_kind is ViewerKind.DIRECT_CUSTOMER:
        tenant_ids = frozenset()
    return Caller(
        subject=claims["sub"],
        issuer=claims["iss"],
        name=name[:LONGEST_SUBJECT] if _is_text(name) else claims["sub"],
        kind=viewer_kind,
        permissions=_permissions(claims.get(names.permissions)),
        tenant_ids=tenant_ids,
        reseller_id=_reseller_id(claims.get(names.reseller_id)) if viewer_kind is ViewerKind.RESELLER else None,
    )


def _is_text(value: object) -> TypeGuard[str]:
    """Half a surrogate pair is a text to Python, and cannot be written into any answer."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _permissions(listed: object) -> frozenset[Permission]:
    if listed is None:
        return frozenset()
    if not isinstance(listed, list):
        raise TokenRefused("permissions")
    return frozenset(each for each in Permission if each.value in listed)


def _tenant_ids(listed: object) -> frozenset[str]:
    if not isinstance(listed, list) or len(listed) > MOST_TENANTS:
        raise TokenRefused("tenant_ids")
    if not all(isinstance(each, str) and _GUID.fullmatch(each) for each in listed):
        raise TokenRefused("tenant_ids")
    return frozenset(each.lower() for each in listed)


def _reseller_id(text: object) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or not _GUID.fullmatch(text):
        raise TokenRefused("reseller_id")
    return text.lower()


def _media_type(text: str) -> str:
    return text.lower().removeprefix("application/")


def _decoded(part: str) -> bytes:
    """Gives the bytes of one part; a second spelling of the same bytes is refused."""
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise TokenRefused("encoding")
    raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise TokenRefused("encoding")
    return raw


def _json_object(raw: bytes) -> dict[str, Any]:  # Any: a token may say anything
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as failure:
        raise TokenRefused("JSON") from failure
    if not isinstance(value, dict):
        raise TokenRefused("JSON")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: as above
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenRefused("a member occurs twice")
    return members


def _refuse_constant(name: str) -> None:
    raise TokenRefused("a number that is none")
