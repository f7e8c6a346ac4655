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
    """At most `most` values, the longest unasked ones go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int, str], tuple[object, object, V]] = OrderedDict()

    def get(self, one: object, other: object, make: Callable[[], V], form: str = "") -> V:
        """The value made from these two objects in this form; made where it is not at hand."""
        key = (id(one), id(other), form)
        kept = self._kept.get(key)
        # The objects are held, so their ids are theirs; the comparison says so without proof.
        if kept is not None and kept[0] is one and kept[1] is other:
            return kept[2]
        value = make()
        self._kept[key] = (one, other, value)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value
