"""The memory that makes a write with a known MS-RequestId answer as it did the first time.

Source: learn.microsoft.com/partner-center/developer/headers; how long Partner Center remembers is not
published.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from sandbox.wire import Answer

Key = tuple[str, str, str, str]
"""Partner tenant, method, path, MS-RequestId."""

_KEPT_ANSWERS = 50_000


class RequestIds:
    """First answers to writes, oldest first. Lifetimes go by real time."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Key, tuple[float, Answer]] = OrderedDict()

    def recall(self, key: Key, seconds: int) -> Answer | None:
        kept = self._answers.get(key)
        if kept is None or time.monotonic() - kept[0] > seconds:
            return None
        return kept[1]

    def keep(self, key: Key, answer: Answer) -> None:
        self._answers[key] = (time.monotonic(), answer)
        self._answers.move_to_end(key)
        while len(self._answers) > _KEPT_ANSWERS:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        self._answers.clear()
