"""Which facts of Partner Center are kept, under which key, for how long.

A key is `gw:3:sandbox:<partner>:{<tenant>}:<kind>:<id>`: format, the cache's namespace, the look-up's part.
The tenant stands in braces, so that one tenant's keys share a slot of a Redis cluster; for what belongs to
the partner as a whole the braces are empty, which Redis reads as no tag. Ids are lower-case GUIDs, all else
goes through SHA-256: no sign-in name, domain, search text or caller is ever readable in a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from services.models import (
    Customer,
    DirectoryRole,
    License,
    MicrosoftSubscription,
    RoleRef,
    SubscribedSku,
    SubscriptionRef,
    Tenant,
    User,
    UserRef,
)

K = TypeVar("K")
V = TypeVar("V")
_K_contra = TypeVar("_K_contra", contravariant=True)
_V_co = TypeVar("_V_co", covariant=True)

KEY_FORMAT = "gw:3"
"""First part of every key. Raise the number when a kept form changes meaning without failing to decode."""

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Volatile(Enum):
    """What a change makes out of date: all look-ups of one tenant and one of these kinds at once."""

    USERS = "users"
    LICENSES = "licenses"
    ROLES = "roles"


@dataclass(frozen=True, slots=True)
class Lookup(Generic[_K_contra, _V_co]):
    """One question to Partner Center, and how long its answers are of use, more or less a tenth.

    Younger than `fresh_seconds` an answer is given at once; younger than `renew_seconds` it is given at once,
    too, while it is asked for anew; younger than `stand_in_seconds` it is given where Partner Center does not
    answer. Two keys with the same tenant and id are one entry. Both are already in their one spelling: lower case.
    """

    kind: str
    value_type: type[_V_co]
    fresh_seconds: int
    tenant_of: Callable[[_K_contra], str]
    id_of: Callable[[_K_contra], str]
    renew_seconds: int = 0
    stand_in_seconds: int = 0
    absent_seconds: int = 0
    """How long it is kept that there is nothing (None as the value); 0: that is never kept."""
    settled: bool = False
    """A found value never changes: no request asks past it, whatever age it allows."""
    volatile: Volatile | None = None
    """Which changes make it out of date."""
    alike: bool = False
    """Many keys of a tenant have the same value, as people hold the same few sets of licenses."""
    usual_bytes: int = 8 * 1024
    """What a kept answer is taken for before any of its kind was seen: so many fewer are read from Redis at once."""

    def key(self, key: _K_contra) -> str:
        """Gives what follows the namespace in the key."""
        return self.keys([key])[0]

    def keys(self, keys: Iterable[_K_contra], prefix: str = "") -> list[str]:
        """Gives the same for each of many, which mostly belong to a few tenants, behind a prefix."""
        beginnings: dict[str, str] = {}
        tenant_of, id_of, is_guid = self.tenant_of, self.id_of, _GUID.fullmatch
        found = []
        for key in keys:
            tenant = tenant_of(key)
            beginning = beginnings.get(tenant)
            if beginning is None:
                beginning = beginnings[tenant] = f"{prefix}{{{_plain(tenant)}}}:{self.kind}:"
            id = id_of(key)
            found.append(beginning + (id if is_guid(id) else _plain(id)))
        return found


def body_key(tenant_id: str, digest: str) -> str:
    """Gives what follows the namespace in the key of a value that a tenant's keys have in common."""
    return f"{{{_plain(tenant_id)}}}:body:{digest}"


class OfferKey(Protocol):
    """An offer of the catalogue, whoever asked: what it provisions is the same in every tenant."""

    @property
    def offer_id(self) -> str: ...


def key_prefix(namespace: str) -> str:
    """Gives what every key of a namespace begins with."""
    return f"{KEY_FORMAT}:{namespace}:"


def generation_key(tenant_id: str, volatile: Volatile) -> str:
    """Gives what follows the namespace in the key of a tenant's generation: the same slot as its look-ups'."""
    return f"{{{_plain(tenant_id)}}}:generation:{volatile.value}"


def _plain(text: str) -> str:
    if not text or _GUID.fullmatch(text):
        return text
    return sha256(text.encode()).hexdigest()


def _partner(_: object) -> str:
    return ""


def _nothing(_: object) -> str:
    return ""


def _itself(key: str) -> str:
    return key


