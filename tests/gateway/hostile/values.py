"""Wrong values for every argument of the schema, made from the schema: none may reach a resolver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

GUID = "6fd2c87f-b296-42f0-b197-1e91e994b900"
RIGHT: dict[str, Any] = {
    "Int": 1,
    "String": "x",
    "ID": "x",
    "Boolean": False,
    "UUID": GUID,
    "CountryCode": "GR",
    "EmailAddress": "ada@example.com",
    "DateTime": "2026-03-09T08:00:00Z",
}
WRONG: dict[str, list[Any]] = {
    "Int": ["1", 1.5, 2**31, -(2**31) - 1, 10**18, True, [1, 2], {"a": 1}],
    "String": [1, 1.5, True, ["x", "y"], {"a": "x"}],
    "ID": [1.5, True, ["x", "y"], {"a": "x"}],
    "Boolean": [1, 0, "true", [True, False], {}],
    "UUID": [
        "",
        "x",
        GUID[:-1],
        GUID + "0",
        f"{{{GUID}}}",
        GUID.replace("-", ""),
        "../" + GUID,
        GUID + "\n/x",
        1,
        True,
        {},
    ],
    "CountryCode": ["", "G", "GRC", "G\0", "\u0393\u03a1", "..", 1, True, {}],
    "EmailAddress": [
        "",
        "x",
        "@x.example",
        "a@b@c.example",
        "a@x.example\r\nBcc: b@x.example",
        "Ada <ada@x.example>",
        "a@x.example,b@x.example",
        "a" * 250 + "@x.example",
        1,
        True,
        {},
    ],
    "DateTime": ["", "x", "2026-03-09", "2026-03-09T08:00:00", "9999-99-99T99:99:99Z", 0, True, {}],
}


def wrong_arguments(schema: GraphQLSchema) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """For each argument of each field: where it is, an operation with one variable, and its wrong value."""
    for root, before, after in _roots(schema):
        for name, field in root.fields.items():
            for argument, definition in field.args.items():
                where = f"{root.name}.{name}.{argument}"
                for value in wrong_values(definition.type):
                    operation = "mutation" if root is schema.mutation_type else "query"
                    others = "".join(
                        f", {other}: {_literal(each.type)}"
                        for other, each in field.args.items()
                        if other != argument and is_required_argument(each)
                    )
                    ends = "" if is_leaf_type(_bare(field.type)) else " { __typename }"
                    text = (
                        f"{operation} ($v: {definition.type}) {{ {before}{name}({argument}: $v{others}){ends}{after} }}"
                    )
                    yield where, text, {"v": value}


def wrong_values(kind: GraphQLInputType) -> Iterator[Any]:
    """Values that are wrong in one place each."""
    if isinstance(kind, GraphQLNonNull):
        yield None
        yield from wrong_values(kind.of_type)
    elif isinstance(kind, GraphQLList):
        yield {"a": 1}
        for value in wrong_values(kind.of_type):
            if not isinstance(value, list):
                yield [value]
    elif isinstance(kind, GraphQLInputObjectType):
        yield from ("x", 1, True, [[]], {"unknownMember": 1})
        if kind.is_one_of:
            names = list(kind.fields)
            yield {}
            yield {name: right_value(kind.fields[name].type) for name in names}
            yield {names[0]: None}
            yield {names[0]: right_value(kind.fields[names[0]].type), names[1]: None}
        for name, field in kind.fields.items():
            for value in wrong_values(field.type):
                yield ({} if kind.is_one_of else right_value(kind)) | {name: value}
            if is_required_input_field(field):
                yield {other: value for other, value in right_value(kind).items() if other != name}
    elif isinstance(kind, GraphQLEnumType):
        yield from ("", "NO_SUCH_VALUE", next(iter(kind.values)).lower() + "\0", 1, True, {})
    else:
        yield from WRONG[kind.name]


def right_value(kind: GraphQLInputType) -> Any:
    """The least value of a type."""
    if isinstance(kind, GraphQLNonNull):
        return right_value(kind.of_type)
    if isinstance(kind, GraphQLList):
        return []
    if isinstance(kind, GraphQLInputObjectType):
        required = {name: field for name, field in kind.fields.items() if is_required_input_field(field)}
        wanted = required or dict(list(kind.fields.items())[:1]) if kind.is_one_of else required
        return {name: right_value(field.type) for name, field in wanted.items()}
    return next(iter(kind.values)) if isinstance(kind, GraphQLEnumType) else RIGHT[kind.name]


def _roots(schema: GraphQLSchema) -> Iterator[tuple[GraphQLObjectType, str, str]]:
    """Objects with arguments on their fields, and how to come to them."""
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    yield schema.query_type, "", ""
    yield schema.mutation_type, "", ""
    for name, before, after in (
        ("Tenant", "tenants(first: 1) { nodes { ", " } }"),
        ("SubscribedSku", "tenants(first: 1) { nodes { subscribedSkus { ", " } } }"),
    ):
        kind = schema.get_type(name)
        assert isinstance(kind, GraphQLObjectType)
        yield kind, before, after


def _literal(kind: Any) -> str:
    bare = _bare(kind)
    value = right_value(kind)
    if isinstance(bare, GraphQLInputObjectType):
        return "{" + ", ".join(f'{name}: "{each}"' for name, each in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _bare(kind: Any) -> Any:
    while isinstance(kind, (GraphQLList, GraphQLNonNull)):
        kind = kind.of_type
    return kind
