"""A person whom nobody has created yet, asked for through the front door."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.state import SandboxState
from sandbox.world import Customer
from services.global_ids import encode_id
from tests.gateway_client import Gateway

CREATE = """
mutation ($input: CreateUserInput!) {
  createUser(input: $input) {
    user { id userPrincipalName displayName firstName lastName usageLocation
           roles { name } licenses { sku { skuPartNumber } } }
    temporaryPassword
    delivery { to kind status message }
    effects { sku { skuPartNumber availableUnits } change consumedUnitsBefore consumedUnitsAfter
              availableUnitsBefore availableUnitsAfter predicted }
    userErrors {
      __typename code message field retryable
      ... on NameTakenError { holder { displayName status } suggestions }
      ... on NoneAvailableError { sku { skuPartNumber } availableUnits }
      ... on PasswordPolicyError { violations }
      ... on ThrottledError { retryAfterSeconds }
    }
  }
}
"""
TENANT = encode_id("Tenant", CONTOSO_ID)
CHOSEN = "Kp7#vWtqzR"
CUSTOMER = f"/v1/customers/{CONTOSO_ID}"
READS = [
    f"GET {CUSTOMER}/customDomains",
    f"GET {CUSTOMER}/users?filter=deleted",
    f"GET {CUSTOMER}/users?size=500",
]
NOTHING: dict[str, Any] = {"user": None, "temporaryPassword": None, "delivery": [], "effects": []}


@pytest.fixture
def contoso(sandbox: SandboxState) -> Customer:
    return sandbox.world.customers[CONTOSO_ID]


@pytest.fixture
def products(sandbox: SandboxState) -> dict[str, str]:
    """Product ids by part number."""
    return {product.part_number: product.id for product in sandbox.world.products.values()}


def ada(**changes: Any) -> dict[str, Any]:
    """Ada, who is nobody's namesake, with a generated password."""
    given = {
        "tenantId": TENANT,
        "username": "ada.lovelace",
        "domain": CONTOSO_DOMAIN,
        "displayName": "Ada Lovelace",
        "usageLocation": "GB",
        "password": {},
        "sendPasswordTo": ["boss@example.com"],
    }
    return {"input": given | changes}


def find(contoso: Customer, username: str = "ada.lovelace") -> Any:
    """The person of that name; None where there is none."""
    return next((u for u in contoso.users.values() if u.user_principal_name.startswith(f"{username}@")), None)


def tidy(calls: list[str]) -> list[str]:
    """Calls without the look at the tenant, side by side ones in order, filters in a word."""
    short = [f"{call.partition('?')[0]}?filter=deleted" if "filter=" in call else call for call in calls]
    return [call for call in short if call != f"GET {CUSTOMER}"]


async def create(gateway: Gateway, **changes: Any) -> Any:
    return (await gateway.data(CREATE, ada(**changes)))["createUser"]


async def refused(gateway: Gateway, contoso: Customer, **changes: Any) -> Any:
    """The problems of an input that is refused; nothing was written, and nobody was created."""
    people = set(contoso.users)
    payload = await create(gateway, **changes)
    errors = payload.pop("userErrors")
    assert payload == NOTHING
    assert [call for call in gateway.calls() if not call.startswith("GET ")] == []
    assert set(contoso.users) == people
    return errors


def effect(part_number: str, consumed: int, available: int) -> dict[str, Any]:
    """One unit more, from these figures."""
    return {
        "sku": {"skuPartNumber": part_number, "availableUnits": available - 1},
        "change": 1,
        "consumedUnitsBefore": consumed,
        "consumedUnitsAfter": consumed + 1,
        "availableUnitsBefore": available,
        "availableUnitsAfter": available - 1,
        "predicted": False,
    }
