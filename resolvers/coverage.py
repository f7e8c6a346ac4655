"""Which tenants an answer speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Coverage:
    """`asked` is the sum of `answered` and the failed ones; `stale` is the part of `answered` where a copy stood in."""

    asked: int
    answered: int
    stale: int
    failed: list[Any]
    oldest_as_of: datetime | None
