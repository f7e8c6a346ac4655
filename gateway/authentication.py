"""Who sent a request: bearer tokens of one issuer, or the demo partner in sandbox mode.

AuthenticationError        what the request is answered with: `status`, `challenge`
├── Unauthenticated        401  no token, or one that is not acceptable
├── UnknownKind            403  a good token that does not say what the caller is
└── IssuerUnavailable      503  the issuer's keys cannot be had, so no token can be checked
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import sha256

import structlog

from gateway.caller_tokens import (
    LEEWAY_SECONDS,
    ClaimNames,
    KindUnknown,
    TokenRefused,
    TokenRules,
    VerifiedToken,
    read_header,
    read_token,
)
from gateway.config import Settings
from gateway.issuer_keys import FixedKeys, IssuerKeys, KeysUnavailable, PublishedKeys
from services.authorization import DEMO_PARTNER, Caller
from services.errors import GatewayError

LONGEST_HEADER_BYTES = 8 * 1024
REMEMBERED_SECONDS = 60.0
MOST_REMEMBERED = 10_000
_BEARER = re.compile(rb"bearer +([A-Za-z0-9_.-]+)", re.IGNORECASE)

log = structlog.get_logger(__name__)


class AuthenticationError(GatewayError):
    """Nobody is let in. `challenge` is the value of `WWW-Authenticate`, None where there is none to send."""

    status = 401
    challenge: str | None = None


class Unauthenticated(AuthenticationError):
    code = "UNAUTHENTICATED"

    def __init__(self, *, token_given: bool) -> None:
        super().__init__(
            "Your token is not valid or has expired. Get a new one and try again."
            if token_given
            else "This needs a token: send the header Authorization: Bearer <token>."
        )
        self.challenge = 'Bearer error="invalid_token"' if token_given else "Bearer"


class UnknownKind(AuthenticationError):
    code = "NOT_PERMITTED"
    status = 403

    def __init__(self) -> None:
        super().__init__("Your token does not say whether you are a partner, a reseller or a direct customer.")


class IssuerUnavailable(AuthenticationError):
    code = "UNAVAILABLE"
    status = 503

    def __init__(self) -> None:
        super().__init__("Your token cannot be checked at the moment. Try again later.")


class Authenticator:
    """Checks tokens, and remembers the good ones for a minute. `anonymous` is who asks without a token."""

    def __init__(
        self,
        rules: TokenRules,
        keys: IssuerKeys,
        *,
        now: Callable[[], datetime],
        anonymous: Caller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = keys
        self._rules = rules
        self._now = now
        self._anonymous = anonymous
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[VerifiedToken, float]] = OrderedDict()

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Gives the caller of a request with these raw headers."""
        return (await self.identify(headers)).caller

    async def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> VerifiedToken:
        """Gives the caller and when the token ends, for connections that outlive a request."""
        values = [value for name, value in headers if name.lower() == b"authorization"]
        if not values and self._anonymous is not None:
            return VerifiedToken(self._anonymous, math.inf)
        if not values:
            raise Unauthenticated(token_given=False)
        if len(values) > 1:
            raise self._refusal("more than one Authorization header")
        return await self.identify_by(values[0])

    async def identify_by(self, authorization: bytes) -> VerifiedToken:
        """The same for the value of one Authorization header, or of `authorization` in connection_init."""
        if len(authorization) > LONGEST_HEADER_BYTES:
            raise self._refusal("longer than 8 KiB")
        bearer = _BEARER.fullmatch(authorization.strip(b" \t"))
        if bearer is None:
            raise self._refusal("no bearer token")
        token = bearer[1]
        digest = sha256(token).digest()
        return self._recall(digest) or await self._verify(token.decode("ascii"), digest)

    def forget_tokens(self) -> None:
        """Has every token checked anew."""
        self._remembered.clear()

    def _recall(self, digest: bytes) -> VerifiedToken | None:
        found = self._remembered.get(digest)
        if found is None:
            return None
        verified, until = found
        if self._clock() >= until or self._now().timestamp() >= verified.expires_at + LEEWAY_SECONDS:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return verified

    async def _verify(self, token: str, digest: bytes) -> VerifiedToken:
        try:
            header = read_header(token, self._rules.types)
            key = await self.keys.find(header.key_id)
            verified = read_token(token, header, key, self._rules, self._now())
        except TokenRefused as refused:
            raise self._refusal(str(refused)) from refused
        except KindUnknown as unknown:
            log.info("caller_refused", reason="kind unknown")
            raise UnknownKind from unknown
        except KeysUnavailable as unavailable:
            raise IssuerUnavailable from unavailable
        self._remembered[digest] = verified, self._clock() + REMEMBERED_SECONDS
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return verified

    def _refusal(self, reason: str) -> Unauthenticated:
        log.info("caller_refused", reason=reason)
        return Unauthenticated(token_given=True)


def build_authenticator(settings: Settings, *, now: Callable[[], datetime], sandbox: bool = False) -> Authenticator:
    """The authenticator of a gateway. In sandbox mode the sandbox's keys are at hand, and who brings no
    token is the demo partner; a bad token is refused there as well."""
    rules = TokenRules(
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        types=settings.auth_token_types,
        claims=ClaimNames(
            name=settings.auth_claim_name,
            kind=settings.auth_claim_kind,
            reseller_id=settings.auth_claim_reseller_id,
            tenant_ids=settings.auth_claim_tenant_ids,
            permissions=settings.auth_claim_permissions,
        ),
    )
    if not sandbox:
        return Authenticator(rules, PublishedKeys(settings.auth_jwks_url), now=now)
    from sandbox.issuer import jwks  # the sandbox is not loaded where none is asked for

    return Authenticator(rules, FixedKeys(jwks()), now=now, anonymous=DEMO_PARTNER)
