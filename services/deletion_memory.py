"""What a user held when the gateway deleted them, for the forecast of a restore: kept as long as that is possible.

It is a convenience: a store that fails is a warning in the log, and the forecast says nothing then. Without
Redis it is in this process's memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from services.models import RESTORE_WINDOW, UserRef

KEPT_SECONDS: Final = RESTORE_WINDOW.total_seconds()
MEMORY_USERS: Final = 10_000


class DeletionMemory(Protocol):
    """Remembers product SKU ids by user for 30 days."""

    async def remember(self, user: UserRef, sku_ids: Sequence[str]) -> None: ...

    async def recall(self, user: UserRef) -> tuple[str, ...] | None:
        """Gives what the user held, perhaps nothing; None where that is not known."""

    async def forget(self, user: UserRef) -> None: ...

    async def clear(self) -> None: ...


class MemoryDeletions:
    """Remembers in this process, the newest 10,000 users."""

    def __init__(
        self,
        *,
        kept_seconds: float = KEPT_SECONDS,
        max_users: int = MEMORY_USERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._max_users = max_users
        self._clock = clock
        self._held: OrderedDict[UserRef, tuple[tuple[str, ...], float]] = OrderedDict()

    async def remember(self, user: UserRef, sku_ids: Sequence[str]) -> None:
        self._held[user] = tuple(sku_ids), self._clock() + self._kept_seconds
        self._held.move_to_end(user)
        while len(self._held) > self._max_users:
            self._held.popitem(last=False)

    async def recall(self, user: UserRef) -> tuple[str, ...] | None:
        sku_ids, until = self._held.get(user, (None, 0.0))
        if sku_ids is not None and until <= self._clock():
            del self._held[user]
            return None
        return sku_ids

    async def forget(self, user: UserRef) -> None:
        self._held.pop(user, None)

    async def clear(self) -> None:
        self._held.clear()
