"""What one GraphQL request cost at Partner Center: counted where it happens, told in `extensions.upstream`."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class UpstreamUse:
    """Counters of one request. Token requests are not counted as calls."""

    calls: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    waited_seconds: float = 0.0
    throttled_seconds: float = 0.0
    stale: set[tuple[str, object]] = field(default_factory=set)
    """Kind and key of the look-ups for which an older copy stood in, because Microsoft did not answer."""
    write_correlation_ids: list[str] = field(default_factory=list)
    """The ids under which Microsoft logged what this request wrote, in order."""


_current: ContextVar[UpstreamUse | None] = ContextVar("upstream_use", default=None)


def start_counting() -> UpstreamUse:
    """Gives fresh counters, and makes them those of this request and every task it starts."""
    use = UpstreamUse()
    _current.set(use)
    return use


def current_use() -> UpstreamUse:
    """The counters of the running request; outside of one, counters that nobody reads."""
    return _current.get() or UpstreamUse()
