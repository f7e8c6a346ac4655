"""What mutations answer: the object as it is after the change, and what stood in the way."""

from __future__ import annotations

import strawberry

from resolvers.license_changes import resolve_licensed_user
from resolvers.outcomes import resolve_effect_predicted, resolve_temporary_password
from schema.binding import describe, resolved_by
from schema.errors import UserError
from schema.scalars import EmailAddress
from schema.skus import SubscribedSku
from schema.users import User
from services.mailer import DeliveryKind as DeliveryKind
from services.mailer import DeliveryStatus as DeliveryStatus

describe(
    DeliveryKind,
    "What a mail tells",
    PASSWORD="The password",
    NOTICE="That the password was reset, without the password",
)
describe(
    DeliveryStatus,
    "What became of a mail",
    SENT="The mail server took it",
    QUEUED="The mail server did not take it yet; the gateway tries again for a while",
    FAILED="It was not sent; the message says why. The change stands all the same",
    NOT_SENT_DRY_RUN="It would be sent",
)

_USER = "User as it is after the change; null where nothing was changed"
_DRY_USER = "User as it is after the change, or would be after a dry run; null where the change was refused"
_ERRORS = "What stood in the way, all of it together; empty where the change was made"
_EFFECTS = "What the change did to the units of each product, so that a client need not fetch them again"


@strawberry.type(description="What a change did to one product's units")
class LicenseEffect:
    sku: SubscribedSku = strawberry.field(description="Product, with its figures after the change")
    change: int = strawberry.field(description="Units assigned by the change: 1, -1, or more in bulk")
    consumed_units_before: int = strawberry.field(description="Assigned units before the change")
    consumed_units_after: int = strawberry.field(description="Assigned units after the change")
    available_units_before: int = strawberry.field(description="Available units before the change")
    available_units_after: int = strawberry.field(description="Available units after the change")
    predicted: bool = resolved_by(
        resolve_effect_predicted,
        description="True where the figures after are computed: in a dry run, "
        "and while Microsoft still shows the old ones. Costs a call",
    )


@strawberry.type(description="What became of one mail")
class Delivery:
    to: EmailAddress = strawberry.field(description="Address")
    kind: DeliveryKind = strawberry.field(description="What the mail tells")
    status: DeliveryStatus = strawberry.field(description="What became of it")
    message: str | None = strawberry.field(description="Why it was not sent, for a person to read")


@strawberry.type(description="Answer to createUser")
class CreateUserPayload:
    user: User | None = strawberry.field(description="User that was created; null where none was, and in a dry run")
    temporary_password: str | None = resolved_by(
        resolve_temporary_password,
        description="Password that was generated, given in this answer alone; null where one was chosen",
    )
    delivery: list[Delivery] = strawberry.field(description="What became of the mails with the password")
    effects: list[LicenseEffect] = strawberry.field(description=_EFFECTS)
    user_errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="Answer to updateUser")
class UpdateUserPayload:
    user: User | None = strawberry.field(description=_DRY_USER)
    changed_fields: list[str] = strawberry.field(
        description="Input fields that differed and were written, or would be in a dry run"
    )
    user_errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="Answer to updateUserLicenses")
class UpdateUserLicensesPayload:
    user: User | None = resolved_by(resolve_licensed_user, description=_USER)
    effects: list[LicenseEffect] = strawberry.field(description=_EFFECTS)
    user_errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="Answer to deleteUser")
class DeleteUserPayload:
    user: User | None = strawberry.field(
        description="User, now deleted; in a dry run still active. Null where the change was refused"
    )
    effects: list[LicenseEffect] = strawberry.field(description="Units that came free, by product")
    user_errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="Answer to restoreUser")
class RestoreUserPayload:
    user: User | None = strawberry.field(
        description="User, active again; in a dry run still deleted. Null where the change was refused"
    )
    effects: list[LicenseEffect] = strawberry.field(
        description="Units of the licenses that Microsoft gave back, by product; in a dry run those it could give"
    )
    user_errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="Answer to resetUserPassword")
class ResetUserPasswordPayload:
    user: User | None = strawberry.field(description=_USER)
    temporary_password: str | None = resolved_by(
        resolve_temporary_password,
        description="Password that was generated, given in this answer alone; null where one was chosen",
    )
    delivery: list[Delivery] = strawberry.field(description="What became of the mails")
    user_errors: list[UserError] = strawberry.field(description=_ERRORS)
