"""The audit log of a tenant, for those who may read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.paging import DEFAULT_PAGE_SIZE, Edge, PageInfo, read_size
from services.audit import AuditOutcome, AuditRecord
from services.authorization import Permission
from services.global_ids import encode_id


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at: datetime
    actor: str
    action: str
    user_id: str | None
    user_principal_name: str | None
    outcome: AuditOutcome
    changes: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """One page of the log."""

    edges: list[Edge[AuditEntry]]
    page_info: PageInfo
    total_count: int

    @property
    def nodes(self) -> list[AuditEntry]:
        return [edge.node for edge in self.edges]


async def resolve_tenant_audit_log(
    root: strawberry.Parent[Any], info: Info, first: int | None = DEFAULT_PAGE_SIZE, after: str | None = None
) -> AuditEntries:
    info.context.caller.require(Permission.READ_AUDIT)
    size = read_size(first, info.context.max_page_size)
    page = await info.context.changes.audit.list(root.microsoft_id, size, after)
    edges = [Edge(item.cursor, _entry(item.record)) for item in page.items]
    where = PageInfo(
        has_next_page=page.has_next_page,
        has_previous_page=after is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return AuditEntries(edges, where, page.total)


def _entry(record: AuditRecord) -> AuditEntry:
    return AuditEntry(
        at=record.at,
        actor=record.actor,
        action=record.action,
        user_id=encode_id("User", record.tenant_id, record.user_id) if record.user_id else None,
        user_principal_name=record.user_principal_name,
        outcome=record.outcome,
        changes=json.dumps(record.changes, ensure_ascii=False, sort_keys=True),
        correlation_id=record.correlation_ids[0] if record.correlation_ids else record.id,
    )
