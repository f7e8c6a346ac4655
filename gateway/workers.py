"""Several processes that share one port: started, watched, started again, and stopped together."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import structlog

from gateway.config import Settings, share_figures

START_SECONDS = 60.0
LOOK_SECONDS = 0.2
LONGEST_DRAIN_MARGIN_SECONDS = 20.0
"""Beyond the seconds of the settings, for mails and records to be brought in; then a worker is killed."""

_ENDED_WELL = (0, -signal.SIGTERM, -signal.SIGINT)
"""A worker that is told to stop while it starts knows no better than to die of the signal."""

log = structlog.get_logger(__name__)


class Workers:
    """Runs so many workers. One that ends by itself is replaced, unless it never came to serve."""

    def __init__(self, count: int, settings: Settings, listener: socket.socket, announce: Callable[[], None]) -> None:
        self._count = count
        self._settings = settings
        self._listener = listener
        self._announce = announce
        self._spawn = get_context("spawn")
        self._workers: list[tuple[SpawnProcess, Event]] = []
        self._stopping = False

    def run(self) -> int:
        """Returns the exit status when all have ended."""
        with tempfile.TemporaryDirectory(prefix="gateway-metrics-") as folder:
            share_figures(folder)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._stop)
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._workers = [self._start() for _ in range(self._count)]
            started = self._wait_until_ready()
            if started:
                self._announce()
            failed = not started and not self._stopping
            while not self._stopping and not failed:
                time.sleep(LOOK_SECONDS)
                failed = not self._replace_dead()
            self._end()
            return 1 if failed or any(each.exitcode not in _ENDED_WELL for each, _ in self._workers) else 0

    def _start(self) -> tuple[SpawnProcess, Event]:
        ready = self._spawn.Event()
        worker = self._spawn.Process(target=_work, args=(self._listener, ready, os.getpid()), name="gateway worker")
        worker.start()
        return worker, ready

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        for worker, ready in self._workers:
            while not ready.wait(LOOK_SECONDS):
                if self._stopping or not worker.is_alive() or time.monotonic() > deadline:
                    return False
        return True

    def _replace_dead(self) -> bool:
        """False where a worker never came to serve: another one would not either."""
        for index, (worker, ready) in enumerate(self._workers):
            if worker.is_alive() or self._stopping:
                continue
            log.error("worker died", pid=worker.pid, status=worker.exitcode)
            self._forget_figures(worker)
            if not ready.is_set():
                return False
            self._workers[index] = self._start()
        return True

    def _forget_figures(self, worker: SpawnProcess) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # ships no types for it

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _end(self) -> None:
        self._listener.close()  # the workers have their own for as long as they still take requests
        settings = self._settings
        whole = settings.drain_accept_seconds + max(settings.drain_query_seconds, settings.drain_write_seconds)
        deadline = time.monotonic() + whole + LONGEST_DRAIN_MARGIN_SECONDS
        for worker, _ in self._workers:
            if worker.is_alive():
                worker.terminate()
        for worker, _ in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


def _work(listener: socket.socket, ready: Event, parent: int) -> None:
    """One worker, which begins with nothing of its parent's: not even a log."""
    from gateway.config import load_settings
    from gateway.logs import configure_logging
    from gateway.serving import run_server

    settings = load_settings(sandbox=False)
    configure_logging(settings.log_level, settings.log_format)
    raise SystemExit(run_server(settings, listener, ready.set, parent=parent))
