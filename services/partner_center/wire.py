"""Partner Center's JSON, read into models and written from them. The only place that knows its member names.

Answers are decoded straight into the shapes below, which name only what is used: `passwordProfile`, which
replies to writes echo, is in none of them. An answer that does not fit (another letter case, numbers as
text) is read again the slow way, and only then given up.
Source: learn.microsoft.com/partner-center/developer/{user,license,subscription,customer}-resources
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any, Generic, TypeVar

import msgspec

from services.models import Customer, DirectoryRole, NewUser, Tenant, User, UserStatus
from services.privileged_roles import is_privileged

T = TypeVar("T")
Number = int | float | str | None
"""A whole number, which some answers carry as text, even with a leading zero."""

NO_GUID = "00000000-0000-0000-0000-000000000000"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

WRITTEN_NAMES = {
    "first_name": "firstName",
    "last_name": "lastName",
    "display_name": "displayName",
    "usage_location": "usageLocation",
}
A_USER = {"objectType": "CustomerUser"}


class Shape(msgspec.Struct, rename="camel", gc=False):
    """A JSON object of the wire, cut down to what is used. Any member may be absent or null."""


class LinkHeader(Shape):
    key: str | None = None
    value: str | None = None


class Link(Shape):
    uri: str | None = None
    headers: list[LinkHeader] | None = None


class PageLinks(Shape):
    next: Link | None = None


class Page(Shape, Generic[T]):
    """One page of a collection. `totalCount` is no grand total and is not read."""

    items: list[T] | None
    links: PageLinks | None = None
    continuation_token: str | None = None


class AddressShape(Shape):
    country: str | None = None


class CompanyShape(Shape):
    domain: str | None = None
    company_name: str | None = None
    address: AddressShape | None = None


class BillingShape(Shape):
    default_address: AddressShape | None = None


class CustomerShape(Shape):
    id: str
    company_profile: CompanyShape
    billing_profile: BillingShape | None = None
    allow_delegated_access: bool | None = None


class UserShape(Shape):
    id: str
    user_principal_name: str
    display_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    usage_location: str | None = None
    last_directory_sync_time: str | None = None
    user_domain_type: str | None = None
    state: str | None = None
    soft_deletion_time: str | None = None


class RoleShape(Shape):
    id: str
    name: str | None = None


class MemberShape(Shape):
    id: str


def decode(content: bytes, shape: type[T]) -> T:
    """Gives the body in the shape asked for; raises msgspec's errors where it cannot be read."""
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape, strict=False)
    try:
        read: T = decoder.decode(content)
    except msgspec.ValidationError:
        return _decode_slowly(content, shape)
    if isinstance(read, Shape):
        for name in read.__struct_fields__:
            if getattr(read, name) is not None:
                return read
        return _decode_slowly(content, shape)
    return read


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decode_slowly(content: bytes, shape: type[T]) -> T:
    """Matches names without regard to case: Partner Center echoes some requests in PascalCase with nulls."""
    names = {name.lower(): name for kind in Shape.__subclasses__() for name in kind.__struct_encode_fields__}
    renamed = msgspec.json.encode(_in_our_names(msgspec.json.decode(content), names))
    return msgspec.json.decode(renamed, type=shape, strict=False)


def _in_our_names(value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        return {
            names.get(name.lower(), name): _in_our_names(member, names)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [_in_our_names(item, names) for item in value]
    return value


def read_instant(text: str | None) -> datetime | None:
    """Gives an aware UTC datetime; None for what is absent or no date. Without a zone it is taken as UTC.

    Up to seven fractional digits arrive; the seventh is dropped. Documented traces have blanks after colons.
    """
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text.strip().replace(": ", ":"))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def read_guid(text: str | None) -> str | None:
    """Gives a GUID in lower case; None for anything else, the empty GUID too."""
    return text.lower() if text and GUID.fullmatch(text) and text != NO_GUID else None


def read_number(value: Number, absent: int = 0) -> int:
    """Gives a whole number, however written."""
    try:
        return absent if value is None else int(value)
    except (ValueError, OverflowError):
        return absent


def read_tenant(shape: CustomerShape, as_of: datetime) -> Tenant:
    """`id` is the tenant's; `companyProfile.tenantId` says the same, but is a placeholder in some traces."""
    company = shape.company_profile
    domain = company.domain or ""
    return Tenant(microsoft_id=shape.id.lower(), name=company.company_name or domain, domain=domain, as_of=as_of)


def read_customer(shape: CustomerShape, as_of: datetime) -> Customer:
    """The company's address is shown only under delegated access; the billing address always."""
    billing = shape.billing_profile and shape.billing_profile.default_address
    addresses = (shape.company_profile.address, billing)
    return Customer(
        tenant=read_tenant(shape, as_of),
        country=next((address.country for address in addresses if address and address.country), None),
        delegated_access=bool(shape.allow_delegated_access),
    )


def read_user(shape: UserShape, tenant_id: str, as_of: datetime) -> User:
    """A soft deletion time alone also says deleted: `state` is an enum that may grow."""
    deleted = bool(shape.soft_deletion_time) if shape.state is None else shape.state.lower() == "inactive"
    return User(
        tenant_id=tenant_id,
        microsoft_id=shape.id.lower(),
        user_principal_name=shape.user_principal_name,
        display_name=shape.display_name or "",
        first_name=shape.first_name or None,
        last_name=shape.last_name or None,
        usage_location=intern(shape.usage_location) if shape.usage_location else None,
        status=UserStatus.DELETED if deleted else UserStatus.ACTIVE,
        directory_synced=bool(shape.last_directory_sync_time),
        federated=shape.user_domain_type is not None and shape.user_domain_type.lower() == "federated",
        deleted_at=read_instant(shape.soft_deletion_time) if deleted else None,
        as_of=as_of,
    )


def read_role(shape: RoleShape, tenant_id: str) -> DirectoryRole:
    role_id = shape.id.lower()
    return DirectoryRole(
        tenant_id=tenant_id,
        microsoft_id=role_id,
        name=shape.name or role_id,
        privileged=is_privileged(role_id),
    )


def write_filter(field: str, value: str, operator: str) -> str:
    """Gives the `filter` parameter. Source: learn.microsoft.com/partner-center/developer/utility-resources"""
    return msgspec.json.encode({"Field": field, "Value": value, "Operator": operator}).decode()


def write_new_user(user: NewUser) -> dict[str, Any]:
    """Names that are not given are left out: the wire knows no null."""
    names = {"firstName": user.first_name, "lastName": user.last_name}
    return {
        "userPrincipalName": user.user_principal_name,
        "displayName": user.display_name,
        "usageLocation": user.usage_location,
        **{name: text for name, text in names.items() if text is not None},
        **write_password(user.password, force_change=user.force_change_password),
    }


def write_password(password: str, *, force_change: bool) -> dict[str, Any]:
    return {
        "passwordProfile": {"password": password, "forceChangePassword": force_change},
        "attributes": A_USER,
    }


def write_user_changes(changes: Mapping[str, str]) -> dict[str, Any]:
    """Only what changes: an absent member stays as it is, and so does a null."""
    return {**{WRITTEN_NAMES[name]: text for name, text in changes.items()}, "attributes": A_USER}


def write_restoration() -> dict[str, Any]:
    return {"state": "active", "attributes": A_USER}


def write_role_member(user: User) -> dict[str, Any]:
    return {
        "id": user.microsoft_id,
        "displayName": user.display_name,
        "userPrincipalName": user.user_principal_name,
        "attributes": {"objectType": "UserMember"},
    }
