"""The mutations about people."""

from __future__ import annotations

from functools import partial

from resolvers.context import Info
from resolvers.license_changes import toggle
from resolvers.outcomes import change_tenant, change_user
from resolvers.tenants import tenant_record
from schema.change_inputs import (
    CreateUserInput,
    DeleteUserInput,
    PasswordInput,
    ResetUserPasswordInput,
    RestoreUserInput,
    UpdateUserInput,
)
from services.authorization import Permission
from services.changes import Change
from services.models import UserRef
from services.new_users import NewUserRequest, needed_permissions
from services.outcomes import Outcome
from services.password_changes import PasswordChoice
from services.secret import Secret
from services.users import UserEdit, forbidden_roles


async def create_user(info: Info, input: CreateUserInput) -> Outcome:
    wanted = NewUserRequest(
        username=input.username,
        domain=input.domain,
        display_name=input.display_name,
        first_name=input.first_name,
        last_name=input.last_name,
        usage_location=input.usage_location,
        role_ids=list(input.role_ids or ()),
        licenses=[toggle(one) for one in input.licenses or ()],
        password=_choice(input.password),
        send_to=list(input.send_password_to or ()),
    )

    async def create(change: Change, tenant_id: str) -> Outcome:
        return await info.context.changes.new_users.create(change, partial(tenant_record, info, tenant_id), wanted)

    needed, forbidden = needed_permissions(wanted), forbidden_roles(info.context.caller, wanted.role_ids)
    return await change_tenant(info, "createUser", input, input.tenant_id, needed, create, forbidden)


async def update_user(info: Info, input: UpdateUserInput) -> Outcome:
    given = {
        "first_name": input.first_name,
        "last_name": input.last_name,
        "display_name": input.display_name,
        "usage_location": input.usage_location,
    }
    information = {name: some.value for name, some in given.items() if some is not None}
    edit = UserEdit(information, input.role_ids, input.expected_version)

    async def update(change: Change, ref: UserRef) -> Outcome:
        return await info.context.changes.users.update(change, ref, edit)

    permissions = [Permission.WRITE_USERS, *([] if input.role_ids is None else [Permission.WRITE_ROLES])]
    forbidden = forbidden_roles(info.context.caller, input.role_ids or ())
    return await change_user(info, "updateUser", input, input.id, permissions, update, forbidden)


async def delete_user(info: Info, input: DeleteUserInput) -> Outcome:
    async def delete(change: Change, ref: UserRef) -> Outcome:
        return await info.context.changes.deletions.delete(change, ref)

    return await change_user(info, "deleteUser", input, input.id, Permission.DELETE_USERS, delete)


async def restore_user(info: Info, input: RestoreUserInput) -> Outcome:
    async def restore(change: Change, ref: UserRef) -> Outcome:
        return await info.context.changes.deletions.restore(change, ref)

    return await change_user(info, "restoreUser", input, input.id, Permission.DELETE_USERS, restore)


async def reset_user_password(info: Info, input: ResetUserPasswordInput) -> Outcome:
    async def reset(change: Change, ref: UserRef) -> Outcome:
        choice, send_to = _choice(input.password), list(input.send_password_to or ())
        find_tenant = partial(tenant_record, info, ref.tenant_id)
        return await info.context.changes.passwords.reset(change, ref, choice, send_to, find_tenant)

    return await change_user(info, "resetUserPassword", input, input.id, Permission.RESET_PASSWORDS, reset)


def _choice(input: PasswordInput) -> PasswordChoice:
    value = None if input.value is None else Secret(input.value)
    return PasswordChoice(value, must_change=input.force_change_at_next_sign_in is not False)
