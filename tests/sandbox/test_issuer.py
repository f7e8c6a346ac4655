"""The issuer of callers' tokens: fixed key, public half served, claims as given."""

from __future__ import annotations

from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from sandbox import issuer, keys


async def test_a_token_is_verified_by_the_served_keys(anonymous: httpx.AsyncClient) -> None:
    claims = {"sub": "someone", "kind": "partner", "permissions": ["READ"]}
    token = issuer.sign_token(claims)

    served = (await anonymous.get(issuer.JWKS_PATH)).json()
    found = jwt.decode(token, KeySet.import_key_set(served), algorithms=["ES256"])

    assert found.claims == claims
    assert found.header == {"alg": "ES256", "typ": "at+jwt", "kid": served["keys"][0]["kid"]}
    assert served == issuer.jwks()


def the_key() -> dict[str, Any]:
    served: Any = issuer.jwks()["keys"]
    (key,) = served
    return dict(key)


def test_the_key_is_the_same_after_every_start() -> None:
    keys.signing_key.cache_clear()

    assert the_key()["kid"] == "7185npWk1kj_dvW4oJstnlGpQUE-YT_K8z3yM3xo8vk"


def test_the_private_half_is_not_served() -> None:
    assert set(the_key()) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


async def test_discovery_names_the_fixed_issuer_and_the_keys_of_this_address(
    anonymous: httpx.AsyncClient,
) -> None:
    body = (await anonymous.get("/.well-known/openid-configuration")).json()

    assert (body["issuer"], body["jwks_uri"]) == (issuer.ISSUER, f"http://127.0.0.1{issuer.JWKS_PATH}")
