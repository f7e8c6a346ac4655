"""Measures the gateway against a naive one over the same schema, workload by workload, in turn.

    python -m benchmarks.bench [--quick] [--rounds 3] [--only W3,W5] [--json FILE]

Needs Linux, and two cores to say much: load and stand-in have one, the gateways the other. Absolute figures belong to
the machine; read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import standin
from benchmarks.measuring import Program, free_port, load, pin, running
from benchmarks.over_standin import Upstream
from tests.redis_server import running_on_socket

HERE = Path(__file__).parent
LIMITS = {
    # What lets the workloads through; everything else is as it comes.
    "GATEWAY_MAX_PAGE_SIZE": "10000",
    "GATEWAY_MAX_COST_NODES": "10000000",
    "GATEWAY_MAX_COST_CALLS": "1000000",
    "GATEWAY_MAX_CALLER_RUNNING": "64",
    "GATEWAY_PARTNER_CENTER_MAX_IN_FLIGHT": "100",
    "GATEWAY_PARTNER_CENTER_MAX_IN_FLIGHT_PER_TENANT": "100",
    "GATEWAY_CACHE_BYTES": str(256 * 1024 * 1024),
}


@dataclass(frozen=True)
class Line:
    """A workload, with everything at hand (`hot`) or nothing (`cold`: each request has `no-cache`)."""

    workload: str
    cold: bool
    latency_ms: int
    connections: int
    proof: str
    count: int
    """How often the proof stands in a right answer."""

    @property
    def name(self) -> str:
        return f"{self.workload} {f'cold, {self.latency_ms} ms' if self.cold else 'hot'}"


LINES = [
    Line("W1", False, 0, 8, '"displayName"', 50),
    Line("W2", False, 0, 2, '"quantity"', 2000),
    Line("W3", False, 0, 2, '"displayName"', 1000),
    Line("W4", False, 0, 32, '"displayName"', 1),
    Line("W5", False, 0, 2, '"displayName"', 10_000),
    Line("W3", True, 0, 1, '"displayName"', 1000),
    Line("W2", True, 0, 1, '"quantity"', 2000),
    Line("W3", True, 20, 1, '"displayName"', 1000),
    Line("W2", True, 20, 1, '"quantity"', 2000),
]
NAIVE, OURS, ANEW = "naive", "ours", "ours, no answer given again"
FROM_REDIS = "ours, all from Redis each time"
"""As in a process that has just started: nothing at hand, everything in Redis."""
SKIPPED = {ANEW: "cold", FROM_REDIS: "cold W1 W2 W4 W5"}
"""Lines that say nothing new of a gateway."""
QUICK = {"W1 hot", "W2 hot", "W3 hot", "W4 hot", "W5 hot", "W3 cold, 0 ms"}


@dataclass(frozen=True)
class Figures:
    """One run of a line."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    calls: float


