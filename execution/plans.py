"""How one selection on objects of one type is answered, and the table that keeps it from request to request."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import GraphQLField, GraphQLObjectType, GraphQLOutputType

from execution.many import Batch


class Selected(NamedTuple):
    """A field of a selection, as graphql-core collected it."""

    response: str
    name: str
    below: Structure | None
    """What is selected below; None where nothing is, or where it is planned when it is reached."""
    plain: bool
    """Whether it and all below is read off objects by attribute."""


Structure = tuple[Selected, ...]
"""A selection: all that generated code depends on."""

Build = Callable[[Sequence[Any]], list[Any]]
"""Turns values into answers, all of them, or raises: then graphql-core is asked, value by value."""


@dataclass(frozen=True, slots=True)
class Step:
    """A field that is more than plain values. Without `read` and `batch` it is resolved parent by parent."""

    name: str
    field: GraphQLField
    read: Callable[[Any], Any] | None
    batch: Batch | None
    build: Build | None
    """For values with nothing but plain fields below."""
    below: Plan | None
    """For objects that take steps themselves: of `item_kind`, one a value or, as `item_type`, in a list."""
    item_kind: GraphQLObjectType | None
    item_type: GraphQLOutputType
    is_list: bool
    nullable: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """`build` writes the plain fields of objects, and leaves room for those that take a step."""

    build: Build
    steps: tuple[Step, ...]


@dataclass(slots=True)
class Counts:
    """What went which way. `slow` are those that graphql-core answered, `refused` among them those tried before.

    `off` counts operations that were not tried at all, by reason: one that grows says that something, such as an
    extension with a `resolve` hook, keeps every operation from being compiled.
    """

    compiled: int = 0
    fast_lists: int = 0
    slow_lists: int = 0
    fast_objects: int = 0
    slow_objects: int = 0
    refused: int = 0
    levels: int = 0
    batches: int = 0
    off: Counter[str] = field(default_factory=Counter)


class Plans:
    """Plans by structure; the one that was not asked for longest makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Plan | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Plan | None]) -> Plan | None:
        """Gives the plan of a structure, made where it is not kept."""
        try:
            self._kept.move_to_end(key)
        except KeyError:
            plan = self._kept[key] = make()
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return plan
        return self._kept[key]
