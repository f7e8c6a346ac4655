"""The 30 days of a deleted user to the second, and the order in which reasons are given."""

from datetime import UTC, datetime, timedelta

import pytest

from services.authorization import Caller, Permission, ViewerKind
from services.models import User, UserStatus
from services.user_actions import (
    PERMISSION_FOR,
    ActionBlockReason,
    UserActionName,
    actions_on,
    deletion_of,
    is_restorable,
    is_shown,
)

NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
WINDOW = timedelta(days=30)
SECOND = timedelta(seconds=1)


def user(deleted_at=None, *, status=None, synced=False, federated=False):
    return User(
        tenant_id="4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04",
        microsoft_id="a9ef48bb-8758-4590-a312-d4a47bfaded4",
        user_principal_name="ada@contoso.onmicrosoft.com",
        display_name="Ada",
        first_name=None,
        last_name=None,
        usage_location="US",
        status=status or (UserStatus.DELETED if deleted_at else UserStatus.ACTIVE),
        directory_synced=synced,
        federated=federated,
        deleted_at=deleted_at,
        as_of=NOW,
    )


def caller(*lacking):
    return Caller(
        subject="me",
        issuer="issuer",
        name="Me",
        kind=ViewerKind.PARTNER,
        permissions=frozenset(Permission) - set(lacking),
    )


def reasons(of, *, who=None, privileged=False, now=NOW):
    actions = actions_on(of, lambda: now, who or caller(), privileged=privileged)
    assert [action.name for action in actions] == list(UserActionName)
    assert all(action.allowed is (action.reason is None) for action in actions)
    return {action.name.value: action.reason and action.reason.value for action in actions}


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(), True),
        (WINDOW - timedelta(microseconds=1), True),
        (WINDOW, False),
        (WINDOW + SECOND, False),
        (-SECOND, True),
    ],
)
def test_at_exactly_30_days_a_deleted_user_is_no_longer_there(ago, shown):
    assert is_restorable(user(NOW - ago), NOW) is shown
    assert is_shown(user(NOW - ago), NOW) is shown


def test_an_active_user_is_always_shown():
    assert is_shown(user(), NOW)


def test_a_deleted_user_whose_time_of_deletion_is_not_known_is_shown():
    """Hiding somebody who may still be restored would be worse than showing one who may not."""
    assert is_shown(user(status=UserStatus.DELETED), NOW)
    assert deletion_of(user(status=UserStatus.DELETED), NOW) is None


@pytest.mark.parametrize(
    ("ago", "days"),
    [
        (timedelta(), 30),
        (SECOND, 29),
        (timedelta(days=1), 29),
        (timedelta(days=1) + SECOND, 28),
        (WINDOW - timedelta(days=1), 1),
        (WINDOW - SECOND, 0),
        (WINDOW + timedelta(days=5), 0),
        (-timedelta(hours=1), 30),
    ],
)
def test_days_left_are_whole_days_rounded_down_and_never_negative(ago, days):
    deletion = deletion_of(user(NOW - ago), NOW)

    assert deletion is not None
    assert deletion.days_left == days
    assert deletion.restorable_until == NOW - ago + WINDOW


def test_an_active_user_has_no_deletion():
    assert deletion_of(user(), NOW) is None


def test_restoring_is_over_at_30_days():
    assert reasons(user(NOW - WINDOW))["RESTORE"] == ActionBlockReason.RESTORE_WINDOW_OVER.value
    assert reasons(user(NOW - WINDOW + SECOND))["RESTORE"] is None


def test_the_end_of_the_window_is_named_before_a_missing_permission():
    assert reasons(user(NOW - WINDOW), who=caller(Permission.DELETE_USERS))["RESTORE"] == "RESTORE_WINDOW_OVER"


@pytest.mark.parametrize("name", UserActionName)
def test_every_action_has_its_permission(name):
    lacking = PERMISSION_FOR[name]
    of = user(NOW - SECOND) if name is UserActionName.RESTORE else user()

    assert reasons(of, who=caller(lacking))[name.value] == "NOT_PERMITTED"
    assert reasons(of)[name.value] is None


def test_a_privileged_user_is_changed_with_manage_admins_alone():
    assert reasons(user(), privileged=True) == dict.fromkeys(reasons(user())) | {"RESTORE": "USER_ACTIVE"}
    assert reasons(user(), privileged=True, who=caller(Permission.MANAGE_ADMINS)) == {
        "EDIT": "PRIVILEGED_TARGET",
        "MANAGE_LICENSES": "PRIVILEGED_TARGET",
        "RESET_PASSWORD": "PRIVILEGED_TARGET",
        "DELETE": "PRIVILEGED_TARGET",
        "RESTORE": "USER_ACTIVE",
    }


@pytest.mark.parametrize("of", [user(synced=True), user(federated=True)])
def test_passwords_mastered_elsewhere_cannot_be_reset_and_all_else_can_be_done(of):
    assert reasons(of) == {
        "EDIT": None,
        "MANAGE_LICENSES": None,
        "RESET_PASSWORD": "DIRECTORY_SYNCED",
        "DELETE": None,
        "RESTORE": "USER_ACTIVE",
    }


def test_a_deleted_user_can_only_be_restored():
    assert reasons(user(NOW - SECOND)) == {
        "EDIT": "USER_DELETED",
        "MANAGE_LICENSES": "USER_DELETED",
        "RESET_PASSWORD": "USER_DELETED",
        "DELETE": "USER_DELETED",
        "RESTORE": None,
    }
