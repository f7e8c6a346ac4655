"""Everything the sandbox holds between two requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sandbox.audit import AuditTrail
from sandbox.calls import CallLog
from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.request_ids import RequestIds
from sandbox.switches import Switches
from sandbox.throttle import Throttle
from sandbox.tokens import TokenRegistry
from sandbox.world import World


class WorldBuilder(Protocol):
    """How a world is made; `sandbox.seed.build_world` is one."""

    def __call__(self, now: Callable[[], datetime], tenants: int = 0, users: int = 0) -> World: ...


class SandboxState:
    """One sandbox. `tenants` and `users` a tenant are generated beside the named ones."""

    def __init__(
        self,
        tenants: int = 0,
        users: int = 0,
        throttle: bool = False,
        switches: Switches = Switches(),  # noqa: B008  # frozen
        build: WorldBuilder | None = None,
    ) -> None:
        self.generated_tenants = tenants
        self.generated_users = users
        self.throttled = throttle
        self.initial_switches = switches
        self.switches = switches
        self.clock = Clock()
        self.calls = CallLog()
        self.faults = Faults()
        self.request_ids = RequestIds()
        self.throttle = Throttle()
        self.tokens = TokenRegistry(self.clock.now)
        self.audit = AuditTrail()
        self._build = build or _seeded_world
        self.world = self._build(self.clock.now, tenants, users)

    def reset(self) -> None:
        """Back to the state at start: world, clock, switches, faults, calls and all memories."""
        self.clock.reset()
        self.switches = self.initial_switches
        self.faults.rules = []
        self.calls.clear()
        self.request_ids.clear()
        self.throttle.reset()
        self.tokens.reset()
        self.audit.clear()
        self.world = self._build(self.clock.now, self.generated_tenants, self.generated_users)


def _seeded_world(now: Callable[[], datetime], tenants: int = 0, users: int = 0) -> World:
    # Imported late: the seed reads its tables at import, which a state with a world of its own does not need.
    from sandbox.seed import build_world

    return build_world(now, tenants, users)
