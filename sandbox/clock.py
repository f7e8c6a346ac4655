"""The sandbox's clock: real time plus an offset that tests move on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Gives the time that deletions, restores and token lifetimes go by."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> datetime:
        """Moves on by `seconds` and gives the new time. OverflowError beyond the year 9999."""
        moved = self._offset + timedelta(seconds=seconds)
        now = datetime.now(UTC) + moved
        self._offset = moved
        return now

    def reset(self) -> None:
        self._offset = timedelta()
