"""Changing a subscription: quantity, status, renewal, name. Its units move with it.

Sources: learn.microsoft.com/partner-center/developer/update-a-subscription-by-id, …/suspend-a-subscription,
…/change-the-quantity-of-a-subscription, …/error-codes.
"""

from __future__ import annotations

from sandbox import refusals
from sandbox.asks import Ask, Operation
from sandbox.members import Members
from sandbox.refusals import Refusal
from sandbox.subscriptions import LEGACY_KINDS, etag, write_subscription
from sandbox.wire import Answer
from sandbox.world import Customer, Holding, Subscription

_STATUSES = ("none", "active", "suspended", "deleted", "expired", "pending", "disabled")
_BILLING_CYCLES = ("unknown", "monthly", "annual", "none", "one_time", "triennial", "biennial")
_NOT_SET = ("unknown", "none")
"""What the SDK sends for an enum that its caller left alone."""
_MOST_UNITS = 10_000_000
_LEAST_UNITS = 1


def update_subscription(ask: Ask) -> Answer:
    """The page sends the whole resource; members left out stay, but for automatic renewal (see the
    switch)."""
    subscription = ask.subscription()
    members = ask.members()
    _check_etag(ask, members, subscription)
    status = (members.text("status") or "none").lower()
    if status not in _STATUSES:
        raise refusals.unknown_enum(status)
    status = subscription.status if status in _NOT_SET else status
    if subscription.status == "deleted":
        raise Refusal(400, 2011, f"Subscription with ID {subscription.id} and deleted status can't be updated.")
    if subscription.status == "expired":
        raise Refusal(400, 900279, "Update operations are no longer allowed for this subscription.")
    quantity = members.integer("quantity")
    quantity = subscription.quantity if quantity is None else quantity
    billing_cycle = _billing_cycle(members, subscription)
    renews = members.flag("autoRenewEnabled")
    before = write_subscription(ask, subscription)
    _check_status(ask, subscription, status)
    _check_quantity(ask, subscription, status, quantity)
    _move_units(ask.customer, subscription, -1)
    subscription.quantity = quantity
    _set_status(subscription, status)
    _move_units(ask.customer, subscription, +1)
    subscription.billing_cycle = billing_cycle
    subscription.friendly_name = members.text("friendlyName") or subscription.friendly_name
    subscription.partner_mpn_id = members.text("partnerId") or subscription.partner_mpn_id
    if renews is not None:
        subscription.auto_renew = renews
    elif ask.state.switches.omitted_auto_renew_resets:
        subscription.auto_renew = False
    subscription.version += 1
    body = write_subscription(ask, subscription)
    details = {"SubscriptionId": subscription.id, "Quantity": str(quantity), "Status": status}
    ask.state.audit.record(ask, "subscription", _operation(before, body), new=body, old=before, details=details)
    return Answer(200, body)


def _check_etag(ask: Ask, members: Members, subscription: Subscription) -> None:
    current = etag(subscription)
    if current is None:
        return
    sent = ask.headers.get("if-match", "").strip('"') or (
        (members.members("attributes") or Members({})).text("etag") or ""
    )
    if sent not in (current, "*") and (sent or ask.state.switches.require_subscription_etag):
        raise Refusal(400, 2055, "Etag is no longer valid")


def _billing_cycle(members: Members, subscription: Subscription) -> str:
    cycle = (members.text("billingCycle") or subscription.billing_cycle).lower()
    if cycle not in _BILLING_CYCLES:
        raise refusals.unknown_enum(cycle)
    if cycle in _NOT_SET:
        return subscription.billing_cycle
    if cycle != subscription.billing_cycle and subscription.kind in LEGACY_KINDS:
        text = (
            "The billing cycle for an existing subscription can't be updated using update-subscription "
            "operation. Use update-Order operation"
        )
        raise Refusal(400, 2054, text)
    return cycle


def _check_status(ask: Ask, subscription: Subscription, status: str) -> None:
    if status == subscription.status or status in ("active", "suspended"):
        return
    if status != "deleted" or subscription.kind in LEGACY_KINDS:
        raise Refusal(400, 800096, "Can't update the status for this subscription")
    until = subscription.cancellable_until
    if until is None or ask.state.clock.now() > until:
        text = "You have passed your 168-hour cancellation window. We are unable to cancel your purchase"
        raise Refusal(400, 900213, text)


def _check_quantity(ask: Ask, subscription: Subscription, status: str, quantity: int) -> None:
    if quantity == subscription.quantity:
        return
    if not _LEAST_UNITS <= quantity <= _MOST_UNITS:
        raise Refusal(400, 2002, "Subscription quantity isn't within minimum and maximum allowed quantity")
    if subscription.kind.startswith("azure"):
        raise Refusal(400, 800095, "Can't update the seat quantity for this subscription")
    if status == "suspended":
        text = "Subscription quantity can't be increased or decreased while subscription is being suspended"
        raise Refusal(400, 2001, text)
    if subscription.kind == "nce" and quantity < subscription.quantity:
        until = subscription.cancellable_until
        if until is None or ask.state.clock.now() > until:
            raise Refusal(400, 800090, "Subscription quantity can't be decreased")


def _set_status(subscription: Subscription, status: str) -> None:
    if status != subscription.status:
        subscription.suspension_reasons = ("CustomerCancellation",) if status == "suspended" else ()
    subscription.status = status


def _move_units(customer: Customer, subscription: Subscription, sign: int) -> None:
    """Takes the subscription's units out of its product's pool (-1), or puts them in (+1), by its status."""
    holding = customer.holdings.get(subscription.product.id) if subscription.product else None
    if holding is None:
        return
    units = sign * subscription.quantity
    if subscription.status == "active":
        holding.active_units = max(0, holding.active_units + units)
    elif subscription.status == "suspended":
        holding.suspended_units = max(0, holding.suspended_units + units)
    if sign > 0:
        holding.capability_status = _capability(holding)


def _capability(holding: Holding) -> str:
    if holding.active_units > 0:
        return "Enabled"
    if holding.warning_units > 0:
        return "Warning"
    return "Suspended" if holding.suspended_units > 0 else "Deleted"


def _operation(before: dict[str, object], after: dict[str, object]) -> str:
    if before["status"] != after["status"]:
        return "suspend_subscription" if after["status"] == "suspended" else "activate_subscription"
    return "update_subscription_quantity" if before["quantity"] != after["quantity"] else "update_subscription"


OPERATIONS = (
    Operation(
        "PATCH",
        "/customers/{customer_id}/subscriptions/{subscription_id}",
        update_subscription,
        application=True,
        throttled=True,
    ),
)
