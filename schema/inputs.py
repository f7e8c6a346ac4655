"""What callers hand in with a query. Left out, null and a value are three answers only where it says so."""

from __future__ import annotations

import strawberry

from schema.enums import OrderDirection, ProductType, TenantOrderField, UserOrderField, UserStatus
from schema.scalars import UUID, CountryCode

ARGUMENTS = {
    "scope": "Which tenants to ask; every one of the viewer by default",
    "id": "Global id of the object",
    "ids": "Global ids of the objects; at most 100",
    "by": "Which one is meant, said in exactly one way",
    "first": "Items of the page at most, from 0 to the largest page of the gateway; null means the default",
    "after": "Cursor of the item behind which the page begins; null means the beginning of the list",
    "search": "Text to be found anywhere in the name or the domain, whatever its case and accents",
    "orderBy": "Order of the list",
    "filter": "What the list is narrowed to",
    "input": "What is to be changed, and how",
    "onlyFailed": "True: only users for whom something failed",
}
"""Words for callers on the arguments of fields, by name."""


@strawberry.input(one_of=True, description="How to name one tenant")
class TenantBy:
    id: strawberry.Maybe[strawberry.ID] = strawberry.field(default=None, description="Global id of the tenant")
    microsoft_id: strawberry.Maybe[UUID] = strawberry.field(
        default=None, description="Microsoft tenant id, which is the Partner Center customer id"
    )
    domain: strawberry.Maybe[str] = strawberry.field(
        default=None, description="Any domain of the tenant, such as contoso.onmicrosoft.com"
    )


@strawberry.input(one_of=True, description="How to name one user of a tenant")
class UserBy:
    microsoft_id: strawberry.Maybe[UUID] = strawberry.field(
        default=None, description="Object id of the user in the tenant's directory"
    )
    user_principal_name: strawberry.Maybe[str] = strawberry.field(
        default=None, description="Sign-in name, in either case. Costs the calls of the users list"
    )


@strawberry.input(one_of=True, description="Which tenants to ask")
class TenantScope:
    all: strawberry.Maybe[bool] = strawberry.field(
        default=None, description="Every tenant of the viewer. The default; false is refused"
    )
    ids: strawberry.Maybe[list[strawberry.ID]] = strawberry.field(
        default=None, description="These tenants, by their global ids"
    )


@strawberry.input(description="Order of a list of tenants")
class TenantOrder:
    field: TenantOrderField = strawberry.field(default=TenantOrderField.NAME, description="What to order by")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Up or down")


@strawberry.input(description="Order of a list of users; equal ones are ordered by id")
class UserOrder:
    field: UserOrderField = strawberry.field(default=UserOrderField.DISPLAY_NAME, description="What to order by")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Up or down")


@strawberry.input(description="Which users a list holds; every part given must hold")
class UserFilter:
    status: list[UserStatus] | None = strawberry.field(
        default=None, description="Both by default: active users and those deleted within 30 days"
    )
    search: str | None = strawberry.field(
        default=None,
        description="Anywhere in the display name or user principal name, whatever its case and accents",
    )
    licensed_for: list[UUID] | None = strawberry.field(
        default=None, description="Holders of any of these product SKUs. Costs a call a user"
    )
    unlicensed: bool | None = strawberry.field(
        default=None, description="True: only users without a license. Costs a call a user"
    )
    role_ids: list[UUID] | None = strawberry.field(
        default=None, description="Holders of any of these directory roles. Costs a call a role"
    )
    usage_locations: list[CountryCode] | None = strawberry.field(
        default=None, description="Users with any of these usage locations"
    )
    purged_within_days: int | None = strawberry.field(
        default=None, description="Deleted users whose restore window closes within this many days"
    )


@strawberry.input(description="Which products a list holds; every part given must hold")
class SkuFilter:
    product_types: list[ProductType] | None = strawberry.field(
        default=None,
        description="CLOUD_SERVICES and DYNAMICS by default: the types whose subscriptions give licenses to people",
    )
    min_available_units: int | None = strawberry.field(
        default=None, description="Only products with at least this many units available"
    )
    over_assigned: bool | None = strawberry.field(
        default=None, description="True: only products with more units assigned than Microsoft grants"
    )
