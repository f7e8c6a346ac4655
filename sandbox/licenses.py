"""Subscribed SKUs and users' licenses: reading them.

Sources: learn.microsoft.com/partner-center/developer/license-resources, …/get-a-list-of-available-licenses,
…/get-a-list-of-available-licenses-by-license-group, …/check-which-licenses-are-assigned-to-a-user.
"""

from __future__ import annotations

from collections import Counter

from sandbox import refusals
from sandbox.asks import (
    DIRECTORY_READER,
    DIRECTORY_WRITER,
    GLOBAL_READER,
    LICENSE_ADMINISTRATOR,
    USER_ADMINISTRATOR,
    Ask,
    Operation,
)
from sandbox.wire import Answer, Json, attributes, collection
from sandbox.world import Customer, Holding, Plan, Product

_GROUPS = ("group1", "group2", "group3", "none")
_DEFAULT_GROUPS = frozenset({"group1"})


def list_subscribed_skus(ask: Ask) -> Answer:
    groups = _license_groups(ask)
    held = count_held(ask.customer)
    items = [
        _subscribed_sku(holding, held[sku_id])
        for sku_id, holding in ask.customer.holdings.items()
        if holding.product.license_group in groups
    ]
    return Answer(200, collection(items))


def list_user_licenses(ask: Ask) -> Answer:
    user = ask.user()
    groups = _license_groups(ask)
    items = [
        _license(product, switched_off, whole=ask.state.switches.list_disabled_plans)
        for sku_id, switched_off in user.licenses.items()
        if (product := find_product(ask, sku_id)) is not None and product.license_group in groups
    ]
    return Answer(200, collection(items))


def count_held(customer: Customer) -> Counter[str]:
    """Units held by active users, by product id."""
    return Counter(sku_id for user in customer.users.values() if user.deleted_at is None for sku_id in user.licenses)


def free_units(customer: Customer, sku_id: str) -> int:
    """Units that can still be assigned; 0 for a product that the tenant does not hold."""
    holding = customer.holdings.get(sku_id)
    return 0 if holding is None else _available(holding, count_held(customer)[sku_id])


def find_product(ask: Ask, sku_id: str) -> Product | None:
    holding = ask.customer.holdings.get(sku_id)
    return holding.product if holding else ask.state.world.products.get(sku_id)


def _available(holding: Holding, held: int) -> int:
    return holding.active_units + holding.warning_units - held - holding.consumed_elsewhere


def _subscribed_sku(holding: Holding, held: int) -> Json:
    product = holding.product
    return {
        "availableUnits": _available(holding, held),
        "activeUnits": holding.active_units,
        "consumedUnits": held + holding.consumed_elsewhere,
        "suspendedUnits": holding.suspended_units,
        "totalUnits": holding.active_units + holding.warning_units,
        "warningUnits": holding.warning_units,
        "productSku": {
            "id": product.id,
            "name": product.name,
            "skuPartNumber": product.part_number,
            "targetType": product.target_type,
            "licenseGroupId": product.license_group,
        },
        "servicePlans": [_plan(plan, holding.capability_status) for plan in product.plans],
        "capabilityStatus": holding.capability_status,
        "attributes": attributes("SubscribedSku"),
    }


def _license(product: Product, switched_off: set[str], *, whole: bool) -> Json:
    """No targetType in productSku here, unlike in a subscribed SKU."""
    plans = [
        _plan(plan, "Disabled" if plan.id in switched_off else "Assigned")
        for plan in product.plans
        if whole or plan.id not in switched_off
    ]
    return {
        "servicePlans": plans,
        "productSku": {
            "id": product.id,
            "name": product.name,
            "skuPartNumber": product.part_number,
            "licenseGroupId": product.license_group,
        },
        "attributes": attributes("License"),
    }


def _plan(plan: Plan, status: str) -> Json:
    return {
        "displayName": plan.display_name,
        "serviceName": plan.service_name,
        "id": plan.id,
        "capabilityStatus": status,
        "targetType": plan.target_type,
    }


def _license_groups(ask: Ask) -> frozenset[str]:
    """Groups come as a repeated parameter (the pages) or as a comma list (generated clients); group1 by
    default."""
    names = [name.strip() for value in ask.query.all("licenseGroupIds") for name in value.split(",") if name.strip()]
    for name in names:
        if name.lower() not in _GROUPS:
            raise refusals.unknown_enum(name)
    return frozenset(name.lower() for name in names) or _DEFAULT_GROUPS


OPERATIONS = (
    Operation(
        "GET",
        "/customers/{customer_id}/subscribedskus",
        list_subscribed_skus,
        roles=(DIRECTORY_READER, GLOBAL_READER, USER_ADMINISTRATOR, LICENSE_ADMINISTRATOR),
    ),
    Operation(
        "GET",
        "/customers/{customer_id}/users/{user_id}/licenses",
        list_user_licenses,
        roles=(DIRECTORY_READER, LICENSE_ADMINISTRATOR, USER_ADMINISTRATOR, DIRECTORY_WRITER),
    ),
)
