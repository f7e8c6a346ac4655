"""Where audit records wait while Redis is away: a file of JSON lines, each on the disk before it is answered for.

Several processes may share the file; a lock on it keeps them apart. A line that a crash cut short is skipped,
and told.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from services.audit import AuditRecord

try:
    import fcntl
except ImportError:  # not on Windows: there a journal belongs to one process
    fcntl = None  # type: ignore[assignment]  # a module, or none

LARGEST_BYTES: Final = 64 * 1024 * 1024

_log = structlog.get_logger(__name__)


class AuditJournal:
    """Appends records to a file, and gives them back in order. OSError where the disk does not take them."""

    def __init__(self, path: Path, *, max_bytes: int = LARGEST_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._turn = asyncio.Lock()

    async def append(self, record: AuditRecord) -> None:
        """Returns when the record is on the disk."""
        line = msgspec.json.encode(record)
        async with self._turn:
            await asyncio.to_thread(self._append, line)

    async def holds_any(self) -> bool:
        return await asyncio.to_thread(lambda: self._path.exists() and self._path.stat().st_size > 0)

    async def replay(self, bring_in: Callable[[AuditRecord], Awaitable[None]]) -> int:
        """Brings in every record and empties the file; where one fails, all stay. Gives their number.

        So a record may be brought in twice. BlockingIOError while another process has the file.
        """
        async with self._turn:
            if not await self.holds_any():
                return 0
            with self._opened(wait=False) as file:
                records = [self._read(line) for line in await asyncio.to_thread(_lines, file)]
                for record in records:
                    if record is not None:
                        await bring_in(record)
                await asyncio.to_thread(_empty, file)
                return len(records)

    async def clear(self) -> None:
        async with self._turn:
            if await self.holds_any():
                with self._opened(wait=False) as file:
                    await asyncio.to_thread(_empty, file)

    @contextmanager
    def _opened(self, *, wait: bool) -> Iterator[int]:
        created = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        finally:
            os.close(file)  # and with it the lock
        if created:
            _sync_folder(self._path.parent)

    def _append(self, line: bytes) -> None:
        with self._opened(wait=True) as file:
            if os.fstat(file).st_size + len(line) > self._max_bytes:
                raise OSError("the audit journal is full")
            rest = b"\n" + line + b"\n"  # the first ends a line that a crash cut short
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)

    def _read(self, line: bytes) -> AuditRecord | None:
        try:
            return msgspec.json.decode(line, type=AuditRecord)
        except msgspec.DecodeError:
            _log.error("audit_journal_line_unreadable", length=len(line))
            return None


def _lines(file: int) -> list[bytes]:
    os.lseek(file, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(file, 1024 * 1024):
        pieces.append(piece)
    return [line for line in b"".join(pieces).split(b"\n") if line]


def _empty(file: int) -> None:
    os.ftruncate(file, 0)
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # a folder cannot be opened elsewhere
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
