"""The rate limit on customers and subscriptions.

500 requests a minute per tenant id. Source: learn.microsoft.com/partner-center/developer/customer-resources
and …/subscription-resources; the answer's shape: …/api-throttling-guidance. Every request counts, refused
ones too.
"""

from __future__ import annotations

import math
import time

WINDOW_SECONDS = 60.0


class Throttle:
    """Counts requests in windows of one minute of real time."""

    def __init__(self) -> None:
        self._window_started_at = 0.0
        self._counted = 0

    def admit(self, per_minute: int) -> int | None:
        """Counts one request. None lets it pass, else the seconds until the next window."""
        now = time.monotonic()
        if now - self._window_started_at >= WINDOW_SECONDS:
            self._window_started_at, self._counted = now, 0
        self._counted += 1
        if self._counted <= per_minute:
            return None
        return max(1, math.ceil(self._window_started_at + WINDOW_SECONDS - now))

    def reset(self) -> None:
        self._window_started_at, self._counted = 0.0, 0
