"""The interface of everything that can be fetched again by its id."""

from __future__ import annotations

import strawberry


@strawberry.interface(description="Object that can be fetched again by its globally unique id")
class Node:
    id: strawberry.ID = strawberry.field(
        description="Opaque and stable. It names the kind, the tenant and the Microsoft id; clients must not parse it"
    )
