"""The stand-in as a process of its own, and what a gateway and its callers need to use it."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks import standin
from benchmarks.measuring import free_port, running

AUDIENCE = "gateway-bench"


class Upstream:
    """A running stand-in, which also is the issuer of the callers' tokens."""

    def __init__(self, stack: ExitStack, folder: Path, *, tenants: int = standin.TENANTS) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"})
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [self._key.as_dict(private=False)]}))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "benchmarks.standin", str(port), str(jwks), str(tenants)]
        self.program = stack.enter_context(running("standin", port, command, {}, core=0, folder=folder))

    def hold_back(self, milliseconds: float) -> None:
        """Lets every call from now on take so long."""
        self._ask(f"/__config?latency_ms={milliseconds}")

    def calls(self) -> int:
        """How many calls were made so far."""
        return self._ask("/__calls")

    def _ask(self, path: str) -> int:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:  # noqa: S310  # our own program
            calls: int = json.load(answer)["calls"]
            return calls

    def authorization(self, subject: str = "bench") -> str:
        """The `Authorization` of a partner of that name who may read."""
        now = int(time.time())
        who: dict[str, object] = {"sub": subject, "name": "Bench", "kind": "partner", "permissions": ["READ"]}
        claims = who | {"iss": f"{self.url}/", "aud": AUDIENCE, "iat": now, "exp": now + 86_400}
        return f"Bearer {jwt.encode({'alg': 'RS256', 'kid': 'bench', 'typ': 'at+jwt'}, claims, self._key)}"

    def settings(self) -> dict[str, str]:
        """What a gateway needs to ask it, and to know its callers."""
        return {
            "GATEWAY_PARTNER_CENTER_URL": self.url,
            "GATEWAY_PARTNER_CENTER_TOKEN_URL": f"{self.url}/oauth2/token",
            "GATEWAY_PARTNER_CENTER_TENANT_ID": "11111111-1111-4111-8111-111111111111",
            "GATEWAY_PARTNER_CENTER_CLIENT_ID": "22222222-2222-4222-8222-222222222222",
            "GATEWAY_PARTNER_CENTER_CLIENT_SECRET": "bench",
            "GATEWAY_PARTNER_CENTER_REFRESH_TOKEN": "bench",
            "GATEWAY_AUTH_ISSUER": f"{self.url}/",
            "GATEWAY_AUTH_AUDIENCE": AUDIENCE,
            "GATEWAY_AUTH_JWKS_URL": f"{self.url}/__jwks",
        }
