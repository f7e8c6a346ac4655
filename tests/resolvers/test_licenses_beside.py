"""When the products behind licenses are asked for: beside the licenses of many people, after those of few."""

from __future__ import annotations

import asyncio

import pytest

from resolvers.licenses import SURELY_HELD_BY
from tests.gateway_client import CONTOSO, Gateway, running_gateway
from tests.served_gateway import HeldUpstream, until

PAGE = """
query ($tenant: UUID!, $first: Int!) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: $first, filter: {status: [ACTIVE]}) { nodes { licenses { sku { productName } } } }
  }
}
"""


def asked_for_products(gateway: Gateway) -> int:
    return sum("/subscribedskus" in call.path for call in gateway.sandbox.calls)


@pytest.mark.parametrize(("people", "beside"), [(SURELY_HELD_BY, 1), (SURELY_HELD_BY - 1, 0)])
async def test_the_products_of_a_tenant_are_asked_for_beside_the_licenses_of_many_people(sandbox, people, beside):
    microsoft = HeldUpstream(sandbox)
    settings = {"GATEWAY_PARTNER_CENTER_MAX_IN_FLIGHT_PER_TENANT": "20"}
    async with running_gateway(sandbox, microsoft, **settings) as gateway:
        microsoft.hold("GET", path="/licenses")
        asking = asyncio.create_task(gateway.data(PAGE, {"tenant": CONTOSO, "first": people}))
        await until(lambda: microsoft.waiting == people)
        if beside:
            await until(lambda: asked_for_products(gateway) == 1)
        assert asked_for_products(gateway) == beside
        microsoft.let_go()
        answer = await asking

        assert len(answer["tenant"]["users"]["nodes"]) == people
        assert asked_for_products(gateway) == 1


async def test_the_products_are_not_asked_for_where_few_people_hold_nothing(sandbox):
    for user in sandbox.world.customers[CONTOSO].users.values():
        user.licenses.clear()
    async with running_gateway(sandbox) as gateway:
        answer = await gateway.data(PAGE, {"tenant": CONTOSO, "first": SURELY_HELD_BY - 1})

        assert all(node["licenses"] == [] for node in answer["tenant"]["users"]["nodes"])
        assert asked_for_products(gateway) == 0