# Asked for each of thousands of keys: half the time of functions of our own.
_tenant: Callable[[UserRef | RoleRef | SubscriptionRef], str] = attrgetter("tenant_id")
_user: Callable[[UserRef], str] = attrgetter("user_id")
_role: Callable[[RoleRef], str] = attrgetter("role_id")
_offer: Callable[[OfferKey], str] = attrgetter("offer_id")
_subscription: Callable[[SubscriptionRef], str] = attrgetter("subscription_id")

# mypy has no way to say that a union is a type's value, so these are taken as they are.
_SKU_ID: type[str | None] = str | None  # type: ignore[assignment]

MINUTE, HOUR, DAY = 60, 3600, 86_400
USERS, LICENSED, ROLED = Volatile.USERS, Volatile.LICENSES, Volatile.ROLES

TENANTS: Lookup[object, list[Tenant]] = Lookup(
    "tenants", list[Tenant], 300, _partner, _nothing, renew_seconds=15 * MINUTE, stand_in_seconds=DAY
)
RESELLER_TENANTS: Lookup[str, list[Tenant]] = Lookup(
    "reseller-tenants", list[Tenant], 300, _partner, _itself, renew_seconds=15 * MINUTE, stand_in_seconds=DAY
)
TENANTS_BY_DOMAIN: Lookup[str, list[Tenant]] = Lookup("tenants-by-domain", list[Tenant], 300, _partner, _itself)
CUSTOMER: Lookup[str, Customer] = Lookup(
    "customer", Customer, 900, _itself, _nothing, renew_seconds=HOUR, stand_in_seconds=DAY
)
DOMAINS: Lookup[str, list[str]] = Lookup(
    "domains", list[str], 900, _itself, _nothing, renew_seconds=HOUR, stand_in_seconds=DAY
)
ACTIVE_USERS: Lookup[str, list[User]] = Lookup(
    "active-users", list[User], 60, _itself, _nothing, 2 * MINUTE, HOUR, volatile=USERS, usual_bytes=64 * 1024
)
DELETED_USERS: Lookup[str, list[User]] = Lookup(
    "deleted-users", list[User], 60, _itself, _nothing, 2 * MINUTE, HOUR, volatile=USERS, usual_bytes=64 * 1024
)
USER: Lookup[UserRef, User] = Lookup("user", User, 30, _tenant, _user, MINUTE, HOUR, volatile=USERS)
LICENSES: Lookup[UserRef, list[License]] = Lookup(
    "licenses", list[License], 60, _tenant, _user, 2 * MINUTE, HOUR, volatile=LICENSED, alike=True, usual_bytes=512
)
SUBSCRIBED_SKUS: Lookup[str, list[SubscribedSku]] = Lookup(
    "subscribed-skus", list[SubscribedSku], 30, _itself, _nothing, MINUTE, HOUR, volatile=LICENSED
)
SUBSCRIPTIONS: Lookup[str, list[MicrosoftSubscription]] = Lookup(
    "subscriptions", list[MicrosoftSubscription], 300, _itself, _nothing, 10 * MINUTE, DAY
)
PROVISIONED_SKU: Lookup[SubscriptionRef, str | None] = Lookup(
    "provisioned-sku",
    _SKU_ID,
    7 * DAY,
    _tenant,
    _subscription,
    stand_in_seconds=7 * DAY,
    absent_seconds=300,
    settled=True,
)
CATALOG_SKU: Lookup[OfferKey, str | None] = Lookup(
    "catalog-sku", _SKU_ID, 7 * DAY, _partner, _offer, stand_in_seconds=7 * DAY, absent_seconds=300, settled=True
)
ROLES: Lookup[str, list[DirectoryRole]] = Lookup(
    "roles", list[DirectoryRole], HOUR, _itself, _nothing, renew_seconds=DAY, stand_in_seconds=7 * DAY
)
USER_ROLES: Lookup[UserRef, list[DirectoryRole]] = Lookup(
    "user-roles", list[DirectoryRole], 60, _tenant, _user, stand_in_seconds=15 * MINUTE, volatile=ROLED
)
ROLE_MEMBERS: Lookup[RoleRef, list[str]] = Lookup(
    "role-members", list[str], 60, _tenant, _role, stand_in_seconds=15 * MINUTE, volatile=ROLED
)
