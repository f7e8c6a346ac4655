"""How long the lists and texts are that an operation gives its arguments.

The `input` of a mutation is left to the service behind it, which answers with the field at fault in `userErrors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLArgument,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    get_named_type,
)

from gateway.document_values import Values
from gateway.limits import LimitExceeded, Limits, cut

_PLACES = frozenset({"after", "before"})
"""Arguments that hold a cursor."""


@dataclass(frozen=True, slots=True)
class GivenArgument:
    """An argument as an operation gives it."""

    name: str
    type: GraphQLInputType
    value: ValueNode


def given_arguments(
    schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> list[GivenArgument]:
    """Every argument of an operation that has been validated; those in a fragment once, however often it is spread."""
    return list(_in_set(schema, operation.selection_set, schema.get_root_type(operation.operation), fragments, set()))


def _in_set(
    schema: GraphQLSchema,
    selections: SelectionSetNode,
    parent: Any,  # any composite type, or none
    fragments: Mapping[str, FragmentDefinitionNode],
    spread: set[str],
) -> Iterator[GivenArgument]:
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            if not isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)):
                continue
            definition = parent.fields.get(selection.name.value)
            if definition is None:  # introspection
                continue
            if parent is not schema.mutation_type:
                yield from _of_field(selection, definition.args)
            if selection.selection_set:
                inner = get_named_type(definition.type)
                yield from _in_set(schema, selection.selection_set, inner, fragments, spread)
        elif isinstance(selection, InlineFragmentNode):
            condition = selection.type_condition
            inner = schema.get_type(condition.name.value) if condition else parent
            yield from _in_set(schema, selection.selection_set, inner, fragments, spread)
        else:
            name = selection.name.value  # type: ignore[attr-defined]  # the third kind is a spread
            if name not in spread:
                spread.add(name)
                inner = schema.get_type(fragments[name].type_condition.name.value)
                yield from _in_set(schema, fragments[name].selection_set, inner, fragments, spread)


def _of_field(node: FieldNode, known: Mapping[str, GraphQLArgument]) -> Iterator[GivenArgument]:
    for each in node.arguments or ():
        name = each.name.value
        if name in known:
            yield GivenArgument(name, known[name].type, each.value)


def check_argument(argument: GivenArgument, values: Values, limits: Limits) -> None:
    """Lets the argument pass, or raises the limit that a list or a text in it exceeds."""
    _check(argument.type, values.read(argument.value), argument.name, argument.name, limits)


def _check(kind: GraphQLInputType, value: Any, name: str, path: str, limits: Limits) -> None:
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if isinstance(kind, GraphQLList):
        if not isinstance(value, list):
            value = [value]
        if len(value) > limits.max_list_items:
            raise _refusal(path, "values", len(value), limits.max_list_items)
        for each in value:
            _check(kind.of_type, each, name, path, limits)
    elif isinstance(kind, GraphQLInputObjectType):
        members = value if isinstance(value, dict) else {}
        for member, inner in members.items():
            if (field := kind.fields.get(member)) is not None:
                _check(field.type, inner, member, f"{path}.{member}", limits)
    elif isinstance(value, str):
        is_reference = get_named_type(kind).name in ("ID", "UUID") or name in _PLACES
        longest = limits.max_id_characters if is_reference else limits.max_text_characters
        if len(value) > longest:
            raise _refusal(path, "characters", len(value), longest)


def _refusal(path: str, what: str, asked: int, limit: int) -> LimitExceeded:
    place = cut(path)
    message = f"{place}: at most {limit:,} {what} can be given, and this has {asked:,}."
    return LimitExceeded("LIST_LIMIT", message, limit=limit, asked=asked, field=place)
