"""The same part of the schema as Strawberry's documentation would have it built: what ours is measured against.

Types with async resolvers, httpx, a DataLoader a look-up and request, and a dictionary for what was fetched before, so
that it asks Microsoft nothing more than ours where everything is at hand. Served by uvicorn with h11 and asyncio:

    PARTNER_CENTER_URL=http://127.0.0.1:9100 uvicorn --http h11 --loop asyncio benchmarks.naive.app:app
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from enum import Enum
from typing import Any

import httpx
import strawberry
from aiodataloader import DataLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from strawberry.asgi import GraphQL

BASE = os.environ["PARTNER_CENTER_URL"] + "/v1"
# As many connections as ours is given, or httpx would wait for them too long and fail.
CLIENT = httpx.AsyncClient(limits=httpx.Limits(max_connections=100), timeout=60, headers={"Authorization": "Bearer x"})
CACHE: dict[str, Any] = {}
UUID = strawberry.scalar(name="UUID", serialize=str, parse_value=str)


class Id(str):
    """What the schema calls UUID."""


@strawberry.enum
class UserStatus(Enum):
    ACTIVE = "active"
    DELETED = "inactive"


@strawberry.input(one_of=True)
class TenantBy:
    microsoft_id: strawberry.Maybe[Id]


@strawberry.input(one_of=True)
class UserBy:
    microsoft_id: strawberry.Maybe[Id]


@strawberry.input
class UserFilter:
    status: list[UserStatus] | None = None


async def get(path: str, fresh: bool, token: str = "") -> Any:
    key = path + token
    if fresh or key not in CACHE:
        answer = await CLIENT.get(BASE + path, headers={"MS-ContinuationToken": token} if token else {})
        answer.raise_for_status()
        CACHE[key] = answer.json()
    return CACHE[key]


async def get_all(path: str, fresh: bool) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    token = ""
    while True:
        page = await get(f"{path}?size=500", fresh, token)
        items += page["items"]
        following = page["links"].get("next")
        if not following:
            return items
        token = following["headers"][0]["value"]


class Loaders:
    """The look-ups of one request."""

    def __init__(self, fresh: bool) -> None:
        self.lists: DataLoader[str, list[dict[str, Any]]] = self._loader(get_all, fresh)
        self.single: DataLoader[str, dict[str, Any]] = self._loader(get, fresh)

    @staticmethod
    def _loader(fetch: Any, fresh: bool) -> Any:
        async def batch(paths: list[str]) -> list[Any]:
            return await asyncio.gather(*(fetch(path, fresh) for path in paths), return_exceptions=True)

        return DataLoader(batch)


Info = strawberry.Info[dict[str, Any], None]


@strawberry.type
class MicrosoftSubscription:
    microsoft_id: Id
    friendly_name: str | None
    quantity: int
    status: str


@strawberry.type
class SubscribedSku:
    tenant_id: strawberry.Private[str]
    sku_id: Id
    product_name: str
    active_units: int = 0
    consumed_units: int = 0
    available_units: int = 0
    suspended_units: int = 0

    @strawberry.field
    async def subscriptions(self, info: Info) -> list[MicrosoftSubscription]:
        path = f"/customers/{self.tenant_id}/subscriptions"
        loaders = info.context["loaders"]
        listed = await loaders.lists.load(path)
        states = await loaders.single.load_many([f"{path}/{one['id']}/provisioningstatus" for one in listed])
        return [
            MicrosoftSubscription(
                microsoft_id=Id(one["id"]),
                friendly_name=one["friendlyName"],
                quantity=one["quantity"],
                status=one["status"].upper(),
            )
            for one, state in zip(listed, states, strict=True)
            if state["skuId"].lower() == self.sku_id
        ]


@strawberry.type
class License:
    sku: SubscribedSku


@strawberry.type
class User:
    tenant_id: strawberry.Private[str]
    id: strawberry.ID
    microsoft_id: Id
    user_principal_name: str
    display_name: str
    first_name: str | None
    last_name: str | None
    usage_location: str | None
    status: UserStatus

    @strawberry.field
    async def licenses(self, info: Info) -> list[License]:
        path = f"/customers/{self.tenant_id}/users/{self.microsoft_id}/licenses"
        held = await info.context["loaders"].lists.load(path)
        skus = (one["productSku"] for one in held)
        return [
            License(sku=SubscribedSku(tenant_id=self.tenant_id, sku_id=Id(sku["id"]), product_name=sku["name"]))
            for sku in sorted(skus, key=lambda sku: sku["name"])
        ]


def user_of(tenant_id: str, one: dict[str, Any]) -> User:
    return User(
        tenant_id=tenant_id,
        id=strawberry.ID(b64encode(f"User:{tenant_id}:{one['id']}".encode()).decode()),
        microsoft_id=Id(one["id"]),
        user_principal_name=one["userPrincipalName"],
        display_name=one["displayName"],
        first_name=one["firstName"],
        last_name=one["lastName"],
        usage_location=one["usageLocation"],
        status=UserStatus(one["state"]),
    )


@strawberry.type
class UserConnection:
    nodes: list[User]


@strawberry.type
class Tenant:
    microsoft_id: Id
    name: str

    @strawberry.field
    async def user(self, info: Info, by: UserBy) -> User | None:
        assert by.microsoft_id is not None
        path = f"/customers/{self.microsoft_id}/users/{by.microsoft_id.value}"
        return user_of(self.microsoft_id, await info.context["loaders"].single.load(path))

    @strawberry.field
    async def users(self, info: Info, first: int = 50, filter: UserFilter | None = None) -> UserConnection:
        listed = await info.context["loaders"].lists.load(f"/customers/{self.microsoft_id}/users")
        ordered = sorted(listed, key=lambda one: one["displayName"].casefold())
        return UserConnection(nodes=[user_of(self.microsoft_id, one) for one in ordered[:first]])

    @strawberry.field
    async def subscribed_skus(self, info: Info) -> list[SubscribedSku]:
        listed = await info.context["loaders"].lists.load(f"/customers/{self.microsoft_id}/subscribedskus")
        return [
            SubscribedSku(
                tenant_id=self.microsoft_id,
                sku_id=Id(one["productSku"]["id"]),
                product_name=one["productSku"]["name"],
                active_units=one["activeUnits"],
                consumed_units=one["consumedUnits"],
                available_units=one["availableUnits"],
                suspended_units=one["suspendedUnits"],
            )
            for one in sorted(listed, key=lambda one: one["productSku"]["name"].casefold())
        ]


def tenant_of(one: dict[str, Any]) -> Tenant:
    return Tenant(microsoft_id=Id(one["id"]), name=one["companyProfile"]["companyName"])


@strawberry.type
class TenantConnection:
    nodes: list[Tenant]


@strawberry.type
class Query:
    @strawberry.field
    async def tenant(self, info: Info, by: TenantBy) -> Tenant | None:
        assert by.microsoft_id is not None
        return tenant_of(await info.context["loaders"].single.load(f"/customers/{by.microsoft_id.value}"))

    @strawberry.field
    async def tenants(self, info: Info, first: int = 50) -> TenantConnection:
        listed = await info.context["loaders"].lists.load("/customers")
        ordered = sorted(listed, key=lambda one: one["companyProfile"]["companyName"].casefold())
        return TenantConnection(nodes=[tenant_of(one) for one in ordered[:first]])


class Endpoint(GraphQL[dict[str, Any], None]):
    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        assert isinstance(request, Request)
        return {"loaders": Loaders(fresh=request.headers.get("cache-control") == "no-cache")}


schema = strawberry.Schema(Query, config=strawberry.schema.config.StrawberryConfig(scalar_map={Id: UUID}))
app = Starlette(routes=[Route("/graphql", Endpoint(schema))])
