"""What was asked of the sandbox: each request with its answer's status, for tests to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

KEPT_CALLS = 200_000


@dataclass(slots=True)
class Call:
    """One request. `status` is None while it runs, and when it was dropped before anything was done."""

    method: str
    path: str
    """Path and query as sent."""
    request_id: str
    correlation_id: str
    at: str
    status: int | None = None


class CallLog:
    """The newest requests, and the exact number of all since the last clearing."""

    def __init__(self, kept: int = KEPT_CALLS) -> None:
        self._calls: deque[Call] = deque(maxlen=kept)
        self.total = 0

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def append(self, call: Call) -> None:
        self._calls.append(call)
        self.total += 1

    def clear(self) -> None:
        self._calls.clear()
        self.total = 0
