"""The changes. One mutation is one press of a button: everything is checked before anything is written."""

from __future__ import annotations

import strawberry

from resolvers.jobs import cancel_job, update_licenses_in_bulk
from resolvers.license_changes import update_user_licenses
from resolvers.user_changes import create_user, delete_user, reset_user_password, restore_user, update_user
from schema.binding import resolved_by
from schema.jobs import JobPayload
from schema.payloads import (
    CreateUserPayload,
    DeleteUserPayload,
    ResetUserPasswordPayload,
    RestoreUserPayload,
    UpdateUserLicensesPayload,
    UpdateUserPayload,
)


@strawberry.type(description="What can be changed. Each change is checked as a whole before anything is written")
class Mutation:
    create_user: CreateUserPayload = resolved_by(
        create_user,
        description="Creates a person: user, then roles, then licenses, then the mail with the password. "
        "A later part that fails does not hide the user that now exists. Needs WRITE_USERS",
    )
    update_user: UpdateUserPayload = resolved_by(
        update_user,
        description="Edits a person's information and roles. Only what differs is written. Needs WRITE_USERS",
    )
    update_user_licenses: UpdateUserLicensesPayload = resolved_by(
        update_user_licenses,
        description="Applies one change set of license toggles. Only the products named move. Takes a write for each "
        "license group and two reads; one more for the user's record where that is selected, or must show the location "
        "of somebody without a license or to a dry run, and one for the roles without MANAGE_ADMINS. "
        "Needs WRITE_LICENSES",
    )
    delete_user: DeleteUserPayload = resolved_by(
        delete_user,
        description="Deletes a user. Their licenses come free at once; the user can be restored for 30 days. "
        "Needs DELETE_USERS",
    )
    restore_user: RestoreUserPayload = resolved_by(
        restore_user,
        description="Restores a user deleted less than 30 days ago. Which licenses come back is Microsoft's decision. "
        "Needs DELETE_USERS",
    )
    reset_user_password: ResetUserPasswordPayload = resolved_by(
        reset_user_password,
        description="Sets another password and tells it by mail. Needs RESET_PASSWORDS",
    )
    update_licenses_in_bulk: JobPayload = resolved_by(
        update_licenses_in_bulk,
        description="Applies the same change set for many users, as a job whose progress can be followed. "
        "Needs WRITE_LICENSES",
    )
    cancel_job: JobPayload = resolved_by(
        cancel_job,
        description="Ends a job before its next user; those that were changed stay so. Needs WRITE_LICENSES",
    )
