"""Random operations that a schema holds valid and our limits let pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

MOST_ALIASES = 18
DEEPEST = 6


class RandomOperations:
    """Makes operations. `texts` are what arguments and input fields of a name may be given, or else those of a type."""

    def __init__(self, schema: GraphQLSchema, chance: Random, texts: Mapping[str, Sequence[str]]) -> None:
        self._schema = schema
        self._chance = chance
        self._texts = texts
        self._aliases = 0
        self._fragments: list[str] = []

    def query(self) -> str:
        assert self._schema.query_type is not None
        return self._operation("query", self._schema.query_type, self._chance.randint(1, 3))

    def dry_run(self) -> str:
        """A change that is only tried."""
        assert self._schema.mutation_type is not None
        return self._operation("mutation", self._schema.mutation_type, 1)

    def _operation(self, word: str, root: GraphQLObjectType, fields: int) -> str:
        names = [self._chance.choice(list(root.fields)) for _ in range(fields)]
        selection = " ".join(self._field(name, root.fields[name], DEEPEST) for name in names)
        return f"{word} {{ {selection} }} {' '.join(self._fragments)}"

    def _field(self, name: str, field: GraphQLField, depth: int) -> str:
        arguments = self._arguments(field)
        text = name
        if arguments and self._aliases >= MOST_ALIASES:
            return "__typename"
        if arguments or self._chance.random() < 0.02:  # without an alias two of one name could be in conflict
            self._aliases += 1
            text = f"a{self._aliases}: {name}"
        if arguments:
            text += f"({', '.join(arguments)})"
        if self._chance.random() < 0.03:
            text += self._chance.choice([" @include(if: true)", " @skip(if: false)", " @skip(if: true)"])
        kind = get_named_type(field.type)
        return text if is_leaf_type(kind) else f"{text} {{ {self._selection(kind, depth - 1)} }}"

    def _selection(self, kind: Any, depth: int) -> str:
        if isinstance(kind, GraphQLInterfaceType):
            own = " ".join(self._chance.sample(list(kind.fields), 1))
            concrete = self._chance.choice(self._schema.get_possible_types(kind))
            return f"__typename {own} ... on {concrete.name} {{ {self._selection(concrete, depth)} }}"
        assert not isinstance(kind, GraphQLUnionType)
        leaves = [name for name, field in kind.fields.items() if is_leaf_type(get_named_type(field.type))]
        others = [name for name in kind.fields if name not in leaves] if depth > 0 else []
        chosen = self._chance.sample(leaves, min(len(leaves), self._chance.randint(1, 3)))
        chosen += self._chance.sample(others, min(len(others), self._chance.randint(1, 2)))
        selection = " ".join(self._field(name, kind.fields[name], depth) for name in chosen) or "__typename"
        if self._chance.random() < 0.05:
            name = f"F{len(self._fragments)}"
            self._fragments.append(f"fragment {name} on {kind.name} {{ {selection} }}")
            return f"...{name}"
        return selection

    def _arguments(self, field: GraphQLField) -> list[str]:
        return [
            f"{name}: {self._value(name, argument.type)}"
            for name, argument in field.args.items()
            if name == "first" or is_required_argument(argument) or self._chance.random() < 0.4
        ]

    def _value(self, name: str, kind: GraphQLInputType) -> str:
        if isinstance(kind, GraphQLNonNull):
            return self._value(name, kind.of_type)
        if isinstance(kind, GraphQLList):
            values = [self._value(name, kind.of_type) for _ in range(self._chance.randint(0, 3))]
            return f"[{', '.join(values)}]"
        if isinstance(kind, GraphQLInputObjectType):
            return self._object(kind)
        if isinstance(kind, GraphQLEnumType):
            return str(self._chance.choice(list(kind.values)))
        if kind.name == "Int":
            return str(self._chance.randint(0, 4)) if name == "first" else str(self._chance.choice([-1, 0, 1, 7, 30]))
        if kind.name == "Boolean":
            return "true" if name == "dryRun" else self._chance.choice(["true", "false"])
        texts: Sequence[str] = self._texts.get(name) or self._texts.get(kind.name) or self._texts["String"]
        return '"' + self._chance.choice(texts).replace("\\", "\\\\").replace('"', '\\"') + '"'

    def _object(self, kind: GraphQLInputObjectType) -> str:
        if kind.is_one_of:
            names = [self._chance.choice(list(kind.fields))]
        else:
            names = [
                name
                for name, field in kind.fields.items()
                if name == "dryRun" or is_required_input_field(field) or self._chance.random() < 0.4
            ]
        members = (f"{name}: {self._value(name, _present(kind.fields[name].type))}" for name in names)
        return "{" + ", ".join(members) + "}"


def _present(kind: GraphQLInputType) -> GraphQLInputType:
    return kind if isinstance(kind, GraphQLNonNull) else GraphQLNonNull(kind)
