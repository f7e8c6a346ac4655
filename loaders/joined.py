"""Values worked out from cached lists, kept as long as the lists are: the same lists always give the same value.

Lists in the cache are never changed in place, so a list is known by being the very same object. Nothing that
depends on the caller or the clock may be kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Joined(Generic[V]):
    """At most `most` values, the oldest go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int], tuple[object, object, V]] = OrderedDict()

    def find(self, one: object, other: object = None) -> V | None:
        """The value that is kept for these two objects."""
        kept = self._kept.get((id(one), id(other)))
        # The objects are held, so their ids are theirs; the comparison says so without proof.
        return kept[2] if kept is not None and kept[0] is one and kept[1] is other else None

    def keep(self, one: object, value: V, other: object = None) -> V:
        """Keeps the value made from these two objects, and gives it."""
        self._kept[id(one), id(other)] = (one, other, value)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value

    def get(self, one: object, other: object, make: Callable[[], V]) -> V:
        """The value made from these two objects; made where it is not at hand."""
        found = self.find(one, other)
        return self.keep(one, make(), other) if found is None else found
