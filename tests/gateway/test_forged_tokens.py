"""Forged tokens at the front door of a gateway outside the sandbox: for each rule one that breaks it alone.

All of them get the same answer, no address in a token is ever asked, and Microsoft is asked nothing. What each
cause is called in the log stands in test_caller_tokens.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, RSAKey

from gateway.app import create_app
from gateway.config import ConfigError, MissingSettings, Settings, variables
from sandbox.app import create_app as create_sandbox
from sandbox.issuer import AUDIENCE as SANDBOX_AUDIENCE
from sandbox.issuer import ISSUER as SANDBOX_ISSUER
from sandbox.issuer import jwks, sign_token
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from tests.gateway_client import SANDBOX_URL, Gateway, running_gateway
from tests.token_issuer import AUDIENCE, ED, ISSUER, KEYS, RSA, Issuer, encode, publishing, sign

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = {"query": "{ viewer { name kind } }"}
REFUSED = "Your token is not valid or has expired. Get a new one and try again."
STRANGE_EC = ECKey.generate_key("P-256", {"kid": "ec"})
STRANGE_RSA = RSAKey.generate_key(2048, {"kid": "rsa"})


class Front:
    """The gateway, its issuer, and a listener that every address in a token leads to."""

    def __init__(self, gateway: Gateway, issuer: Issuer, trap: Issuer) -> None:
        self.gateway = gateway
        self.issuer = issuer
        self.trap = trap

    async def ask(self, *authorizations: bytes, **given: Any) -> httpx.Response:
        lines = [(b"Authorization", value) for value in authorizations]
        headers = [*lines, *given.pop("headers", [])]
        return await self.gateway.http.post("/graphql", **{"json": ASK} | given, headers=headers)


@asynccontextmanager
async def guarded(**auth: str) -> AsyncIterator[Gateway]:
    """A gateway outside the sandbox that trusts this issuer."""
    sandbox = SandboxState()
    environ = connection_settings(SANDBOX_URL) | {f"GATEWAY_AUTH_{name.upper()}": text for name, text in auth.items()}
    app = create_app(Settings.from_env(environ, sandbox=False), http=httpx.ASGITransport(create_sandbox(sandbox)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://gateway.example") as http,
    ):
        yield Gateway(http, sandbox)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Front]:
    with publishing() as issuer, publishing() as trap:
        # Whoever asks here is handed keys that would open the door.
        trap.body = json.dumps({"keys": [key.as_dict(private=False) for key in (STRANGE_EC, STRANGE_RSA)]}).encode()
        async with guarded(issuer=ISSUER, audience=AUDIENCE, jwks_url=issuer.url) as gateway:
            yield Front(gateway, issuer, trap)


@pytest.fixture
def nobody_else_is_asked(front):
    """Neither an address from a token, nor Microsoft; the issuer only at its one address."""
    front.gateway.sandbox.calls.clear()
    yield
    assert front.trap.requests == []
    assert front.gateway.sandbox.calls.total == 0
    assert set(front.issuer.requests) <= {"/keys"}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "kind": "partner",
        "permissions": ["READ"],
        "iat": now,
        "exp": now + 600,
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def seconds(offset: float) -> int:
    return int(time.time() + offset)


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def unsigned(header: dict[str, Any] | str, signature: bytes = b"") -> str:
    text = header if isinstance(header, str) else json.dumps(header)
    return f"{encode(text.encode())}.{encode(json.dumps(claims()).encode())}.{encode(signature)}"


def by_hmac(secret: bytes, algorithm: str = "HS256") -> str:
    """Signed with what everybody knows: the public key, taken for a shared secret."""
    signed = unsigned({"alg": algorithm, "typ": "at+jwt", "kid": "rsa"}).rpartition(".")[0]
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


def padded(token: str) -> str:
    return ".".join(part + "=" * (-len(part) % 4 or 4) for part in token.split("."))


def standard_alphabet(token: str) -> str:
    """With a `/` or `+` where base64url has `_` or `-`."""
    return token.replace("-", "+").replace("_", "/") if {"-", "_"} & set(token) else token + "+"


def detached() -> str:
    """RFC 7797: a payload that is not encoded."""
    return sign(claims(), {"b64": False, "crit": ["b64"]})


def with_trap(front: Front, **header: Any) -> str:
    return sign(claims(), {name: value.replace("TRAP", front.trap.url) for name, value in header.items()}, STRANGE_EC)


FORGED = {
    "alg none": lambda _: unsigned({"alg": "none", "typ": "at+jwt", "kid": "ec"}),
    "alg None": lambda _: unsigned({"alg": "None", "typ": "at+jwt", "kid": "ec"}, b"x" * 64),
    "no alg": lambda _: unsigned({"typ": "at+jwt", "kid": "ec"}, b"x" * 64),
    "alg a list": lambda _: unsigned({"alg": ["ES256"], "typ": "at+jwt", "kid": "ec"}, b"x" * 64),
    "HS256 with the public key as PEM": lambda _: by_hmac(RSA.as_pem(private=False)),
    "HS256 with the public key as DER": lambda _: by_hmac(RSA.as_der(private=False)),
    "HS256 with the public key as JSON": lambda _: by_hmac(json.dumps(KEYS["keys"][0]).encode()),
    "HS256 with nothing": lambda _: by_hmac(b""),
    "RS512": lambda _: sign(claims(), {"alg": "RS512"}, RSA),
    "no signature": lambda _: sign(claims()).rpartition(".")[0] + ".",
    "a signature of zeros": lambda _: sign(claims()).rpartition(".")[0] + "." + encode(b"\0" * 64),
    "a stranger's key under a known kid": lambda _: sign(claims(), key=STRANGE_EC),
    "an unknown kid": lambda _: sign(claims(), {"kid": "other"}),
    "no kid": lambda _: sign(claims(), {"kid": None}),
    "a kid that is a path": lambda _: sign(claims(), {"kid": "../../dev/null"}),
    "a kid of a key of another type": lambda _: sign(claims(), {"kid": "rsa"}),
    "an algorithm of another type": lambda _: unsigned({"alg": "RS256", "typ": "at+jwt", "kid": "ec"}, b"x" * 256),
    "jku": lambda front: with_trap(front, jku="TRAP"),
    "x5u": lambda front: with_trap(front, x5u="TRAP"),
    "jku with a kid that is known there alone": lambda front: with_trap(front, jku="TRAP", kid="trap"),
    "jwk": lambda _: sign(claims(), {"jwk": STRANGE_EC.as_dict(private=False)}, STRANGE_EC),
    "x5c": lambda _: sign(claims(), {"x5c": ["MIIB"]}, STRANGE_EC),
    "iss an address": lambda front: sign(claims(iss=front.trap.url)),
    "crit": lambda _: sign(claims(), {"crit": ["exp"]}),
    "crit of nothing": lambda _: sign(claims(), {"crit": []}),
    "b64": lambda _: detached(),
    "b64 true": lambda _: sign(claims(), {"b64": True}),
    "zip": lambda _: sign(claims(), {"zip": "DEF"}),
    "five parts": lambda _: ".".join([encode(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), "a", "b", "c", "d"]),
    "cty JWT around another token": lambda _: sign(json.dumps(sign(claims())), {"cty": "JWT"}),
    "a member twice in the header": lambda _: unsigned('{"alg":"ES256","typ":"at+jwt","kid":"ec","kid":"ec"}', b"x"),
    "a member twice in the claims": lambda _: sign(json.dumps(claims())[:-1] + ',"kind":"partner"}'),
    "a member twice further down": lambda _: sign(json.dumps(claims())[:-1] + ',"x":{"a":1,"a":2}}'),
    "padding": lambda _: padded(sign(claims())),
    "the other alphabet": lambda _: standard_alphabet(sign(claims())),
    "a blank within": lambda _: sign(claims()).replace(".", ". ", 1),
    "claims that are no object": lambda _: sign("[]"),
    "claims that are no JSON": lambda _: sign("{"),
    "claims far too deep": lambda _: sign("[" * 3_000),
    "typ JWT": lambda _: sign(claims(), {"typ": "JWT"}),
    "typ id+jwt": lambda _: sign(claims(), {"typ": "id+jwt"}),
    "no typ": lambda _: sign(claims(), {"typ": None}),
    "nonce": lambda _: sign(claims(nonce="n")),
    "nonce in the header": lambda _: sign(claims(), {"nonce": "n"}),
    "no aud": lambda _: sign(claims(aud=None)),
    "aud empty": lambda _: sign(claims(aud=[])),
    "aud of somebody else": lambda _: sign(claims(aud="other")),
    "aud longer": lambda _: sign(claims(aud=f"{AUDIENCE}2")),
    "aud in another case": lambda _: sign(claims(aud=AUDIENCE.upper())),
    "aud an object": lambda _: sign(claims(aud={AUDIENCE: True})),
    "no iss": lambda _: sign(claims(iss=None)),
    "iss without its last byte": lambda _: sign(claims(iss=ISSUER[:-1])),
    "iss with one byte more": lambda _: sign(claims(iss=f"{ISSUER}/")),
    "iss in another case": lambda _: sign(claims(iss=ISSUER.upper())),
    "iss in a list": lambda _: sign(claims(iss=[ISSUER])),
    "no exp": lambda _: sign(claims(exp=None)),
    "exp over": lambda _: sign(claims(exp=seconds(-31))),
    "exp a text": lambda _: sign(claims(exp=str(seconds(60)))),
    "exp infinite": lambda _: sign(json.dumps(claims(exp="X")).replace('"X"', "Infinity")),
    "exp not a number": lambda _: sign(json.dumps(claims(exp="X")).replace('"X"', "NaN")),
    "exp too large for a float": lambda _: sign(json.dumps(claims(exp="X")).replace('"X"', "1e999")),
    "exp too large for a date": lambda _: sign(claims(exp=10**400)),
    "exp true": lambda _: sign(claims(exp=True)),
    "nbf to come": lambda _: sign(claims(nbf=seconds(40))),
    "nbf a text": lambda _: sign(claims(nbf="0")),
    "iat to come": lambda _: sign(claims(iat=seconds(40))),
    "iat a text": lambda _: sign(claims(iat="0")),
    "iat infinite": lambda _: sign(json.dumps(claims(iat="X")).replace('"X"', "-1e999")),
    "older than a day": lambda _: sign(claims(iat=seconds(-86_400 - 40))),
    "no iat, and longer than a day": lambda _: sign(claims(iat=None, exp=seconds(86_400 + 60))),
    "no sub": lambda _: sign(claims(sub=None)),
    "sub empty": lambda _: sign(claims(sub="")),
    "sub blank": lambda _: sign(claims(sub=" ")),
    "sub of 257 characters": lambda _: sign(claims(sub="x" * 257)),
    "sub a number": lambda _: sign(claims(sub=7)),
    "sub of two lines": lambda _: sign(claims(sub="a\nb")),
    "tenant_ids no list": lambda _: sign(claims(tenant_ids="x")),
    "tenant_ids no GUIDs": lambda _: sign(claims(tenant_ids=["contoso.onmicrosoft.com"])),
    "tenant_ids null": lambda _: sign(json.dumps(claims())[:-1] + ',"tenant_ids":null}'),
    "permissions a text": lambda _: sign(claims(permissions="READ WRITE_USERS")),
    "longer than 8 KiB": lambda _: sign(claims(name="x" * 7_000)),
    "of the sandbox's issuer": lambda _: sign_token(claims(iss=SANDBOX_ISSUER, aud=SANDBOX_AUDIENCE)),
    "of the sandbox's key": lambda _: sign_token(claims()),
}


def assert_refused(response: httpx.Response) -> None:
    """The whole of what a bad token is answered, whatever is wrong with it."""
    assert response.status_code == 401
    assert response.headers.get_list("www-authenticate") == ['Bearer error="invalid_token"']
    assert response.json() == {"errors": [{"message": REFUSED, "extensions": {"code": "UNAUTHENTICATED"}}]}


@pytest.mark.usefixtures("nobody_else_is_asked")
@pytest.mark.parametrize("rule", FORGED)
async def test_a_token_that_breaks_one_rule_is_refused_like_every_other(front, rule):
    assert_refused(await front.ask(bearer(FORGED[rule](front))))


def accepted(front: Front) -> dict[str, bytes]:
    good = sign(claims())
    addresses = {"jku": front.trap.url, "x5u": front.trap.url, "x5c": ["MIIB"], "jwk": STRANGE_EC.as_dict()}
    return {
        "ES256": bearer(good),
        "RS256": bearer(sign(claims(), {"alg": "RS256"}, RSA)),
        "PS256": bearer(sign(claims(), {"alg": "PS256"}, RSA)),
        "EdDSA": bearer(sign(claims(), {"alg": "EdDSA"}, ED)),
        "a whole media type": bearer(sign(claims(), {"typ": "application/at+jwt"})),
        "lower-case scheme": b"bearer " + good.encode(),
        "upper-case scheme": b"BEARER  " + good.encode(),
        "addresses and keys in the header": bearer(sign(claims(), addresses)),
        "one audience of several": bearer(sign(claims(aud=["other", AUDIENCE]))),
        "over, within the leeway": bearer(sign(claims(exp=seconds(-20)))),
        "to come, within the leeway": bearer(sign(claims(nbf=seconds(25), iat=seconds(25)))),
        "a day old, within the leeway": bearer(sign(claims(iat=seconds(-86_400 - 20)))),
        "a fraction of a second": bearer(sign(claims(exp=time.time() + 60.5))),
        "no iat": bearer(sign(claims(iat=None))),
        "sub of 256 characters": bearer(sign(claims(sub="x" * 256))),
        "unknown permissions": bearer(sign(claims(permissions=["FLY", 7, None, "READ"]))),
        "nearly 8 KiB": bearer(sign(claims(name="x" * 5_500))),
    }


@pytest.mark.usefixtures("nobody_else_is_asked")
async def test_what_keeps_to_the_rules_is_let_in(front):
    for name, authorization in accepted(front).items():
        response = await front.ask(authorization)
        assert response.status_code == 200, f"{name}: {response.text}"
        assert response.json()["data"]["viewer"]["kind"] == "PARTNER", name


@pytest.mark.usefixtures("nobody_else_is_asked")
@pytest.mark.parametrize("kind", [None, "", "Partner", "admin", 7, ["partner"]], ids=str)
async def test_a_good_token_of_no_known_kind_is_403(front, kind):
    response = await front.ask(bearer(sign(claims(kind=kind))))

    assert response.status_code == 403
    assert "www-authenticate" not in response.headers
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_PERMITTED"


@pytest.mark.usefixtures("nobody_else_is_asked")
@pytest.mark.parametrize(
    "authorizations",
    [
        (b"",),
        (b"Bearer",),
        (b"Bearer ",),
        (b"Basic YTpi",),
        (b"Bearer GOOD, Bearer GOOD",),
        (b"Bearer GOOD", b"Bearer GOOD"),
        (b"Bearer GOOD", b"Basic YTpi"),
        (b"Bearer GOOD GOOD",),
        (b"GOOD",),
        (b"Token GOOD",),
        (b"Bearer\tGOOD",),
        (b"Bearer " + b"x" * 9_000,),
        (b"Bearer \xc3\xa9",),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_only_one_header_with_one_bearer_token_counts(front, authorizations):
    good = sign(claims()).encode()

    assert_refused(await front.ask(*(value.replace(b"GOOD", good) for value in authorizations)))


@pytest.mark.usefixtures("nobody_else_is_asked")
async def test_a_token_anywhere_but_in_its_header_is_none(front):
    """Such a request is one without a token: it is told what to send, and no more."""
    good = sign(claims())
    lines = [(b"Cookie", f"token={good}; access_token={good}; Authorization=Bearer {good}".encode())]
    lines += [
        (name, bearer(good)) for name in (b"X-Authorization", b"Proxy-Authorization", b"X-Forwarded-Authorization")
    ]
    asked: list[dict[str, Any]] = [
        {"headers": lines},
        {"params": {"access_token": good, "token": good, "authorization": f"Bearer {good}"}},
        {"json": ASK | {"access_token": good, "authorization": f"Bearer {good}"}},
        {"json": ASK | {"extensions": {"authorization": f"Bearer {good}"}}},
    ]
    for given in asked:
        response = await front.ask(**given)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.usefixtures("nobody_else_is_asked")
async def test_every_method_and_media_type_is_refused_alike(front):
    """Whoever is refused is not told what else would be wrong with the request."""
    bad = {"Authorization": "Bearer x"}
    http = front.gateway.http
    for response in (
        await http.get("/graphql", params={"query": "{ __typename }"}, headers=bad),
        await http.get("/graphql", params={"query": "mutation { x }"}, headers=bad),
        await http.post("/graphql", content=b"{", headers=bad | {"Content-Type": "application/json"}),
        await http.post("/graphql", content=b"x" * 2_000_000, headers=bad | {"Content-Type": "text/plain"}),
        await http.post("/graphql", json=ASK, headers=bad | {"Accept": "text/event-stream"}),
        await http.post("/graphql", json=ASK, headers=bad | {"Accept": "application/graphql-response+json"}),
    ):
        assert_refused(response)


# ── the sandbox's own issuer ─────────────────────────────────────────────────────────────────────


async def test_the_sandboxs_issuer_is_trusted_where_the_keys_come_from_a_sandbox_on_loopback():
    of_sandbox = bearer(sign_token(claims(iss=SANDBOX_ISSUER, aud=SANDBOX_AUDIENCE)))
    with publishing() as sandboxs:
        sandboxs.body = json.dumps(jwks()).encode()
        async with guarded(issuer=SANDBOX_ISSUER, audience=SANDBOX_AUDIENCE, jwks_url=sandboxs.url) as gateway:
            answer = await gateway.ask("{ viewer { kind } }", Authorization=of_sandbox.decode())

    assert answer["data"] == {"viewer": {"kind": "PARTNER"}}
    assert sandboxs.requests == ["/keys"]


async def test_in_a_sandbox_a_bad_token_is_refused_and_never_the_demo_partner(front):
    async with running_gateway(SandboxState()) as gateway:
        for rule in FORGED:
            forged = FORGED[rule](front)
            response = await gateway.http.post("/graphql", json=ASK, headers={"Authorization": f"Bearer {forged}"})
            if rule == "of the sandbox's issuer":
                assert response.json()["data"]["viewer"]["name"] == "ann"
            else:
                assert_refused(response)
        demo = await gateway.http.post("/graphql", json=ASK)
    assert demo.json()["data"]["viewer"]["name"] == "Demo partner"


@pytest.mark.parametrize("name", sorted(connection_settings("https://real.example")))
async def test_no_setting_of_the_real_partner_center_or_issuer_goes_with_the_sandbox(name, tmp_path):
    value = connection_settings("https://real.example")[name]
    secret = tmp_path / "secret"
    secret.write_text(value)
    for environ in ({name: value}, {f"{name}_FILE": str(secret)}):
        if next(iter(environ)) in variables():
            with pytest.raises(ConfigError, match=f"^{name} cannot be used with --sandbox"):
                Settings.from_env(environ, sandbox=True)


async def test_authentication_cannot_be_left_out_outside_the_sandbox():
    """Each of its three settings is required, and no other has to do with it."""
    whole = connection_settings("https://real.example")
    for name in ("GATEWAY_AUTH_ISSUER", "GATEWAY_AUTH_AUDIENCE", "GATEWAY_AUTH_JWKS_URL"):
        for environ in (whole | {name: ""}, {other: text for other, text in whole.items() if other != name}):
            with pytest.raises(MissingSettings, match=f"^{name} must be set"):
                Settings.from_env(environ, sandbox=False)
