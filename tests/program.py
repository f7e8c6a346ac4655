"""The program `gateway` as a process of its own, as people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

ROOT = Path(__file__).parents[1]
WAIT_SECONDS = 60


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with these settings and no other."""
    return {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")} | dict(settings)


def run(
    *arguments: str, settings: Mapping[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment(settings or {}),
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WAIT_SECONDS,
        check=False,
    )


class Running:
    """A command that serves. `lines` are what it said on stdout when it was ready."""

    def __init__(self, process: subprocess.Popen[str], lines: list[str], log: IO[str]) -> None:
        self.process = process
        self.lines = lines
        self._log = log

    def stop(self, number: int) -> int:
        """Sends a signal, and gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)

    def log(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text("utf-8")


@contextmanager
def running(*arguments: str, lines: int, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Runs a command until the block ends; entered once it has said so many lines on stdout."""
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w", encoding="utf-8") as log:
        command: Sequence[str] = [sys.executable, "-m", "gateway", *arguments]
        with subprocess.Popen(
            command,
            env=environment(settings or {}),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
        ) as process:
            try:
                assert process.stdout is not None
                said = [process.stdout.readline().rstrip("\n") for _ in range(lines)]
                assert all(said), f"it ended: {Path(log.name).read_text('utf-8')}"
                yield Running(process, said, log)
            finally:
                if process.poll() is None:
                    process.kill()


@pytest.fixture(scope="session")
def sandbox_settings() -> Iterator[dict[str, str]]:
    """The settings that a `gateway sandbox` prints, while it runs."""
    with running("sandbox", "--port", "0", lines=9) as sandbox:
        yield dict(line.split("=", 1) for line in sandbox.lines)
