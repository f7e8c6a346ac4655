"""The nouns of the gateway: frozen records whose attributes are the GraphQL fields in snake case.

Made by `services.partner_center.wire`, kept in the cache, read by the schema. No wire names, no I/O. Ids of
Microsoft are lower-case GUIDs; instants are aware UTC datetimes; units are licenses (seats).

What Microsoft says of something is a record of msgspec's: it is made, and read from the cache, several times as fast
as a dataclass, and is none of the garbage collector's business, since nothing that it holds could hold it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import NamedTuple

import msgspec

from services.global_ids import encode_id

RESTORE_WINDOW = timedelta(days=30)
"""Partner Center keeps a deleted user for 30 days from its soft deletion time, then purges it.
Source: learn.microsoft.com/partner-center/developer/restore-a-user-for-a-customer"""


class UserStatus(Enum):
    ACTIVE = "ACTIVE"
    DELETED = "DELETED"


class ProductType(Enum):
    CLOUD_SERVICES = "CLOUD_SERVICES"
    DYNAMICS = "DYNAMICS"
    OTHER = "OTHER"


class CommerceKind(Enum):
    LEGACY = "LEGACY"
    NEW_COMMERCE = "NEW_COMMERCE"


class SubscriptionStatus(Enum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DELETED = "DELETED"
    EXPIRED = "EXPIRED"
    PENDING = "PENDING"
    DISABLED = "DISABLED"
    UNKNOWN = "UNKNOWN"


class UserRef(NamedTuple):
    """A user is found by tenant and id: a user id means nothing without its tenant."""

    tenant_id: str
    user_id: str


class RoleRef(NamedTuple):
    """A directory role in one tenant."""

    tenant_id: str
    role_id: str


class SubscriptionRef(NamedTuple):
    """A commercial subscription of one tenant."""

    tenant_id: str
    subscription_id: str


class OfferRef(NamedTuple):
    """An offer of the catalogue; the tenant says in whose market to look."""

    tenant_id: str
    offer_id: str


@dataclass(frozen=True, slots=True)
class LicensedUser:
    """An active user of whom only the id is known, and needed."""

    tenant_id: str
    microsoft_id: str
    status: UserStatus = UserStatus.ACTIVE

    @property
    def id(self) -> str:
        return encode_id("User", self.tenant_id, self.microsoft_id)

    @property
    def ref(self) -> UserRef:
        return UserRef(self.tenant_id, self.microsoft_id)


@dataclass(frozen=True, slots=True)
class TenantRef:
    """A tenant of which only the id is known, and needed."""

    microsoft_id: str

    @property
    def id(self) -> str:
        return encode_id("Tenant", self.microsoft_id)


class Tenant(msgspec.Struct, frozen=True, gc=False):
    """Customer of the partner, as the customers list gives it. `domain` is the initial domain."""

    microsoft_id: str
    name: str
    domain: str
    as_of: datetime

    @property
    def id(self) -> str:
        return encode_id("Tenant", self.microsoft_id)


class Customer(msgspec.Struct, frozen=True, gc=False):
    """What only the by-id answer says of a tenant.

    `delegated_access` is true where the old delegated admin privileges (DAP) exist; it says nothing about
    GDAP. `country` is the company's, else the billing address's; None where neither is shown.
    """

    tenant: Tenant
    country: str | None
    delegated_access: bool


class User(msgspec.Struct, frozen=True, gc=False):
    """Person in a tenant's directory, active or deleted."""

    tenant_id: str
    microsoft_id: str
    user_principal_name: str
    display_name: str
    first_name: str | None
    last_name: str | None
    usage_location: str | None
    status: UserStatus
    directory_synced: bool
    federated: bool
    deleted_at: datetime | None
    as_of: datetime

    @property
    def id(self) -> str:
        return encode_id("User", self.tenant_id, self.microsoft_id)

    @property
    def ref(self) -> UserRef:
        return UserRef(self.tenant_id, self.microsoft_id)

    @property
    def version(self) -> str:
        """Fingerprint of the information that `updateUser` edits, and of the status."""
        parts = (
            self.user_principal_name,
            self.display_name,
            self.first_name,
            self.last_name,
            self.usage_location,
            self.status.value,
            self.deleted_at and self.deleted_at.isoformat(),
        )
        return sha256(repr(parts).encode()).hexdigest()[:24]

    def restorable_until(self) -> datetime | None:
        return self.deleted_at + RESTORE_WINDOW if self.deleted_at else None


