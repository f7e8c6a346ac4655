"""How a declaration is tied to what answers it: resolvers to fields, words to the models' enumerations."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import strawberry


def resolved_by(resolver: Callable[..., Any], *, description: str | None = None) -> Any:
    """A field with work behind it. Fields without are read off the model by name.

    The field's GraphQL type is its annotation, so the resolver may return models.
    """
    return strawberry.field(resolver=resolver, description=description)


def followed_by(resolver: Callable[..., Any], *, description: str) -> Any:
    """A field of the subscriptions, answered by an asynchronous generator of models."""
    return strawberry.subscription(resolver=resolver, description=description)


def describe(enum: type[Enum], description: str, name: str | None = None, **values: str) -> None:
    """Shows an enumeration of the models in the schema, with words for callers on it and on its values."""
    strawberry.enum(enum, name=name, description=description)
    definition: Any = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set by strawberry.enum
    for value in definition.values:
        value.description = values[value.name]
