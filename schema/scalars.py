"""Scalars of the surface. Inside the gateway they are plain text and aware datetimes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from email_validator import EmailNotValidError, validate_email
from graphql import GraphQLError

UUID = NewType("UUID", str)
CountryCode = NewType("CountryCode", str)
EmailAddress = NewType("EmailAddress", str)

LONGEST_ADDRESS = 254
NOT_A_GUID = "Expected a GUID such as 6fd2c87f-b296-42f0-b197-1e91e994b900."
NOT_A_COUNTRY = "Expected a country code of two letters (ISO 3166-1 alpha-2), such as GR."
NOT_AN_ADDRESS = "Expected one e-mail address, such as ada@example.com."
NOT_AN_INSTANT = "Expected an instant with its zone, such as 2026-03-09T08:00:00Z."
WHAT_SCALARS_EXPECT = frozenset({NOT_A_GUID, NOT_A_COUNTRY, NOT_AN_ADDRESS, NOT_AN_INSTANT})
"""Said of a value that cannot be used. They never repeat the value, which may be a password in the wrong place."""
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_UNWANTED_IN_ADDRESS = re.compile(r"[\s,;<>()\[\]\"]")


def parse_guid(value: object) -> UUID:
    """Takes a GUID in either case; gives it in lower case."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not _GUID.fullmatch(text):
        raise GraphQLError(NOT_A_GUID)
    return UUID(text)


def parse_country(value: object) -> CountryCode:
    """Takes two letters in either case; gives them in upper case. Whether the country exists is asked later."""
    text = value.strip().upper() if isinstance(value, str) else ""
    if not _COUNTRY.fullmatch(text):
        raise GraphQLError(NOT_A_COUNTRY)
    return CountryCode(text)


def parse_address(value: object) -> EmailAddress:
    """Takes one bare e-mail address: no display name, no list, nothing that could end a header line."""
    if isinstance(value, str) and len(value) <= LONGEST_ADDRESS and not _UNWANTED_IN_ADDRESS.search(value):
        try:
            return EmailAddress(validate_email(value, check_deliverability=False).normalized)
        except EmailNotValidError:
            pass
    raise GraphQLError(NOT_AN_ADDRESS)


def parse_instant(value: object) -> datetime:
    """Takes an ISO 8601 instant with its zone; gives it in UTC."""
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise GraphQLError(NOT_AN_INSTANT)
    return instant.astimezone(UTC)


def write_instant(value: datetime) -> str:
    """Gives an instant as ISO 8601 in UTC, ending in Z."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


SCALARS: Mapping[object, Any] = {
    UUID: strawberry.scalar(
        name="UUID",
        description="GUID as Microsoft writes it, lower case with hyphens; either case is taken",
        serialize=str,
        parse_value=parse_guid,
    ),
    CountryCode: strawberry.scalar(
        name="CountryCode",
        description="ISO 3166-1 alpha-2 country code, upper case, such as GR",
        specified_by_url="https://www.iso.org/iso-3166-country-codes.html",
        serialize=str,
        parse_value=parse_country,
    ),
    EmailAddress: strawberry.scalar(
        name="EmailAddress", description="E-mail address", serialize=str, parse_value=parse_address
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="Point in time, ISO 8601 in UTC, such as 2026-03-09T08:00:00Z",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=write_instant,
        parse_value=parse_instant,
    ),
}
