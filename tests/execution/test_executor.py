"""What is compiled and what is not, and what a batch is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from strawberry.extensions import SchemaExtension

from execution.executor import MOST_FIELDS, CompiledExecutor, compiled_execution
from execution.many import for_many
from execution.records import plain
from schema.build import build_schema
from tests.execution.demo import PersonModel, Query, TagModel

ASKED: list[Any] = []
"""What the batch and the resolver of `Book.note` were asked since the test began."""


async def notes_of(parents: Sequence[Any], info: strawberry.Info, text: str = "") -> list[Any]:
    ASKED.append(("batch", list(parents), text, info.context, info.field_name))
    return [ValueError("no note") if one.id == "bad" else f"{text}{one.id}" for one in parents]


@for_many(notes_of)
async def resolve_note(root: strawberry.Parent[Any], info: strawberry.Info, text: str = "") -> str | None:
    ASKED.append(("one", root, text))
    return f"{text}{root.id}"


async def slow_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    ASKED.append(("slow",))
    try:
        await asyncio.sleep(60)
    finally:
        ASKED.append(("slow ended",))
    raise AssertionError("nobody waits so long")


@for_many(slow_of)
async def resolve_slow(root: strawberry.Parent[Any]) -> str | None:
    raise AssertionError("there are several parents")


async def chapters_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [[Book(id=f"{one.id}.{number}") for number in range(2)] for one in parents]


@for_many(chapters_of)
async def resolve_chapters(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
    return [Book(id=f"{root.id}.{number}") for number in range(2)]


@strawberry.type
class Book:
    id: str
    note: str | None = strawberry.field(resolver=resolve_note)
    slow: str | None = strawberry.field(resolver=resolve_slow)
    strict_note: str = strawberry.field(resolver=resolve_note)
    chapters: list[Book] = strawberry.field(resolver=resolve_chapters)


@strawberry.type
class Library:
    @strawberry.field
    def books(self, ids: list[str]) -> list[Book]:
        return [Book(id=one) for one in ids]

    @strawberry.field
    def loose_books(self, ids: list[str]) -> list[Book | None]:
        return [Book(id=one) for one in ids]


@pytest.fixture(autouse=True)
def asked(caplog):
    caplog.set_level(logging.CRITICAL, "strawberry.execution")
    ASKED.clear()
    return ASKED


@pytest.fixture
def people():
    """A schema of people with a table and counts of its own."""
    return strawberry.Schema(Query, execution_context_class=compiled_execution())


@pytest.fixture
def library():
    return strawberry.Schema(Library, execution_context_class=compiled_execution())


def counts_of(schema):
    return schema.execution_context_class.counts


def test_a_synchronous_execution_stays_synchronous(people):
    answer = people.execute_sync("{ people { name tags { n } } }", root_value=[PersonModel(tags=(TagModel(),))] * 2)

    assert answer.errors is None
    assert plain(answer.data) == {"people": [{"name": "Ada", "tags": [{"n": 1}]}] * 2}
    assert counts_of(people).fast_lists == 1


async def test_a_selection_is_compiled_once_whatever_it_is_called_and_asked_with(library):
    for name, ids in (("One", ["a"]), ("Two", ["b", "c"])):
        query = f'query {name}($ids: [String!]!) {{ books(ids: $ids) {{ id note(text: "{name}") }} }}'
        answer = await library.execute(query, {"ids": ids})
        assert plain(answer.data) == {"books": [{"id": one, "note": name + one} for one in ids]}

    assert counts_of(library).compiled == 1


async def test_the_table_of_plans_is_bounded():
    executor = compiled_execution(most_plans=3)
    schema = strawberry.Schema(Query, execution_context_class=executor)
    for number in range(10):
        await schema.execute(f"{{ people {{ a{number}: name }} }}", root_value=[PersonModel()])

    assert executor.counts.compiled == 10
    assert len(executor.plans) == 3


async def test_a_selection_of_very_many_fields_is_left_to_graphql_core(people):
    names = " ".join(f"a{number}: name" for number in range(MOST_FIELDS + 1))

    answer = await people.execute(f"{{ people {{ {names} }} }}", root_value=[PersonModel()])

    assert len(plain(answer.data)["people"][0]) == MOST_FIELDS + 1
    assert counts_of(people).slow_lists == 1
    assert counts_of(people).compiled == 0


async def test_a_selection_nested_deeper_than_python_reads_is_left_to_graphql_core(people):
    depth = 80
    person: Any = PersonModel()
    for _ in range(depth):
        person = PersonModel(friends=[person])

    query = "{ people " + "{ friendsAsRead " * depth + "{ name }" + "}" * depth + " }"
    answer = await people.execute(query, root_value=[person])

    assert answer.errors is None
    assert counts_of(people).slow_lists > 0


class Traced(SchemaExtension):
    async def resolve(self, _next, root, info, *args, **kwargs):
        found = _next(root, info, *args, **kwargs)
        return await found if hasattr(found, "__await__") else found


async def test_an_extension_that_sees_every_field_is_counted_as_the_reason_to_be_off():
    """It would not see fields that are compiled."""
    executor = compiled_execution()
    schema = strawberry.Schema(Query, extensions=[Traced], execution_context_class=executor)

    answer = await schema.execute("{ people { name } }", root_value=[PersonModel()])

    assert plain(answer.data) == {"people": [{"name": "Ada"}]}
    assert executor.counts.off == {"middleware": 1}
    assert (executor.counts.fast_lists, executor.counts.slow_lists) == (0, 1)


async def test_a_bad_item_is_the_only_one_that_graphql_core_completes(people):
    root = [PersonModel() for _ in range(100)]
    root[50] = PersonModel(age="twelve")

    answer = await people.execute("{ some { name age } }", root_value=root)

    assert plain(answer.data)["some"][49:52] == [{"name": "Ada", "age": 3}, None, {"name": "Ada", "age": 3}]
    assert [error.path for error in answer.errors] == [["some", 50, "age"]]
    assert counts_of(people).refused == 2  # in the list, and by itself
    assert counts_of(people).slow_objects == 1


async def test_a_batch_is_asked_once_for_all_parents_with_their_arguments(library, asked):
    query = '{ books(ids: ["a", "b"]) { note(text: "x") chapters { note } } }'

    answer = await library.execute(query, context_value="context")

    chapters = {one: [{"note": f"{one}.0"}, {"note": f"{one}.1"}] for one in "ab"}
    assert plain(answer.data) == {"books": [{"note": f"x{one}", "chapters": chapters[one]} for one in "ab"]}
    assert [(kind, [one.id for one in parents], text) for kind, parents, text, *_ in asked] == [
        ("batch", ["a", "b"], "x"),
        ("batch", ["a.0", "a.1", "b.0", "b.1"], ""),
    ]
    assert {tuple(rest) for *_, rest in [(one[:3], one[3:]) for one in asked]} == {("context", "note")}


async def test_a_single_parent_is_answered_by_the_resolver(library, asked):
    """So look-ups of single objects meet in a loader, wherever in the request they are."""
    await library.execute('{ a: books(ids: ["a"]) { note } b: books(ids: ["b"]) { note } }')

    assert [kind for kind, *_ in asked] == ["one", "one"]


async def test_a_failed_parent_is_null_with_its_own_error_and_asked_nothing_again(library, asked):
    answer = await library.execute('{ books(ids: ["a", "bad", "b"]) { id note } }')

    assert plain(answer.data) == {
        "books": [{"id": "a", "note": "a"}, {"id": "bad", "note": None}, {"id": "b", "note": "b"}]
    }
    assert [(error.message, error.path) for error in answer.errors] == [("no note", ["books", 1, "note"])]
    assert [kind for kind, *_ in asked] == ["batch"]


async def test_a_failed_field_that_must_not_be_null_makes_what_holds_it_null(library):
    loose = await library.execute('{ looseBooks(ids: ["a", "bad", "b"]) { strictNote } }')
    strict = await library.execute('{ books(ids: ["a", "bad", "b"]) { strictNote } }')

    assert plain(loose.data) == {"looseBooks": [{"strictNote": "a"}, None, {"strictNote": "b"}]}
    assert strict.data is None
    assert [error.path for error in loose.errors] == [["looseBooks", 1, "strictNote"]]
    assert [error.path for error in strict.errors] == [["books", 1, "strictNote"]]


async def test_who_gives_up_ends_what_a_level_waits_for(library, asked):
    before = asyncio.all_tasks()

    executing = asyncio.create_task(library.execute('{ books(ids: ["a", "b"]) { slow note chapters { slow } } }'))
    while [kind for kind, *_ in asked].count("slow") < 2:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0)
    executing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await executing

    assert [kind for kind, *_ in asked if kind == "slow ended"] == ["slow ended"] * 2
    assert asyncio.all_tasks() == before


async def test_a_batch_that_gives_too_few_answers_gives_nobody_anything(people):
    """Else one parent would be told what belongs to another."""
    answer = await people.execute("{ some { tooFew { name } } }", root_value=[PersonModel(), PersonModel()])

    assert plain(answer.data) == {"some": [{"tooFew": None}, {"tooFew": None}]}
    assert {error.message for error in answer.errors} == {"A batch gave 1 answers for 2 parents."}


def test_the_schema_is_built_without_compiled_execution_where_that_is_wanted():
    assert issubclass(build_schema().execution_context_class, CompiledExecutor)
    assert not issubclass(build_schema(fast_execution=False).execution_context_class, CompiledExecutor)
