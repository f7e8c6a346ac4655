"""Licenses of a person, and the Manage Licenses dialog."""

from __future__ import annotations

import strawberry

from schema.enums import LicenseBlockerCode
from schema.skus import ServicePlan, SubscribedSku


@strawberry.type(description="One unit of a product, held by a user")
class License:
    sku: SubscribedSku = strawberry.field(description="Product that the unit is taken from")
    service_plans: list[ServicePlan] = strawberry.field(description="Services that the user has by this license")
    disabled_service_plans: list[ServicePlan] = strawberry.field(
        description="Services of the product that are switched off for the user"
    )


@strawberry.type(description="Something that stands in the way of moving a license toggle")
class LicenseBlocker:
    code: LicenseBlockerCode = strawberry.field(description="Kind of obstacle, for programs")
    message: str = strawberry.field(description="Obstacle in plain words, for a person to read")


@strawberry.type(description="One line of the Manage Licenses dialog")
class LicenseOption:
    sku: SubscribedSku = strawberry.field(description="Product that the user has or could get, with its units")
    assigned: bool = strawberry.field(description="Where the toggle stands")
    changeable: bool = strawberry.field(description="Whether the toggle can be moved; where not, blockers say why")
    blockers: list[LicenseBlocker] = strawberry.field(description="What stands in the way of moving the toggle")
