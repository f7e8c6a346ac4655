"""What a request selects below a field, so that nothing is fetched for what nobody asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode, SelectionSetNode, ValueNode
from graphql.utilities import value_from_ast_untyped

from resolvers.context import Info


def selected_fields(info: Info) -> dict[str, list[FieldNode]]:
    """Gives the GraphQL names of the fields selected right below, each with every mention of it."""
    return fields_below(info, info._raw_info.field_nodes)


def fields_below(info: Info, mentions: Iterable[FieldNode]) -> dict[str, list[FieldNode]]:
    """Gives the GraphQL names of the fields selected right below a field, each with every mention of it.

    Fragments are looked into whatever their type: more than needed is possible, less is not.
    """
    raw = info._raw_info
    found: dict[str, list[FieldNode]] = {}
    seen: set[str] = set()
    waiting: list[SelectionSetNode | None] = [node.selection_set for node in mentions]
    while waiting:
        selections = waiting.pop()
        for node in selections.selections if selections else ():
            if _is_left_out(info, node):
                continue
            if isinstance(node, FieldNode):
                found.setdefault(node.name.value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                waiting.append(raw.fragments[node.name.value].selection_set)
    return found


def argument_of(info: Info, node: FieldNode, name: str) -> Any:
    """Gives an argument of a mention as plain data with GraphQL names; None where it is not given."""
    for argument in node.arguments or ():
        if argument.name.value == name:
            return _value(info, argument.value)
    return None


def _is_left_out(info: Info, node: SelectionNode) -> bool:
    for directive in node.directives or ():
        if directive.name.value in ("skip", "include"):
            [condition] = directive.arguments or ()
            if bool(_value(info, condition.value)) is (directive.name.value == "skip"):
                return True
    return False


def _value(info: Info, node: ValueNode) -> Any:
    return value_from_ast_untyped(node, info.variable_values)
