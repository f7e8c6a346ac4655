"""Commercial subscriptions: reading them, and how each kind is written.

Sources: learn.microsoft.com/partner-center/developer/subscription-resources,
…/get-all-of-a-customer-s-subscriptions, …/get-a-subscription-by-id, …/get-subscription-provisioning-status.
Ids of the legacy kinds are upper case on the wire, new-commerce ids lower case.
"""

from __future__ import annotations

import base64
from datetime import datetime

from sandbox import refusals
from sandbox.asks import DIRECTORY_READER, GLOBAL_READER, Ask, Operation
from sandbox.wire import Answer, Json, attributes, collection, day, instant, link
from sandbox.world import Customer, Subscription

LEGACY_KINDS = ("legacy", "azure_legacy")
_USAGE_KINDS = ("azure_plan", "azure_legacy")
_NO_END = "9999-12-14T00:00:00Z"
_PRODUCT_TYPES: dict[str, Json] = {
    "nce": {"id": "OnlineServicesNCE", "displayName": "OnlineServicesNCE"},
    "azure_plan": {"id": "Azure", "displayName": "Azure"},
    "software": {"id": "Software", "displayName": "Software"},
    "saas": {"id": "Azure", "displayName": "Azure", "subType": {"id": "SaaS", "displayName": "SaaS"}},
}
_PUBLISHERS = {"nce": "Microsoft Corporation", "azure_plan": "Microsoft Corporation", "software": "Microsoft"}


def list_subscriptions(ask: Ask) -> Answer:
    """All in one reply, whatever their status; `order_id` and `mpn_id` narrow."""
    order_id, mpn_id = ask.query.first("order_id"), ask.query.first("mpn_id")
    found = [
        subscription
        for subscription in ask.customer.subscriptions.values()
        if (not order_id or subscription.order_id.lower() == order_id.lower())
        and (not mpn_id or partner_on_record(ask, subscription) == mpn_id)
    ]
    return Answer(200, _collection(ask, found, ""))


def get_subscription(ask: Ask) -> Answer:
    return Answer(200, write_subscription(ask, ask.subscription()))


def list_addons(ask: Ask) -> Answer:
    parent = ask.subscription()
    found = [other for other in ask.customer.subscriptions.values() if other.parent_id == parent.id]
    return Answer(200, _collection(ask, found, f"/{wire_id(parent)}/addons"))


def get_provisioning_status(ask: Ask) -> Answer:
    """Carries the directory's SKU id, in upper case: the join between the order and the licenses."""
    subscription = ask.subscription()
    if subscription.product is None or subscription.provisioning == "missing":
        raise refusals.Refusal(404, 800007, "Unable to retrieve provisioning information")
    end = subscription.commitment_ends_at
    body: Json = {
        "skuId": subscription.product.id.upper(),
        "status": subscription.provisioning,
        "quantity": subscription.quantity,
        "endDate": day(end) if end else _NO_END,
        "attributes": attributes("SubscriptionProvisioningStatus"),
    }
    return Answer(200, body)


def wire_id(subscription: Subscription) -> str:
    return subscription.id.upper() if subscription.kind in LEGACY_KINDS else subscription.id


def etag(subscription: Subscription) -> str | None:
    """Legacy subscriptions carry one: base64 of their id and version."""
    if subscription.kind not in LEGACY_KINDS:
        return None
    text = f'{{"id":"{subscription.id}","version":{subscription.version}}}'
    return base64.b64encode(text.encode()).decode()


def partner_on_record(ask: Ask, subscription: Subscription) -> str:
    """MPN id of the reseller; empty when there is none."""
    reseller = ask.state.world.resellers.get(ask.customer.reseller_id or "")
    return subscription.partner_mpn_id or (reseller.mpn_id if reseller else "")


