"""Values worked out from cached lists, kept as long as the lists are: the same lists always give the same value.

Lists in the cache are never changed in place, so a list is known by being the very same object. Nothing that
depends on the caller or the clock may be kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Joined(Generic[V]):
    """One value a key, of the newest lists: older ones are let go. At most `most` keys, the oldest go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[object, object, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable, one: object, other: object = None) -> V | None:
        """The value that is kept for these two objects."""
        kept = self._kept.get(key)
        return kept[2] if kept is not None and kept[0] is one and kept[1] is other else None

    def keep(self, key: Hashable, value: V, one: object, other: object = None) -> V:
        """Keeps the value made from these two objects in place of what the key had, and gives it."""
        self._kept[key] = (one, other, value)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value

    def get(self, key: Hashable, one: object, other: object, make: Callable[[], V]) -> V:
        """The value made from these two objects; made where it is not at hand."""
        found = self.find(key, one, other)
        return self.keep(key, make(), one, other) if found is None else found
