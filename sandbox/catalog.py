"""The catalog as far as SKUs need it: legacy offers, new-commerce products, their SKUs.

They tie what is bought to the directory: an offer's `product.id` is the SKU's id in upper case, a SKU's
`dynamicAttributes.provisioningId` the same in lower case. Sources:
learn.microsoft.com/partner-center/developer/get-a-list-of-offers-for-a-market, …/get-a-list-of-products,
…/get-a-sku-by-id.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox import refusals
from sandbox.asks import Ask, Operation
from sandbox.purchases import availability_of
from sandbox.wire import Answer, Json, attributes, collection, link
from sandbox.world import Product

_MOST_UNITS = 10_000_000
_CYCLES = ["annual", "monthly"]
_CATALOG_LOCALE = "en-US"
_TARGET_VIEW = "onlineservices"


def list_offers(ask: Ask) -> Answer:
    country = _country(ask)
    items = [_offer(product, country) for product in ask.state.world.products.values() if product.legacy_offer]
    return Answer(200, collection(items))


def get_offer(ask: Ask) -> Answer:
    wanted = ask.params["offer_id"].lower()
    for product in ask.state.world.products.values():
        if product.legacy_offer and product.legacy_offer.lower() == wanted:
            return Answer(200, _offer(product, _country(ask)))
    raise refusals.not_found()


def list_products(ask: Ask) -> Answer:
    """Only the view of online services holds anything here."""
    country = _country(ask)
    if (ask.query.first("targetView") or "").lower() != _TARGET_VIEW:
        return Answer(200, collection([]))
    first_skus = {product.catalog_product: product for product in _sold(ask)}
    return Answer(200, collection([_product(ask, product, country) for product in first_skus.values()]))


def get_product(ask: Ask) -> Answer:
    return Answer(200, _product(ask, _skus(ask)[0], _country(ask)))


def list_skus(ask: Ask) -> Answer:
    country = _country(ask)
    return Answer(200, collection([_sku(ask, product, country) for product in _skus(ask)]))


def get_sku(ask: Ask) -> Answer:
    return Answer(200, _sku(ask, _find_sku(ask), _country(ask)))


def list_availabilities(ask: Ask) -> Answer:
    product, country = _find_sku(ask), _country(ask)
    availability_id = availability_of(product.catalog_product or "")
    base = f"{_base(ask)}/products/{product.catalog_product}/skus/{product.catalog_sku}"
    item: Json = {
        "id": availability_id,
        "productId": product.catalog_product,
        "skuId": product.catalog_sku,
        "catalogItemId": f"{product.catalog_product}:{product.catalog_sku}:{availability_id}",
        "defaultCurrency": {"code": "USD", "symbol": "$"},
        "segment": "commercial",
        "country": country,
        "isPurchasable": True,
        "isRenewable": True,
        "product": _product(ask, product, country),
        "sku": _sku(ask, product, country),
        "terms": [{"duration": "P1Y", "billingCycle": cycle} for cycle in _CYCLES],
        "links": {"self": link(f"{base}/availabilities/{availability_id}?country={country}")},
    }
    return Answer(200, collection([item]))


def list_entitlements(ask: Ask) -> Answer:
    """Software that was bought; reservations and licenses of users are not here."""
    kind = (ask.query.first("entitlementType") or "").lower()
    items: list[Json] = [
        {
            "includedEntitlements": [],
            "referenceOrder": {"id": subscription.order_id, "lineItemId": "0"},
            "productId": subscription.offer_id.split(":")[0],
            "quantity": subscription.quantity,
            "quantityDetails": [{"quantity": subscription.quantity, "status": "Fulfilled"}],
            "entitledArtifacts": [],
            "skuId": (*subscription.offer_id.split(":"), "")[1],
            "entitlementType": "software",
        }
        for subscription in ask.customer.subscriptions.values()
        if subscription.kind == "software" and kind in ("", "software")
    ]
    return Answer(200, collection(items))


def _offer(product: Product, country: str) -> Json:
    offer_id = (product.legacy_offer or "").upper()
    placed: Json = {"locale": _CATALOG_LOCALE, "country": country}
    return {
        "id": offer_id,
        "name": product.name,
        "description": f"{product.name}, licensed per user.",
        "minimumQuantity": 1,
        "maximumQuantity": _MOST_UNITS,
        "rank": 100,
        "uri": f"/3c95518e-8c37-41e3-9627-0ca339200f53/Offers/{offer_id}",
        **placed,
        "category": {
            "id": "Enterprise_Key",
            "name": "Enterprise",
            "rank": 20,
            **placed,
            "attributes": attributes("OfferCategory"),
        },
        "limitUnitOfMeasure": "None",
        "limit": 0,
        "termUnitOfMeasure": "Year",
        "term": 1,
        "prerequisiteOffers": [],
        "isAddOn": False,
        "hasAddOns": False,
        "isAvailableForPurchase": True,
        "billing": "license",
        "supportedBillingCycles": _CYCLES,
        "isAutoRenewable": True,
        "isInternal": False,
        "isMicrosoftProduct": True,
        "conversionTargetOffers": [],
        "reselleeQualifications": [],
        "resellerQualifications": [],
        "salesGroupId": "Default",
        "isTrial": False,
        "acquisitionType": "purchase",
        "supportedCatalogTypes": ["sandbox", "live"],
        "actions": ["Cancel", "Edit"],
        "product": {"id": product.id.upper(), "name": product.name, "unit": "Licenses"},
        "unitType": "Licenses",
        "links": {
            "learnMore": {"method": "GET", "headers": []},
            "self": link(f"/offers/{offer_id}?country={country}"),
        },
        "attributes": attributes("Offer"),
    }


def _product(ask: Ask, product: Product, country: str) -> Json:
    uri = f"{_base(ask)}/products/{product.catalog_product}"
    return {
        "id": product.catalog_product,
        "title": product.name,
        "description": f"{product.name}, licensed per user.",
        "productType": {"id": "OnlineServicesNCE", "displayName": "OnlineServicesNCE"},
        "isMicrosoftProduct": True,
        "publisherName": "Microsoft Corporation",
        "links": {
            "skus": link(f"{uri}/skus?country={country}"),
            "self": link(f"{uri}?country={country}"),
        },
    }


def _sku(ask: Ask, product: Product, country: str) -> Json:
    uri = f"{_base(ask)}/products/{product.catalog_product}/skus/{product.catalog_sku}"
    return {
        "id": product.catalog_sku,
        "productId": product.catalog_product,
        "title": product.name,
        "description": f"{product.name}, licensed per user.",
        "minimumQuantity": 1,
        "maximumQuantity": _MOST_UNITS,
        "isTrial": False,
        "supportedBillingCycles": _CYCLES,
        "purchasePrerequisites": ["MicrosoftCloudAgreement"],
        "inventoryVariables": [],
        "provisioningVariables": [],
        "actions": ["Refund"],
        "dynamicAttributes": {
            "isMicrosoftProduct": True,
            "hasConstraints": True,
            "isAddon": False,
            "prerequisiteSkus": [],
            "isSoftwareAssuranceApplicable": False,
            "upgradeTargetOffers": [],
            "provisioningId": product.id,
            "internal": False,
        },
        "links": {
            "availabilities": link(f"{uri}/availabilities?country={country}"),
            "self": link(f"{uri}?country={country}"),
        },
    }


def _sold(ask: Ask) -> Iterator[Product]:
    """Products with a catalog SKU, in reverse: keyed by product, the first SKU wins."""
    products = [product for product in ask.state.world.products.values() if product.catalog_product]
    return (product for product in reversed(products) if product.catalog_sku)


def _skus(ask: Ask) -> list[Product]:
    wanted = ask.params["product_id"].lower()
    found = [product for product in _sold(ask) if (product.catalog_product or "").lower() == wanted]
    if not found:
        raise refusals.Refusal(404, 400013, "Product wasn't found")
    return found[::-1]


def _find_sku(ask: Ask) -> Product:
    wanted = ask.params["sku_id"].lower()
    for product in _skus(ask):
        if (product.catalog_sku or "").lower() == wanted:
            return product
    raise refusals.Refusal(404, 400018, "SKU wasn't found")


def _base(ask: Ask) -> str:
    return f"/customers/{ask.customer.id}" if ask.customer.id else ""


def _country(ask: Ask) -> str:
    """The market: the customer's, else the one that the query must name."""
    country = ask.query.first("country") or ask.customer.country
    if not country:
        raise refusals.invalid_input("country is needed.")
    return country.upper()


_CATALOG = (
    ("/products", list_products),
    ("/products/{product_id}", get_product),
    ("/products/{product_id}/skus", list_skus),
    ("/products/{product_id}/skus/{sku_id}", get_sku),
    ("/products/{product_id}/skus/{sku_id}/availabilities", list_availabilities),
)

OPERATIONS = (
    Operation("GET", "/offers", list_offers, application=True),
    Operation("GET", "/offers/{offer_id}", get_offer, application=True),
    *(
        Operation("GET", prefix + template, handler, application=True)
        for prefix in ("", "/customers/{customer_id}")
        for template, handler in _CATALOG
    ),
    Operation("GET", "/customers/{customer_id}/entitlements", list_entitlements),
)
