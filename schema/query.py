"""The queries."""

from __future__ import annotations

import strawberry

from resolvers.all_users import resolve_users
from resolvers.node import resolve_node, resolve_nodes
from resolvers.portfolio import resolve_portfolio
from resolvers.tenants import resolve_tenant, resolve_tenants
from resolvers.viewer import resolve_viewer
from schema.binding import resolved_by
from schema.node import Node
from schema.portfolio import Portfolio
from schema.tenants import Tenant, TenantConnection
from schema.users import UserConnection
from schema.viewer import Viewer


@strawberry.type(description="What can be asked")
class Query:
    viewer: Viewer = resolved_by(resolve_viewer, description="Who is asking, and what they may see and do")
    node: Node | None = resolved_by(
        resolve_node,
        description="Any object by its global id. Null where it does not exist or is outside the viewer's scope",
    )
    nodes: list[Node | None] = resolved_by(
        resolve_nodes, description="Several objects by their global ids, in order; at most 100"
    )
    tenant: Tenant | None = resolved_by(
        resolve_tenant,
        description="One tenant. Null where it does not exist or is outside the viewer's scope: the two look the same",
    )
    tenants: TenantConnection = resolved_by(
        resolve_tenants, description="Tenants that the viewer manages, by name unless asked otherwise"
    )
    users: UserConnection = resolved_by(
        resolve_users,
        description="People in any tenant of the scope. A tenant that fails is named in coverage, never empty. "
        "Costs the calls of each tenant's users list",
    )
    portfolio: Portfolio = resolved_by(
        resolve_portfolio,
        description="Unit totals over many tenants, one line a product. A tenant that fails is named in coverage. "
        "Costs a call a tenant",
    )
