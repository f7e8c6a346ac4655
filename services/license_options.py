"""The Manage Licenses dialog: every product that a user has or could get, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.authorization import Permission
from services.models import License, ProductType, ServicePlan, SubscribedSku, User, UserStatus
from services.product_types import product_type

_UNUSABLE = frozenset({"suspended", "deleted", "lockedout"})
"""Capability states in which no unit can be assigned; a state not known to us is taken for usable.
Source: learn.microsoft.com/graph/api/resources/subscribedsku, capabilityStatus"""


class LicenseBlockerCode(Enum):
    NONE_AVAILABLE = "NONE_AVAILABLE"
    USAGE_LOCATION_MISSING = "USAGE_LOCATION_MISSING"
    NOT_USER_ASSIGNABLE = "NOT_USER_ASSIGNABLE"
    SUSPENDED = "SUSPENDED"
    USER_DELETED = "USER_DELETED"
    NOT_PERMITTED = "NOT_PERMITTED"


@dataclass(frozen=True, slots=True)
class Blocker:
    code: LicenseBlockerCode
    message: str


@dataclass(frozen=True, slots=True)
class LicenseOption:
    """One line of the dialog. `assigned` is where the toggle stands."""

    sku: SubscribedSku
    assigned: bool
    blockers: tuple[Blocker, ...]

    @property
    def changeable(self) -> bool:
        return not self.blockers


@dataclass(frozen=True, slots=True)
class HeldLicense:
    """A license with the product that it is taken from, and the service plans on and off.

    Plans that are switched off are left out of a user's license, or listed with a state of their own:
    which of the two is not documented. So off is whatever the product has for people and the license lacks.
    """

    sku: SubscribedSku
    license: License

    @property
    def service_plans(self) -> list[ServicePlan]:
        return list(self.license.assigned_plans)

    @property
    def disabled_service_plans(self) -> list[ServicePlan]:
        on = {plan.id for plan in self.license.assigned_plans}
        off = {plan.id: plan for plan in self.sku.service_plans if plan.for_users and plan.id not in on}
        off.update({plan.id: plan for plan in self.license.disabled_plans})
        return list(off.values())


@dataclass(frozen=True, slots=True)
class RestoreForecastLine:
    """One product that a deleted user held: how many units are free, and how many are missing for one to be."""

    sku: SubscribedSku
    available_units: int
    short_by: int


def held_license(user: User, held: License, skus: Sequence[SubscribedSku]) -> HeldLicense:
    """Ties a user's license to the tenant's product."""
    return HeldLicense(find_sku(skus, held.sku_id) or _unlisted_sku(user, held), held)


def find_sku(skus: Sequence[SubscribedSku], sku_id: str) -> SubscribedSku | None:
    """The tenant's entry of a product; None where it holds none."""
    for sku in skus:
        if sku.sku_id == sku_id:
            return sku
    return None


def license_options(
    user: User, held: Sequence[License], skus: Sequence[SubscribedSku], *, lacking: Permission | None
) -> list[LicenseOption]:
    """One line a product that the user has or could get. A product that the user has is never hidden.

    `lacking` is the permission that the caller would need, and has not, to change the user's licenses.
    What a tenant holds as a whole cannot be given to a person and has no line, unless the user has it.
    """
    held_by_sku = {one.sku_id: one for one in held}
    offered = [sku for sku in skus if sku.product_type is not ProductType.OTHER or sku.sku_id in held_by_sku]
    listed = {sku.sku_id for sku in offered}
    offered += [_unlisted_sku(user, one) for one in held if one.sku_id not in listed]
    return [
        LicenseOption(sku, assigned, tuple(_blockers(user, sku, assigned=assigned, lacking=lacking)))
        for sku in offered
        for assigned in [sku.sku_id in held_by_sku]
    ]


def restore_forecast(user: User, sku_ids: Sequence[str], skus: Sequence[SubscribedSku]) -> list[RestoreForecastLine]:
    """What restoring a user will meet for each product that was held at deletion. It forbids nothing."""
    found = (find_sku(skus, sku_id) or _forgotten_sku(user, sku_id) for sku_id in sku_ids)
    return [RestoreForecastLine(sku, sku.available_units, max(0, 1 - sku.available_units)) for sku in found]


def _blockers(user: User, sku: SubscribedSku, *, assigned: bool, lacking: Permission | None) -> list[Blocker]:
    found = []
    if user.status is UserStatus.DELETED:
        found.append(Blocker(LicenseBlockerCode.USER_DELETED, "The user is deleted; restore the user first."))
    if lacking is not None:
        found.append(Blocker(LicenseBlockerCode.NOT_PERMITTED, f"This needs the permission {lacking.value}."))
    if sku.product_type is ProductType.OTHER:
        message = f"{sku.product_name} belongs to the organization as a whole, not to a person."
        found.append(Blocker(LicenseBlockerCode.NOT_USER_ASSIGNABLE, message))
    if assigned:
        return found
    if sku.capability_status.lower() in _UNUSABLE:
        found.append(Blocker(LicenseBlockerCode.SUSPENDED, f"The subscription of {sku.product_name} is suspended."))
    elif sku.available_units <= 0:
        found.append(Blocker(LicenseBlockerCode.NONE_AVAILABLE, f"No unit of {sku.product_name} is left."))
    if not user.usage_location:
        message = "The user has no usage location, which a license needs; set one first."
        found.append(Blocker(LicenseBlockerCode.USAGE_LOCATION_MISSING, message))
    return found


def _unlisted_sku(user: User, held: License) -> SubscribedSku:
    """The product of a license whose tenant lists no units of it, as after the last subscription ended."""
    return _without_units(
        user,
        held.sku_id,
        sku_part_number=held.sku_part_number,
        product_name=held.product_name,
        license_group_id=held.license_group_id,
        service_plans=held.assigned_plans + held.disabled_plans,
    )


def _forgotten_sku(user: User, sku_id: str) -> SubscribedSku:
    """A product that the tenant no longer lists, and of which nothing but the id was remembered."""
    return _without_units(
        user, sku_id, sku_part_number=None, product_name=sku_id, license_group_id="none", service_plans=()
    )


def _without_units(
    user: User,
    sku_id: str,
    *,
    sku_part_number: str | None,
    product_name: str,
    license_group_id: str,
    service_plans: tuple[ServicePlan, ...],
) -> SubscribedSku:
    return SubscribedSku(
        tenant_id=user.tenant_id,
        sku_id=sku_id,
        sku_part_number=sku_part_number,
        product_name=product_name,
        product_type=product_type(sku_id, sku_part_number, product_name, None),
        active_units=0,
        consumed_units=0,
        available_units=0,
        suspended_units=0,
        warning_units=0,
        total_units=0,
        capability_status="Deleted",
        license_group_id=license_group_id,
        service_plans=service_plans,
        as_of=user.as_of,
    )
