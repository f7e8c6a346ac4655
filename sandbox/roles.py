"""Directory roles and their members.

A role's id is the directory's template id, the same in every tenant. Sources:
learn.microsoft.com/partner-center/developer/get-user-roles-for-a-customer, …/set-user-roles-for-a-customer,
…/remove-customer-user-from-a-role.
"""

from __future__ import annotations

from sandbox import refusals
from sandbox.asks import (
    DIRECTORY_READER,
    DIRECTORY_WRITER,
    GLOBAL_READER,
    PRIVILEGED_ROLE_ADMINISTRATOR,
    USER_ADMINISTRATOR,
    Ask,
    Operation,
)
from sandbox.paging import Listing
from sandbox.wire import Answer, Json, attributes, collection, is_guid
from sandbox.world import User


def list_roles(ask: Ask) -> Answer:
    roles = [_role(role_id, name) for role_id, name in ask.state.world.roles.items()]
    return Answer(200, collection(roles))


def list_user_roles(ask: Ask) -> Answer:
    user = ask.user()
    roles = [_role(role_id, name) for role_id, name in ask.state.world.roles.items() if role_id in user.roles]
    return Answer(200, collection(roles))


def list_members(ask: Ask) -> Answer:
    role_id = _role_id(ask)
    listing = Listing.read(ask, f"/customers/{ask.customer.id}/directoryroles/{role_id}/usermembers")
    page = listing.page(
        list(ask.customer.users.values()),
        lambda user: role_id in user.roles and user.deleted_at is None,
        lambda user: _member(role_id, user),
        lambda user: user.id,
        ask.state.switches.users_page_size,
    )
    return Answer(200, page)


def add_member(ask: Ask) -> Answer:
    role_id = _role_id(ask)
    user_id = (ask.members().text("id") or "").lower()
    if not is_guid(user_id):
        raise refusals.not_a_guid("Id")
    user = ask.user_by_id(user_id)
    if role_id in user.roles:
        raise refusals.invalid_property(refusals.MEMBER_EXISTS)
    user.roles.add(role_id)
    body = _member(role_id, user)
    _record(ask, "add_user_member", role_id, user, body)
    return Answer(201, body)


def remove_member(ask: Ask) -> Answer:
    role_id = _role_id(ask)
    user = ask.user()
    if role_id not in user.roles:
        raise refusals.not_found()
    user.roles.discard(role_id)
    _record(ask, "remove_user_member", role_id, user, None)
    return Answer(204)


def add_member_by_query(ask: Ask) -> Answer:
    ask.params["role_id"] = ask.query.first("role_id") or ""
    return add_member(ask)


def remove_member_by_query(ask: Ask) -> Answer:
    ask.params["role_id"] = ask.query.first("role_id") or ""
    ask.params["user_id"] = ask.query.first("member_id") or ""
    return remove_member(ask)


def _role_id(ask: Ask) -> str:
    role_id = ask.guid("role_id", "Role Id")
    if role_id not in ask.state.world.roles:
        raise refusals.not_found()
    return role_id


def _role(role_id: str, name: str) -> Json:
    return {"name": name, "id": role_id, "attributes": attributes("DirectoryRole")}


def _member(role_id: str, user: User) -> Json:
    return {
        "displayName": user.display_name,
        "userPrincipalName": user.user_principal_name,
        "roleId": role_id,
        "id": user.id,
        "attributes": attributes("UserMember"),
    }


def _record(ask: Ask, operation: str, role_id: str, user: User, new: Json | None) -> None:
    details = {"CustomerUserId": user.id, "DirectoryRoleId": role_id}
    ask.state.audit.record(ask, "customer_directory_role", operation, new=new, details=details)


_ROLES = "/customers/{customer_id}/directoryroles"
_MEMBERS = f"{_ROLES}/{{role_id}}/usermembers"
_READERS = (
    DIRECTORY_READER,
    GLOBAL_READER,
    USER_ADMINISTRATOR,
    PRIVILEGED_ROLE_ADMINISTRATOR,
    DIRECTORY_WRITER,
)

OPERATIONS = (
    Operation("GET", _ROLES, list_roles, roles=(DIRECTORY_READER,)),
    Operation("GET", "/customers/{customer_id}/users/{user_id}/directoryroles", list_user_roles, roles=_READERS),
    Operation("GET", _MEMBERS, list_members, roles=_READERS),
    Operation("POST", _MEMBERS, add_member, roles=(PRIVILEGED_ROLE_ADMINISTRATOR,)),
    Operation("DELETE", f"{_MEMBERS}/{{user_id}}", remove_member, roles=(PRIVILEGED_ROLE_ADMINISTRATOR,)),
    # Forms of the older swagger, which generated clients still send.
    Operation("POST", _ROLES, add_member_by_query, roles=(PRIVILEGED_ROLE_ADMINISTRATOR,)),
    Operation("DELETE", _ROLES, remove_member_by_query, roles=(PRIVILEGED_ROLE_ADMINISTRATOR,)),
)
