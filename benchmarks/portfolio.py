"""Measures totals over 500 tenants of 50 people, a call to Partner Center taking 20 ms: without Redis, and with it.

    python -m benchmarks.portfolio [--rounds 6]

Gateways start anew for each round; what is asked is the example `22-portfolio`. The bound is what the calls in flight
allow: one call for the list of tenants, then one a tenant, 32 at once. A Redis or Valkey server is started for the
run (TEST_REDIS_SERVER names another program). Needs Linux and two cores: load, stand-in and Redis have one, the
gateways the other. What other programs disturb is measured again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from benchmarks import standin
from benchmarks.measuring import START_SECONDS, Load, Others, Program, free_port, load, pin, running
from benchmarks.over_standin import Upstream
from benchmarks.processes import ROOT
from tests.redis_server import running_on_socket

TENANTS, CALL_MS, IN_FLIGHT = 500, 20.0, 32
BOUND_MS = (1 + ceil(TENANTS / IN_FLIGHT)) * CALL_MS
WARM_ASKS = 15
TRIES = 8
MOST_OTHERS_CORES = 0.1
"""A measurement during which other programs had more of the processors than this says little."""
SETTLE_SECONDS = 0.5
"""What is stored behind the answer has been stored by then."""
MOMENTS_SECONDS = (0.03, 0.15, 0.25)
"""So long after the totals another caller's question is sent: amid their calls, and in turn by round."""
PORTFOLIO = (ROOT / "examples" / "22-portfolio.graphql").read_text(encoding="utf-8")
FIRST = "query ($t: UUID!) { tenant(by: {microsoftId: $t}) { name } }"
"""Asked first of a new process, which then has its token, the keys of the callers' issuer and a connection."""
PRODUCTS = "query ($t: UUID!) { tenant(by: {microsoftId: $t}) { subscribedSkus { skuId availableUnits } } }"
PAGE = (ROOT / "benchmarks" / "operations" / "W1.graphql").read_text(encoding="utf-8").replace("$tenant", "$t")
OTHERS = {"products of one tenant": PRODUCTS, "page of one tenant, 50 people": PAGE}


Found = tuple[dict[str, float], float]
"""Figures by their names, and how many cores other programs had meanwhile."""


