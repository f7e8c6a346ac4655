"""Who is asking."""

from __future__ import annotations

import strawberry

from resolvers.viewer import resolve_viewer_tenant_count
from schema.binding import resolved_by
from schema.enums import Permission, ViewerKind


@strawberry.type(description="Who is asking, and what they may see and do")
class Viewer:
    name: str = strawberry.field(description="Name in the viewer's token")
    kind: ViewerKind = strawberry.field(description="Whose tenants the viewer manages")
    permissions: list[Permission] = strawberry.field(description="What the viewer may do")
    tenant_count: int | None = resolved_by(resolve_viewer_tenant_count, description="Tenants in the viewer's scope")
