"""Access and refresh tokens: made, remembered, recognized.

Access tokens are JWTs with the claims of a real App+User token (learn.microsoft.com/partner-center/
partner-security-requirements-mandating-mfa). Refresh tokens rotate: each use returns a new one, the used one
stays valid, 90 days without use end it (learn.microsoft.com "Refresh tokens in the Microsoft identity
platform"). They carry their date and a checksum, so that they outlive a restart of the sandbox.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError

from sandbox import settings
from sandbox.keys import public_jwks, signing_key

PARTNER_CENTER = "https://api.partnercenter.microsoft.com"
GRAPH = "https://graph.microsoft.com"
INACTIVITY = timedelta(days=90)

_SEED = "sandbox access tokens, key 1"
_CHECK_KEY = b"sandbox refresh tokens"
_KEPT_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a bearer token speaks for."""

    audience: str
    tenant_id: str
    application_id: str
    upn: str | None
    """None for an application without a user."""
    multi_factor: bool
    expires_at: float

    @property
    def application_only(self) -> bool:
        return self.upn is None


class TokenRegistry:
    """Issues tokens and recognizes its own."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._principals: dict[str, Principal] = {}
        self._used_at: dict[str, datetime] = {}
        self._started_at = now()

    def reset(self) -> None:
        self._principals.clear()
        self._used_at.clear()
        self._started_at = self._now()

    def access_token(
        self, tenant_id: str, audience: str, *, application_only: bool, multi_factor: bool, seconds: int
    ) -> str:
        issued_at = int(self._now().timestamp())
        claims: dict[str, object] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant_id}/",
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + seconds,
            "appid": settings.CLIENT_ID,
            "appidacr": "1",
            "tid": tenant_id,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        if application_only:
            claims["oid"] = claims["sub"] = settings.CLIENT_ID
        else:
            claims |= {
                "acr": "1",
                "amr": ["pwd", "mfa"] if multi_factor else ["pwd"],
                "family_name": "Adminagent",
                "given_name": "CSP",
                "ipaddr": "127.0.0.1",
                "name": "Adminagent CSP",
                "oid": settings.AGENT_OBJECT_ID,
                "scp": "user_impersonation",
                "sub": settings.AGENT_OBJECT_ID,
                "tenant_region_scope": "NA",
                "unique_name": settings.AGENT_UPN,
                "upn": settings.AGENT_UPN,
            }
        return self._signed(claims, "JWT")

    def id_token(self, tenant_id: str, seconds: int) -> str:
        issued_at = int(self._now().timestamp())
        claims: dict[str, object] = {
            "aud": settings.CLIENT_ID,
            "iss": f"https://sts.windows.net/{tenant_id}/",
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + seconds,
            "name": "Adminagent CSP",
            "oid": settings.AGENT_OBJECT_ID,
            "preferred_username": settings.AGENT_UPN,
            "sub": settings.AGENT_OBJECT_ID,
            "tid": tenant_id,
            "upn": settings.AGENT_UPN,
            "ver": "1.0",
        }
        return self._signed(claims, "JWT")

    def recognize(self, token: str) -> Principal | None:
        """The principal of a token of ours; None for any other. Its expiry is the caller's to check."""
        known = self._principals.get(token)
        if known is not None:
            return known
        try:
            claims = jwt.decode(token, signing_key(_SEED), algorithms=["ES256"]).claims
            principal = Principal(
                audience=str(claims["aud"]),
                tenant_id=str(claims["tid"]),
                application_id=str(claims["appid"]),
                upn=claims.get("upn"),
                multi_factor="mfa" in claims.get("amr", ()),
                expires_at=float(claims["exp"]),
            )
        except (JoseError, ValueError, KeyError, TypeError):
            return None
        if len(self._principals) >= _KEPT_TOKENS:
            self._principals.clear()
        self._principals[token] = principal
        return principal

    def new_refresh_token(self) -> str:
        body = f"{int(self._now().timestamp())}.{uuid.uuid4().hex}"
        return f"1.{body}.{_checksum(body)}"

    def refresh_token_issued_at(self, token: str) -> datetime | None:
        """When a refresh token of ours was issued; None for any other text."""
        if hmac.compare_digest(token.encode(), settings.REFRESH_TOKEN.encode()):
            return self._started_at
        version, _, rest = token.partition(".")
        body, _, checksum = rest.rpartition(".")
        if version != "1" or not hmac.compare_digest(_checksum(body).encode(), checksum.encode()):
            return None
        return datetime.fromtimestamp(int(body.partition(".")[0]), UTC)

    def use_refresh_token(self, token: str, issued_at: datetime) -> bool:
        """False when it was not used for 90 days; else its use is noted."""
        now = self._now()
        if now - max(issued_at, self._used_at.get(token, issued_at)) >= INACTIVITY:
            return False
        if len(self._used_at) >= _KEPT_TOKENS:
            self._used_at.clear()
        self._used_at[token] = now
        return True

    def _signed(self, claims: dict[str, object], kind: str) -> str:
        key = signing_key(_SEED)
        return jwt.encode({"alg": "ES256", "typ": kind, "kid": key.kid}, claims, key, algorithms=["ES256"])


def token_keys() -> dict[str, object]:
    """The public keys of access tokens."""
    return public_jwks(_SEED)


def _checksum(body: str) -> str:
    digest = hmac.new(_CHECK_KEY, body.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
