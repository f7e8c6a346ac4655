"""The issuer of callers' tokens: who signs for those that call the gateway in sandbox mode.

Has nothing to do with Microsoft's token endpoint, which `sandbox.tokens` stands in for. The key is derived
from a fixed seed, so `sign_token` needs no running server; `jwks` is served at `/.well-known/jwks.json`.
"""

from __future__ import annotations

from collections.abc import Mapping

from joserfc import jwt

from sandbox.keys import public_jwks, signing_key

ISSUER = "https://issuer.sandbox.invalid"
AUDIENCE = "https://gateway.sandbox.invalid"
JWKS_PATH = "/.well-known/jwks.json"

_SEED = "sandbox issuer of callers' tokens, key 1"


def sign_token(claims: Mapping[str, object]) -> str:
    """A JWT (RFC 9068: `typ` is `at+jwt`) with exactly these claims; `iss`, `aud`, `exp` are the caller's to
    give."""
    key = signing_key(_SEED)
    header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    return jwt.encode(header, dict(claims), key, algorithms=["ES256"])


def jwks() -> dict[str, object]:
    return public_jwks(_SEED)


def discovery(base_url: str) -> dict[str, object]:
    """The issuer's metadata (RFC 8414), as seen under the address it was asked at."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{base_url}{JWKS_PATH}",
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
    }
