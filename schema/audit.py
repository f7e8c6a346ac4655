"""Who changed what in a tenant, through this gateway."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema.binding import describe
from schema.pages import PageInfo
from schema.scalars import UUID
from services.audit import AuditOutcome as AuditOutcome

describe(
    AuditOutcome,
    "How a change ended",
    DONE="It was made",
    REFUSED="It was refused before anything was written",
    FAILED="It failed; the changes say how far it came",
    UNKNOWN="Microsoft did not say whether it was made. Looked at again after 1, 5, 15 minutes, save passwords",
)


@strawberry.type(description="One change that was asked for")
class AuditEntry:
    at: datetime = strawberry.field(description="When it was asked for")
    actor: str = strawberry.field(description="Who asked, as the token names them")
    action: str = strawberry.field(description="Name of the mutation")
    user_id: strawberry.ID | None = strawberry.field(description="Global id of the user concerned, where there is one")
    user_principal_name: str | None = strawberry.field(
        description="Sign-in name of the user at that time; null where the change did not have to read it"
    )
    outcome: AuditOutcome = strawberry.field(description="How it ended")
    changes: str = strawberry.field(
        description="The fields or products changed, before and after, as JSON. Never a password"
    )
    correlation_id: UUID = strawberry.field(
        description="Id under which Microsoft logged the request; of a change that was not sent, the gateway's own"
    )


@strawberry.type(description="Change in a page")
class AuditEdge:
    cursor: str = strawberry.field(description="Place of the change in the log, for `after`")
    node: AuditEntry = strawberry.field(description="The change")


@strawberry.type(description="One page of an audit log, newest first")
class AuditConnection:
    edges: list[AuditEdge] = strawberry.field(description="Changes of the page, each with its cursor")
    nodes: list[AuditEntry] = strawberry.field(description="Changes of the page")
    page_info: PageInfo = strawberry.field(description="Where the page lies in the log")
    total_count: int | None = strawberry.field(description="Changes of the whole log")
