"""Measures completion of answers alone, in this process: graphql-core, compiled, and dictionaries written by hand.

    python -m benchmarks.executor

`plain` is W5 without the network: 10,000 people x 8 fields. `levels` is W3: 20 tenants x 50 people x their licenses,
each field that costs a look-up with a form for many parents, and everything at hand.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import strawberry
from strawberry.extensions import ParserCache, ValidationCache

from execution.executor import compiled_execution
from execution.many import for_many

TENANTS, USERS, GIANT_USERS, LICENSES = 20, 50, 10_000, 2
PLAIN = "{ everybody { id microsoftId userPrincipalName displayName firstName lastName usageLocation status } }"
LEVELS = "{ tenants { name users { nodes { displayName userPrincipalName licenses { sku { skuId productName } } } } } }"


class Status(Enum):
    ACTIVE = "ACTIVE"


@dataclass(frozen=True, slots=True)
class SkuModel:
    sku_id: str
    product_name: str


@dataclass(frozen=True, slots=True)
class LicenseModel:
    sku: SkuModel


@dataclass(frozen=True, slots=True)
class UserModel:
    id: str
    microsoft_id: str
    user_principal_name: str
    display_name: str
    first_name: str | None
    last_name: str | None
    usage_location: str | None
    status: Status


@dataclass(frozen=True, slots=True)
class TenantModel:
    name: str


@dataclass(frozen=True, slots=True)
class PageModel:
    nodes: list[UserModel]


PEOPLE = [
    UserModel(f"{n:044}", f"{n:036}", f"u{n}@x.example", f"User {n}", "Ada", None, "US", Status.ACTIVE)
    for n in range(GIANT_USERS)
]
HELD = [LicenseModel(SkuModel(f"{n:036}", f"Product {n}")) for n in range(LICENSES)]
ALL_TENANTS = [TenantModel(f"Tenant {n}") for n in range(TENANTS)]


async def users_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [PageModel(PEOPLE[:USERS]) for _ in parents]


@for_many(users_of)
async def resolve_users(root: strawberry.Parent[Any]) -> Any:
    return PageModel(PEOPLE[:USERS])


async def licenses_of(parents: Sequence[Any], info: strawberry.Info) -> list[Any]:
    return [HELD for _ in parents]


@for_many(licenses_of)
async def resolve_licenses(root: strawberry.Parent[Any]) -> Any:
    return HELD


def resolve_tenants() -> Any:
    return ALL_TENANTS


def resolve_everybody() -> Any:
    return PEOPLE


strawberry.enum(Status)


@strawberry.type
class Sku:
    sku_id: str
    product_name: str


@strawberry.type
class License:
    sku: Sku


@strawberry.type
class User:
    id: strawberry.ID
    microsoft_id: str
    user_principal_name: str
    display_name: str
    first_name: str | None
    last_name: str | None
    usage_location: str | None
    status: Status
    licenses: list[License] | None = strawberry.field(resolver=resolve_licenses)


@strawberry.type
class UserPage:
    nodes: list[User]


@strawberry.type
class Tenant:
    name: str
    users: UserPage | None = strawberry.field(resolver=resolve_users)


@strawberry.type
class Query:
    everybody: list[User] = strawberry.field(resolver=resolve_everybody)
    tenants: list[Tenant] = strawberry.field(resolver=resolve_tenants)


def plain_by_hand() -> Any:
    return {
        "everybody": [
            {
                "id": one.id,
                "microsoftId": one.microsoft_id,
                "userPrincipalName": one.user_principal_name,
                "displayName": one.display_name,
                "firstName": one.first_name,
                "lastName": one.last_name,
                "usageLocation": one.usage_location,
                "status": one.status.value,
            }
            for one in PEOPLE
        ]
    }


def levels_by_hand() -> Any:
    return {
        "tenants": [
            {
                "name": tenant.name,
                "users": {
                    "nodes": [
                        {
                            "displayName": one.display_name,
                            "userPrincipalName": one.user_principal_name,
                            "licenses": [
                                {"sku": {"skuId": held.sku.sku_id, "productName": held.sku.product_name}}
                                for held in HELD
                            ],
                        }
                        for one in PEOPLE[:USERS]
                    ]
                },
            }
            for tenant in ALL_TENANTS
        ]
    }


async def milliseconds(schema: strawberry.Schema, query: str, runs: int) -> tuple[float, Any]:
    times = []
    for _ in range(runs + 1):
        began = time.process_time()
        answer = await schema.execute(query)
        times.append((time.process_time() - began) * 1000)
        assert answer.errors is None
    return statistics.median(times[1:]), answer.data


def by_hand(write: Callable[[], Any], runs: int) -> tuple[float, Any]:
    times = []
    for _ in range(runs):
        began = time.process_time()
        written = write()
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times), written


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


async def main() -> None:
    executor = compiled_execution()
    documents = [ParserCache, ValidationCache]
    stock = strawberry.Schema(Query, extensions=documents)
    compiled = strawberry.Schema(Query, extensions=documents, execution_context_class=executor)
    print("| | leaves | graphql-core, ms (µs a leaf) | compiled | by hand | × graphql-core | of by hand |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, query, write in (("plain", PLAIN, plain_by_hand), ("levels", LEVELS, levels_by_hand)):
        slow, expected = await milliseconds(stock, query, 5)
        fast, found = await milliseconds(compiled, query, 25)
        hand, written = by_hand(write, 25)
        assert found == expected == written
        count = leaves(found)
        cells = [f"{each:.2f} ({each * 1000 / count:.3f})" for each in (slow, fast, hand)]
        print(f"| {name} | {count:,} | {' | '.join(cells)} | {slow / fast:.0f} | {fast / hand:.2f} |")
    counts = executor.counts
    assert counts.slow_lists == counts.slow_objects == counts.refused == 0


if __name__ == "__main__":
    asyncio.run(main())
