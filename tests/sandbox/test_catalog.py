"""The catalog ties what is sold to the directory's SKUs."""

from __future__ import annotations

import httpx
import pytest

from tests.sandbox.small_world import CONTOSO, EMS, fault

OFFER = "79c29af7-3cd0-4a6f-b182-a81e31dec84e"


async def test_an_offers_product_is_the_sku_in_upper_case(client: httpx.AsyncClient) -> None:
    offer = (await client.get(f"/v1/offers/{OFFER}?country=us")).json()
    offers = (await client.get("/v1/offers?country=US")).json()

    assert (offer["id"], offer["product"]["id"], offer["country"]) == (OFFER.upper(), EMS.upper(), "US")
    assert offers["items"] == [offer]


@pytest.mark.parametrize("prefix", ["", f"/customers/{CONTOSO}"])
async def test_a_skus_provisioning_id_is_the_directorys(prefix: str, client: httpx.AsyncClient) -> None:
    base = f"/v1{prefix}/products"
    products = (await client.get(f"{base}?country=US&targetView=OnlineServices")).json()["items"]
    product = (await client.get(f"{base}/cfq7ttc0lh18?country=US")).json()
    skus = (await client.get(f"{base}/CFQ7TTC0LH18/skus?country=US")).json()["items"]
    sku = (await client.get(f"{base}/CFQ7TTC0LH18/skus/0001?country=US")).json()
    availabilities = (await client.get(f"{base}/CFQ7TTC0LH18/skus/0001/availabilities?country=US")).json()

    assert products == [product]
    assert product["links"]["skus"]["uri"] == f"{prefix}/products/CFQ7TTC0LH18/skus?country=US"
    assert skus == [sku]
    assert sku["dynamicAttributes"]["provisioningId"] == EMS
    assert availabilities["items"][0]["catalogItemId"] == "CFQ7TTC0LH18:0001:CFQ7TTC0K971"


async def test_other_views_are_empty(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/products?country=US&targetView=Azure")).json()["items"] == []


async def test_the_customers_country_is_taken_when_none_is_named(client: httpx.AsyncClient) -> None:
    own = await client.get(f"/v1/customers/{CONTOSO}/products/CFQ7TTC0LH18/skus/0001")

    assert own.json()["links"]["self"]["uri"].endswith("?country=US")
    assert fault(await client.get("/v1/products/CFQ7TTC0LH18/skus/0001"))[:2] == (400, 800002)


async def test_what_is_not_sold_is_not_found(client: httpx.AsyncClient) -> None:
    assert fault(await client.get(f"/v1/offers/{EMS}?country=US"))[:2] == (404, 1000)
    assert fault(await client.get("/v1/products/X?country=US"))[:2] == (404, 400013)
    assert fault(await client.get("/v1/products/CFQ7TTC0LH18/skus/9?country=US"))[:2] == (404, 400018)


async def test_software_is_an_entitlement(client: httpx.AsyncClient) -> None:
    path = f"/v1/customers/{CONTOSO}/entitlements"

    software = (await client.get(path, params={"entitlementtype": "software"})).json()["items"]
    reserved = (await client.get(path, params={"entitlementtype": "reservedinstance"})).json()["items"]

    assert [(item["productId"], item["skuId"]) for item in software] == [("DG7GMGF0FKZV", "0003")]
    assert reserved == []
