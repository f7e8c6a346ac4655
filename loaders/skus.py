"""Look-ups of the products that tenants hold and of the subscriptions behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from msgspec import structs

from loaders.joined import Joined
from loaders.read_through import Loader, Reader, read_through
from services.errors import AccessMissing
from services.lookups import CATALOG_SKU, PROVISIONED_SKU, SUBSCRIBED_SKUS, SUBSCRIPTIONS
from services.models import MicrosoftSubscription, OfferRef, SubscribedSku, SubscriptionRef
from services.partner_center.client import PartnerCenterClient

SubscriptionsBySku = Mapping[str | None, list[MicrosoftSubscription]]
"""A tenant's subscriptions by the product SKU id that their units go to; None: that is not known (yet)."""


def subscribed_skus_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[SubscribedSku]]:
    """Every product that a tenant holds, both license groups. One call a tenant."""
    return read_through(reader, SUBSCRIBED_SKUS, partner_center.list_subscribed_skus)


def subscriptions_by_tenant(
    partner_center: PartnerCenterClient, reader: Reader
) -> Loader[str, list[MicrosoftSubscription]]:
    """Every subscription of a tenant with the partner, whatever its kind and state. One call a tenant."""
    return read_through(reader, SUBSCRIPTIONS, partner_center.list_subscriptions)


def provisioned_sku_by_subscription(
    partner_center: PartnerCenterClient, reader: Reader
) -> Loader[SubscriptionRef, str | None]:
    """The product SKU id that a subscription's units go to; None until it is provisioned. One call each.

    Source: learn.microsoft.com/partner-center/developer/get-subscription-provisioning-status
    """

    async def fetch(subscription: SubscriptionRef) -> str | None:
        try:
            return await partner_center.get_provisioned_sku(subscription)
        except AccessMissing:
            # It asks for a directory role where the list of subscriptions asks for none; the catalogue is left.
            return None

    return read_through(reader, PROVISIONED_SKU, fetch)


def catalog_sku_by_offer(partner_center: PartnerCenterClient, reader: Reader) -> Loader[OfferRef, str | None]:
    """The product SKU id that the catalogue names for an offer; None where it names none. One call each.

    New commerce says it in `dynamicAttributes.provisioningId` of the catalogue's SKU, the old catalogue in
    `product.id` of the offer. The tenant in the key only says in whose market to look.
    """

    async def fetch(offer: OfferRef) -> str | None:
        product_id, separator, rest = offer.offer_id.partition(":")
        if separator:
            return await partner_center.get_catalog_sku(offer.tenant_id, product_id, rest.partition(":")[0])
        return await partner_center.get_offer_sku(offer.offer_id)

    return read_through(reader, CATALOG_SKU, fetch)


def subscriptions_by_sku(
    subscriptions: Loader[str, list[MicrosoftSubscription]],
    provisioned_sku: Loader[SubscriptionRef, str | None],
    catalog_sku: Loader[OfferRef, str | None],
) -> Loader[str, SubscriptionsBySku]:
    """A tenant's license subscriptions, tied to products by provisioning status, else by the catalogue.

    Never by name: names of offers and of products differ, and are changed at different times. Each
    subscription is given with the `sku_id` that was found.
    """

    async def batch(tenant_ids: list[str]) -> list[SubscriptionsBySku | Exception]:
        lists = await subscriptions.many(tenant_ids)
        new = [
            one
            for tenant_id, one in zip(tenant_ids, lists, strict=True)
            if not isinstance(one, Exception) and _JOINED.find(tenant_id, one) is None
        ]
        licensed = [one for listed in new for one in listed if one.gives_licenses]
        found = dict(zip([one.ref for one in licensed], await _sku_ids(licensed), strict=True))
        return [
            one if isinstance(one, Exception) else _JOINED.find(tenant_id, one) or _join(tenant_id, one, found)
            for tenant_id, one in zip(tenant_ids, lists, strict=True)
        ]

    async def _sku_ids(licensed: list[MicrosoftSubscription]) -> list[str | Exception | None]:
        provisioned = await provisioned_sku.many([one.ref for one in licensed])
        unknown = [one for one, sku_id in zip(licensed, provisioned, strict=True) if sku_id is None]
        offers = [OfferRef(one.tenant_id, one.offer_id) for one in unknown]
        by_offer = dict(zip(offers, await catalog_sku.many(offers), strict=True))
        return [
            by_offer[OfferRef(one.tenant_id, one.offer_id)] if sku_id is None else sku_id
            for one, sku_id in zip(licensed, provisioned, strict=True)
        ]

    return Loader(batch)


_JOINED: Joined[SubscriptionsBySku] = Joined(most=2_048)
"""By tenant, from the cached list of its subscriptions, once every one of them is tied: that changes no more."""


def _join(
    tenant_id: str, listed: list[MicrosoftSubscription], found: Mapping[SubscriptionRef, str | Exception | None]
) -> SubscriptionsBySku | Exception:
    """Ties the subscriptions of one tenant; a look-up that failed fails the tenant, since its product is not known."""
    joined: dict[str | None, list[MicrosoftSubscription]] = defaultdict(list)
    for one in sorted(listed, key=_by_name):
        if one.gives_licenses:
            sku_id = found[one.ref]
            if isinstance(sku_id, Exception):
                return sku_id
            joined[sku_id].append(structs.replace(one, sku_id=sku_id))
    if None not in joined:
        _JOINED.keep(tenant_id, joined, listed)
    return joined


def _by_name(one: MicrosoftSubscription) -> tuple[str, str]:
    return (one.friendly_name or one.offer_name or "").casefold(), one.microsoft_id
