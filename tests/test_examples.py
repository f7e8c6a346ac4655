"""The examples run, answer what they are said to answer, and together show the whole schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    parse,
    print_ast,
    type_from_ast,
    validate,
    visit,
)

from gateway.graphiql_page import load_examples
from tests.example_facts import BEGINS_IT, FACTS, FOLLOWS_IT, JOB
from tests.gateway_client import Gateway, gateway, sandbox  # noqa: F401 (fixtures)

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.graphql"))
SCHEMA = build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))

named = pytest.mark.parametrize("example", EXAMPLES, ids=[file.stem for file in EXAMPLES])


def text_of(example: Path) -> str:
    return example.read_text(encoding="utf-8")


def variables_of(example: Path) -> dict[str, Any] | None:
    file = example.with_suffix(".variables.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def operation_of(example: Path) -> OperationDefinitionNode:
    [operation] = [each for each in parse(text_of(example)).definitions if isinstance(each, OperationDefinitionNode)]
    return operation


def at(answer: Any, path: str) -> Any:
    step, _, rest = path.partition(".")
    if step == "*":
        return [at(each, rest) for each in answer] if rest else answer
    inner = answer[int(step)] if isinstance(answer, list) else answer[step]
    return at(inner, rest) if rest else inner


def coordinates(schema: GraphQLSchema) -> set[str]:
    """Every field, argument and input field, such as `Query.tenants`, `Query.tenants(search:)`, `TenantBy.domain`."""
    found = set()
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field, definition in kind.fields.items():
                found |= {f"{name}.{field}", *(f"{name}.{field}({argument}:)" for argument in definition.args)}
        elif isinstance(kind, GraphQLInputObjectType):
            found |= {f"{name}.{field}" for field in kind.fields}
    return found


class Uses(Visitor):
    """Collects what a document asks for."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types = types
        self.found: set[str] = set()

    def enter_field(self, node, *_):
        # With fragments on an interface's types, the interface's own field is asked for through each of them, and
        # the interface's field is that of each of its types.
        parent = self.types.get_parent_type()
        kinds = [parent]
        if isinstance(parent, GraphQLInterfaceType):
            kinds += SCHEMA.get_possible_types(parent)
        self.found |= {f"{kind}.{node.name.value}" for kind in kinds}
        self.found |= {f"{parent}.{node.name.value}({argument.name.value}:)" for argument in node.arguments or ()}

    def enter_object_field(self, node, *_):
        self.found.add(f"{get_named_type(self.types.get_parent_input_type())}.{node.name.value}")


def uses_of_value(kind: Any, value: Any) -> set[str]:
    """Input fields named by a variable's value."""
    if isinstance(kind, GraphQLNonNull):
        return uses_of_value(kind.of_type, value)
    if isinstance(kind, GraphQLList):
        return {use for item in value or () for use in uses_of_value(kind.of_type, item)}
    if not isinstance(kind, GraphQLInputObjectType) or value is None:
        return set()
    inner = (uses_of_value(kind.fields[name].type, each) for name, each in value.items())
    return {f"{kind.name}.{name}" for name in value}.union(*inner)


def uses(example: Path) -> set[str]:
    document = parse(text_of(example))
    types = TypeInfo(SCHEMA)
    visitor = Uses(types)
    visit(document, TypeInfoVisitor(types, visitor))
    values = variables_of(example) or {}
    for variable in operation_of(example).variable_definitions or ():
        kind = type_from_ast(SCHEMA, variable.type)
        visitor.found |= uses_of_value(kind, values.get(variable.variable.name.value))
    return visitor.found


async def answer_of(example: Path, gateway: Gateway) -> dict[str, Any]:  # noqa: F811 (fixture)
    """Its data; of a subscription the last."""
    if operation_of(example).operation is not OperationType.SUBSCRIPTION:
        return await gateway.data(text_of(example), variables_of(example))
    body = {"query": text_of(example), "variables": variables_of(example)}
    answer = await gateway.http.post("/graphql", json=body, headers={"Accept": "text/event-stream"})
    events = [
        json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:") and line[5:].strip()
    ]
    assert all("errors" not in event for event in events), events
    last: dict[str, Any] = events[-1]["data"]
    return last


@named
async def test_an_example_answers_as_it_should(example, gateway):  # noqa: F811 (fixture)
    if JOB in json.dumps(variables_of(example)):
        others = {each.stem: each for each in EXAMPLES}
        await answer_of(others[BEGINS_IT], gateway)
        if example.stem == "25-job-results":
            await answer_of(others[FOLLOWS_IT], gateway)
    data = await answer_of(example, gateway)

    facts = FACTS[example.stem]
    assert {path: at(data, path) for path in facts} == facts


def test_every_example_has_facts():
    assert sorted(FACTS) == [example.stem for example in EXAMPLES]


def test_every_field_argument_and_input_field_stands_in_an_example():
    shown = set().union(*(uses(example) for example in EXAMPLES))

    missing = sorted(coordinates(SCHEMA) - shown)
    assert not missing, f"no example shows {', '.join(missing)}"


@named
def test_an_example_is_valid_and_holds_one_named_operation(example):
    assert validate(SCHEMA, parse(text_of(example))) == []
    assert operation_of(example).name is not None


@named
def test_an_example_begins_with_a_title_and_an_explanation_and_is_formatted(example):
    """The body is as graphql-core prints it, with nothing after it and no comment within."""
    lines = text_of(example).splitlines(keepends=True)
    head = [line for line in lines if line.startswith("#")]

    assert 2 <= len(head) <= 6
    assert len(head[0]) <= 50, "the title stands in a narrow list"
    assert max(len(line.rstrip("\n")) for line in head) <= 72, "the editor is narrow too, and does not wrap"
    body = "".join(lines[len(head) :])
    assert body == print_ast(parse(body)) + "\n"


@named
def test_an_example_has_a_variables_file_exactly_when_it_has_variables(example):
    names = [variable.variable.name.value for variable in operation_of(example).variable_definitions or ()]

    assert sorted(variables_of(example) or {}) == sorted(names)
    if names:
        written = example.with_suffix(".variables.json").read_text(encoding="utf-8")
        assert written == json.dumps(variables_of(example), indent=2, ensure_ascii=False) + "\n"


def test_titles_and_operations_are_told_apart_and_no_file_is_astray():
    titles = [example.name for example in load_examples()]
    operations = [name.value for example in EXAMPLES if (name := operation_of(example).name)]
    files = {file.name for file in (ROOT / "examples").iterdir() if file.is_file()}

    assert len(set(titles)) == len(titles) == len(EXAMPLES)
    assert len(set(operations)) == len(operations)
    expected = {example.name for example in EXAMPLES}
    assert files - expected <= {example.with_suffix(".variables.json").name for example in EXAMPLES}
