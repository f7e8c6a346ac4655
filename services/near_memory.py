"""What a process remembers of the cache in Redis: decoded, so that only its generation is asked for again.

Redis stays the judge. What changes make out of date counts while Redis gives the generation that it was read in; what
no change touches counts for a minute, since another process may have cleared the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from services.cache import Kept
from services.cache_memory import ENTRY_BYTES, MEMORY_PER_JSON_BYTE
from services.generations import UNCHANGING, Generation

UNASKED_SECONDS: Final = 60.0
"""How long counts what has no generation of its own, at most."""


class Near(msgspec.Struct, frozen=True, gc=False):
    """One remembered value: what was kept, in which generation, and until when it may be given."""

    kept: Kept[Any]
    generation: Generation
    good_until: float


class NearMemory:
    """At most `max_bytes` of values, by the name of their key; what was not asked for longest makes room."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, tuple[Near, int]] = OrderedDict()
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return self._max_bytes > 0

    def find_many(self, names: Iterable[str], now: float) -> dict[str, Near]:
        """Gives what is remembered and fresh, by name. Its generation is for the asker to compare."""
        values, found = self._values, {}
        for name in names:
            known = values.get(name)
            if known is None:
                continue
            if now < known[0].good_until:
                values.move_to_end(name)
                found[name] = known[0]
            else:
                self.drop(name)
        return found

    def keep(self, name: str, kept: Kept[Any], generation: Generation, now: float, json_bytes: int) -> Near:
        """Remembers a value that was read or stored just now, if there is room, and gives it."""
        good_until = kept.fresh_until
        if generation == UNCHANGING:
            good_until = min(good_until, now + UNASKED_SECONDS)
        near = Near(kept, generation, good_until)
        if now < good_until and (size_bytes := ENTRY_BYTES + MEMORY_PER_JSON_BYTE * json_bytes) <= self._max_bytes:
            self.drop(name)
            self._values[name] = near, size_bytes
            self.size_bytes += size_bytes
            while self.size_bytes > self._max_bytes:
                self.drop(next(iter(self._values)))
        return near

    def drop(self, name: str) -> None:
        if found := self._values.pop(name, None):
            self.size_bytes -= found[1]

    def clear(self) -> None:
        self._values.clear()
        self.size_bytes = 0
