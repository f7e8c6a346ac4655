"""Changes of licenses in tests: the mutation, the products by short names, what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from sandbox.state import SandboxState
from tests.changes import LICENSE, Bend, change, id_of, person_of, refused, sku_of, world_of
from tests.gateway_client import CONTOSO, Gateway


@pytest.fixture
def e3(sandbox: SandboxState) -> str:
    return sku_of(sandbox, "ENTERPRISEPACK")


@pytest.fixture
def power_bi(sandbox: SandboxState) -> str:
    """Every unit of it is taken."""
    return sku_of(sandbox, "POWER_BI_PRO")


@pytest.fixture
def visio(sandbox: SandboxState) -> str:
    return sku_of(sandbox, "VISIOCLIENT")


@pytest.fixture
def minecraft(sandbox: SandboxState) -> str:
    return sku_of(sandbox, "CFQ7TTC0K5DR/0002")


@pytest.fixture
def e1(sandbox: SandboxState) -> str:
    return sku_of(sandbox, "STANDARDPACK")


async def license(
    gateway: Gateway,
    name: str,
    authorization: str | None = None,
    tenant: str = CONTOSO,
    assign: Iterable[str | dict[str, Any]] = (),
    **input: Any,
) -> dict[str, Any]:
    """The payload of a license change; `assign` holds SKU ids, or whole inputs."""
    toggles = [one if isinstance(one, dict) else {"skuId": one} for one in assign]
    user_id = id_of(gateway.sandbox, name, tenant)
    return await change(gateway, LICENSE, authorization, userId=user_id, assign=toggles, **input)


async def refusal(
    gateway: Gateway, name: str, authorization: str | None = None, tenant: str = CONTOSO, **input: Any
) -> list[dict[str, Any]]:
    """The errors of a change that is refused; checks that it is refused as a whole."""
    before = world_of(gateway.sandbox)
    payload = await license(gateway, name, authorization, tenant, **input)
    assert (payload["user"], payload["effects"]) == (None, [])
    assert world_of(gateway.sandbox) == before
    return list(payload["userErrors"])


def held(sandbox: SandboxState, name: str, tenant: str = CONTOSO) -> set[str]:
    """The SKU ids of somebody's licenses, by the sandbox's own record."""
    return set(person_of(sandbox, name, tenant).licenses)


def none_left(sku_id: str, name: str, index: int = 0, available: int = 0, consumed: int = 5) -> dict[str, Any]:
    """The error for a product without a unit."""
    return refused(
        "NONE_AVAILABLE",
        f"No unit of {name} is left.",
        "input",
        "assign",
        str(index),
        "skuId",
        retryable=True,
        availableUnits=available,
        sku={"skuId": sku_id, "availableUnits": available, "consumedUnits": consumed},
    )


def refusing_licenses(*texts: str) -> Bend:
    """A Microsoft that refuses license changes with these texts, one after the other."""
    left = list(texts)

    def bend(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and request.url.path.endswith("/licenseupdates") and left:
            return httpx.Response(400, json={"code": 3000, "description": left.pop(0)})
        return None

    return bend
