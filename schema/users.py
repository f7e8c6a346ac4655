"""People in a tenant's directory."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from resolvers.deletions import resolve_deletion_forecast
from resolvers.licenses import (
    resolve_user_assigned_license_count,
    resolve_user_license_options,
    resolve_user_licenses,
)
from resolvers.users import (
    resolve_user_actions,
    resolve_user_deletion,
    resolve_user_roles,
    resolve_user_tenant,
)
from schema.binding import resolved_by
from schema.enums import ActionBlockReason, TenantFailureCode, UserActionName, UserStatus
from schema.licenses import License, LicenseOption
from schema.node import Node
from schema.pages import PageInfo
from schema.scalars import UUID, CountryCode
from schema.skus import SubscribedSku
from services import models

if TYPE_CHECKING:
    from schema.tenants import Tenant


@strawberry.type(description="Directory role, as it can be given to people of a tenant")
class DirectoryRole(Node):
    id: strawberry.ID = strawberry.field(description="Opaque global id of the role in this tenant")
    microsoft_id: UUID = strawberry.field(description="Id of the role's template, the same in every tenant")
    name: str = strawberry.field(
        description="Name as Partner Center gives it, which may be an old one: "
        "Company Administrator is today's Global Administrator"
    )
    privileged: bool = strawberry.field(
        description="Can change other people's access: editing or resetting such a user needs MANAGE_ADMINS"
    )

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, models.DirectoryRole)


@strawberry.type(description="What restoring a user will meet for one product")
class RestoreForecastLine:
    sku: SubscribedSku = strawberry.field(description="Product that the user held when deleted")
    available_units: int = strawberry.field(description="Units free now")
    short_by: int = strawberry.field(description="Units missing for the user to get it back; 0 where one is free")


@strawberry.type(description="Since when a user is deleted, and until when it can be restored")
class Deletion:
    deleted_at: datetime = strawberry.field(description="When the user was deleted, by Microsoft's record")
    restorable_until: datetime = strawberry.field(description="Deletion plus 30 days; at that moment it is over")
    days_left: int = strawberry.field(description="Whole days left, rounded down: 29 from a second after deletion")
    forecast: list[RestoreForecastLine] | None = resolved_by(
        resolve_deletion_forecast,
        description="For each license held at deletion, whether a unit is free now. It warns, and forbids nothing. "
        "Null where the licenses at deletion are not known: they are where this gateway deleted the user. "
        "Costs a call a tenant",
    )


@strawberry.type(description="One thing that can, or cannot, be done with a user")
class UserAction:
    name: UserActionName = strawberry.field(description="What could be done")
    allowed: bool = strawberry.field(description="Whether the viewer can do it now")
    reason: ActionBlockReason | None = strawberry.field(description="Why not; null where it is allowed")


@strawberry.type(description="Person in a tenant's directory, active or deleted less than 30 days ago")
class User(Node):
    id: strawberry.ID = strawberry.field(description="Opaque global id of the user")
    microsoft_id: UUID = strawberry.field(description="Object id of the user in the tenant's directory")
    tenant: Annotated[Tenant, strawberry.lazy("schema.tenants")] = resolved_by(
        resolve_user_tenant, description="Tenant whose directory the user is in"
    )
    user_principal_name: str = strawberry.field(
        description="Sign-in name; it looks like an address and may change, the id does not"
    )
    display_name: str = strawberry.field(description="Name as shown to people")
    first_name: str | None = strawberry.field(description="Given name; null where none is set")
    last_name: str | None = strawberry.field(description="Family name; null where none is set")
    usage_location: CountryCode | None = strawberry.field(
        description="The Location of the storefront: country where the user uses licenses. "
        "Null until set, and no license can be assigned before it is"
    )
    status: UserStatus = strawberry.field(description="Active, or deleted and restorable")
    directory_synced: bool = strawberry.field(
        description="Mastered in the customer's own directory: names cannot be edited in the cloud"
    )
    deletion: Deletion | None = resolved_by(
        resolve_user_deletion,
        description="For a deleted user: since when, until when, and what a restore will meet",
    )
    roles: list[DirectoryRole] | None = resolved_by(
        resolve_user_roles,
        description="Directory roles the user holds, in name order. "
        "Costs a call a user, or a call a role of the tenant where that is cheaper for all users asked for",
    )
    assigned_license_count: int | None = resolved_by(
        resolve_user_assigned_license_count,
        description="The Assign column of the users list. Null where it could not be read. Costs a call a user",
    )
    licenses: list[License] | None = resolved_by(
        resolve_user_licenses,
        description="Licenses the user holds, in product name order. Costs a call a user and one a tenant",
    )
    license_options: list[LicenseOption] | None = resolved_by(
        resolve_user_license_options,
        description="The Manage Licenses dialog: one line a product that the user has or could get. "
        "Costs a call a user and one a tenant",
    )
    actions: list[UserAction] = resolved_by(
        resolve_user_actions,
        description="What can be done with this user, and why not. A deleted user can only be restored",
    )
    version: str = strawberry.field(
        description="Changes whenever the information above changes; give it back as expectedVersion"
    )
    as_of: datetime = strawberry.field(
        description="When Microsoft gave this data, also when it is served from the cache"
    )

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, (models.User, models.LicensedUser))


@strawberry.type(description="Tenant that is missing in an answer, and why")
class TenantFailure:
    tenant: Annotated[Tenant, strawberry.lazy("schema.tenants")] = strawberry.field(
        description="Tenant that did not answer"
    )
    code: TenantFailureCode = strawberry.field(description="Why it is missing")
    retry_after_seconds: int | None = strawberry.field(
        description="Seconds to wait before asking again; null where that is not known"
    )


@strawberry.type(description="Which tenants an answer speaks of, so that silence is never taken for zero")
class Coverage:
    asked: int = strawberry.field(description="Tenants asked: those that answered and those that failed")
    answered: int = strawberry.field(description="Tenants that answered")
    stale: int = strawberry.field(
        description="Part of `answered` that came from a copy older than asked for, because Microsoft did not answer"
    )
    failed: list[TenantFailure] = strawberry.field(description="Tenants that are missing, and why")
    oldest_as_of: datetime | None = strawberry.field(
        description="When Microsoft gave the oldest data of this answer; null where it holds none"
    )


@strawberry.type(description="User in a page")
class UserEdge:
    cursor: str = strawberry.field(description="Place of the user in the list, for `after`")
    node: User = strawberry.field(description="The user")


@strawberry.type(description="One page of a list of users")
class UserConnection:
    edges: list[UserEdge] = strawberry.field(description="Users of the page, each with its cursor")
    nodes: list[User] = strawberry.field(description="Users of the page")
    page_info: PageInfo = strawberry.field(description="Where the page lies in the list")
    total_count: int | None = strawberry.field(description="Users of the whole list, after the filter")
    coverage: Coverage = strawberry.field(description="Which tenants this answer speaks of")
