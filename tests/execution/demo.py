"""A schema with every kind of field, and data to make each of them go wrong.

`Person` is answered by `PersonModel` and so on, as in the gateway: types say what there is, models hold it. The data of
a request is its root value.
"""

from __future__ import annotations

import asyncio
import datetime
import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import strawberry

from execution.many import for_many

UID = uuid.UUID(int=7)


@strawberry.enum
class Status(enum.Enum):
    ACTIVE = "active"
    GONE = "gone"


@strawberry.enum
class Renamed(enum.Enum):
    A = strawberry.enum_value("x", name="ALPHA")
    B = "y"


@dataclass(frozen=True)
class TagModel:
    """Any value may stand anywhere: that is what is tried."""

    name: Any = "tag"
    n: Any = 1
    owner: Any = None


@dataclass(frozen=True)
class PersonModel:
    id: Any = "1"
    name: Any = "Ada"
    must: Any = "must"
    age: Any = 3
    ok: Any = True
    score: Any = 1.5
    status: Any = Status.ACTIVE
    kind: Any = Renamed.A
    at: Any = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    uid: Any = UID
    words: Any = ("a", "b")
    grid: Any = ((1, 2), (3,))
    tags: Any = ()
    best: Any = None
    things: Any = ()
    friends: Any = ()
    wish: Any = "tag"
    """What the resolvers below make of the person."""

    @property
    def shout(self) -> str:
        return str(self.name).upper()

    @property
    def loose_tags(self) -> Any:
        return self.tags

    @property
    def friends_as_read(self) -> Any:
        return self.friends


def wished(person: PersonModel) -> Any:
    """What a resolver answers: `person.wish` names it, or is it."""
    named = {
        "null": None,
        "error": ValueError(f"{person.id} failed"),
        "bad tag": TagModel(None),
        "tag": TagModel(f"tag of {person.id}", 5),
        "person": person,
    }
    return named.get(person.wish, person.wish) if isinstance(person.wish, str) else person.wish


def raised(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


async def tags_of(parents: Sequence[Any], info: strawberry.Info, times: int = 1) -> list[Any]:
    await asyncio.sleep(0)
    return [[tag] * times if isinstance(tag := wished(one), TagModel) else tag for one in parents]


async def maybe_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [wished(one) for one in parents]


def friends_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [one.friends for one in parents]


async def count_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [one.age for one in parents]


async def raises(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    raise RuntimeError("all failed")


async def too_few(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [TagModel()] * (len(parents) - 1) if len(parents) > 1 else [TagModel()]


@for_many(tags_of)
async def resolve_tags(root: strawberry.Parent[Any], info: strawberry.Info, times: int = 1) -> Any:
    return raised((await tags_of([root], info, times))[0])


@for_many(maybe_of)
async def resolve_maybe(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return raised(wished(root))


@for_many(maybe_of)
async def resolve_sure(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return raised(wished(root))


@for_many(friends_of)
def resolve_friends(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return root.friends


@for_many(count_of)
async def resolve_count(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return root.age


@for_many(raises)
async def resolve_broken(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    raise RuntimeError("all failed")


@for_many(maybe_of)
async def resolve_thing(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return raised(wished(root))


@for_many(too_few)
async def resolve_too_few(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return TagModel()


def resolve_upper(root: strawberry.Parent[Any]) -> str:
    return str(root.name).upper()


async def resolve_later(root: strawberry.Parent[Any]) -> Any:
    await asyncio.sleep(0)
    return raised(wished(root))


@strawberry.interface
class Thing:
    name: str | None


@strawberry.type
class Tag(Thing):
    name: str
    n: int
    owner: Person | None

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, TagModel)


@strawberry.type
class Person(Thing):
    id: strawberry.ID
    name: str | None
    must: str
    age: int
    ok: bool
    score: float
    status: Status
    kind: Renamed
    at: datetime.datetime
    uid: uuid.UUID
    words: list[str]
    grid: list[list[int]]
    tags: list[Tag]
    loose_tags: list[Tag | None] | None
    best: Tag | None
    things: list[Thing | None]
    shout: str
    friends: list[Person] = strawberry.field(resolver=resolve_friends)
    friends_as_read: list[Person]
    upper: str = strawberry.field(resolver=resolve_upper)
    later: Tag | None = strawberry.field(resolver=resolve_later)
    batch_tags: list[Tag] = strawberry.field(resolver=resolve_tags)
    maybe: Tag | None = strawberry.field(resolver=resolve_maybe)
    sure: Tag = strawberry.field(resolver=resolve_sure)
    count: int | None = strawberry.field(resolver=resolve_count)
    broken: Tag | None = strawberry.field(resolver=resolve_broken)
    thing: Thing | None = strawberry.field(resolver=resolve_thing)
    too_few: Tag | None = strawberry.field(resolver=resolve_too_few)

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, PersonModel)


def resolve_root(root: Any) -> Any:
    return root


async def resolve_first(root: Any) -> Any:
    return root[0] if isinstance(root, (list, tuple)) and root else None


@strawberry.type
class Query:
    people: list[Person] = strawberry.field(resolver=resolve_root)
    some: list[Person | None] | None = strawberry.field(resolver=resolve_root)
    one: Person | None = strawberry.field(resolver=resolve_first)
    things: list[Thing | None] = strawberry.field(resolver=resolve_root)
