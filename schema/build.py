"""The schema, and its printed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from strawberry.extensions import DisableIntrospection, SchemaExtension
from strawberry.schema.config import StrawberryConfig

from schema.query import Query
from schema.scalars import SCALARS
from schema.skus import MicrosoftSubscription, SubscribedSku
from schema.users import DirectoryRole, User


def build_schema(
    extensions: Sequence[Callable[[], SchemaExtension]] = (),
    schema_class: type[strawberry.Schema] = strawberry.Schema,
    *,
    introspection: bool = True,
) -> strawberry.Schema:
    """Gives the executable schema with the extensions of whoever serves it.

    Without introspection, messages suggest no names either.
    """
    hidden = [] if introspection else [DisableIntrospection]
    types: list[Any] = [DirectoryRole, MicrosoftSubscription, SubscribedSku, User]
    return schema_class(
        query=Query,
        types=types,
        extensions=[*extensions, *hidden],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not introspection),
    )


def printed() -> str:
    """Gives the schema as text, as it stands in schema.graphql."""
    return build_schema().as_str().rstrip() + "\n"
