"""An issuer of callers' tokens that signs whatever it is asked to, and publishes its keys over real HTTP."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from structlog.testing import capture_logs

from gateway.authentication import Authenticator, Unauthenticated
from gateway.caller_tokens import TokenRules
from gateway.issuer_keys import FixedKeys
from services.authorization import Caller

ISSUER = "https://issuer.example/"
AUDIENCE = "gateway"
NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
KEYS = {"keys": [key.as_dict(private=False) for key in (RSA, EC, ED)]}
RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "ann",
    "name": "Ann",
    "kind": "partner",
    "permissions": ["READ"],
    "exp": SECONDS + 600,
}


class Signing(JWSRegistry):
    """Signs whatever it is given: an issuer that keeps to no rule."""

    def get_alg(self, name: str) -> JWSAlgModel:
        return self.algorithms[name]

    def check_header(self, header: dict[str, Any]) -> None:
        pass


SIGNING = Signing()


def sign(claims: dict[str, Any] | str, header: dict[str, Any] | None = None, key: Any = EC) -> str:
    """A token with these claims (a text is taken as the JSON itself) and changes of the header."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    whole = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid} | (header or {})
    return jws.serialize_compact({k: v for k, v in whole.items() if v is not None}, payload, key, registry=SIGNING)


def encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", b"Bearer " + token.encode())]


def authenticator(rules: TokenRules = RULES, **options: Any) -> Authenticator:
    return Authenticator(rules, FixedKeys(KEYS), now=lambda: NOW, **options)


async def accept(token: str, rules: TokenRules = RULES) -> Caller:
    return await authenticator(rules).authenticate(bearer(token))


async def refuse(headers: list[tuple[bytes, bytes]], rules: TokenRules = RULES) -> str:
    """Asserts the one answer that every bad token gets, and gives the cause that the log holds."""
    with capture_logs() as logs, pytest.raises(Unauthenticated) as caught:
        await authenticator(rules).authenticate(headers)
    assert caught.value.message == "Your token is not valid or has expired. Get a new one and try again."
    assert caught.value.challenge == 'Bearer error="invalid_token"'
    assert (caught.value.status, caught.value.code) == (401, "UNAUTHENTICATED")
    [entry] = logs
    assert entry["event"] == "caller_refused"
    return str(entry["reason"])


class Ticking:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Issuer:
    """An issuer of callers' tokens: a real server whose answer can be changed."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/keys"
        self.requests: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = json.dumps(KEYS).encode()
        self.delay_seconds = 0.0


@contextmanager
def publishing() -> Iterator[Issuer]:
    """An issuer that answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.requests.append(self.path)
            time.sleep(published.delay_seconds)
            self.send_response(published.status)
            for name, value in published.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(published.body)))
            self.end_headers()
            self.wfile.write(published.body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    published = Issuer(server)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield published
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with publishing() as published:
        yield published
