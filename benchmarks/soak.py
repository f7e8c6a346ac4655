"""Mixed traffic for a while, first over a healthy Partner Center, then over one that fails and throttles.

    python -m benchmarks.soak                      a minute of each
    python -m benchmarks.soak --seconds 1800       half an hour of each
    python -m benchmarks.soak --memory 100000      100,000 requests instead, and what memory does meanwhile

Exit status 1 where an answer was wrong, a write was lost or made twice, the troubled run cost more than 1.2 times
the calls of the healthy one, or memory grew. With --redis URL two gateways share that Redis, which is emptied by
nobody: take one of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.processes import System, running_system
from benchmarks.traffic import Traffic

TROUBLE: tuple[Mapping[str, object], ...] = (
    {"path": "/v1/", "status": 503, "probability": 0.02},
    {"path": "/v1/", "reset": True, "probability": 0.01},
    {"path": "/v1/", "lost_answer": True, "probability": 0.01},
    {"path": "/v1/", "truncate": True, "probability": 0.01},
    {"path": "/v1/", "status": 429, "retry_after": 1, "probability": 0.02},
)
"""5 % of the calls fail, each in its own way, and 2 % are throttled."""
MOST_CALLS = 1.2
MOST_GROWTH_MIB = 64.0
MEMORY_CONCURRENCY = 12
SEED = 20_261_125


@dataclass
class Run:
    """The figures of one run."""

    name: str
    traffic: Traffic
    calls: int
    writes: int
    failed_calls: int
    memory_mib: list[float]

    def problems(self) -> list[str]:
        found = [f"{self.name}: {text} ({count} times)" for text, count in Counter(self.traffic.tally.wrong).items()]
        made = sum(person.writes for person in self.traffic.people)
        if not made <= self.writes <= made + self.traffic.tally.in_doubt:
            found.append(f"{self.name}: {made} changes were answered as made, and the sandbox took {self.writes}")
        if self.memory_mib[-1] - self.memory_mib[0] > MOST_GROWTH_MIB:
            found.append(f"{self.name}: memory grew from {self.memory_mib[0]:.0f} to {self.memory_mib[-1]:.0f} MiB")
        return found

    def report(self) -> str:
        tally = self.traffic.tally
        answered = ", ".join(f"{count} {name}" for name, count in sorted(tally.answered.items()))
        codes = ", ".join(f"{count} {name}" for name, count in sorted(tally.codes.items())) or "no errors"
        return (
            f"{self.name}: {answered}; {codes}; {tally.in_doubt} in doubt\n"
            f"  {self.calls} upstream calls, of which {self.failed_calls} failed; {self.writes} writes taken; "
            f"p50 {tally.percentile(0.5) * 1000:.0f} ms, p99 {tally.percentile(0.99) * 1000:.0f} ms; "
            f"memory {self.memory_mib[0]:.0f} → {max(self.memory_mib):.0f} → {self.memory_mib[-1]:.0f} MiB"
        )


async def soak(
    seconds: float, rate: float, *, redis_url: str | None = None, most_calls: float = MOST_CALLS
) -> tuple[list[Run], list[str]]:
    """Gives both runs, the healthy one first, and everything that is not as it should be."""
    healthy = await _one("healthy", seconds, rate, (), redis_url)
    troubled = await _one("troubled", seconds, rate, TROUBLE, redis_url)
    problems = healthy.problems() + troubled.problems()
    if troubled.calls > most_calls * healthy.calls:
        problems.append(f"{troubled.calls} upstream calls in trouble, {healthy.calls} without: more than {most_calls}")
    return [healthy, troubled], problems


async def _one(
    name: str, seconds: float, rate: float, faults: tuple[Mapping[str, object], ...], redis_url: str | None
) -> Run:
    settings = {"GATEWAY_LOG_LEVEL": "warning"} | ({"GATEWAY_REDIS_URL": redis_url} if redis_url else {})
    with running_system(2 if redis_url else 1, **settings) as system:
        traffic = Traffic([each.url for each in system.replicas], SEED)
        try:
            await traffic.learn()
            await asyncio.to_thread(system.take_calls)
            await asyncio.to_thread(system.order_faults, *faults)
            memory = [sum(each.resident_mib() for each in system.replicas)]
            watching = asyncio.create_task(_watch(system, memory))
            await traffic.run(seconds, rate)
            watching.cancel()
            await asyncio.to_thread(system.order_faults)
            calls = await asyncio.to_thread(system.take_calls)
            await asyncio.sleep(2.5)  # what is throttled until now, and fresh copies of before
            await traffic.settle()
            memory.append(sum(each.resident_mib() for each in system.replicas))
        finally:
            await traffic.close()
    failed = sum(call.has_failed for call in calls)
    # The same id again is the same write to Microsoft, asked for once more since its answer was lost.
    writes = len({call.request_id for call in calls if call.has_written})
    return Run(name, traffic, len(calls), writes, failed, memory)


async def _watch(system: System, memory: list[float]) -> None:
    while True:
        await asyncio.sleep(2)
        memory.append(sum(each.resident_mib() for each in system.replicas))


async def hold_still(requests: int) -> tuple[list[float], list[str]]:
    """Sends so many requests, a few side by side, and gives the memory after each tenth of them."""
    with running_system(1, GATEWAY_LOG_LEVEL="warning") as system:
        [replica] = system.replicas
        traffic = Traffic([replica.url], SEED)
        try:
            await traffic.learn()
            memory = [replica.resident_mib()]
            for tenth in range(10):
                started = time.monotonic()
                await _send(traffic, requests // 10)
                await asyncio.to_thread(system.take_calls)
                memory.append(replica.resident_mib())
                rate = requests / 10 / (time.monotonic() - started)
                print(f"{(tenth + 1) * requests // 10:>8,} requests  {memory[-1]:6.1f} MiB  {rate:5.0f}/s", flush=True)
            problems = list(traffic.tally.wrong)
        finally:
            await traffic.close()
    if memory[-1] - memory[1] > MOST_GROWTH_MIB / 4:
        problems.append(f"memory grew from {memory[1]:.0f} to {memory[-1]:.0f} MiB after the first tenth")
    return memory, problems


async def _send(traffic: Traffic, count: int) -> None:
    each = count // MEMORY_CONCURRENCY + 1
    await asyncio.gather(*(traffic.ask_in_turn(each) for _ in range(MEMORY_CONCURRENCY)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=15, help="requests a second (default: %(default)s)")
    parser.add_argument("--redis", metavar="URL", help="two gateways over this Redis")
    parser.add_argument("--memory", type=int, metavar="REQUESTS", help="only look at memory over so many requests")
    arguments = parser.parse_args()
    if arguments.memory:
        _, problems = asyncio.run(hold_still(arguments.memory))
    else:
        runs, problems = asyncio.run(soak(arguments.seconds, arguments.rate, redis_url=arguments.redis))
        for run in runs:
            print(run.report())
        print(f"calls: {runs[1].calls / max(1, runs[0].calls):.2f} × the healthy run's")
    for problem in problems:
        print(f"WRONG {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
