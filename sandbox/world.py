"""What the sandbox holds: one partner, its customers, and everything inside them.

Plain mutable records. The routes change them; `sandbox.seed` makes them; nothing else does.
Every GUID is kept in lower case; the routes write it in the case the wire uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Plan:
    """Service plan of a product."""

    id: str
    service_name: str
    display_name: str
    target_type: str = "User"


@dataclass(slots=True)
class Product:
    """Product SKU of the directory, and how it is sold."""

    id: str
    part_number: str
    name: str
    plans: tuple[Plan, ...] = ()
    target_type: str = "User"
    license_group: str = "group1"
    catalog_product: str | None = None
    """New-commerce product id, such as CFQ7TTC0LH18; with `catalog_sku` it forms an offer id."""
    catalog_sku: str | None = None
    legacy_offer: str | None = None
    """Legacy offer id, a GUID."""


@dataclass(slots=True)
class Holding:
    """A tenant's units of one product. Consumed units are counted from the users' licenses."""

    product: Product
    active_units: int
    warning_units: int = 0
    suspended_units: int = 0
    capability_status: str = "Enabled"
    consumed_elsewhere: int = 0
    """Units counted as consumed beyond those that users here hold (a tenant-wide SKU, say)."""


@dataclass(slots=True)
class Subscription:
    """Commercial subscription. `product` is None for kinds that give no license (Azure, software)."""

    id: str
    kind: str
    """One of: nce, legacy, azure_plan, azure_legacy, software, saas."""
    offer_id: str
    offer_name: str
    friendly_name: str
    quantity: int
    status: str
    created_at: datetime
    starts_at: datetime
    commitment_ends_at: datetime | None
    order_id: str
    product: Product | None = None
    auto_renew: bool = True
    term: str | None = "P1Y"
    billing_cycle: str = "monthly"
    cancellable_until: datetime | None = None
    provisioning: str = "success"
    """success, pending, failed, or missing (the call answers 404)."""
    suspension_reasons: tuple[str, ...] = ()
    parent_id: str | None = None
    version: int = 1
    partner_mpn_id: str = ""
    """Partner on record set by an update; empty means the customer's reseller, if any."""


@dataclass(slots=True)
class User:
    """Person in a tenant's directory. `licenses` maps a product id to the ids of plans switched off."""

    id: str
    user_principal_name: str
    display_name: str
    first_name: str | None = None
    last_name: str | None = None
    usage_location: str | None = None
    immutable_id: str | None = None
    phone_number: str | None = None
    last_directory_sync_time: datetime | None = None
    domain_type: str = "none"
    deleted_at: datetime | None = None
    licenses: dict[str, set[str]] = field(default_factory=dict)
    licenses_at_deletion: dict[str, set[str]] = field(default_factory=dict)
    roles: set[str] = field(default_factory=set)
    password: str | None = None
    force_change_password: bool = False


@dataclass(slots=True)
class Customer:
    """Customer of the partner, seen as its directory (tenant)."""

    id: str
    company_name: str
    initial_domain: str
    country: str
    custom_domains: list[str] = field(default_factory=list)
    """All domains of the tenant, the initial one included."""
    federated_domains: set[str] = field(default_factory=set)
    reseller_id: str | None = None
    relationship: str = "reseller"
    delegated_access: bool = True
    """DAP: the by-id answer carries address, e-mail and custom domains."""
    granted_roles: frozenset[str] | None = None
    """Directory roles the partner was granted here (GDAP); None means every role."""
    commerce_id: str = ""
    users: dict[str, User] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    """By product id."""
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    """By lower-case id."""
    address: dict[str, str] = field(default_factory=dict)
    """Members of Partner Center's Address, by their names on the wire."""
    email: str = ""
    billing_profile: dict[str, object] | None = None
    """Stored by an update; until then the profile is made from the fields above."""
    billing_version: int = 1


@dataclass(slots=True)
class Reseller:
    """Indirect reseller of the partner."""

    id: str
    name: str
    mpn_id: str
    location: str


@dataclass(slots=True)
class World:
    """Everything, with the clock that it lives by."""

    now: Callable[[], datetime]
    partner_id: str
    customers: dict[str, Customer] = field(default_factory=dict)
    resellers: dict[str, Reseller] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    """Directory role template id to the name Partner Center gives it; the same in every tenant."""
