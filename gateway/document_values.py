"""The values that an operation gives its arguments, with variables and their defaults filled in.

They are as the caller wrote them, not yet checked against their types: whoever looks at one must take anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    ConstListValueNode,
    EnumValueNode,
    FloatValueNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    StringValueNode,
    Undefined,
    ValueNode,
    VariableNode,
)

LONGEST_NUMBER = 18
"""Digits that are read; a longer number is above every limit, and Python takes its time for it."""
VERY_LARGE = 10**LONGEST_NUMBER


class Values:
    """Reads values of one operation. `used` are the variables that were read, with what they held."""

    def __init__(self, operation: OperationDefinitionNode, given: Mapping[str, Any]) -> None:
        self._given = given
        self._defaults = {each.variable.name.value: each.default_value for each in operation.variable_definitions or ()}
        self.used: dict[str, Any] = {}

    def read(self, node: ValueNode | None) -> Any:
        """Gives the value, or Undefined for a variable that nobody gave."""
        if node is None or isinstance(node, NullValueNode):
            return None
        if isinstance(node, VariableNode):
            return self._variable(node.name.value)
        if isinstance(node, IntValueNode):
            return int(node.value) if len(node.value) <= LONGEST_NUMBER else VERY_LARGE
        if isinstance(node, FloatValueNode):
            return float(node.value)
        if isinstance(node, (StringValueNode, BooleanValueNode, EnumValueNode)):
            return node.value
        if isinstance(node, (ListValueNode, ConstListValueNode)):
            return [self.read(each) for each in node.values]
        assert isinstance(node, ObjectValueNode)
        return {each.name.value: self.read(each.value) for each in node.fields}

    def _variable(self, name: str) -> Any:
        if name in self._given:
            value = self._given[name]
        else:
            default = self._defaults.get(name)
            value = Undefined if default is None else self.read(default)
        self.used[name] = value
        return value


def variables_in(node: ValueNode) -> bool:
    """Whether a value depends on a variable."""
    if isinstance(node, VariableNode):
        return True
    if isinstance(node, ListValueNode):
        return any(variables_in(each) for each in node.values)
    if isinstance(node, ObjectValueNode):
        return any(variables_in(each.value) for each in node.fields)
    return False


def whole_number(value: Any) -> int | None:
    """The number as GraphQL's Int takes it (10.0 is 10), or None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if -VERY_LARGE < value < VERY_LARGE else VERY_LARGE
