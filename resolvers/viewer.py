"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass

from resolvers.context import Info
from resolvers.scope import tenants_in_scope
from services.authorization import Permission, ViewerKind


@dataclass(frozen=True, slots=True)
class Viewer:
    name: str
    kind: ViewerKind
    permissions: list[Permission]


def resolve_viewer(info: Info) -> Viewer:
    caller = info.context.caller
    return Viewer(caller.name, caller.kind, [one for one in Permission if caller.may(one)])


async def resolve_viewer_tenant_count(info: Info) -> int:
    return len(await tenants_in_scope(info))
