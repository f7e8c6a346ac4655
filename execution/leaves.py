"""How single values are written: those of the usual class at once, all others by their type's own function."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    Undefined,
)
from graphql.type import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT
from strawberry.execution import optimized_is_awaitable


class Refused(Exception):
    """Raised in generated code by whatever is not as expected: graphql-core says what is to become of it."""


def is_no_value(value: Any) -> bool:
    """Whether graphql-core does something else with a value than to write it."""
    return value is None or value is Undefined or isinstance(value, Exception) or optimized_is_awaitable(value)


def checked(kind: GraphQLLeafType) -> Callable[[Any], Any]:
    """The type's own way to write a value."""
    coerce = kind.coerce_output_value

    def write(value: Any) -> Any:
        if is_no_value(value):
            raise Refused
        written = coerce(value)
        if type(written) is not str and is_no_value(written):
            raise Refused
        return written

    return write


def shortcut(kind: GraphQLLeafType, keep: Callable[[Any], str]) -> tuple[str, str] | None:
    """A test and what is written where it holds, for the values that a type nearly always has.

    `{}` is the value; the test's first use is `{read}`, which also names it.
    """
    if kind is GraphQLInt:
        return f"type({{read}}) is int and {GRAPHQL_MIN_INT} <= {{}} <= {GRAPHQL_MAX_INT}", "{}"
    if kind is GraphQLFloat:
        return "type({read}) is float and {} - {} == 0.0", "{}"  # neither infinite nor NaN
    if kind is GraphQLBoolean:
        return "type({read}) is bool", "{}"
    # Of custom scalars those that are written by `str`, which leaves a text as it is.
    if kind in (GraphQLString, GraphQLID) or kind.coerce_output_value is str:
        return "type({read}) is str", "{}"
    if isinstance(kind, GraphQLEnumType):
        members = getattr(kind, "wrapped_cls", None)
        if isinstance(members, enum.EnumType):
            all_members: list[enum.Enum] = list(members)
            try:
                names = {one.name: kind.coerce_output_value(one) for one in all_members}
            except Exception:  # a member that cannot be written is an error of each answer it is in, not of ours
                return None
            return f"type({{read}}) is {keep(members)}", f"{keep(names)}[{{}}._name_]"
    return None
