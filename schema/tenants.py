"""The tenants that a viewer manages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from resolvers.audit import resolve_tenant_audit_log
from resolvers.skus import resolve_tenant_subscribed_skus
from resolvers.tenants import (
    resolve_tenant_access,
    resolve_tenant_country,
    resolve_tenant_domains,
    resolve_tenant_roles,
)
from resolvers.users import resolve_tenant_user, resolve_tenant_users
from schema.audit import AuditConnection
from schema.binding import resolved_by
from schema.enums import TenantAccessStatus
from schema.node import Node
from schema.pages import PageInfo
from schema.scalars import UUID, CountryCode
from schema.skus import SubscribedSku
from schema.users import DirectoryRole, User, UserConnection
from services import models


@strawberry.type(description="How far the gateway can act in a tenant")
class TenantAccess:
    status: TenantAccessStatus = strawberry.field(description="What works")
    missing_roles: list[str] = strawberry.field(
        description="Microsoft Entra roles that the partner would have to be granted in the tenant"
    )


@strawberry.type(description="A customer's Microsoft tenant")
class Tenant(Node):
    id: strawberry.ID = strawberry.field(description="Opaque global id of the tenant")
    microsoft_id: UUID = strawberry.field(description="Microsoft tenant id, which is the Partner Center customer id")
    name: str = strawberry.field(description="Company name, as Partner Center has it")
    domain: str = strawberry.field(description="The default domain")
    domains: list[str] | None = resolved_by(
        resolve_tenant_domains,
        description="Domains that a new user can get, the default one first. Costs a call",
    )
    country: CountryCode | None = resolved_by(
        resolve_tenant_country,
        description="Country of the company; null where Partner Center does not show it. Costs a call",
    )
    access: TenantAccess | None = resolved_by(
        resolve_tenant_access,
        description="Whether the gateway can act here, and what is missing. Null where it could not be found out, "
        "as where the partner was granted single roles (GDAP). Costs two calls",
    )
    user: User | None = resolved_by(
        resolve_tenant_user, description="One user; null where there is none, or it was deleted 30 days ago"
    )
    users: UserConnection | None = resolved_by(
        resolve_tenant_users,
        description="Active users and those deleted less than 30 days ago, by display name unless asked otherwise. "
        "Costs a call for each 500 active and each 500 deleted users",
    )
    subscribed_skus: list[SubscribedSku] | None = resolved_by(
        resolve_tenant_subscribed_skus,
        description="The monitoring list: one entry a product, in name order. "
        "By default the product types that create subscriptions. Costs a call",
    )
    roles: list[DirectoryRole] | None = resolved_by(
        resolve_tenant_roles,
        description="Directory roles that can be given here, in name order. Costs a call",
    )
    audit_log: AuditConnection | None = resolved_by(
        resolve_tenant_audit_log,
        description="Changes made through this gateway in this tenant, newest first. Needs READ_AUDIT",
    )
    as_of: datetime = strawberry.field(
        description="When Microsoft gave this data, also when it is served from the cache"
    )

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, (models.Tenant, models.TenantRef))


@strawberry.type(description="Tenant in a page")
class TenantEdge:
    cursor: str = strawberry.field(description="Place of the tenant in the list, for `after`")
    node: Tenant = strawberry.field(description="The tenant")


@strawberry.type(description="One page of a list of tenants")
class TenantConnection:
    edges: list[TenantEdge] = strawberry.field(description="Tenants of the page, each with its cursor")
    nodes: list[Tenant] = strawberry.field(description="Tenants of the page")
    page_info: PageInfo = strawberry.field(description="Where the page lies in the list")
    total_count: int | None = strawberry.field(description="Tenants of the whole list, after the search")
