"""A sandbox and gateways over it, each a process of its own, started for a run and stopped with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.issuer import AUDIENCE, ISSUER, sign_token

ROOT = Path(__file__).parent.parent
STOP_SECONDS = 90
PERMISSIONS = (
    *("READ", "WRITE_USERS", "WRITE_LICENSES", "WRITE_ROLES"),
    *("DELETE_USERS", "RESET_PASSWORDS", "MANAGE_ADMINS", "READ_AUDIT"),
)


@dataclass(frozen=True)
class Replica:
    url: str
    pid: int
    log: Path

    def resident_mib(self) -> float:
        """The memory of the process that is in use now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the process is gone")


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    request_id: str
    status: int
    """0 where the connection was dropped."""

    @property
    def has_failed(self) -> bool:
        return self.status == 0 or self.status == 429 or self.status >= 500

    @property
    def has_written(self) -> bool:
        return self.method != "GET" and 200 <= self.status < 300


@dataclass(frozen=True)
class System:
    """What runs: gateways over one sandbox."""

    sandbox_url: str
    replicas: list[Replica]

    def order_faults(self, *rules: Mapping[str, object]) -> None:
        httpx.post(f"{self.sandbox_url}/sandbox/faults", json={"rules": list(rules)}).raise_for_status()

    def take_calls(self) -> list[Call]:
        """What the sandbox was asked since the last look, token requests aside. Nothing may be under way."""
        calls = httpx.get(f"{self.sandbox_url}/sandbox/calls", timeout=60).raise_for_status().json()["calls"]
        httpx.delete(f"{self.sandbox_url}/sandbox/calls", timeout=60).raise_for_status()
        return [
            Call(each["method"], each["path"], each["request_id"], each["status"] or 0)
            for each in calls
            if "/oauth2/" not in each["path"]
        ]


@contextmanager
def running_system(replicas: int = 1, **settings: str) -> Iterator[System]:
    """Starts everything anew, and ends it with the block; raises where a gateway does not end well."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        lines = stack.enter_context(_running(folder / "sandbox.log", {}, "sandbox", "--port", "0"))[1]
        connection = dict(line.split("=", 1) for line in lines)
        started = []
        for number in range(replicas):
            log = folder / f"gateway-{number}.log"
            given = connection | {"GATEWAY_DRAIN_ACCEPT_SECONDS": "0"} | settings
            process, said = stack.enter_context(_running(log, given, "serve", "--port", "0"))
            started.append(Replica(said[0].split()[1].removesuffix("/graphql"), process.pid, log))
        yield System(connection["GATEWAY_PARTNER_CENTER_URL"], started)


@contextmanager
def _running(
    log: Path, settings: Mapping[str, str], command: str, *options: str
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")} | dict(settings)
    arguments = [sys.executable, "-m", "gateway", command, *options]
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(  # noqa: S603  # our own program
            arguments, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(9 if command == "sandbox" else 1)]
            if not all(lines):
                raise RuntimeError(f"it did not start: {log.read_text()}")
            yield process, lines
            process.terminate()
            if status := process.wait(STOP_SECONDS):
                raise RuntimeError(f"gateway {command} ended with {status}: {log.read_text()[-2000:]}")
        finally:
            if process.poll() is None:
                process.kill()


def bearer(subject: str) -> str:
    """The `Authorization` of a partner of that name who may everything."""
    claims: dict[str, object] = {
        **{"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "name": "Soak", "kind": "partner"},
        **{"exp": int(time.time()) + 12 * 3600, "permissions": list(PERMISSIONS)},
    }
    return f"Bearer {sign_token(claims)}"
