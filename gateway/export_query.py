"""What an export is asked for: the filters of GraphQL as parameters of a query, checked alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

import strawberry
from graphql import GraphQLError

from schema.enums import ProductType, UserStatus
from schema.inputs import SkuFilter, TenantScope, UserFilter
from schema.scalars import parse_country, parse_guid
from services.errors import BadInput

T = TypeVar("T")
Given = Mapping[str, Sequence[str]]
"""The values of each parameter, in the order given."""

TENANT_IDS = "tenantIds"
_OF_USERS = frozenset(
    {
        TENANT_IDS,
        "search",
        "status",
        "licensedFor",
        "unlicensed",
        "roleIds",
        "usageLocations",
        "purgedWithinDays",
    }
)
_OF_SKUS = frozenset({TENANT_IDS, "productTypes", "minAvailableUnits", "overAssigned"})


def read_user_filter(given: Given) -> UserFilter:
    """Reads the members of `UserFilter`. BadInput names the parameter at fault."""
    _refuse_others(given, _OF_USERS)
    return UserFilter(
        status=_values(given, "status", lambda text: _member(UserStatus, text)),
        search=_value(given, "search", str),
        licensed_for=_values(given, "licensedFor", parse_guid),
        unlicensed=_value(given, "unlicensed", _flag),
        role_ids=_values(given, "roleIds", parse_guid),
        usage_locations=_values(given, "usageLocations", parse_country),
        purged_within_days=_value(given, "purgedWithinDays", _whole_number),
    )


def read_sku_filter(given: Given) -> SkuFilter:
    """Reads the members of `SkuFilter`. BadInput names the parameter at fault."""
    _refuse_others(given, _OF_SKUS)
    return SkuFilter(
        product_types=_values(given, "productTypes", lambda text: _member(ProductType, text)),
        min_available_units=_value(given, "minAvailableUnits", _whole_number),
        over_assigned=_value(given, "overAssigned", _flag),
    )


def read_scope(given: Given) -> TenantScope | None:
    """The tenants that are named; None: every one of the caller's."""
    ids = _values(given, TENANT_IDS, strawberry.ID)
    return None if ids is None else TenantScope(ids=strawberry.Some(ids))


def _refuse_others(given: Given, known: frozenset[str]) -> None:
    if given.keys() - known:  # a filter that is spelled wrongly would give more than was meant
        raise BadInput(f"There is a parameter that is none of {', '.join(sorted(known))}.")


def _value(given: Given, name: str, read: Callable[[str], T]) -> T | None:
    texts = given.get(name, ())
    if len(texts) > 1:
        raise BadInput(f"{name}: give it once.")
    return _read(name, texts[0], read) if texts else None


def _values(given: Given, name: str, read: Callable[[str], T]) -> list[T] | None:
    """The values of a parameter that may be repeated, or hold several between commas. Empty: none, and not all."""
    if name not in given:
        return None
    texts = [part for text in given[name] for part in text.split(",") if part.strip()]
    return [_read(name, text.strip(), read) for text in texts]


def _read(name: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except (GraphQLError, ValueError) as error:
        message = error.message if isinstance(error, GraphQLError) else str(error)
        raise BadInput(f"{name}: {message}") from error


_Member = TypeVar("_Member", bound=Enum)


def _member(kind: type[_Member], text: str) -> _Member:
    try:
        return kind[text.upper()]
    except KeyError:
        raise ValueError(f"Expected one of {', '.join(kind.__members__)}.") from None


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("Expected true or false.")
    return text == "true"


def _whole_number(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise ValueError("Expected a whole number.")
    return int(text)
