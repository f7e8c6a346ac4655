"""Nothing that a client sends makes the sandbox fail: it refuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.asks import Operation
from sandbox.partner_center import OPERATIONS
from sandbox.state import SandboxState
from tests.sandbox.small_world import CONTOSO, DANIEL, EMS, GLOBAL_ADMINISTRATOR, NCE

VALUES: list[Any] = [None, "", "x", " ", 0, -1, 1.5, 10**400, True, [], [None], [[]], {}, {"password": 7}, [{}], [7]]
MEMBERS = (
    "id",
    "displayName",
    "userPrincipalName",
    "usageLocation",
    "firstName",
    "immutableId",
    "passwordProfile",
    "state",
    "status",
    "quantity",
    "autoRenewEnabled",
    "friendlyName",
    "billingCycle",
    "partnerId",
    "attributes",
    "licensesToAssign",
    "licensesToRemove",
    "companyProfile",
    "billingProfile",
    "companyName",
    "defaultAddress",
    "enableGDAPByDefault",
    "relationshipToPartner",
)
PARAMS = {
    "customer_id": CONTOSO,
    "user_id": DANIEL,
    "role_id": GLOBAL_ADMINISTRATOR,
    "subscription_id": NCE,
    "product_id": "CFQ7TTC0LH18",
    "sku_id": "0001",
    "offer_id": EMS,
    "record_id": EMS,
    "domain": "contoso.com",
    "prefix": "contoso",
}
QUERIES = ("", "size=x", "filter=7", "filter=[]", "filter={}", "sortDirection=7", "startDate=0", "offset=²", "%ff=%ff")


def described(operation: Operation) -> str:
    return f"{operation.method} {operation.template}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=described)
async def test_no_query_and_no_body_makes_an_operation_fail(
    operation: Operation, client: httpx.AsyncClient, state: SandboxState
) -> None:
    path = "/v1" + operation.template.format(**PARAMS)
    for query in QUERIES:
        answer = await client.request(operation.method, f"{path}?{query}")
        assert answer.status_code < 500, (query, answer.text)
    if operation.method in ("POST", "PATCH", "PUT"):
        for value in VALUES:
            for name in MEMBERS:
                state.reset()
                answer = await client.request(operation.method, path, json={name: value})
                assert answer.status_code < 500, (name, value, answer.text)
