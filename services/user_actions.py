"""Rules about people: who is shown, until when a deleted one can be restored, what can be done with whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from services.authorization import Caller, Permission
from services.models import RESTORE_WINDOW, User, UserStatus


class UserActionName(Enum):
    EDIT = "EDIT"
    MANAGE_LICENSES = "MANAGE_LICENSES"
    RESET_PASSWORD = "RESET_PASSWORD"
    DELETE = "DELETE"
    RESTORE = "RESTORE"


class ActionBlockReason(Enum):
    USER_DELETED = "USER_DELETED"
    USER_ACTIVE = "USER_ACTIVE"
    PRIVILEGED_TARGET = "PRIVILEGED_TARGET"
    DIRECTORY_SYNCED = "DIRECTORY_SYNCED"
    NOT_PERMITTED = "NOT_PERMITTED"
    TENANT_ACCESS_MISSING = "TENANT_ACCESS_MISSING"
    RESTORE_WINDOW_OVER = "RESTORE_WINDOW_OVER"


@dataclass(frozen=True, slots=True)
class Deletion:
    """Since when a user is deleted, and until when it can be restored.

    Partner Center keeps a deleted user for 30 days from `softDeletionTime` (UTC), then purges it.
    Source: learn.microsoft.com/partner-center/developer/restore-a-user-for-a-customer
    """

    deleted_at: datetime
    restorable_until: datetime
    days_left: int
    user: User


@dataclass(frozen=True, slots=True)
class UserAction:
    name: UserActionName
    allowed: bool
    reason: ActionBlockReason | None


PERMISSION_FOR = {
    UserActionName.EDIT: Permission.WRITE_USERS,
    UserActionName.MANAGE_LICENSES: Permission.WRITE_LICENSES,
    UserActionName.RESET_PASSWORD: Permission.RESET_PASSWORDS,
    UserActionName.DELETE: Permission.DELETE_USERS,
    UserActionName.RESTORE: Permission.DELETE_USERS,
}
_GUARDED = frozenset(UserActionName) - {UserActionName.RESTORE}
"""What only MANAGE_ADMINS may do to a user with a privileged role."""


def is_restorable(user: User, now: datetime) -> bool:
    """Whether a deleted user is still within the 30 days; at exactly 30 days it is over."""
    return user.deleted_at is None or now < user.deleted_at + RESTORE_WINDOW


def is_shown(user: User, now: datetime) -> bool:
    """Whether callers see the user at all: active, or deleted less than 30 days ago.

    Partner Center may list a deleted user for some time after the 30 days: hiding it is our part.
    """
    return user.status is UserStatus.ACTIVE or is_restorable(user, now)


def deletion_of(user: User, now: datetime) -> Deletion | None:
    """The deletion of a user; None for an active one."""
    if user.status is UserStatus.ACTIVE or user.deleted_at is None:
        return None
    until = user.deleted_at + RESTORE_WINDOW
    return Deletion(user.deleted_at, until, max(0, (until - now) // timedelta(days=1)), user)


def actions_on(user: User, now: Callable[[], datetime], caller: Caller, *, privileged: bool) -> list[UserAction]:
    """What the caller can do with the user, and why not: one entry an action, in one order.

    `privileged` says whether the user holds a privileged role, or may hold one for all that is known; it counts
    only without MANAGE_ADMINS.
    """

    def reason_against(name: UserActionName) -> ActionBlockReason | None:
        restoring = name is UserActionName.RESTORE
        if user.status is UserStatus.DELETED and not restoring:
            return ActionBlockReason.USER_DELETED
        if user.status is UserStatus.ACTIVE and restoring:
            return ActionBlockReason.USER_ACTIVE
        if restoring and not is_restorable(user, now()):
            return ActionBlockReason.RESTORE_WINDOW_OVER
        if not caller.may(PERMISSION_FOR[name]):
            return ActionBlockReason.NOT_PERMITTED
        if privileged and name in _GUARDED and not caller.may(Permission.MANAGE_ADMINS):
            return ActionBlockReason.PRIVILEGED_TARGET
        if name is UserActionName.DELETE and caller.is_person(user.microsoft_id, user.user_principal_name):
            return ActionBlockReason.NOT_PERMITTED
        if name is UserActionName.RESET_PASSWORD and (user.directory_synced or user.federated):
            return ActionBlockReason.DIRECTORY_SYNCED
        return None

    reasons = {name: reason_against(name) for name in UserActionName}
    return [UserAction(name, reason is None, reason) for name, reason in reasons.items()]
