"""What callers hand in with a change. `Maybe`: left out, null and a value are three answers."""

from __future__ import annotations

import strawberry

from schema.enums import BulkErrorPolicy
from schema.inputs import TenantScope, UserFilter
from schema.scalars import UUID, CountryCode, EmailAddress

_DRY_RUN = "True: the same checks and the same payload, with predicted effects; nothing is written"
_KEY = (
    "A repeat with the same key and input gives the first answer and writes nothing more; "
    "1 to 128 printable ASCII characters, kept for 24 hours"
)


@strawberry.input(description="Product to assign")
class AssignLicenseInput:
    sku_id: UUID = strawberry.field(description="Product SKU id")
    disabled_service_plan_ids: list[UUID] | None = strawberry.field(
        default=None, description="Service plans to leave off. Omitted: as they are, or none for a new license"
    )


@strawberry.input(description="Password to set: chosen or generated")
class PasswordInput:
    value: str | None = strawberry.field(
        default=None, description="Password to set. Omitted: one is generated and given back once, in this answer alone"
    )
    force_change_at_next_sign_in: bool | None = strawberry.field(
        default=True, description="Whether the user has to choose another one at the next sign-in"
    )

    def __repr__(self) -> str:
        return "PasswordInput(value=********)"


@strawberry.input(description="Person to create")
class CreateUserInput:
    tenant_id: strawberry.ID = strawberry.field(description="Global id of the tenant")
    username: str = strawberry.field(description="The part of the sign-in name before the @")
    domain: str = strawberry.field(description="The part after the @: a domain of the tenant")
    display_name: str = strawberry.field(description="Name as shown to people")
    first_name: str | None = strawberry.field(default=None, description="Given name")
    last_name: str | None = strawberry.field(default=None, description="Family name")
    usage_location: CountryCode = strawberry.field(description="Country where the user will use licenses")
    role_ids: list[UUID] | None = strawberry.field(
        default_factory=list, description="Directory roles to give. Needs WRITE_ROLES"
    )
    licenses: list[AssignLicenseInput] | None = strawberry.field(
        default_factory=list, description="Products to assign; a unit of each must be free. Needs WRITE_LICENSES"
    )
    password: PasswordInput = strawberry.field(description="Password to begin with")
    send_password_to: list[EmailAddress] = strawberry.field(
        description="Where the password goes: at least one address, at most five"
    )
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="What to change of a person; what is left out is left alone")
class UpdateUserInput:
    id: strawberry.ID = strawberry.field(description="Global id of the user")
    first_name: strawberry.Maybe[str | None] = strawberry.field(default=None, description="Given name; null clears it")
    last_name: strawberry.Maybe[str | None] = strawberry.field(default=None, description="Family name; null clears it")
    display_name: strawberry.Maybe[str | None] = strawberry.field(
        default=None, description="Name as shown to people; null is refused"
    )
    usage_location: strawberry.Maybe[CountryCode | None] = strawberry.field(
        default=None, description="Country where the user uses licenses; null is refused"
    )
    role_ids: list[UUID] | None = strawberry.field(
        default=None,
        description="Directory roles afterwards; an empty list makes the person a plain user. Needs WRITE_ROLES",
    )
    expected_version: str | None = strawberry.field(
        default=None, description="`version` as it was read; the change is refused if the user has another one by now"
    )
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="One change set of license toggles; only the products named move")
class UpdateUserLicensesInput:
    user_id: strawberry.ID = strawberry.field(description="Global id of the user")
    assign: list[AssignLicenseInput] | None = strawberry.field(default_factory=list, description="Products to assign")
    remove: list[UUID] | None = strawberry.field(default_factory=list, description="Product SKU ids to remove")
    usage_location: CountryCode | None = strawberry.field(
        default=None, description="Set first, so that a user without a location can be licensed in the same change"
    )
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="User to delete")
class DeleteUserInput:
    id: strawberry.ID = strawberry.field(description="Global id of the user")
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="User to restore")
class RestoreUserInput:
    id: strawberry.ID = strawberry.field(description="Global id of the user")
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="Whose password to reset")
class ResetUserPasswordInput:
    id: strawberry.ID = strawberry.field(description="Global id of the user")
    password: PasswordInput = strawberry.field(description="Password to set")
    send_password_to: list[EmailAddress] | None = strawberry.field(
        default_factory=list,
        description="Where the password goes, at most five addresses. Without one a notice, without the password, "
        "goes to the user principal name",
    )
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="All users that a filter finds in a scope, when the change is asked for")
class BulkUsersMatchInput:
    scope: TenantScope = strawberry.field(description="Which tenants to search")
    filter: UserFilter = strawberry.field(
        description="Whom to find. Without a status only active users: deleted ones can hold no license"
    )


@strawberry.input(one_of=True, description="Whose licenses to change")
class BulkUsersInput:
    ids: strawberry.Maybe[list[strawberry.ID]] = strawberry.field(
        default=None, description="These users, by their global ids; at most 5,000, each once"
    )
    matching: strawberry.Maybe[BulkUsersMatchInput] = strawberry.field(
        default=None, description="All users that a filter finds; at most 5,000"
    )


@strawberry.input(description="One change set of license toggles for many users; only the products named move")
class UpdateLicensesInBulkInput:
    users: BulkUsersInput = strawberry.field(
        description="Whose licenses: these users, or all that the filter finds in the scope"
    )
    assign: list[AssignLicenseInput] | None = strawberry.field(default_factory=list, description="Products to assign")
    remove: list[UUID] | None = strawberry.field(default_factory=list, description="Product SKU ids to remove")
    on_error: BulkErrorPolicy | None = strawberry.field(
        default=BulkErrorPolicy.SKIP_FAILED_USERS, description="What becomes of the rest when some users fail"
    )
    dry_run: bool | None = strawberry.field(
        default=False, description="True: the same checks and a preview, with predicted effects; nothing is written"
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeat with the same key and input gives the same job; kept for 24 hours"
    )


@strawberry.input(description="Job to cancel")
class CancelJobInput:
    id: strawberry.ID = strawberry.field(description="Global id of the job")
