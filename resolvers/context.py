"""What a resolver has at hand: who asks, the loaders of this request, the clock, the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import strawberry

from loaders.registry import Loaders
from services.authorization import Caller
from services.upstream_use import UpstreamUse


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """One request. `now` is the service's clock, by which restore windows are counted."""

    caller: Caller
    loaders: Loaders
    now: Callable[[], datetime]
    max_page_size: int
    request_id: str
    upstream_use: UpstreamUse


Info = strawberry.Info[GatewayContext, None]
