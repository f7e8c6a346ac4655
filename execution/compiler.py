"""Turns a structure into functions that write the answer straight from the objects' attributes.

A selection of plain fields becomes one function with one expression, whatever its depth:

    def build(items):
        return [
            k3(v1 if type(v1 := i0.name) is str else None if v1 is None else k1(v1), ...)
            if type(i0) in k0 or k2(i0) else None
            for i0 in items
        ]

where `k3` makes a record (execution.records), or a dictionary where a field is left to be filled.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from graphql import (
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from execution.fields import attribute_of, batch_for
from execution.leaves import Refused, checked, is_no_value, shortcut
from execution.plans import Build, Plan, Selected, Step, Structure
from execution.records import record_type


def compile_plan(schema: GraphQLSchema, kind: GraphQLObjectType, structure: Structure, *, nullable: bool) -> Plan:
    """The plan of a selection on objects of a type; `nullable` says whether null may stand among them."""
    writer = _Writer(schema)
    item = writer.new()
    steps = tuple(_step(schema, kind, each) for each in structure if not each.plain)
    if steps:
        fields = [f"{each.response!r}: {writer.field(kind, each, item) if each.plain else None}" for each in structure]
        written = f"{{{', '.join(fields)}}}"
    else:
        written = writer.record(kind, structure, item)
    known, admit = map(writer.keep, _admission(kind, nullable=nullable))
    answer = f"{written} if type({item}) in {known} or {admit}({item}) else None"
    return Plan(writer.function(item, answer), steps)


def _step(schema: GraphQLSchema, kind: GraphQLObjectType, selected: Selected) -> Step:
    field = schema.get_field(kind, selected.name)
    assert field is not None  # the structure was made of fields that are there
    attribute, batch, below = attribute_of(field), batch_for(schema, field), selected.below
    inner, nullable = _unwrapped(field.type)
    is_list = is_list_type(inner)
    item_type: Any = inner.of_type if is_list_type(inner) else field.type
    item_kind, nullable_items = _unwrapped(item_type)
    build: Build | None = None
    plan: Plan | None = None
    if batch and (is_leaf_type(get_named_type(field.type)) if below is None else all(each.plain for each in below)):
        writer = _Writer(schema)
        value = writer.new()
        build = writer.function(value, writer.value(field.type, below, value))
    elif (attribute or batch) and is_object_type(item_kind) and below is not None:
        # Null in place of a single object is seen to before its fields are.
        plan = compile_plan(schema, item_kind, below, nullable=is_list and nullable_items)
    return Step(
        name=selected.response,
        field=field,
        read=attrgetter(attribute) if attribute and plan else None,
        batch=batch,
        build=build,
        below=plan,
        item_kind=item_kind if plan else None,
        item_type=item_type,
        is_list=is_list,
        nullable=nullable,
    )


def _unwrapped(kind: GraphQLOutputType) -> tuple[Any, bool]:
    """A type without the mark that it is never null, and whether it had none."""
    return (kind.of_type, False) if is_non_null_type(kind) else (kind, True)


class _Writer:
    """Writes expressions, and holds what they name."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._named: dict[str, Any] = {"refuse": _refuse}
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def keep(self, value: Any) -> str:
        name = f"k{len(self._named)}"
        self._named[name] = value
        return name

    def function(self, item: str, answer: str) -> Build:
        """The function that gives the answer to each of its items."""
        # Response names are GraphQL names in quotes and attributes are identifiers: no text of a caller is code here.
        exec(f"def build(items):\n return [{answer} for {item} in items]", self._named)  # noqa: S102
        build: Build = self._named.pop("build")
        return build

    def record(self, kind: GraphQLObjectType, structure: Structure, owner: str) -> str:
        """An expression for the plain fields of what the name `owner` stands for."""
        make = self.keep(record_type(tuple(each.response for each in structure)))
        return f"{make}({', '.join(self.field(kind, each, owner) for each in structure)})"

    def field(self, kind: GraphQLObjectType, selected: Selected, owner: str) -> str:
        """An expression for a plain field of what the name `owner` stands for."""
        if selected.name == "__typename":
            return repr(kind.name)
        field = self._schema.get_field(kind, selected.name)
        assert field is not None  # the structure was made of fields that are there
        return self.value(field.type, selected.below, f"{owner}.{attribute_of(field)}")

    def value(self, kind: GraphQLOutputType, below: Structure | None, read: str) -> str:
        """An expression for a value of a type, which reads it once; all below is plain."""
        inner, nullable = _unwrapped(kind)
        got = self.new()
        bound = f"{got} := {read}"
        if is_list_type(inner):
            item = self.new()
            each = self.value(inner.of_type, below, item)
            otherwise = f"None if {got} is None else refuse()" if nullable else "refuse()"
            return f"([{each} for {item} in {got}] if type({bound}) is list or type({got}) is tuple else {otherwise})"
        if below is not None:
            known, admit = map(self.keep, _admission(inner, nullable=nullable))
            return f"({self.record(inner, below, got)} if type({bound}) in {known} or {admit}({got}) else None)"
        slow = self.keep(checked(inner))
        otherwise = f"None if {got} is None else {slow}({got})" if nullable else f"{slow}({got})"
        short = shortcut(inner, self.keep)
        if short is None:
            return f"(None if ({bound}) is None else {slow}({got}))" if nullable else f"{slow}({read})"
        test, written = (part.format(got, got, got, read=bound) for part in short)
        return f"({written} if {test} else {otherwise})"


def _admission(kind: GraphQLObjectType, *, nullable: bool) -> tuple[set[type], Callable[[Any], bool]]:
    """The classes whose objects are of a type, and what is asked of one that is not among them (yet).

    `is_type_of` is asked once a class, not once an object: it must not look at more.
    """
    known: set[type] = set()

    def admit(value: Any) -> bool:
        if value is None and nullable:
            return False
        if is_no_value(value) or (kind.is_type_of and kind.is_type_of(value, None) is not True):  # type: ignore[arg-type]
            raise Refused
        known.add(type(value))
        return True

    return known, admit


def _refuse() -> Any:
    raise Refused
