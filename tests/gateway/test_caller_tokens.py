"""A forged token for each rule that keeps others out, and the one answer that all of them get."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode

import pytest
from joserfc.jwk import RSAKey

from gateway.authentication import Unauthenticated, UnknownKind
from tests.token_issuer import (
    CLAIMS,
    EC,
    ISSUER,
    SECONDS,
    TENANT,
    accept,
    authenticator,
    bearer,
    encode,
    refuse,
    sign,
)


async def test_without_a_token_the_answer_says_what_to_send():
    with pytest.raises(Unauthenticated) as caught:
        await authenticator().authenticate([(b"cookie", b"token=x"), (b"x-authorization", b"Bearer x")])

    assert caught.value.message == "This needs a token: send the header Authorization: Bearer <token>."
    assert caught.value.challenge == "Bearer"


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"", "no bearer token"),
        (b"Basic YTpi", "no bearer token"),
        (b"Bearer", "no bearer token"),
        (b"Bearer a b", "no bearer token"),
        (b"Bearer a.b=.c", "no bearer token"),
        (b"Bearer \xff", "no bearer token"),
        (b"Bearer " + b"a" * 8192, "longer than 8 KiB"),
        (b"Bearer a.b", "not of three parts"),
        (b"Bearer a.b.c.d.e", "not of three parts"),
        (b"Bearer ..", "encoding"),
        (b"Bearer e30.e30.e31", "encoding"),
        (b"Bearer e30.e30.e30", "typ"),
        (b"Bearer W10.e30.e30", "JSON"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_no_bearer_token_is_refused(value, cause):
    assert await refuse([(b"Authorization", value)]) == cause


async def test_two_authorization_headers_are_refused_though_both_are_good():
    token = sign(CLAIMS)

    assert await refuse(bearer(token) + bearer(token)) == "more than one Authorization header"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"kid": "other"}, "key unknown"),
        ({"kid": None}, "kid"),
        ({"kid": 7}, "kid"),
        ({"typ": None}, "typ"),
        ({"typ": "id+jwt"}, "typ"),
        ({"nonce": "x"}, "header nonce"),
        ({"zip": "DEF"}, "header zip"),
        ({"enc": "A256GCM"}, "header enc"),
    ],
    ids=str,
)
async def test_a_header_that_says_too_little_or_too_much_is_refused(changes, cause):
    assert await refuse(bearer(sign(CLAIMS, changes))) == cause


def forged(header: str, token: str) -> str:
    return ".".join([encode(header.encode()), *token.split(".")[1:]])


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ('{"alg":"none","typ":"at+jwt","kid":"ec"}', "alg"),
        ('{"alg":"HS256","typ":"at+jwt","kid":"ec"}', "alg"),
        ('{"alg":"RS512","typ":"at+jwt","kid":"rsa"}', "alg"),
        ('{"alg":"ES256","typ":"at+jwt","kid":"ec","crit":["exp"]}', "header crit"),
        ('{"alg":"ES256","typ":"at+jwt","kid":"ec","b64":false}', "header b64"),
        ('{"alg":"ES256","typ":"at+jwt","kid":"rsa","kid":"ec"}', "a member occurs twice"),
        ('{"alg":"ES256","typ":"at+jwt","kid":"rsa"}', "alg is not the key's"),
        ('{"alg":"EdDSA","typ":"at+jwt","kid":"ec"}', "alg is not the key's"),
        ('{"alg":"ES256","typ":"at+jwt","kid":"ec","x":1}', "signature"),
        ('{"alg":"ES256","typ":"at+jwt","kid":"ec","x":NaN}', "a number that is none"),
        ("[" * 3000, "JSON"),
        ('{"x":' + "9" * 5000 + "}", "JSON"),
    ],
    ids=lambda value: value[:60],
)
async def test_a_header_that_was_not_signed_is_refused(header, cause):
    assert await refuse(bearer(forged(header, sign(CLAIMS)))) == cause


async def test_a_public_key_is_no_shared_secret():
    header = b'{"alg":"HS256","typ":"at+jwt","kid":"ec"}'
    signed = f"{encode(header)}.{encode(json.dumps(CLAIMS).encode())}"
    signature = hmac.digest(EC.as_pem(private=False), signed.encode(), "sha256")

    assert await refuse(bearer(f"{signed}.{encode(signature)}")) == "alg"


async def test_a_changed_payload_or_signature_is_refused():
    head, _, signature = sign(CLAIMS).split(".")
    payload = encode(json.dumps(CLAIMS | {"sub": "root"}).encode())
    assert await refuse(bearer(f"{head}.{payload}.{signature}")) == "signature"

    head, payload, signature = sign(CLAIMS).split(".")
    flipped = bytearray(urlsafe_b64decode(signature + "=="))
    flipped[0] ^= 1
    assert await refuse(bearer(f"{head}.{payload}.{encode(bytes(flipped))}")) == "signature"
    assert await refuse(bearer(f"{head}.{payload}.AA")) == "signature"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"iss": ISSUER[:-1]}, "claims: InvalidClaimError"),
        ({"iss": [ISSUER]}, "claims: InvalidClaimError"),
        ({"iss": None}, "claims: MissingClaimError"),
        ({"aud": "other"}, "claims: InvalidClaimError"),
        ({"aud": ["gateway2"]}, "claims: InvalidClaimError"),
        ({"aud": None}, "claims: MissingClaimError"),
        ({"aud": []}, "claims: InvalidClaimError"),
        ({"exp": None}, "claims: MissingClaimError"),
        ({"exp": SECONDS - 30}, "claims: ExpiredTokenError"),
        ({"exp": str(SECONDS + 600)}, "claims: InvalidClaimError"),
        ({"exp": True}, "claims: InvalidClaimError"),
        ({"exp": 10**400}, "exp"),
        ({"nbf": SECONDS + 31}, "claims: InvalidClaimError"),
        ({"iat": SECONDS + 31}, "claims: InvalidClaimError"),
        ({"iat": SECONDS - 86_431}, "older than a day"),
        ({"iat": -(10**400)}, "older than a day"),
        ({"sub": None}, "claims: MissingClaimError"),
        ({"sub": ""}, "claims: InvalidClaimError"),
        ({"sub": 7}, "claims: InvalidClaimError"),
        ({"sub": "x" * 257}, "sub"),
        ({"sub": "\ud800"}, "sub"),
        ({"nonce": "x"}, "nonce"),
        ({"tenant_ids": TENANT}, "tenant_ids"),
        ({"tenant_ids": ["contoso"]}, "tenant_ids"),
        ({"tenant_ids": [TENANT + "\n"]}, "tenant_ids"),
        ({"tenant_ids": [None]}, "tenant_ids"),
        ({"permissions": "READ"}, "permissions"),
        ({"kind": "reseller", "reseller_id": "contoso"}, "reseller_id"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_claims_that_break_a_rule_are_refused(changes, cause):
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}

    assert await refuse(bearer(sign(claims))) == cause


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (json.dumps(CLAIMS)[:-1] + ',"sub":"root"}', "a member occurs twice"),
        (json.dumps(CLAIMS | {"exp": "X"}).replace('"X"', "Infinity"), "a number that is none"),
        (json.dumps(CLAIMS | {"exp": "X"}).replace('"X"', "1e999"), "claims: InvalidClaimError"),
        ("[]", "JSON"),
        ("not JSON", "JSON"),
    ],
    ids=["twice", "infinity", "large", "list", "text"],
)
async def test_a_signed_payload_that_is_no_plain_object_is_refused(payload, cause):
    assert await refuse(bearer(sign(payload))) == cause


@pytest.mark.parametrize("kind", [None, "Partner", "admin", 7, ["partner"]])
async def test_a_good_token_of_an_unknown_kind_is_forbidden_rather_than_refused(kind):
    claims = {name: value for name, value in (CLAIMS | {"kind": kind}).items() if value is not None}

    with pytest.raises(UnknownKind) as caught:
        await accept(sign(claims))

    assert (caught.value.status, caught.value.code, caught.value.challenge) == (403, "NOT_PERMITTED", None)


async def test_addresses_and_keys_in_a_header_are_ignored(issuer):
    foreign = RSAKey.generate_key(2048)
    for header in (
        {"jku": issuer.url, "x5u": issuer.url, "x5c": ["x" * 900]},
        {"jwk": foreign.as_dict(private=False)},
    ):
        assert (await accept(sign(CLAIMS, header))).subject == "ann"
    assert issuer.requests == []
