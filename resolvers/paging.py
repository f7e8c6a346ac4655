"""Pages of lists that are at hand as a whole, by cursors that outlive the process and the list.

A cursor holds the place of an item in the order (its key and its id), not its number: items that come and go
between two pages neither repeat others nor hide them.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from typing import Generic, NamedTuple, TypeVar

from services.errors import BadInput, PageSizeTooLarge

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50
LONGEST_CURSOR = 512
LONGEST_KEY = 48
"""Characters of a key that go into a cursor: so many fit into its 512 in any script."""


class Place(NamedTuple):
    """Where an item stands in an order: by its key, and among equal ones by its id."""

    key: str
    id: str


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """An order of items by their keys, equal ones by id in both directions.

    `name` is written into cursors, so that one of another order is refused.
    """

    name: str
    key: Callable[[T], str]
    id: Callable[[T], str]
    descending: bool = False

    def place(self, item: T) -> Place:
        return Place(self.key(item), self.id(item))


@dataclass(frozen=True, slots=True)
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True, slots=True)
class Edge(Generic[T]):
    cursor: str
    node: T


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of an ordered list, with the number of items of the whole list."""

    nodes: list[T]
    order: Order[T]
    total_count: int
    has_next_page: bool
    has_previous_page: bool

    @property
    def edges(self) -> list[Edge[T]]:
        return [Edge(_write_cursor(self.order, node), node) for node in self.nodes]

    @property
    def page_info(self) -> PageInfo:
        nodes = self.nodes
        return PageInfo(
            has_next_page=self.has_next_page,
            has_previous_page=self.has_previous_page,
            start_cursor=_write_cursor(self.order, nodes[0]) if nodes else None,
            end_cursor=_write_cursor(self.order, nodes[-1]) if nodes else None,
        )


@dataclass(frozen=True, slots=True)
class Window(Generic[T]):
    """Which part of a list is asked for: in which order, how many items, behind which place."""

    order: Order[T]
    size: int
    after: Place | None


def read_window(order: Order[T], first: int | None, after: str | None, limit: int) -> Window[T]:
    """Reads `first` and `after`, before anything is asked for: null means the default size, and the beginning."""
    size = read_size(first, limit)
    return Window(order, size, None if after is None else _read_cursor(order, after))


def read_size(first: int | None, limit: int) -> int:
    """Reads `first`: null means the default size, and more than the limit is refused."""
    size = min(DEFAULT_PAGE_SIZE, limit) if first is None else first
    if not 0 <= size <= limit:
        raise PageSizeTooLarge(size, limit)
    return size


def paginate(items: Sequence[T], window: Window[T]) -> Page[T]:
    """Gives the items of the window, in order. Each item's key is taken once, and only the page is sorted."""
    order = window.order
    keys = list(map(order.key, items))
    # Items by their numbers: a pair for each of thousands would keep the garbage collector busy.
    left: Sequence[int] = range(len(items))
    if window.after is not None:
        left = _behind(_whole(window.after, order, items, keys), order, items, keys)
    nodes = [items[number] for number in _first(left, window.size, order, items, keys)]
    return Page(
        nodes=nodes,
        order=order,
        total_count=len(items),
        has_next_page=len(nodes) < len(left),
        has_previous_page=len(left) < len(items),
    )


def _behind(mark: Place, order: Order[T], items: Sequence[T], keys: Sequence[str]) -> list[int]:
    """The numbers of the items that come after the mark."""
    at, id = mark
    if order.descending:
        return [i for i, key in enumerate(keys) if key < at or (key == at and order.id(items[i]) > id)]
    return [i for i, key in enumerate(keys) if key > at or (key == at and order.id(items[i]) > id)]


def _first(left: Sequence[int], size: int, order: Order[T], items: Sequence[T], keys: Sequence[str]) -> list[int]:
    """The first so many of what is left, in order. What is behind them is not sorted."""
    if not size:
        return []
    if size < len(left) // 2:
        found = (keys[number] for number in left)
        if order.descending:
            last = nlargest(size, found)[-1]
            left = [number for number in left if keys[number] >= last]
        else:
            last = nsmallest(size, found)[-1]
            left = [number for number in left if keys[number] <= last]
    by_id = sorted(left, key=lambda number: order.id(items[number]))
    return sorted(by_id, key=keys.__getitem__, reverse=order.descending)[:size]


def _write_cursor(order: Order[T], item: T) -> str:
    place = order.place(item)
    text = json.dumps([order.name, place.key[:LONGEST_KEY], place.id], ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _whole(mark: Place, order: Order[T], items: Sequence[T], keys: Sequence[str]) -> Place:
    """The place with its whole key: where it was cut, the item itself knows the rest, if it is still there."""
    if len(mark.key) < LONGEST_KEY:
        return mark
    found = (
        key for key, item in zip(keys, items, strict=True) if key.startswith(mark.key) and order.id(item) == mark.id
    )
    return Place(next(found, mark.key), mark.id)


def _read_cursor(order: Order[T], text: str) -> Place:
    try:
        if len(text) > LONGEST_CURSOR:
            raise ValueError("longer than any cursor")
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not (isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, str) for part in parts)):
            raise ValueError("not what a cursor holds")
    except (ValueError, RecursionError) as error:
        raise BadInput("after: this is no cursor of the gateway. Give an endCursor as it was answered.") from error
    if parts[0] != order.name:
        raise BadInput("after: this cursor belongs to a list in another order. Start again without it.")
    return Place(parts[1], parts[2])
