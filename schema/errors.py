"""What stands in the way of a change, as data: a code for programs, words for people, the input field at fault."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from schema.binding import describe
from schema.skus import SubscribedSku
from schema.users import User
from services.outcomes import Problem
from services.outcomes import ProblemCode as ProblemCode

describe(
    ProblemCode,
    "Kind of obstacle to a change",
    name="UserErrorCode",
    NOT_FOUND="There is no such thing, or it is outside the viewer's scope",
    NOT_PERMITTED="The viewer lacks a permission, or nobody may do this",
    INVALID="An input field cannot be used",
    NONE_AVAILABLE="No unit of the product is left",
    USAGE_LOCATION_REQUIRED="The user needs a usage location first",
    LICENSE_CONFLICT="The product conflicts with another one, or needs one that the user lacks",
    NAME_TAKEN="The sign-in name belongs to somebody",
    USER_DELETED="The user is deleted and can only be restored",
    USER_ACTIVE="The user is not deleted",
    RESTORE_WINDOW_OVER="Deleted 30 days ago or longer",
    DIRECTORY_SYNCED="The user is mastered outside the cloud",
    PRIVILEGED_TARGET="The user holds a privileged role, or is the last who holds it",
    PASSWORD_POLICY="The password is not good enough",
    STALE_VERSION="The user was changed since it was read",
    IDEMPOTENCY_KEY_REUSED="The idempotency key was used with another input",
    TENANT_ACCESS_MISSING="The partner lacks a Microsoft role in the tenant",
    THROTTLED="Microsoft asks to wait",
    UPSTREAM_ERROR="Microsoft did not make the change",
    OUTCOME_UNKNOWN="Microsoft did not say whether the change was made",
)


@strawberry.interface(description="Something that stood in the way of a change, and that the caller can know or mend")
class UserError:
    code: ProblemCode = strawberry.field(description="Kind of obstacle, for programs")
    message: str = strawberry.field(description="Obstacle in plain words, for a person to read")
    field: list[str] | None = strawberry.field(
        description='Path of the input field at fault, such as ["input", "assign", "0", "skuId"]; '
        "null where no single field is"
    )
    retryable: bool = strawberry.field(description="Whether the same request can succeed later without a change")


def _is(obj: Any, *codes: ProblemCode) -> bool:
    return isinstance(obj, Problem) and obj.code in codes


@strawberry.type(description="No unit of a product is left")
class NoneAvailableError(UserError):
    sku: SubscribedSku = strawberry.field(description="Product of which no unit is left")
    available_units: int = strawberry.field(description="Units available, as Microsoft gives them: 0 or less")

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return _is(obj, ProblemCode.NONE_AVAILABLE) and obj.sku is not None


@strawberry.type(description="A sign-in name belongs to somebody")
class NameTakenError(UserError):
    holder: User | None = strawberry.field(
        description="Who has the name, possibly a deleted user; null where that could not be found out"
    )
    suggestions: list[str] = strawberry.field(description="Usernames that are free")

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return _is(obj, ProblemCode.NAME_TAKEN)


@strawberry.type(description="A deleted user can no longer be restored")
class RestoreWindowOverError(UserError):
    window_ended_at: datetime | None = strawberry.field(description="When the 30 days were over")

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return _is(obj, ProblemCode.RESTORE_WINDOW_OVER)


@strawberry.type(description="A password is not good enough")
class PasswordPolicyError(UserError):
    violations: list[str] = strawberry.field(description="Every rule that the password breaks, in plain words")

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return _is(obj, ProblemCode.PASSWORD_POLICY)


@strawberry.type(description="A user was changed since it was read")
class StaleVersionError(UserError):
    current: User = strawberry.field(description="The user as it is now")

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return _is(obj, ProblemCode.STALE_VERSION)


@strawberry.type(description="Microsoft asks to wait")
class ThrottledError(UserError):
    retry_after_seconds: int = strawberry.field(description="Seconds to wait before asking again")

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return _is(obj, ProblemCode.THROTTLED)


_CONCRETE = (
    NoneAvailableError,
    NameTakenError,
    RestoreWindowOverError,
    PasswordPolicyError,
    StaleVersionError,
    ThrottledError,
)


@strawberry.type(description="Obstacle that needs no more than its code and message")
class GenericError(UserError):
    @classmethod
    def is_type_of(cls, obj: Any, info: Any) -> bool:
        return isinstance(obj, Problem) and not any(kind.is_type_of(obj, info) for kind in _CONCRETE)


ERROR_TYPES = (*_CONCRETE, GenericError)
