"""Generations: names for the states of what a change can make out of date.

A tenant has one for each kind of volatile look-up. A change replaces it before it is sent and again after its
answer; what was read under an older one is never given again. A generation is used once: neither eviction nor a
flush brings an old one back. docs/decisions/0010-generations.md says why it is done so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from services.lookups import Volatile

Generation = str
TenantKind = tuple[str, Volatile]
"""Whose generation it is: a tenant's, for one kind of look-up."""

UNCHANGING: Final[Generation] = "-"
"""The generation of what no change makes out of date."""

CHANGE_SECONDS: Final = 120.0
"""So long a change is believed to be under way that never said it has ended: longer than any takes."""
SETTLING_SECONDS: Final = 60.0
"""After a change Microsoft may still show old figures for a minute."""
MOST_UNDER_WAY: Final = 100
MOST_REMEMBERED: Final = 10_000
"""Generations that a process remembers before it begins all anew."""

_TEXT = re.compile(rb"(\d{1,15}\.[0-9a-f]{12})((?:\|\d{1,12}\.[0-9a-f]{12}){0,100})")


def new_generation(*, changed: bool, clock: Callable[[], float] = time.time) -> Generation:
    """Gives a generation that never was; one made by a change tells when that was."""
    return f"{round(clock() * 1000) if changed else 0}.{token_hex(6)}"


def is_settling(generation: Generation, now: float) -> bool:
    """Whether the change that made the generation is so young that Microsoft may still show old figures."""
    changed_ms = int(generation.partition(".")[0]) if generation != UNCHANGING else 0
    return now - changed_ms / 1000 < SETTLING_SECONDS


@dataclass(frozen=True, slots=True)
class State:
    """A generation as it is shared, and the changes that are under way, each with the second when it is given up."""

    generation: Generation
    under_way: tuple[tuple[int, str], ...] = ()

    def is_changing(self, now: float) -> bool:
        return any(now < until for until, _ in self.under_way)

    def changed(
        self, generation: Generation, now: float, *, begins: str | None = None, ended: Collection[str] = ()
    ) -> State:
        """The next state: a change may begin with it, and others have ended."""
        left = [one for one in self.under_way if one[1] not in ended and now < one[0]][1 - MOST_UNDER_WAY :]
        return State(generation, (*left, (round(now + CHANGE_SECONDS), begins)) if begins else tuple(left))

    def text(self) -> str:
        return self.generation + "".join(f"|{until}.{change}" for until, change in self.under_way)

    @classmethod
    def read(cls, raw: bytes) -> State | None:
        """Gives the state that a text tells; None if it tells none."""
        found = _TEXT.fullmatch(raw)
        if found is None:
            return None
        marks = (mark.partition(".") for mark in found[2].decode().split("|")[1:])
        return cls(found[1].decode(), tuple((int(until), change) for until, _, change in marks))


class Generations:
    """The generations that one process knows of its own. All that never changed have one in common."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._common = new_generation(changed=False)
        self._changed: dict[TenantKind, tuple[Generation, float]] = {}
        self._under_way: dict[TenantKind, int] = {}

    def current(self, name: TenantKind) -> Generation:
        known = self._changed.get(name)
        return self._common if known is None else known[0]

    def is_changing(self, name: TenantKind) -> bool:
        return name in self._under_way

    def begin(self, names: Collection[TenantKind]) -> None:
        """A change begins."""
        self.renew(names)
        for name in names:
            self._under_way[name] = self._under_way.get(name, 0) + 1

    def end(self, names: Collection[TenantKind]) -> None:
        """A change that has begun ends."""
        self.renew(names)
        for name in names:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]

    def renew(self, names: Collection[TenantKind]) -> None:
        """Makes what was read so far out of date."""
        now = self._clock()
        for name in names:
            self._changed[name] = new_generation(changed=True, clock=self._clock), now
        if len(self._changed) > MOST_REMEMBERED:
            # Whoever is left out takes the common one, so that has to be new as well.
            self._common = new_generation(changed=False)
            self._changed = {
                name: one for name, one in self._changed.items() if now - one[1] < SETTLING_SECONDS or name in names
            }

    def renew_all(self) -> None:
        """Makes everything that was read so far out of date."""
        self._common = new_generation(changed=False)
        self._changed.clear()


def in_order(kinds: Collection[Volatile], tenant_id: str) -> Sequence[TenantKind]:
    """One tenant's names for these kinds, always in the same order."""
    return [(tenant_id, kind) for kind in sorted(kinds, key=lambda kind: kind.value)]
