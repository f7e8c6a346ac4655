"""What each field asks of Partner Center when nothing is cached: the one thing that counting knows of it.

An estimate for a limit, not a bill: a list is one call however many pages it has, and what comes along with
something else counts with that. docs/configuration.md says the same in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Per(Enum):
    """For how many objects an answer is enough."""

    OBJECT = "object"
    """One look-up for each object that has the field."""
    TENANT = "tenant"
    """One look-up serves every object of the tenant."""
    TENANT_IN_SCOPE = "tenant in scope"
    """One look-up for each tenant that the argument `scope` leaves, and as many of all that is shared by a tenant."""
    ID = "id"
    """One look-up for each id in the argument `ids`, or each time the field is written."""


@dataclass(frozen=True, slots=True)
class Asks:
    """A look-up of a field. Fields that need the same `look_up` of the same object share it."""

    look_up: str
    calls: int = 1
    per: Per = Per.OBJECT


TENANT_TYPE = "Tenant"
PLAIN_LIST_ITEMS = 10
"""How many items a list without pages is taken to have, where pages lie below it."""
DEFAULT_PAGE_SIZE = 50
TENANTS_IN_SCOPE = 50
"""How many tenants a question over all of them is taken to be about, where it does not name them."""
PEOPLE_OF_A_TENANT = 50
"""How many people are taken to be looked at by what has to look at all of a tenant."""
CALLS_OF_A_CHANGE = 10

_LICENSES = Asks("licenses of a user")
_ROLES = Asks("roles of a user")
_SKUS = Asks("products of a tenant", per=Per.TENANT)
_EVERYBODYS_LICENSES = Asks("licenses of everybody", PEOPLE_OF_A_TENANT, Per.TENANT)

ASKED_BY_FIELD: Mapping[tuple[str, str], Asks] = {
    ("Viewer", "tenantCount"): Asks("tenants"),
    ("Query", "node"): Asks("object", per=Per.ID),
    ("Query", "nodes"): Asks("object", per=Per.ID),
    ("Query", "tenant"): Asks("tenant", per=Per.ID),
    ("Query", "tenants"): Asks("tenants"),
    ("Query", "users"): Asks("users of a tenant", per=Per.TENANT_IN_SCOPE),
    ("Query", "portfolio"): Asks("products of a tenant", per=Per.TENANT_IN_SCOPE),
    ("Tenant", "domains"): Asks("domains", per=Per.TENANT),
    ("Tenant", "country"): Asks("company", per=Per.TENANT),
    ("Tenant", "access"): Asks("access", 2, Per.TENANT),
    ("Tenant", "user"): Asks("user", per=Per.ID),
    ("Tenant", "users"): Asks("users of a tenant", per=Per.TENANT),
    ("Tenant", "subscribedSkus"): _SKUS,
    ("Tenant", "roles"): Asks("roles of a tenant", per=Per.TENANT),
    ("User", "roles"): _ROLES,
    ("User", "actions"): _ROLES,
    ("User", "assignedLicenseCount"): _LICENSES,
    ("User", "licenses"): _LICENSES,
    ("User", "licenseOptions"): _LICENSES,
    ("Deletion", "forecast"): _SKUS,
    ("LicenseEffect", "predicted"): _SKUS,
    ("SubscribedSku", "subscriptions"): Asks("subscriptions of a tenant", 1 + PLAIN_LIST_ITEMS, Per.TENANT),
    ("SubscribedSku", "holders"): _EVERYBODYS_LICENSES,
}


def asked_by_filter(filter: object) -> list[Asks]:
    """What a list of users asks beside itself for a filter, as the caller gave it."""
    if not isinstance(filter, dict):
        return []
    asks = []
    if filter.get("licensedFor") is not None or filter.get("unlicensed"):
        asks.append(_EVERYBODYS_LICENSES)
    roles = filter.get("roleIds")
    if roles is not None:
        asks.append(Asks("members of roles", len(roles) if isinstance(roles, list) else 1, Per.TENANT))
    return asks


def tenants_in(scope: object) -> int:
    """How many tenants a question over many is about, by its argument `scope` as the caller gave it."""
    named = scope.get("ids") if isinstance(scope, dict) else None
    return len(named) if isinstance(named, list) else TENANTS_IN_SCOPE
