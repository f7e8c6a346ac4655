"""Signing keys that come from a fixed text, so that a token can be signed and checked though nothing runs.

They are no secret: whoever has this program has them. They sign for the sandbox only.
"""

from __future__ import annotations

import base64
import functools
import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

_ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@functools.cache
def signing_key(seed: str) -> ECKey:
    """The P-256 key of this seed, for ES256; its `kid` is its thumbprint."""
    secret = int.from_bytes(hashlib.sha512(seed.encode()).digest(), "big") % (_ORDER_OF_P256 - 1) + 1
    public = ec.derive_private_key(secret, ec.SECP256R1()).public_key().public_numbers()
    values: dict[str, str | list[str]] = {
        "kty": "EC",
        "crv": "P-256",
        "x": _encoded(public.x),
        "y": _encoded(public.y),
        "d": _encoded(secret),
        "use": "sig",
        "alg": "ES256",
    }
    key = ECKey.import_key(values)
    key.ensure_kid()
    return key


def public_jwks(seed: str) -> dict[str, object]:
    """The JWK set with the public half."""
    return {"keys": [signing_key(seed).as_dict(private=False)]}


def _encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
