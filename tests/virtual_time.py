"""An event loop whose time passes at once: what is waited for takes no time, and a busy machine changes nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Selector(selectors.DefaultSelector):
    """Moves the loop's time on instead of waiting, save for threads: their work takes no time, so it stands still."""

    now = 0.0
    in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            if self.in_threads:
                return super().select(None)
            self.now += timeout
            timeout = 0
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self._virtual.in_threads += 1
        work = super().run_in_executor(executor, func, *args)
        work.add_done_callback(self._left_thread)
        return work

    def _left_thread(self, _: object) -> None:
        self._virtual.in_threads -= 1


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Gives what the work gives. Its `asyncio.sleep` and time limits go by `loop.time()`, which starts at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