class Bench:
    """Gateways over the stand-in, with Redis or without, and the figures of all rounds by their names."""

    def __init__(self, upstream: Upstream, folder: Path, server: tuple[str, int] | None = None) -> None:
        self._upstream = upstream
        self._folder = folder
        self._settings = upstream.settings() | {"GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}
        self._pids = [os.getpid(), upstream.program.pid]
        self._redis: Redis | None = None
        if server is not None:
            url, pid = server
            self._settings["GATEWAY_REDIS_URL"] = url
            self._pids.append(pid)
            self._redis = Redis.from_url(url)
        # A caller for each kind of question: what is measured is not that one waits for itself.
        self._callers = {name: upstream.authorization(name) for name in ("report", "portal")}
        self.figures: dict[str, list[float]] = defaultdict(list)
        self.disturbed = 0

    async def round(self, number: int) -> None:
        moment = MOMENTS_SECONDS[number % len(MOMENTS_SECONDS)]
        await self._undisturbed(self._cold_and_warm)
        for name, query in OTHERS.items():
            await self._undisturbed(partial(self._beside, name, query, moment))

    async def _undisturbed(self, measure: Callable[[ExitStack], Awaitable[Found]]) -> None:
        """Measures again where other programs had the processors meanwhile, a few times."""
        for _ in range(TRIES):
            with ExitStack() as stack:
                found, others = await measure(stack)
            if others < MOST_OTHERS_CORES:
                for name, value in found.items():
                    self.figures[name].append(value)
                return
            self.disturbed += 1

    async def _cold_and_warm(self, stack: ExitStack) -> Found:
        first = await self._started(stack, "first", empty=True)
        found = {"memory at the start, MiB": first.peak_mib()}
        before, cpu, others = self._counted(), first.cpu_seconds(), Others(*self._pids, first.pid)
        cold = await self._portfolio(first)
        disturbed = others.cores()
        found |= {"cold, ms": cold, "cold, times the bound": cold / BOUND_MS}
        found["cold, ms of processor time"] = (first.cpu_seconds() - cpu) * 1000
        await asyncio.sleep(SETTLE_SECONDS)
        found |= self._counted_since(before, "cold")
        before = self._counted()
        found["warm, ms"] = statistics.median([await self._portfolio(first) for _ in range(WARM_ASKS)])
        found |= self._counted_since(before, "warm", WARM_ASKS)
        found["memory at most, MiB"] = first.peak_mib()
        if self._redis:
            fresh = await self._started(stack, "fresh")
            before, others = self._counted(), Others(*self._pids, first.pid, fresh.pid)
            found["warm in a new process, ms"] = await self._portfolio(fresh)
            disturbed = max(disturbed, others.cores())
            found |= self._counted_since(before, "warm in a new process")
        return found, disturbed

    async def _beside(self, name: str, query: str, moment: float, stack: ExitStack) -> Found:
        """Another caller's question amid cold totals, of a tenant that they come to late; and what it takes alone."""
        gateway = await self._started(stack, "beside", empty=True)
        await self._ask(gateway, query, who="portal", number=1)
        others = Others(*self._pids, gateway.pid)
        alone = await self._ask(gateway, query, who="portal", number=2)
        totals = asyncio.create_task(self._portfolio(gateway))
        await asyncio.sleep(moment)
        if totals.done():
            raise RuntimeError("the totals were there too early")
        beside = await self._ask(gateway, query, who="portal", number=TENANTS - 1)
        await totals
        return {f"{name}, alone, ms": alone.p50_ms, f"{name}, beside, ms": beside.p50_ms}, others.cores()

    async def _started(self, stack: ExitStack, name: str, *, empty: bool = False) -> Program:
        port = free_port()
        command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
        gateway = stack.enter_context(running(name, port, command, self._settings, core=1, folder=self._folder))
        await _until_ready(port)
        if self._redis and empty:
            self._redis.flushall()
        await self._ask(gateway, FIRST)
        return gateway

    async def _portfolio(self, gateway: Program) -> float:
        done = await self._ask(gateway, PORTFOLIO)
        coverage = json.loads(done.answer)["data"]["portfolio"]["coverage"]
        if coverage != {"asked": TENANTS, "answered": TENANTS, "failed": []}:
            raise RuntimeError(f"not all tenants answered: {done.answer[:500]!r}")
        return done.p50_ms

    async def _ask(self, gateway: Program, query: str, *, who: str = "report", number: int = 0) -> Load:
        variables = {"t": standin.guid(standin.TENANT, number)} if "$t:" in query else {}
        headers = {"Content-Type": "application/json", "Authorization": self._callers[who]}
        body = json.dumps({"query": query, "variables": variables}).encode()
        done = await load(gateway.port, body, headers, connections=1, seconds=0, most=1)
        if b'"errors"' in done.answer:
            raise RuntimeError(f"{done.answer[:500]!r}")
        return done

    def _counted(self) -> dict[str, int]:
        counted = {"calls to Partner Center": self._upstream.calls()}
        if self._redis:
            commands: Any = self._redis.info("commandstats")
            for command in ("mget", "set"):
                counted[f"{command.upper()}s"] = commands.get(f"cmdstat_{command}", {"calls": 0})["calls"]
            stats: Any = self._redis.info("stats")
            counted["reads by Redis from its sockets"] = stats["total_reads_processed"]
        return counted

    def _counted_since(self, before: Mapping[str, int], name: str, times: int = 1) -> dict[str, float]:
        return {f"{name}, {what}": (count - before[what]) / times for what, count in self._counted().items()}


async def _until_ready(port: int) -> None:
    """Returns when the gateway has the keys of the callers' issuer."""
    async with httpx.AsyncClient(timeout=10) as client, asyncio.timeout(START_SECONDS):
        while (await client.get(f"http://127.0.0.1:{port}/ready")).status_code != 200:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.05)


def table(memory: Mapping[str, list[float]], redis: Mapping[str, list[float]]) -> str:
    """A line a figure: the middle of the rounds, and from where to where they went."""
    rows = [f"The bound is {BOUND_MS:.0f} ms.", "", "| | in memory | over Redis |", "|---|---:|---:|"]
    rows += [f"| {name} | {_text(memory.get(name))} | {_text(redis.get(name))} |" for name in {**memory, **redis}]
    return "\n".join(rows)


def _text(values: list[float] | None) -> str:
    if not values:
        return ""
    digits = 0 if max(values) >= 10 or all(value.is_integer() for value in values) else 2
    middle, least, most = (f"{each:,.{digits}f}" for each in (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least}–{most})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    pin(0, 0)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        upstream = Upstream(stack, folder, tenants=TENANTS)
        upstream.hold_back(CALL_MS)
        url, server = stack.enter_context(running_on_socket())
        benches = Bench(upstream, folder), Bench(upstream, folder, (url, server.pid))
        asyncio.run(benches[0].round(0))  # makes the stand-in's answers, which are kept from then on
        benches[0].figures.clear()
        for number in range(given.rounds):
            for bench in benches:
                asyncio.run(bench.round(number))
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
        print(table(*(bench.figures for bench in benches)))
        if disturbed := sum(bench.disturbed for bench in benches):
            print(f"\nOther programs disturbed {disturbed} measurements, which were left out.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
