"""Programs under measurement, and a closed loop of requests to one of them. Processor time comes from Linux's /proc."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 30
ANSWER_SECONDS = 120
TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Program:
    """A running server."""

    name: str
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds_of(self.pid)

    def peak_mib(self) -> float:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0


class Others:
    """How much of the processors went to whatever is not measured, from the moment this is made."""

    def __init__(self, *own: int) -> None:
        self._own = own
        self._started = time.monotonic()
        self._spent = self._spent_by_others()

    def cores(self) -> float:
        """Gives how many cores they had, on average."""
        return (self._spent_by_others() - self._spent) / (time.monotonic() - self._started)

    def _spent_by_others(self) -> float:
        user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
        return (user + nice + system + sum(rest)) / TICKS - sum(map(cpu_seconds_of, self._own))


def cpu_seconds_of(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(
    name: str, port: int, command: Sequence[str], environ: Mapping[str, str], *, core: int, folder: Path
) -> Iterator[Program]:
    """Starts a server and ends it with the block. Where there are two cores, it has one to itself, or nearly."""
    log = folder / f"{name}.log"
    with (
        log.open("w") as said,
        subprocess.Popen(  # noqa: S603  # our own programs
            command, env={**os.environ, **environ}, stdout=said, stderr=said
        ) as it,
    ):
        try:
            pin(it.pid, core)
            wait_until_it_listens(port, it, log)
            yield Program(name, port, it.pid)
        finally:
            it.terminate()
            try:
                it.wait(20)
            except subprocess.TimeoutExpired:
                it.kill()


def pin(pid: int, core: int) -> None:
    if len(CORES) > 1:
        with suppress(OSError):  # not everywhere is it allowed
            os.sched_setaffinity(pid, {CORES[core]})


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"it did not start: {log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass(frozen=True)
class Load:
    """What a closed loop of requests came to. `answer` is the body of the last answer."""

    requests: int
    seconds: float
    times: list[float]
    answer: bytes

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.times) * 1000

    @property
    def p99_ms(self) -> float:
        """The slowest of the best 99 in 100; of fewer requests the slowest."""
        return sorted(self.times)[min(len(self.times) - 1, len(self.times) * 99 // 100)] * 1000


async def load(
    port: int, body: bytes, headers: Mapping[str, str], *, connections: int, seconds: float, most: int
) -> Load:
    """Sends the request over and over, on each connection as soon as the answer before is whole."""
    lines = [f"{name}: {value}" for name, value in {**headers, "Content-Length": str(len(body))}.items()]
    request = "\r\n".join(["POST /graphql HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode() + body
    times: list[float] = []
    last = b""
    start = time.perf_counter()

    async def one() -> None:
        nonlocal last
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024)
        while len(times) < most and (not times or time.perf_counter() - start < seconds):
            began = time.perf_counter()
            writer.write(request)
            last = await asyncio.wait_for(_answer(reader), ANSWER_SECONDS)
            times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Load(len(times), time.perf_counter() - start, times, last)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"content-length: *(\d+)", head)
    if length is None:
        raise RuntimeError(f"an answer without a length: {head.decode('latin-1')}")
    content = await reader.readexactly(int(length[1]))
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"{head[:12]!r}: {content[:500]!r}")
    return content
