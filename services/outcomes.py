"""What a change came to: the object after it, its effects on units, and the problems that callers can mend.

Records without behaviour; all but the temporary password can be written as JSON, so that a repeat of the
request can be given the first answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from msgspec import structs

from services.errors import GatewayError
from services.mailer import Delivery
from services.models import SubscribedSku, User, UserRef
from services.secret import Secret


class ProblemCode(Enum):
    """Stable codes of what stands in the way of a change."""

    NOT_FOUND = "NOT_FOUND"
    NOT_PERMITTED = "NOT_PERMITTED"
    INVALID = "INVALID"
    NONE_AVAILABLE = "NONE_AVAILABLE"
    USAGE_LOCATION_REQUIRED = "USAGE_LOCATION_REQUIRED"
    LICENSE_CONFLICT = "LICENSE_CONFLICT"
    NAME_TAKEN = "NAME_TAKEN"
    USER_DELETED = "USER_DELETED"
    USER_ACTIVE = "USER_ACTIVE"
    RESTORE_WINDOW_OVER = "RESTORE_WINDOW_OVER"
    DIRECTORY_SYNCED = "DIRECTORY_SYNCED"
    PRIVILEGED_TARGET = "PRIVILEGED_TARGET"
    PASSWORD_POLICY = "PASSWORD_POLICY"
    STALE_VERSION = "STALE_VERSION"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    TENANT_ACCESS_MISSING = "TENANT_ACCESS_MISSING"
    THROTTLED = "THROTTLED"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


Field = tuple[str, ...]
"""Path of an input field, such as ("input", "assign", "0", "skuId")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that stands in the way. `message` is for a person; `retryable`: the same can succeed later."""

    code: ProblemCode
    message: str
    field: Field | None = None
    retryable: bool = False
    sku: SubscribedSku | None = None
    """The product of which no unit is left (NONE_AVAILABLE)."""
    available_units: int = 0
    holder: User | None = None
    """Who holds the name (NAME_TAKEN), if that could be found out."""
    suggestions: tuple[str, ...] = ()
    window_ended_at: datetime | None = None
    violations: tuple[str, ...] = ()
    current: User | None = None
    """The user as it is now (STALE_VERSION)."""
    retry_after_seconds: int = 0


class Refusal(GatewayError):
    """A change that is not made, with every problem that was found."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LicenseEffect:
    """What a change did, or would do, to one product's units. `sku` holds the figures after it."""

    sku: SubscribedSku
    change: int
    consumed_units_before: int
    consumed_units_after: int
    available_units_before: int
    available_units_after: int
    forecast: bool
    """True for a dry run: nothing was changed."""
    predicted: bool | None = None
    """Whether Microsoft showed other figures right after the change; None where nobody has looked."""


def effect_on(sku: SubscribedSku, change: int, *, forecast: bool) -> LicenseEffect:
    """The effect of giving out (positive) or taking back (negative) units of a product, from its figures before."""
    consumed, available = sku.consumed_units + change, sku.available_units - change
    return LicenseEffect(
        sku=structs.replace(sku, consumed_units=consumed, available_units=available),
        change=change,
        consumed_units_before=sku.consumed_units,
        consumed_units_after=consumed,
        available_units_before=sku.available_units,
        available_units_after=available,
        forecast=forecast,
    )


def effect_seen(sku: SubscribedSku, change: int) -> LicenseEffect:
    """The effect of a change that was made already, from the product's figures after it."""
    before = structs.replace(
        sku, consumed_units=sku.consumed_units - change, available_units=sku.available_units + change
    )
    return effect_on(before, change, forecast=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The payload of a mutation about one user."""

    user: User | None = None
    unread: UserRef | None = None
    """The user, where nothing had to be read of it but its licenses."""
    changed_fields: tuple[str, ...] = ()
    effects: tuple[LicenseEffect, ...] = ()
    delivery: tuple[Delivery, ...] = ()
    user_errors: tuple[Problem, ...] = ()
    temporary_password: Secret | None = field(default=None, repr=False)