class DirectoryRole(msgspec.Struct, frozen=True, gc=False):
    """Directory role as it can be given in a tenant; `microsoft_id` is Entra's role template id."""

    tenant_id: str
    microsoft_id: str
    name: str
    privileged: bool

    @property
    def id(self) -> str:
        return encode_id("DirectoryRole", self.tenant_id, self.microsoft_id)


class ServicePlan(msgspec.Struct, frozen=True, gc=False):
    """Deployable service inside a product. `for_users` is false for plans that a tenant gets as a whole."""

    id: str
    name: str
    display_name: str | None
    for_users: bool = True


class SubscribedSku(msgspec.Struct, frozen=True, gc=False):
    """A tenant's units of one product, exactly as Partner Center counts them.

    `available_units` is Microsoft's figure (total minus consumed, may be negative), never recomputed.
    Source: learn.microsoft.com/partner-center/developer/license-resources
    """

    tenant_id: str
    sku_id: str
    sku_part_number: str | None
    product_name: str
    product_type: ProductType
    active_units: int
    consumed_units: int
    available_units: int
    suspended_units: int
    warning_units: int
    total_units: int
    capability_status: str
    license_group_id: str
    service_plans: tuple[ServicePlan, ...]
    as_of: datetime

    @property
    def id(self) -> str:
        return encode_id("SubscribedSku", self.tenant_id, self.sku_id)


class License(msgspec.Struct, frozen=True, gc=False):
    """One unit of a product held by a user, as the user's license list gives it.

    `disabled_plans` are only those that the wire lists with a status of their own; plans that it leaves out
    are found by comparing with the subscribed SKU.
    """

    tenant_id: str
    sku_id: str
    sku_part_number: str | None
    product_name: str
    license_group_id: str
    assigned_plans: tuple[ServicePlan, ...]
    disabled_plans: tuple[ServicePlan, ...] = ()


class MicrosoftSubscription(msgspec.Struct, frozen=True, gc=False):
    """Commercial subscription. `gives_licenses` is true for the kinds that put units into a product SKU.

    `offer_id` is a GUID for legacy commerce and `productId:skuId:availabilityId` for new commerce.
    """

    tenant_id: str
    microsoft_id: str
    offer_id: str
    offer_name: str | None
    friendly_name: str | None
    commerce: CommerceKind
    gives_licenses: bool
    quantity: int
    status: SubscriptionStatus
    auto_renew: bool | None
    effective_at: datetime | None
    commitment_ends_at: datetime | None
    cancellable_until: datetime | None
    sku_id: str | None = None
    """The product SKU id that its units go to, once that was looked up and found."""

    @property
    def id(self) -> str:
        return encode_id("MicrosoftSubscription", self.tenant_id, self.microsoft_id)

    @property
    def ref(self) -> SubscriptionRef:
        return SubscriptionRef(self.tenant_id, self.microsoft_id)


@dataclass(frozen=True, slots=True)
class LicenseAssignment:
    """Product to assign, with the service plans to leave off."""

    sku_id: str
    disabled_plan_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LicenseChange:
    """Products to assign to and to remove from one user, all of one license group, in one call."""

    assign: tuple[LicenseAssignment, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewUser:
    """What Partner Center needs to create a user. The password is masked in every text form."""

    user_principal_name: str
    display_name: str
    usage_location: str
    first_name: str | None
    last_name: str | None
    password: str = field(repr=False)
    force_change_password: bool = True
