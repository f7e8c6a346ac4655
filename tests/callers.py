"""Callers with tokens of the sandbox's issuer, as `gateway token` makes them."""

from __future__ import annotations

import time

from sandbox.issuer import AUDIENCE, ISSUER, sign_token

EVERYTHING = (
    "READ",
    "WRITE_USERS",
    "WRITE_LICENSES",
    "WRITE_ROLES",
    "RESET_PASSWORDS",
    "DELETE_USERS",
    "MANAGE_ADMINS",
    "READ_AUDIT",
)


def bearer(
    kind: str = "partner",
    permissions: tuple[str, ...] = EVERYTHING,
    *,
    reseller_id: str | None = None,
    tenant_ids: list[str] | None = None,
    subject: str | None = None,
) -> str:
    """The value of an `Authorization` header for a caller of this kind."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 3600,
        "sub": subject or f"test {kind}",
        "name": f"Test {kind}",
        "kind": kind,
        "permissions": list(permissions),
    }
    if reseller_id is not None:
        claims["reseller_id"] = reseller_id
    if tenant_ids is not None:
        claims["tenant_ids"] = tenant_ids
    return f"Bearer {sign_token(claims)}"


def without(*permissions: str) -> tuple[str, ...]:
    """Every permission but these."""
    return tuple(each for each in EVERYTHING if each not in permissions)
