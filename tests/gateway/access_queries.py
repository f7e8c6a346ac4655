"""A document for every type of the schema, that asks for all its fields at the shortest way to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
)

Arguments = Callable[[str, str], str]
"""Gives the arguments of a field, `Type.field`, on the way to a type: as GraphQL text without parentheses."""


def documents(schema: GraphQLSchema, arguments: Arguments) -> Iterator[tuple[str, set[str], str]]:
    """Each object type that can be reached, the fields asked for (`Type.field`), and the document."""
    for root, word in ((schema.query_type, "query"), (schema.mutation_type, "mutation")):
        assert root is not None
        for name, field in root.fields.items():
            yield from _under(schema, f"{root.name}.{name}", field, word, arguments)


def _under(
    schema: GraphQLSchema, coordinate: str, field: GraphQLField, word: str, arguments: Arguments
) -> Iterator[tuple[str, set[str], str]]:
    """The types below one root field, each once, by the shortest way."""
    waiting: deque[tuple[GraphQLNamedType, tuple[str, ...]]] = deque([(get_named_type(field.type), ())])
    seen = set()
    while waiting:
        kind, way = waiting.popleft()
        if kind.name in seen:
            continue
        seen.add(kind.name)
        if isinstance(kind, GraphQLInterfaceType):
            waiting.extend((each, (*way, f"... on {each.name}")) for each in schema.get_possible_types(kind))
        elif isinstance(kind, GraphQLObjectType):
            asked = {coordinate, *(f"{kind.name}.{name}" for name in kind.fields)}
            fields = " ".join(_selected(kind, name, each, arguments, kind.name) for name, each in kind.fields.items())
            text = f"{{ __typename {fields} }}"
            for step in reversed(way):
                given = "" if step.startswith("...") else _given(step, arguments, kind.name)
                text = f"{{ {step.rpartition('.')[2] if not step.startswith('...') else step}{given} {text} }}"
            root_name = coordinate.partition(".")[2]
            yield kind.name, asked, f"{word} {{ {root_name}{_given(coordinate, arguments, kind.name)} {text} }}"
            waiting.extend(
                (get_named_type(each.type), (*way, f"{kind.name}.{name}"))
                for name, each in kind.fields.items()
                if not is_leaf_type(get_named_type(each.type))
            )


def _selected(kind: GraphQLObjectType, name: str, field: GraphQLField, arguments: Arguments, target: str) -> str:
    shown = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"{name}{_given(f'{kind.name}.{name}', arguments, target) if field.args else ''}{shown}"


def _given(coordinate: str, arguments: Arguments, target: str) -> str:
    text = arguments(coordinate, target)
    return f"({text})" if text else ""
