"""What tests of mutations have in common: the mutations, what they leave behind, a Microsoft that can be bent."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from sandbox.app import create_app as create_sandbox
from sandbox.faults import read_rules
from sandbox.people import stable_id
from sandbox.state import SandboxState
from sandbox.world import Holding, User
from services.global_ids import encode_id
from tests import gateway_client
from tests.gateway_client import CONTOSO, Gateway

WRITES = ("POST", "PATCH", "PUT", "DELETE")

ERRORS = """
userErrors {
  __typename code message field retryable
  ... on NoneAvailableError { availableUnits sku { skuId availableUnits consumedUnits } }
  ... on NameTakenError { suggestions holder { id userPrincipalName status } }
  ... on RestoreWindowOverError { windowEndedAt }
  ... on StaleVersionError { current { id displayName version } }
  ... on ThrottledError { retryAfterSeconds }
}
"""
EFFECTS = """
effects {
  change consumedUnitsBefore consumedUnitsAfter availableUnitsBefore availableUnitsAfter predicted
  sku { skuId consumedUnits availableUnits }
}
"""
PERSON = "id userPrincipalName displayName firstName lastName usageLocation status version"

UPDATE = f"""mutation ($input: UpdateUserInput!) {{
  updateUser(input: $input) {{ user {{ {PERSON} }} changedFields {ERRORS} }}
}}"""
LICENSE = f"""mutation ($input: UpdateUserLicensesInput!) {{
  updateUserLicenses(input: $input) {{ user {{ {PERSON} }} {EFFECTS} {ERRORS} }}
}}"""
DELETE = f"""mutation ($input: DeleteUserInput!) {{
  deleteUser(input: $input) {{
    user {{ {PERSON} deletion {{ deletedAt restorableUntil daysLeft }} }} {EFFECTS} {ERRORS}
  }}
}}"""
RESTORE = f"""mutation ($input: RestoreUserInput!) {{
  restoreUser(input: $input) {{ user {{ {PERSON} }} {EFFECTS} {ERRORS} }}
}}"""
AUDIT = """query ($tenant: UUID!, $first: Int, $after: String) {
  tenant(by: {microsoftId: $tenant}) {
    auditLog(first: $first, after: $after) {
      totalCount
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      edges { cursor node { at actor action userId userPrincipalName outcome changes correlationId } }
      nodes { action }
    }
  }
}"""


async def change(gateway: Gateway, mutation: str, authorization: str | None = None, /, **input: Any) -> dict[str, Any]:
    """The payload of the one mutation of a document."""
    headers = {"Authorization": authorization} if authorization else {}
    data = await gateway.data(mutation, {"input": input}, **headers)
    [payload] = data.values()
    return dict(payload)


async def audit_log(gateway: Gateway, tenant: str = CONTOSO) -> list[dict[str, Any]]:
    """The records of a tenant, newest first."""
    data = await gateway.data(AUDIT, {"tenant": tenant, "first": 200})
    return [edge["node"] for edge in data["tenant"]["auditLog"]["edges"]]


def refused(code: str, message: str, *field: str, retryable: bool = False, **more: Any) -> dict[str, Any]:
    """One entry of `userErrors`, as ERRORS selects it."""
    kinds = {
        "NAME_TAKEN": "NameTakenError",
        "NONE_AVAILABLE": "NoneAvailableError",
        "RESTORE_WINDOW_OVER": "RestoreWindowOverError",
        "STALE_VERSION": "StaleVersionError",
        "THROTTLED": "ThrottledError",
    }
    return {
        "__typename": kinds.get(code, "GenericError"),
        "code": code,
        "message": message,
        "field": list(field) or None,
        "retryable": retryable,
        **more,
    }


def effect(sku_id: str, moved: int, consumed: int, available: int, *, predicted: bool = False) -> dict[str, Any]:
    """One entry of `effects`, from the figures before the change."""
    return {
        "change": moved,
        "consumedUnitsBefore": consumed,
        "consumedUnitsAfter": consumed + moved,
        "availableUnitsBefore": available,
        "availableUnitsAfter": available - moved,
        "predicted": predicted,
        "sku": {"skuId": sku_id, "consumedUnits": consumed + moved, "availableUnits": available - moved},
    }


def person_of(sandbox: SandboxState, name: str, tenant: str = CONTOSO) -> User:
    """The sandbox's own record of somebody."""
    return next(user for user in sandbox.world.customers[tenant].users.values() if user.display_name == name)


def id_of(sandbox: SandboxState, name: str, tenant: str = CONTOSO) -> str:
    """The global id of somebody."""
    return encode_id("User", tenant, person_of(sandbox, name, tenant).id)


def sku_of(sandbox: SandboxState, part_number: str) -> str:
    """The product SKU id behind a part number."""
    return next(one.id for one in sandbox.world.products.values() if one.part_number == part_number)


def holding_of(sandbox: SandboxState, part_number: str, tenant: str = CONTOSO) -> Holding:
    """The sandbox's own record of a tenant's units."""
    return sandbox.world.customers[tenant].holdings[sku_of(sandbox, part_number)]


def tenant_named(domain: str) -> str:
    """The id of a tenant by its initial domain."""
    return stable_id("tenant", f"{domain}.onmicrosoft.com")


def world_of(sandbox: SandboxState) -> Any:
    """Everything the sandbox holds, to be compared with later."""
    return copy.deepcopy(sandbox.world.customers)


def order_fault(sandbox: SandboxState, **rule: Any) -> None:
    """Adds a fault rule, with the members that `POST /sandbox/faults` takes."""
    sandbox.faults.rules += read_rules([rule])


def short(calls: list[str], tenant: str = CONTOSO) -> list[str]:
    """The calls without what all calls of a tenant begin with, and without the query."""
    return [
        call.partition("?")[0].replace(f"/v1/customers/{tenant}/", "").replace(" /v1/customers/", " ") for call in calls
    ]


def writes(calls: list[str]) -> list[str]:
    """The calls that change something."""
    return [call for call in calls if call.startswith(WRITES)]


Bend = Callable[[httpx.Request], httpx.Response | None]


class Meanwhile:
    """Bends nothing: something happens when a call has come to Microsoft, before it is carried out."""

    def __init__(self) -> None:
        self._left: list[tuple[str, str, Callable[[], object]]] = []

    def at(self, method: str, path: str, happen: Callable[[], object]) -> None:
        """Lets it happen at the next call of that method whose path ends so."""
        self._left.append((method, path, happen))

    def __call__(self, request: httpx.Request) -> None:
        for each in self._left:
            method, path, happen = each
            if request.method == method and request.url.path.endswith(path):
                self._left.remove(each)
                happen()
                return


class BentMicrosoft(httpx.AsyncBaseTransport):
    """The sandbox, save where `bend` has an answer of its own: for what Microsoft says and the sandbox does not."""

    def __init__(self, sandbox: SandboxState, bend: Bend) -> None:
        self._inner = httpx.ASGITransport(create_sandbox(sandbox))
        self._bend = bend

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._bend(request) or await self._inner.handle_async_request(request)


@asynccontextmanager
async def running_gateway(
    sandbox: SandboxState, *, redis_url: str | None = None, bend: Bend | None = None
) -> AsyncIterator[Gateway]:
    """Another gateway over the same sandbox, bent or not."""
    settings = {"GATEWAY_REDIS_URL": redis_url} if redis_url else {}
    async with gateway_client.running_gateway(
        sandbox, BentMicrosoft(sandbox, bend) if bend else None, **settings
    ) as it:
        yield it
