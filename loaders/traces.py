"""What an answer rests on: every look-up that was read for it, and whether it came of these alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any, NamedTuple

from services.cache import Kept, Looked, LookupCache
from services.lookups import Lookup

_kept_of = attrgetter("kept")


class Read(NamedTuple):
    """One look-up of many keys, and what was kept for each."""

    lookup: Lookup[Any, Any]
    keys: Sequence[Any]
    kept: list[Kept[Any] | None]


class Basis(NamedTuple):
    """Look-ups that an answer rests on, all of them fresh until then."""

    reads: list[Read]
    fresh_until: float

    @property
    def keys(self) -> int:
        """How many keys were looked up."""
        return sum(len(read.keys) for read in self.reads)

    async def holds(self, cache: LookupCache) -> bool:
        """Whether a reader now would find the very same, all of it fresh. The look-ups count as read."""
        if cache.clock() >= self.fresh_until:
            return False
        for lookup, keys, kept in self.reads:
            if not all(map(is_, map(_kept_of, await cache.look_up(lookup, keys)), kept)):
                return False
        return True


class ReadTrace:
    """The look-ups of one operation. `repeatable` is taken back by whatever else has a say in its answer: the clock,
    a change, what is kept elsewhere."""

    __slots__ = ("_reads", "repeatable")

    def __init__(self) -> None:
        self._reads: list[Read] = []
        self.repeatable = True

    def add(self, lookup: Lookup[Any, Any], keys: Sequence[Any], looked: Sequence[Looked[Any]]) -> None:
        self._reads.append(Read(lookup, keys, list(map(_kept_of, looked))))

    def take(self) -> Basis:
        """Gives what was read, and lets go of it: loaders that refer to this live until garbage is collected."""
        reads, self._reads = self._reads, []
        ends = (one.fresh_until for read in reads for one in read.kept if one is not None)
        return Basis(reads, min(ends, default=math.inf))
