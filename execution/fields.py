"""What Strawberry says of a field: whether it is read off the object, and what answers it for many parents."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any, cast

from graphql import GraphQLField, GraphQLResolveInfo, GraphQLSchema
from strawberry.schema import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from execution.many import Batch, batch_of


def attribute_of(field: GraphQLField) -> str | None:
    """The attribute that a field is, as it is: no arguments, resolver, extension, or reader of one's own."""
    definition = _definition(field)
    # Strawberry marks so what does nothing but call `default_resolver`.
    if definition is None or field.args or not getattr(field.resolve, "_is_default", False):
        return None
    name = definition.python_name
    return name if definition.default_resolver is getattr and name.isidentifier() and not iskeyword(name) else None


def batch_for(schema: GraphQLSchema, field: GraphQLField) -> Batch | None:
    """What answers a field for many parents; None where Strawberry does more than call its resolver."""
    definition = _definition(field)
    if definition is None or definition.extensions or definition.base_resolver is None:
        return None
    if strawberry_schema(schema).exception_handlers:
        return None
    return batch_of(definition.base_resolver.wrapped_func)


def resolver_arguments(
    field: GraphQLField, raw_info: GraphQLResolveInfo[Any], values: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The info and the keyword arguments that Strawberry would call the field's resolver with."""
    definition = cast("StrawberryField", _definition(field))
    schema = strawberry_schema(raw_info.schema)
    info = schema.config.info_class(_raw_info=raw_info, _field=definition)
    if not definition.arguments:
        return info, {}
    registry = schema.schema_converter.scalar_registry
    return info, convert_arguments(values, definition.arguments, registry, schema.config, info)


def strawberry_schema(schema: GraphQLSchema) -> Schema:
    return cast("Schema", schema._strawberry_schema)  # type: ignore[attr-defined]  # set by Strawberry


def _definition(field: GraphQLField) -> StrawberryField | None:
    return field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
