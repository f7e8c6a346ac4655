"""Valid queries and data made up by chance are answered compiled as by graphql-core."""

from __future__ import annotations

import logging
from random import Random
from typing import Any

import pytest
import strawberry
from graphql import GraphQLInterfaceType, get_named_type, is_composite_type, parse, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.execution.comparison import Pair
from tests.execution.demo import PersonModel, Query, Renamed, Status, TagModel

PAIR = Pair(lambda executor: strawberry.Schema(Query, execution_context_class=executor))
SCHEMA = PAIR.stock._schema
DEPTH = 4
DIRECTIVES = ("", "", "", " @skip(if: $yes)", " @skip(if: $no)", " @include(if: $no)", " @include(if: $yes)")
# All variables and fragments are used somewhere, as they must be.
DOCUMENT = (
    "query ($yes: Boolean = true, $no: Boolean = false) {{ "
    "{} {} {} t: __typename @skip(if: $yes) @include(if: $no) people {{ ...Known }} }} "
    "fragment Known on Person {{ Person_name: name Person_tags: tags {{ Tag_name: name }} known: maybe {{ n }} }}"
)


def query(chance: Random) -> str:
    return DOCUMENT.format(*(field(SCHEMA.query_type, DEPTH, chance) for _ in range(3)))


def selection(kind: Any, depth: int, chance: Random) -> str:
    parts = (fragment if chance.random() < 0.2 else field for _ in range(chance.randint(1, 4)))
    return "{ " + " ".join(part(kind, depth, chance) for part in parts) + " }"


def field(kind: Any, depth: int, chance: Random) -> str:
    """A field with what is below. Its alias holds its type and argument, so that what can merge does."""
    names = [name for name, one in kind.fields.items() if depth or not is_composite_type(get_named_type(one.type))]
    names = [name for name in names if name != "tooFew"]  # right for one parent, and wrong for several
    name = chance.choice([*names, "__typename"])
    if name == "__typename":
        return chance.choice(["__typename", "t: __typename"])
    times = chance.randint(1, 2) if kind.fields[name].args else ""
    argument = f"(times: {times})" if times else ""
    inner = get_named_type(kind.fields[name].type)
    below = selection(inner, depth - 1, chance) if is_composite_type(inner) else ""
    alias = chance.choice(("", "", "a_", "b_"))
    return f"{alias}{kind}_{name}{times}: {name}{argument}{chance.choice(DIRECTIVES)} {below}"


def fragment(kind: Any, depth: int, chance: Random) -> str:
    """A fragment on the type itself, on one of its interfaces, or on one that has it as its interface."""
    others = SCHEMA.get_possible_types(kind) if isinstance(kind, GraphQLInterfaceType) else kind.interfaces
    wanted = chance.choice([kind, *others])
    directive = chance.choice(DIRECTIVES)
    if wanted.name == "Person" and chance.random() < 0.3:
        return f"...Known{directive}"
    condition = chance.choice(["", f" on {kind}"]) if wanted is kind else f" on {wanted}"
    return f"...{condition}{directive} {selection(wanted, max(depth - 1, 0), chance)}"


def tag(chance: Random) -> TagModel:
    return TagModel(
        name=chance.choice("xyxyxyx" if chance.random() < 0.95 else [None]),
        n=2**40 if chance.random() < 0.03 else chance.randint(1, 9),
        owner=chance.choice([None, None, PersonModel(id="owner"), PersonModel(id="poor", wish="error")]),
    )


def person(chance: Random, depth: int = 2) -> PersonModel:
    """Mostly as it should be: else nearly every answer were null as a whole."""
    values: dict[str, Any] = {
        "id": chance.choice("1234"),
        "name": chance.choice(["Ada", "Ada", None]),
        "wish": chance.choice(["tag"] * 8 + ["null", "error", "bad tag", "person"]),
        "kind": chance.choice(list(Renamed)),
        "tags": tuple(tag(chance) for _ in range(chance.randint(0, 2))),
        "best": chance.choice([None, tag(chance)]),
        "things": [chance.choice([None, tag(chance), PersonModel(id="thing")]) for _ in range(chance.randint(0, 2))],
        "friends": [person(chance, depth - 1) for _ in range(chance.randint(0, 2))] if depth else [],
    }
    if chance.random() < 0.1:
        odd = [
            None,
            5,
            True,
            "text",
            ValueError("odd"),
            float("nan"),
            (),
            ("a",),
            TagModel(),
            Status.GONE,
            PersonModel(),
        ]
        values[chance.choice(list(PersonModel.__dataclass_fields__))] = chance.choice(odd)
    return PersonModel(**values)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, "strawberry.execution")


# Coroutines below a field that fails at once are not always begun, by either.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
async def test_random_queries_are_answered_as_by_graphql_core(seed):
    chance = Random(seed)
    text, root = query(chance), [person(chance) for _ in range(chance.randint(0, 4))]
    assert validate(SCHEMA, parse(text)) == []

    await PAIR.same(text, lambda: root)


async def test_what_is_made_up_is_compiled_mostly():
    """The comparison above would be of graphql-core with itself, otherwise."""
    for seed in range(20):
        chance = Random(seed)
        await PAIR.compiled.execute(query(chance), root_value=[person(chance) for _ in range(3)])

    counts = PAIR.counts
    assert counts.slow_lists + counts.slow_objects < (counts.fast_lists + counts.fast_objects) / 3
    assert counts.levels > 20
    assert counts.batches > 20
    assert counts.refused > 0
