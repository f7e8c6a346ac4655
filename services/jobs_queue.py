"""The stream of jobs that wait. Each entry is given to one process; one that died leaves its own to the others.

Nobody waits in Redis for a new entry: the client's answers are awaited for a moment only, so processes look again
and again (see `services.jobs_runner`).
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from services.store_connection import Pipe, StoreConnection

GROUP: Final = "workers"
_IS_THERE: Final = "BUSYGROUP"


class JobQueue:
    """The queue as this process sees it."""

    def __init__(self, connection: StoreConnection, name: str, idle_ms: int) -> None:
        self._connection = connection
        self._name = name
        self._idle_ms = idle_ms
        self._consumer = secrets.token_hex(8)
        self._has_group = False
        self.waiting = 0
        """How many jobs nobody had taken when this process last looked."""

    def add(self, pipe: Pipe, job_id: str) -> None:
        pipe.xadd(self._name, {"job": job_id})

    def drop(self, pipe: Pipe, entry: str) -> None:
        """Takes an entry out for good."""
        pipe.xack(self._name, GROUP, entry)
        pipe.xdel(self._name, entry)

    def put_back(self, pipe: Pipe, entry: str, job_id: str) -> None:
        """Puts the job of an entry at the end of the queue."""
        self.drop(pipe, entry)
        self.add(pipe, job_id)

    def keep(self, pipe: Pipe, entry: str) -> None:
        """Shows that the entry's process lives."""
        pipe.xclaim(self._name, GROUP, self._consumer, 0, [entry], justid=True)

    def forget(self) -> None:
        """The group is gone."""
        self._has_group = False

    async def read(self, most: int) -> list[tuple[str, str]]:
        """Gives entries and their jobs: first those whose process died, then new ones."""
        client = self._connection.client
        if not self._has_group:
            await self._make_group(client)
        try:
            claimed = await client.xautoclaim(self._name, GROUP, self._consumer, self._idle_ms, "0-0", count=most)
            found = [_entry(one) for one in claimed[1] if one[1]]
            if len(found) < most:
                answer = await client.xreadgroup(GROUP, self._consumer, {self._name: ">"}, count=most - len(found))
                found += [_entry(one) for _, entries in _streams(answer) for one in entries if one[1]]
            pending = await client.xpending(self._name, GROUP)
            self.waiting = max(0, int(await client.xlen(self._name)) - int(pending["pending"]))
        except Exception:
            self._has_group = False  # perhaps it is gone: a look that fails for another reason makes it in vain
            raise
        return found

    async def _make_group(self, client: Any) -> None:  # Any: either client of redis
        try:
            await client.xgroup_create(self._name, GROUP, id="0", mkstream=True)
        except Exception as error:
            if _IS_THERE not in str(error):
                raise
        self._has_group = True


def _streams(answer: Any) -> Any:  # Any: as redis answers, which differs by protocol
    return answer.items() if isinstance(answer, dict) else answer or []


def _entry(one: Any) -> tuple[str, str]:  # Any: as above
    entry, members = one
    return entry.decode(), members[b"job"].decode()