def write_subscription(ask: Ask, subscription: Subscription) -> Json:
    legacy = subscription.kind in LEGACY_KINDS
    usage = subscription.kind in _USAGE_KINDS
    body: Json = {"id": wire_id(subscription)}
    if legacy:
        body["entitlementId"] = wire_id(subscription)
    body |= {
        "offerId": subscription.offer_id.upper() if legacy else subscription.offer_id,
        "offerName": subscription.offer_name,
        "friendlyName": subscription.friendly_name,
    }
    if not legacy:
        body["productType"] = _PRODUCT_TYPES[subscription.kind]
    body |= {"quantity": subscription.quantity, "unitType": "Usage-based" if usage else "Licenses"}
    if subscription.parent_id:
        body["parentSubscriptionId"] = _parent_id(ask.customer, subscription.parent_id)
    body |= {
        "hasPurchasableAddons": False,
        "creationDate": instant(subscription.created_at),
        "effectiveStartDate": day(subscription.starts_at) if legacy else instant(subscription.starts_at),
        **_commitment(subscription),
        "status": subscription.status,
        "autoRenewEnabled": subscription.auto_renew,
        "isTrial": False,
        "billingType": "usage" if usage else "license",
        "billingCycle": subscription.billing_cycle,
    }
    body |= _legacy_members(subscription) if legacy else _term(subscription, ask.state.clock.now())
    if subscription.status == "suspended" and subscription.suspension_reasons:
        body["suspensionReasons"] = list(subscription.suspension_reasons)
    partner = partner_on_record(ask, subscription)
    if partner or not legacy:
        body["partnerId"] = partner
    if not legacy:
        body["isMicrosoftProduct"] = subscription.kind != "saas"
        body["publisherName"] = _PUBLISHERS.get(subscription.kind, "Fourth Coffee Software")
    body |= {
        "attentionNeeded": False,
        "actionTaken": False,
        "contractType": "subscription",
        "links": _links(ask.customer, subscription),
        "orderId": subscription.order_id.upper() if legacy else subscription.order_id,
        "attributes": attributes("Subscription", etag(subscription)),
    }
    return body


def _collection(ask: Ask, found: list[Subscription], below: str) -> Json:
    links: Json = {"self": link(f"/customers/{ask.customer.id}/subscriptions{below}")}
    return collection([write_subscription(ask, subscription) for subscription in found], links)


def _commitment(subscription: Subscription) -> Json:
    """The end as a day; new commerce adds the last second of that day."""
    end = subscription.commitment_ends_at
    if end is None:
        return {"commitmentEndDate": _NO_END}
    dates: Json = {"commitmentEndDate": day(end)}
    if subscription.kind == "nce":
        dates["commitmentEndDateTime"] = instant(end.replace(hour=23, minute=59, second=59, microsecond=0))
    if subscription.cancellable_until is not None:
        dates["cancellationAllowedUntilDate"] = instant(subscription.cancellable_until)
    return dates


def _legacy_members(subscription: Subscription) -> Json:
    return {"actions": ["Cancel", "Edit"]} if subscription.status != "deleted" else {}


def _term(subscription: Subscription, now: datetime) -> Json:
    body: Json = {}
    if subscription.term:
        body["termDuration"] = subscription.term
        body["renewalTermDuration"] = ""
    until = subscription.cancellable_until
    if subscription.kind == "nce" and until is not None and now < until:
        body["refundOptions"] = [{"type": "Full", "expiresAt": instant(until)}]
        body["refundableQuantity"] = {
            "totalQuantity": subscription.quantity,
            "details": [{"quantity": subscription.quantity, "allowedUntilDateTime": instant(until)}],
        }
    return body


def _links(customer: Customer, subscription: Subscription) -> Json:
    links: Json = {}
    country = f"?country={customer.country}"
    if subscription.kind in LEGACY_KINDS:
        links["offer"] = link(f"/offers/{subscription.offer_id.upper()}{country}")
    else:
        product_id, sku_id, availability_id = (*subscription.offer_id.split(":"), "", "")[:3]
        product = f"/products/{product_id}"
        links["product"] = link(product + country)
        links["sku"] = link(f"{product}/skus/{sku_id}{country}")
        links["availability"] = link(f"{product}/skus/{sku_id}/availabilities/{availability_id}{country}")
    base = f"/customers/{customer.id}/subscriptions"
    if subscription.parent_id:
        links["parentSubscription"] = link(f"{base}/{_parent_id(customer, subscription.parent_id)}")
    links["self"] = link(f"{base}/{wire_id(subscription)}")
    return links


def _parent_id(customer: Customer, parent_id: str) -> str:
    parent = customer.subscriptions.get(parent_id)
    return wire_id(parent) if parent else parent_id


_SUBSCRIPTIONS = "/customers/{customer_id}/subscriptions"
_SUBSCRIPTION = f"{_SUBSCRIPTIONS}/{{subscription_id}}"

OPERATIONS = (
    Operation("GET", _SUBSCRIPTIONS, list_subscriptions, application=True, throttled=True),
    Operation("GET", _SUBSCRIPTION, get_subscription, application=True, throttled=True),
    Operation("GET", f"{_SUBSCRIPTION}/addons", list_addons, application=True, throttled=True),
    Operation(
        "GET",
        f"{_SUBSCRIPTION}/provisioningstatus",
        get_provisioning_status,
        roles=(DIRECTORY_READER, GLOBAL_READER),
    ),
)
