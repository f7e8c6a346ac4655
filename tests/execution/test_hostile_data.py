"""Whatever the data, the compiled answer is the one that graphql-core gives."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import strawberry

from tests.execution.comparison import Pair
from tests.execution.demo import PersonModel, Query, Renamed, Status, TagModel

PLAIN = (
    "id name must age ok score status kind at uid words grid shout "
    "tags { name n } looseTags { n name } best { name owner { id } }"
)
DEEP = "id friends { name batchTags { name } friendsAsRead { must maybe { n } } } best { owner { batchTags { n } } }"
QUERIES = {
    "plain": f"{{ people {{ {PLAIN} }} }}",
    "plain, loose": f"{{ some {{ {PLAIN} }} }}",
    "one": f"{{ one {{ {PLAIN} }} }}",
    "sync resolver": "{ people { id upper name } }",
    "async resolver": "{ some { id later { name } name } }",
    "batches": "{ some { id batchTags(times: 2) { name n } name maybe { n } count } }",
    "batches, strict": "{ people { batchTags { n a: name } sure { name } maybe { name } } }",
    "batches, one": "{ one { shout batchTags { name } maybe { name } sure { n } tags { n } friends { id } } }",
    "a batch that raises": "{ some { broken { name } too: maybe { name } } }",
    "deep": f"{{ people {{ {DEEP} }} }}",
    "deep, loose": f"{{ some {{ {DEEP} }} }}",
    "deep, one": f"{{ one {{ {DEEP} }} }}",
    "fragments": "{ people { __typename x: name y: name name ...F ... on Person { age } } some { ...F } } "
    "fragment F on Person { kind tags { __typename n } }",
    "skipped": "query ($s: Boolean = true) "
    "{ people { id @skip(if: $s) name @include(if: $s) tags @skip(if: $s) { n } } }",
    "included": "query ($s: Boolean = false) "
    "{ people { id @skip(if: $s) name @include(if: $s) tags @skip(if: $s) { n } } }",
    "merged": "{ people { tags { n } tags { name } maybe { n } maybe { name } } }",
    "interfaces": "{ things { __typename name ... on Person { age batchTags { n } } ... on Tag { n } } }",
    "interfaces below": "{ people { id things { name } thing { __typename name ... on Tag { n } } } }",
}


async def later(value: Any) -> Any:
    return value


def iter_nothing() -> Iterator[Any]:
    yield from ()


async def failing() -> Any:
    raise ValueError("awaited")


def person(**values: Any) -> PersonModel:
    return PersonModel(**{"tags": (TagModel(), TagModel("u", 2)), "best": TagModel(owner=PersonModel(id="9"))} | values)


def friends(**values: Any) -> list[PersonModel]:
    """Four people, of whom the third has these values, in person and among the friends of the second and fourth."""
    odd = person(**{"id": "odd"} | values)
    circle = (person(id="x"), odd, person(id="y"))
    return [person(id="1"), person(id="2", friends=circle), odd, person(id="4", friends=(odd,))]


CASES: dict[str, Any] = {
    "as expected": friends,
    "nobody": list,
    "one person": lambda: [person(friends=(person(id="2"),))],
    "a tuple": lambda: (person(), person()),
    "a generator": lambda: (one for one in friends()),
    "no list": lambda: 5,
    "null": lambda: None,
    "null item": lambda: [person(), None, person()],
    "null friend": lambda: [person(), person(friends=(person(), None))],
    "awaitable item": lambda: [person(), later(person()), person()],
    "awaitable null item": lambda: [person(), later(None), person()],
    "awaitable text": lambda: [person(), person(name=later("x")), person(must=later(None))],
    "awaitable failing": lambda: [person(), person(name=failing()), person()],
    "awaitable list": lambda: [person(), person(tags=later([TagModel()])), person(friends=later([person()]))],
    "exception as item": lambda: [person(), ValueError("item"), person()],
    "a dict": lambda: [{"id": "1", "name": "dict"}, person()],
    "wrong class": lambda: [person(), TagModel()],
    "subclass": lambda: [type("Special", (PersonModel,), {})(), person()],
    "null in nullable": lambda: friends(name=None),
    "null in non-null": lambda: friends(must=None),
    "null twice": lambda: friends(must=None, id=None),
    "int too large": lambda: friends(age=2**40),
    "int from text": lambda: friends(age="12"),
    "int from float": lambda: friends(age=3.0),
    "int from part": lambda: friends(age=3.5),
    "bool for int": lambda: friends(age=True),
    "no bool": lambda: friends(ok="x"),
    "nan": lambda: friends(score=float("nan")),
    "infinite": lambda: friends(score=float("-inf")),
    "int for float": lambda: friends(score=2),
    "number for text": lambda: friends(name=12, id=7),
    "list for text": lambda: friends(name=[1]),
    "object for text": lambda: friends(name=TagModel()),
    "generator for text": lambda: friends(name=iter_nothing()),
    "no such member": lambda: friends(status="nope"),
    "member by value": lambda: friends(status="active"),
    "member of another": lambda: friends(status=Renamed.A, kind=Status.GONE),
    "renamed member": lambda: friends(kind=Renamed.B),
    "exception as text": lambda: friends(name=ValueError("text")),
    "exception as list": lambda: friends(tags=ValueError("list")),
    "text for instant": lambda: friends(at="2026"),
    "no uuid": lambda: friends(uid=object),
    "words null": lambda: friends(words=None),
    "word null": lambda: friends(words=("a", None)),
    "words no list": lambda: friends(words={"a": 1}),
    "words generated": lambda: [person(words=(word for word in "ab")), person()],
    "grid bad": lambda: friends(grid=((1, "x"), (2,))),
    "tags null": lambda: friends(tags=None),
    "tag null": lambda: friends(tags=(TagModel(), None)),
    "tag bad": lambda: friends(tags=(TagModel(None), TagModel())),
    "tag of wrong class": lambda: friends(tags=(person(),)),
    "best of wrong class": lambda: friends(best=person()),
    "best bad": lambda: friends(best=TagModel(n="n")),
    "best's owner bad": lambda: friends(best=TagModel(owner=TagModel())),
    "best's owner's tags": lambda: friends(best=TagModel(owner=person(wish="error"))),
    "friends null": lambda: friends(friends=None),
    "friends no list": lambda: friends(friends=3),
    "friends generated": lambda: [person(), person(friends=(one for one in [person(), person()]))],
    "things": lambda: friends(things=(TagModel(), person(), None)),
    "thing of no type": lambda: friends(things=(5,)),
    "wish null": lambda: friends(wish="null"),
    "wish fails": lambda: friends(wish="error"),
    "wish for a bad tag": lambda: friends(wish="bad tag"),
    "wish of wrong class": lambda: friends(wish="person"),
    "wish for a text": lambda: friends(wish=lambda: 5),
    "wish for null tags": lambda: friends(wish=(None,)),
    "all wishes fail": lambda: [person(id=str(n), wish="error") for n in range(3)],
    "all wishes null": lambda: [person(id=str(n), wish="null") for n in range(3)],
    "wishes fail below": lambda: [person(), person(friends=[person(wish="error"), person(wish="bad tag")])],
}


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, "strawberry.execution")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair(lambda executor: strawberry.Schema(Query, execution_context_class=executor))


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("case", CASES)
# Coroutines and generators among the data are not always taken up, by either.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_hostile_data_is_answered_as_by_graphql_core(pair, case, query):
    await pair.same(QUERIES[query], CASES[case])
