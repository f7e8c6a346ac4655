"""How long the running request may still take: set where it arrives, looked at where it waits.

A context variable: what a request starts inherits it, so a task that outlives its request (a renewal of the
cache, a job) sets its own.
"""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from typing import Final

from services.errors import Timeout

KEPT_BACK_SECONDS: Final = 0.25
"""What a call leaves of the request's time, so that the answer is still made within it."""
LEAST_SECONDS: Final = 0.5
"""With less left no call is started: it would hardly be answered, and Microsoft would work in vain."""

_ends_at: ContextVar[float] = ContextVar("deadline", default=math.inf)


def start_deadline(seconds: float) -> None:
    """Gives the request, and every task it starts from here on, so much time from now; `math.inf` for no end."""
    _ends_at.set(time.monotonic() + seconds)


def seconds_left() -> float:
    """Gives what is left, negative when the time is over; infinite where nobody set an end."""
    return _ends_at.get() - time.monotonic()


def seconds_to_wait() -> float:
    """Gives how long may be waited so that a call can still be started then."""
    return seconds_left() - LEAST_SECONDS


def seconds_for_call(most: float) -> float:
    """Gives the time of a call that may take `most` by itself. Raises Timeout where none may be started."""
    left = seconds_left()
    if left < LEAST_SECONDS:
        raise no_time_left()
    return min(most, left - KEPT_BACK_SECONDS)


def no_time_left() -> Timeout:
    """The error of a call that was not started."""
    return Timeout("The time of the request was over before Microsoft could be asked.", sent=False)
