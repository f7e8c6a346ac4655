"""The sandbox's clock: real time plus an offset that tests move on; they can also stop it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Gives the time that deletions, restores and token lifetimes go by."""

    __slots__ = ("_offset", "_stopped_at")

    def __init__(self) -> None:
        self._offset = timedelta()
        self._stopped_at: datetime | None = None

    def now(self) -> datetime:
        return self._real() + self._offset

    def stop(self) -> None:
        """Lets it stand still, save where it is moved on, until it is reset."""
        self._stopped_at = datetime.now(UTC)

    def advance(self, seconds: float) -> datetime:
        """Moves on by `seconds` and gives the new time. OverflowError beyond the year 9999."""
        moved = self._offset + timedelta(seconds=seconds)
        now = self._real() + moved
        self._offset = moved
        return now

    def reset(self) -> None:
        self._offset = timedelta()
        self._stopped_at = None

    def _real(self) -> datetime:
        return self._stopped_at or datetime.now(UTC)
