"""The schema, and its printed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    is_introspection_type,
)
from strawberry.extensions import DisableIntrospection, SchemaExtension
from strawberry.schema.config import StrawberryConfig

from execution.executor import compiled_execution
from schema.errors import ERROR_TYPES
from schema.inputs import ARGUMENTS
from schema.jobs import Job
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.skus import MicrosoftSubscription, SubscribedSku
from schema.subscription import Subscription
from schema.users import DirectoryRole, User


def build_schema(
    extensions: Sequence[Callable[[], SchemaExtension]] = (),
    schema_class: type[strawberry.Schema] = strawberry.Schema,
    *,
    introspection: bool = True,
    fast_execution: bool = True,
) -> strawberry.Schema:
    """Gives the executable schema with the extensions of whoever serves it.

    Without introspection, messages suggest no names either. Without fast execution, graphql-core alone completes
    answers, to the same effect.
    """
    hidden = [] if introspection else [DisableIntrospection]
    types: list[Any] = [DirectoryRole, Job, MicrosoftSubscription, SubscribedSku, User, *ERROR_TYPES]
    schema = schema_class(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=types,
        extensions=[*extensions, *hidden],
        execution_context_class=compiled_execution() if fast_execution else None,
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not introspection),
    )
    _drop_null_defaults(schema._schema)
    _describe_arguments(schema._schema)
    return schema


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Takes `= null` off arguments and input fields: it says nothing, since what is left out is None anyway."""
    for kind in schema.type_map.values():
        members: list[Any] = []
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            members = [argument for field in kind.fields.values() for argument in field.args.values()]
        elif isinstance(kind, GraphQLInputObjectType):
            members = list(kind.fields.values())
        for member in members:
            if member.default_value is None:
                member.default_value = Undefined


def _describe_arguments(schema: GraphQLSchema) -> None:
    """An argument means the same wherever it stands; one without words in `ARGUMENTS` fails the build."""
    for kind in schema.type_map.values():
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)) and not is_introspection_type(kind):
            for field in kind.fields.values():
                for name, argument in field.args.items():
                    argument.description = argument.description or ARGUMENTS[name]


def printed() -> str:
    """Gives the schema as text, as it stands in schema.graphql."""
    return build_schema().as_str().rstrip() + "\n"
