"""Where the newest refresh token is kept: in memory, or in a file that survives a restart."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol


class RefreshTokenStore(Protocol):
    """Where the newest refresh token is kept."""

    def load(self) -> str | None: ...

    def save(self, token: str) -> None: ...


class MemoryRefreshTokens:
    """Keeps the newest refresh token until the process ends."""

    def __init__(self) -> None:
        self._token: str | None = None

    def load(self) -> str | None:
        return self._token

    def save(self, token: str) -> None:
        self._token = token


class FileRefreshTokens:
    """Keeps the newest refresh token in a file that only the owner reads, over restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str | None:
        with suppress(FileNotFoundError):
            return self._path.read_text("utf-8").strip() or None
        return None

    def save(self, token: str) -> None:
        """Replaces the file as a whole, and on disk: half a token after a power cut means a new sign-in."""
        handle, name = mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(token)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