class Bench:
    """The stand-in and the gateways, started for one run."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._upstream = Upstream(stack, folder)
        redis_url, _ = stack.enter_context(running_on_socket())
        ours = LIMITS | self._upstream.settings()
        anew = ours | {"GATEWAY_ANSWER_BYTES": "0"}
        # Patient with Redis, which has no core of its own here.
        from_redis = {"GATEWAY_CACHE_BYTES": "0", "GATEWAY_REDIS_OPERATION_TIMEOUT_SECONDS": "5"}
        programs = {
            NAIVE: {"PARTNER_CENTER_URL": self._upstream.url},
            OURS: ours,
            ANEW: anew,
            FROM_REDIS: anew | from_redis | {"GATEWAY_REDIS_URL": redis_url},
        }
        self.gateways = [
            stack.enter_context(
                running(name, port := free_port(), command_of(name, port), environ, core=1, folder=folder)
            )
            for name, environ in programs.items()
        ]

    def measure(self, gateway: Program, line: Line, seconds: float, *, quick: bool) -> Figures:
        headers = {"Content-Type": "application/json", "Authorization": self._upstream.authorization()}
        if line.cold:
            headers["Cache-Control"] = "no-cache"
        body = body_of(line.workload)
        self._upstream.hold_back(line.latency_ms)
        most = (1 if quick else 3) if line.cold else 1_000_000
        with asyncio.Runner() as loop:
            # Once on each connection, all at the same time as after a start, so that a hot line finds everything at
            # hand, and a cold one all that is done but once.
            loop.run(load(gateway.port, body, headers, connections=line.connections, seconds=0, most=line.connections))
            calls, cpu = self._upstream.calls(), gateway.cpu_seconds()
            done = loop.run(
                load(
                    gateway.port,
                    body,
                    headers,
                    connections=line.connections,
                    seconds=60 if line.cold else seconds,
                    most=most,
                )
            )
        cpu, calls = gateway.cpu_seconds() - cpu, self._upstream.calls() - calls
        found = done.answer.count(line.proof.encode())
        if found != line.count or b'"errors"' in done.answer:
            raise RuntimeError(f"{gateway.name} {line.name}: {found} of {line.count}: {done.answer[:500]!r}")
        return Figures(done.per_second, done.p50_ms, done.p99_ms, cpu * 1000 / done.requests, calls / done.requests)


def command_of(name: str, port: int) -> list[str]:
    if name == NAIVE:
        server = ["uvicorn", "--http", "h11", "--loop", "asyncio", "--no-access-log", "--port", str(port)]
        return [sys.executable, "-m", *server, "benchmarks.naive.app:app"]
    return [sys.executable, "-m", "gateway", "serve", "--port", str(port)]


def body_of(workload: str) -> bytes:
    query = (HERE / "operations" / f"{workload}.graphql").read_text()
    ids = {
        "tenant": standin.guid(standin.TENANT, 0),
        "user": standin.guid(standin.USER, 0, 0),
        "giant": standin.guid(standin.TENANT, standin.GIANT),
    }
    return json.dumps(
        {"query": query, "variables": {name: id for name, id in ids.items() if f"${name}:" in query}}
    ).encode()


def middle(runs: list[Figures], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(lines: list[Line], gateways: list[Program], results: dict[tuple[str, str], list[Figures]]) -> str:
    rows = ["| workload | gateway | ops/s | × naive | p50 ms | p99 ms | CPU ms an op | CPU × | calls an op |"]
    rows.append("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for line in lines:
        naive = results[line.name, gateways[0].name]
        for gateway in gateways:
            runs = results[line.name, gateway.name]
            if not runs:
                continue
            speed, cpu = middle(runs, "per_second"), middle(runs, "cpu_ms")
            columns = [speed, speed / middle(naive, "per_second"), middle(runs, "p50_ms"), middle(runs, "p99_ms")]
            columns += [cpu, middle(naive, "cpu_ms") / max(cpu, 0.001), middle(runs, "calls")]
            rows.append(" | ".join([f"| {line.name}", gateway.name, *map(figure, columns)]) + " |")
    rows += ["", "| gateway | peak memory MiB | × naive |", "|---|---:|---:|"]
    peaks = [(gateway.name, gateway.peak_mib()) for gateway in gateways]
    rows += [f"| {name} | {figure(peak)} | {figure(peak / peaks[0][1])} |" for name, peak in peaks]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of the main lines: under a minute")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in which the gateways take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of a hot line")
    parser.add_argument("--only", default="", help="lines to run by how they begin, such as 'W5,W3 cold'")
    parser.add_argument("--json", type=Path, help="write every run here, too")
    given = parser.parse_args()
    rounds, seconds = (1, 1.0) if given.quick else (given.rounds, given.seconds)
    wanted = tuple(word.strip() for word in given.only.split(",")) if given.only else ("",)
    lines = [line for line in LINES if line.name.startswith(wanted) and (not given.quick or line.name in QUICK)]
    results: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    pin(0, 0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        bench = Bench(stack, Path(folder))
        for number in range(rounds):
            for line in lines:
                for gateway in bench.gateways if number % 2 == 0 else bench.gateways[::-1]:
                    if any(word in line.name for word in SKIPPED.get(gateway.name, "").split()):
                        continue
                    run = bench.measure(gateway, line, seconds, quick=given.quick)
                    results[line.name, gateway.name].append(run)
                    print(f"round {number + 1}: {line.name} {gateway.name} {run}", file=sys.stderr, flush=True)
        print(table(lines, bench.gateways, results))
    if given.json:
        runs = {" ".join(name): [vars(run) for run in found] for name, found in results.items()}
        given.json.write_text(json.dumps(runs, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
