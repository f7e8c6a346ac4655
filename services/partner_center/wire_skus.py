"""As `wire`, for what is bought: subscribed SKUs, licenses, and the subscriptions and catalog behind them."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from services.models import (
    CommerceKind,
    License,
    LicenseChange,
    MicrosoftSubscription,
    ServicePlan,
    SubscribedSku,
    SubscriptionStatus,
)
from services.partner_center.wire import GUID, Link, Number, Shape, decode, read_guid, read_instant, read_number
from services.product_types import product_type

NEVER_YEAR = 9999
"""Year of a commitment that does not end."""
TENANT_PLAN_TARGETS = frozenset({"tenant", "company"})
WORKING_PLAN_STATUSES = frozenset({"", "assigned", "enabled", "warning", "success"})
NEW_COMMERCE_LICENSES = "onlineservicesnce"


class PlanShape(Shape):
    id: str
    service_name: str | None = None
    display_name: str | None = None
    capability_status: str | None = None
    target_type: str | None = None


class ProductSkuShape(Shape):
    id: str
    name: str | None = None
    sku_part_number: str | None = None
    target_type: str | None = None
    license_group_id: str | None = None


class SubscribedSkuShape(Shape):
    product_sku: ProductSkuShape
    available_units: Number = None
    active_units: Number = None
    consumed_units: Number = None
    suspended_units: Number = None
    total_units: Number = None
    warning_units: Number = None
    capability_status: str | None = None
    service_plans: list[PlanShape] | None = None


class LicenseShape(Shape):
    product_sku: ProductSkuShape
    service_plans: list[PlanShape] | None = None


class ProductTypeShape(Shape):
    id: str | None = None


class RefundOption(Shape):
    expires_at: str | None = None


class RefundDetail(Shape):
    allowed_until_date_time: str | None = None


class RefundableQuantity(Shape):
    details: list[RefundDetail] | None = None


class SubscriptionLinks(Shape):
    offer: Link | None = None


class SubscriptionShape(Shape):
    id: str
    offer_id: str | None = None
    offer_name: str | None = None
    friendly_name: str | None = None
    product_type: ProductTypeShape | None = None
    quantity: Number = None
    billing_type: str | None = None
    status: str | None = None
    auto_renew_enabled: bool | None = None
    effective_start_date: str | None = None
    commitment_end_date: str | None = None
    commitment_end_date_time: str | None = None
    cancellation_allowed_until_date: str | None = None
    refund_options: list[RefundOption] | None = None
    refundable_quantity: RefundableQuantity | None = None
    links: SubscriptionLinks | None = None


class ProvisioningShape(Shape):
    sku_id: str | None = None


class DynamicAttributes(Shape):
    provisioning_id: str | None = None


class CatalogSkuShape(Shape):
    dynamic_attributes: DynamicAttributes | None = None


class OfferProduct(Shape):
    id: str | None = None


class OfferShape(Shape):
    product: OfferProduct | None = None


class LicenseWarning(Shape):
    code: int | str | None = None


class LicenseUpdateShape(Shape):
    license_warnings: list[LicenseWarning] | None = None


@lru_cache(maxsize=8192)
def _plan(plan_id: str, name: str | None, display_name: str | None, target_type: str | None) -> ServicePlan:
    """The same few hundred plans come with every license of every user: one object each is enough."""
    return ServicePlan(
        id=plan_id.lower(),
        name=name or display_name or plan_id,
        display_name=display_name or None,
        for_users=(target_type or "").lower() not in TENANT_PLAN_TARGETS,
    )


def read_plan(shape: PlanShape) -> ServicePlan:
    return _plan(shape.id, shape.service_name, shape.display_name, shape.target_type)


def read_subscribed_sku(shape: SubscribedSkuShape, tenant_id: str, as_of: datetime) -> SubscribedSku:
    """Units are taken as they come. Only where a sum is left out, its documented formula stands in for it."""
    product = shape.product_sku
    sku_id = product.id.lower()
    active = read_number(shape.active_units)
    warning = read_number(shape.warning_units)
    consumed = read_number(shape.consumed_units)
    total = read_number(shape.total_units, absent=active + warning)
    name = product.name or product.sku_part_number or sku_id
    return SubscribedSku(
        tenant_id=tenant_id,
        sku_id=sku_id,
        sku_part_number=product.sku_part_number or None,
        product_name=name,
        product_type=product_type(sku_id, product.sku_part_number or None, name, product.target_type),
        active_units=active,
        consumed_units=consumed,
        available_units=read_number(shape.available_units, absent=total - consumed),
        suspended_units=read_number(shape.suspended_units),
        warning_units=warning,
        total_units=total,
        capability_status=shape.capability_status or "",
        license_group_id=(product.license_group_id or "group1").lower(),
        service_plans=tuple(map(read_plan, shape.service_plans or ())),
        as_of=as_of,
    )


@lru_cache(maxsize=2_048)
def read_licenses(items: tuple[bytes, ...], tenant_id: str) -> list[License]:
    """Reads the licenses of a user, each as it came; raises msgspec's errors where one cannot be read.

    The people of a tenant hold the same few sets of licenses, with all their plans: one list each is enough, and it is
    never changed in place.
    """
    return [_read_license(decode(item, LicenseShape), tenant_id) for item in items]


def _read_license(shape: LicenseShape, tenant_id: str) -> License:
    product = shape.product_sku
    sku_id = product.id.lower()
    assigned: list[ServicePlan] = []
    disabled: list[ServicePlan] = []
    for plan in shape.service_plans or ():
        (assigned if _works(plan.capability_status) else disabled).append(read_plan(plan))
    return License(
        tenant_id=tenant_id,
        sku_id=sku_id,
        sku_part_number=product.sku_part_number or None,
        product_name=product.name or product.sku_part_number or sku_id,
        license_group_id=(product.license_group_id or "group1").lower(),
        assigned_plans=tuple(assigned),
        disabled_plans=tuple(disabled),
    )


@lru_cache(maxsize=64)
def _works(capability_status: str | None) -> bool:
    """Working plans are `Assigned`; disabled ones are left out or carry a status that no source names."""
    status = (capability_status or "").lower()
    return status in WORKING_PLAN_STATUSES or status.startswith("pending")


def read_subscription(shape: SubscriptionShape, tenant_id: str) -> MicrosoftSubscription:
    product_kind = ((shape.product_type and shape.product_type.id) or "").lower()
    offer_id = _offer_id(shape)
    new_commerce = product_kind == NEW_COMMERCE_LICENSES or ":" in offer_id
    return MicrosoftSubscription(
        tenant_id=tenant_id,
        microsoft_id=shape.id.lower(),
        offer_id=offer_id,
        offer_name=shape.offer_name or None,
        friendly_name=shape.friendly_name or None,
        commerce=CommerceKind.NEW_COMMERCE if new_commerce else CommerceKind.LEGACY,
        gives_licenses=_gives_licenses(product_kind, offer_id, (shape.billing_type or "").lower()),
        quantity=read_number(shape.quantity),
        status=_STATUSES.get((shape.status or "").lower(), SubscriptionStatus.UNKNOWN),
        auto_renew=shape.auto_renew_enabled,
        effective_at=read_instant(shape.effective_start_date),
        commitment_ends_at=_commitment_end(shape),
        cancellable_until=_cancellable_until(shape),
    )


_STATUSES = {status.value.lower(): status for status in SubscriptionStatus}


def _offer_id(shape: SubscriptionShape) -> str:
    """Old traces have no `offerId`, only the link. Legacy ids are GUIDs in upper case."""
    uri = (shape.links and shape.links.offer and shape.links.offer.uri) or ""
    offer_id = shape.offer_id or uri.partition("?")[0].rpartition("/")[2]
    return read_guid(offer_id) or offer_id


def _gives_licenses(product_kind: str, offer_id: str, billing_type: str) -> bool:
    """Only two kinds put units into a product SKU: new-commerce licenses, and legacy licenses.

    The latter have no product type, a GUID as offer and are billed by license; Azure, software, marketplace
    and savings plans are neither. Source: learn.microsoft.com/partner-center/developer/subscription-resources
    """
    if product_kind == NEW_COMMERCE_LICENSES:
        return billing_type not in {"usage", "benefit"}
    return not product_kind and GUID.fullmatch(offer_id) is not None and billing_type == "license"


def _commitment_end(shape: SubscriptionShape) -> datetime | None:
    """`commitmentEndDateTime` is the exact instant; the older member is the last day, at its midnight."""
    ends_at = read_instant(shape.commitment_end_date_time) or read_instant(shape.commitment_end_date)
    return None if ends_at is None or ends_at.year == NEVER_YEAR else ends_at


def _cancellable_until(shape: SubscriptionShape) -> datetime | None:
    """The newer member, else the latest of what the early new-commerce ones said of refunds."""
    allowed_until = read_instant(shape.cancellation_allowed_until_date)
    if allowed_until is not None:
        return allowed_until
    details = (shape.refundable_quantity and shape.refundable_quantity.details) or ()
    texts = [option.expires_at for option in shape.refund_options or ()]
    texts += [detail.allowed_until_date_time for detail in details]
    return max(filter(None, map(read_instant, texts)), default=None)


def write_license_change(change: LicenseChange) -> dict[str, Any]:
    """The plans left off replace those of before, so they are written even when there are none."""
    body: dict[str, Any] = {"attributes": {"objectType": "LicenseUpdate"}}
    if change.assign:
        body["licensesToAssign"] = [
            {"skuId": license_.sku_id, "excludedPlans": list(license_.disabled_plan_ids)} for license_ in change.assign
        ]
    if change.remove:
        body["licensesToRemove"] = list(change.remove)
    return body


def read_warning_codes(shape: LicenseUpdateShape) -> list[str]:
    return [str(warning.code) for warning in shape.license_warnings or ()]
