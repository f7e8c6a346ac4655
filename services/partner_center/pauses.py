"""A pause that many take together."""

from __future__ import annotations

import asyncio


class SharedPause:
    """Lasts so long from who takes it first, and ends for everybody who has come since."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over: asyncio.Event | None = None

    async def take(self) -> None:
        """Returns when the pause is over."""
        if self._over is None:
            self._over = asyncio.Event()
            asyncio.get_running_loop().call_later(self._seconds, self._end)
        await self._over.wait()

    def _end(self) -> None:
        if self._over is not None:
            self._over.set()
        self._over = None
