"""Subscriptions as the partner sells them: one function for each kind that Partner Center tells apart.

`days_ago` is when it was bought, `label` sets two purchases of one thing apart. The records are mutable: what is
unusual about a purchase (its status, say) is set on the answer. Source of the kinds and their marks: the page
"Subscription resources" of Partner Center's developer pages.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sandbox.people import stable_id
from sandbox.products import legacy_offer_names
from sandbox.world import Customer, Holding, Product, Subscription

CANCELLATION_WINDOW = timedelta(days=7)
TERMS = {"P1M": timedelta(days=30), "P1Y": timedelta(days=365), "P3Y": timedelta(days=3 * 365)}


def new_commerce(
    tenant: Customer, product: Product, quantity: int, now: datetime, *, days_ago: int = 120, label: str = ""
) -> Subscription:
    """Licenses bought in new commerce, for a year, paid monthly."""
    if product.catalog_product is None:
        raise ValueError(f"{product.part_number} is not sold in new commerce.")
    offer = (product.catalog_product, product.catalog_sku or "0001", availability_of(product.catalog_product))
    bought = now - timedelta(days=days_ago)
    subscription = _subscription(tenant, "nce", ":".join(offer), product.name, quantity, bought, label)
    subscription.product = product
    subscription.commitment_ends_at = _midnight(bought + TERMS["P1Y"])
    subscription.cancellable_until = bought + CANCELLATION_WINDOW
    return subscription


def legacy(
    tenant: Customer, product: Product, quantity: int, now: datetime, *, days_ago: int = 200, label: str = ""
) -> Subscription:
    """Licenses bought the old way, by an offer whose name is often older than the product's. Starts at midnight."""
    if product.legacy_offer is None:
        raise ValueError(f"{product.part_number} has no legacy offer.")
    name = legacy_offer_names()[product.legacy_offer]
    bought = now - timedelta(days=days_ago)
    subscription = _subscription(tenant, "legacy", product.legacy_offer, name, quantity, bought, label)
    subscription.product = product
    subscription.starts_at = _midnight(bought)
    subscription.commitment_ends_at = _midnight(bought + TERMS["P1Y"])
    subscription.term = None
    subscription.version = 2
    return subscription


def azure_plan(tenant: Customer, now: datetime, *, days_ago: int = 300) -> Subscription:
    """Azure in new commerce: pay as you go, without an end, and no license."""
    bought = now - timedelta(days=days_ago)
    return _subscription(tenant, "azure_plan", "DZH318Z0BPS6:0001:DZH318Z0BMTX", "Azure plan", 1, bought)


def azure_legacy(tenant: Customer, now: datetime, *, days_ago: int = 900) -> Subscription:
    """Azure bought the old way."""
    bought = now - timedelta(days=days_ago)
    subscription = _subscription(tenant, "azure_legacy", "MS-AZR-0145P", "Microsoft Azure", 1, bought)
    subscription.starts_at = _midnight(bought)
    subscription.term = None
    subscription.auto_renew = False
    subscription.version = 2
    return subscription


def software(tenant: Customer, now: datetime, *, days_ago: int = 60) -> Subscription:
    """Software for three years, paid at once. Offer and name: the documented sample of a software subscription."""
    bought = now - timedelta(days=days_ago)
    name = "SQL Server Enterprise - 2 Core License Pack - 3 year"
    subscription = _subscription(tenant, "software", "DG7GMGF0FKZV:0003:DG7GMGF0DQLM", name, 4, bought)
    subscription.term = "P3Y"
    subscription.billing_cycle = "triennial"
    subscription.commitment_ends_at = _midnight(bought + TERMS["P3Y"])
    subscription.cancellable_until = bought + timedelta(days=30)
    return subscription


def saas(tenant: Customer, now: datetime, *, days_ago: int = 12) -> Subscription:
    """Somebody else's service, bought in Microsoft's marketplace."""
    bought = now - timedelta(days=days_ago)
    offer = "DZH318Z08B81:0002:DZH318Z05N9J"
    subscription = _subscription(tenant, "saas", offer, "Relecloud Insights", 10, bought)
    subscription.term = "P1M"
    subscription.commitment_ends_at = _midnight(bought + TERMS["P1M"])
    return subscription


def buy(tenant: Customer, *subscriptions: Subscription) -> None:
    """The tenant gets these subscriptions; its units are stated apart, by `hold`."""
    for subscription in subscriptions:
        if subscription.id in tenant.subscriptions:
            raise ValueError(f"{tenant.company_name} has {subscription.offer_name} already: give it a label.")
        tenant.subscriptions[subscription.id] = subscription


def hold(
    tenant: Customer,
    product: Product,
    active_units: int,
    *,
    warning_units: int = 0,
    suspended_units: int = 0,
    capability_status: str = "Enabled",
    consumed_elsewhere: int = 0,
) -> None:
    """The tenant gets this many units of the product, from whomever they were bought."""
    tenant.holdings[product.id] = Holding(
        product, active_units, warning_units, suspended_units, capability_status, consumed_elsewhere
    )


def availability_of(catalog_product: str) -> str:
    """Third part of a new-commerce offer id. Business Basic's is Microsoft's, the others are made up in its form."""
    if catalog_product == "CFQ7TTC0LH18":
        return "CFQ7TTC0K971"
    return "CFQ7TTC0" + stable_id("availability", catalog_product)[:4].upper()


def _subscription(  # what all kinds share
    tenant: Customer, kind: str, offer_id: str, name: str, quantity: int, bought: datetime, label: str = ""
) -> Subscription:
    subscription_id = stable_id("subscription", tenant.id, offer_id, label)
    order_id = stable_id("order", subscription_id)
    return Subscription(
        id=subscription_id,
        kind=kind,
        offer_id=offer_id,
        offer_name=name,
        friendly_name=name,
        quantity=quantity,
        status="active",
        created_at=bought,
        starts_at=bought,
        commitment_ends_at=None,
        order_id=order_id if kind in ("legacy", "azure_legacy") else order_id.replace("-", "")[:12],
    )


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
