"""Creating, changing, deleting and restoring users, and resetting passwords.

Sources: learn.microsoft.com/partner-center/developer/create-user-accounts-for-a-customer,
…/update-user-accounts-for-a-customer, …/delete-user-accounts-for-a-customer, …/restore-a-user-for-a-customer,
…/reset-user-password-for-a-customer. Refusals carry the texts of Microsoft Graph, which stands behind.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

from sandbox import refusals
from sandbox.asks import (
    DIRECTORY_WRITER,
    PRIVILEGED_AUTHENTICATION_ADMINISTRATOR,
    USER_ADMINISTRATOR,
    Ask,
    Operation,
    has_any_role,
)
from sandbox.licenses import free_units
from sandbox.members import Members
from sandbox.passwords import check_password
from sandbox.refusals import Refusal
from sandbox.users import purge_deleted_users, write_user
from sandbox.wire import Answer, Json
from sandbox.world import Customer, User

_UPN = re.compile(r"[A-Za-z0-9'._\-!#^~]{1,64}@[A-Za-z0-9.-]+\Z")
_LONGEST = {"firstName": 64, "lastName": 64, "displayName": 256, "phoneNumber": 64}
_USAGE_LOCATION = re.compile(r"[A-Za-z]{2}\Z")


def create_user(ask: Ask) -> Answer:
    members = ask.members()
    upn = _needed(members, "userPrincipalName")
    display_name = _needed(members, "displayName")
    usage_location = _usage_location(_needed(members, "usageLocation"))
    profile = members.members("passwordProfile")
    password = profile.text("password") if profile else None
    if not password and ask.state.switches.create_needs_password:
        raise _missing("passwordProfile")
    _check_lengths(members)
    _check_upn(ask, upn, None)
    immutable_id = members.text("immutableId") or None
    _check_immutable_id(ask.customer, immutable_id, None)
    if password:
        check_password(password, upn)
    user = User(
        id=str(uuid.uuid4()),
        user_principal_name=upn,
        display_name=display_name,
        first_name=members.text("firstName") or None,
        last_name=members.text("lastName") or None,
        usage_location=usage_location,
        immutable_id=immutable_id,
        phone_number=members.text("phoneNumber") or None,
        password=password,
        force_change_password=bool(profile and profile.flag("forceChangePassword")),
    )
    ask.customer.users[user.id] = user
    echo = _echo(password, forced=user.force_change_password) if password else None
    body = write_user(ask.customer.id, user, echo)
    _record(ask, "create_customer_user", user, body)
    return Answer(ask.state.switches.create_user_status, body)


def update_user(ask: Ask) -> Answer:
    """Merges what is sent; null leaves a member as it is, an empty text clears a name. `state` active
    restores."""
    purge_deleted_users(ask)
    members = ask.members()
    user = ask.user(deleted=True)
    state = (members.text("state") or "").lower()
    if state not in ("", "active", "inactive"):
        raise refusals.unknown_enum(members.text("state"))
    if user.deleted_at is not None:
        if state != "active":
            raise refusals.unknown_user()
        _restore(ask, user)
        body = write_user(ask.customer.id, user)
        _record(ask, "restore_customer_user", user, body)
        return Answer(200, body)
    if state == "inactive":
        raise refusals.invalid_property("Invalid value specified for property 'state' of resource 'User'.")
    profile = members.members("passwordProfile")
    before = write_user(ask.customer.id, user)
    changes = _read_changes(ask, members, user)
    password = profile.text("password") if profile else None
    if password:
        _check_password_right(ask, user)
        check_password(password, str(changes.get("user_principal_name", user.user_principal_name)))
    for name, value in changes.items():
        setattr(user, name, value)
    if password and profile:
        return _set_password(ask, user, password, profile)
    body = write_user(ask.customer.id, user)
    renamed = before["userPrincipalName"] != body["userPrincipalName"]
    operation = "update_customer_user_principal_name" if renamed else "update_customer_user"
    _record(ask, operation, user, body, before)
    return Answer(200, body)


def delete_user(ask: Ask) -> Answer:
    """Frees the user's licenses and starts the 30 days in which it can be restored."""
    user = ask.user()
    user.deleted_at = ask.state.clock.now()
    user.licenses_at_deletion, user.licenses = user.licenses, {}
    _record(ask, "delete_customer_user", user, None)
    return Answer(204)


def reset_password(ask: Ask) -> Answer:
    user = ask.user()
    _check_password_right(ask, user)
    profile = ask.members().members("passwordProfile")
    password = profile.text("password") if profile else None
    if profile is None or not password:
        raise _missing("passwordProfile")
    check_password(password, user.user_principal_name)
    return _set_password(ask, user, password, profile)


def update_user_by_query(ask: Ask) -> Answer:
    return update_user(_user_from_query(ask))


def delete_user_by_query(ask: Ask) -> Answer:
    return delete_user(_user_from_query(ask))


def _user_from_query(ask: Ask) -> Ask:
    ask.params["user_id"] = ask.query.first("user_id") or ""
    return ask


def _set_password(ask: Ask, user: User, password: str, profile: Members) -> Answer:
    user.password = password
    user.force_change_password = bool(profile.flag("forceChangePassword"))
    # The documented trace answers forceChangePassword false although true was sent.
    body = write_user(ask.customer.id, user, _echo(password, forced=False))
    _record(ask, "reset_customer_user_password", user, None)
    return Answer(200, body)


def _echo(password: str, *, forced: bool) -> Json:
    return {"forceChangePassword": forced, "password": password}


def _read_changes(ask: Ask, members: Members, user: User) -> dict[str, str | None]:
    changes: dict[str, str | None] = {}
    for member, attribute in (
        ("firstName", "first_name"),
        ("lastName", "last_name"),
        ("displayName", "display_name"),
        ("phoneNumber", "phone_number"),
        ("immutableId", "immutable_id"),
        ("userPrincipalName", "user_principal_name"),
    ):
        text = members.text(member)
        if text is not None and text != (getattr(user, attribute) or ""):
            changes[attribute] = text or None
    if changes and user.last_directory_sync_time is not None:
        raise refusals.invalid_property(refusals.SYNCED_OBJECT)
    _check_lengths(members)
    if "display_name" in changes and not changes["display_name"]:
        raise _invalid("displayName")
    if "user_principal_name" in changes:
        _check_upn(ask, changes["user_principal_name"] or "", user)
    if "immutable_id" in changes:
        _check_immutable_id(ask.customer, changes["immutable_id"], user)
    location = members.text("usageLocation")
    if location is not None:
        changes["usage_location"] = _usage_location(location)
    return changes


def _restore(ask: Ask, user: User) -> None:
    switches = ask.state.switches
    assert user.deleted_at is not None
    if ask.state.clock.now() - user.deleted_at > timedelta(days=switches.restorable_days):
        raise refusals.unknown_user()
    if _holder_of_upn(ask.customer, user.user_principal_name) is not None:
        raise refusals.invalid_property(refusals.DUPLICATE_UPN, switches.restore_conflict_status)
    user.deleted_at = None
    if switches.restore_assigns_licenses:
        for sku_id, switched_off in user.licenses_at_deletion.items():
            if free_units(ask.customer, sku_id) > 0:
                user.licenses[sku_id] = switched_off
    user.licenses_at_deletion = {}


def _check_password_right(ask: Ask, user: User) -> None:
    """Passwords of administrators need a stronger role than those of plain users."""
    needed = (PRIVILEGED_AUTHENTICATION_ADMINISTRATOR,) if user.roles else _PASSWORD_WRITERS
    if not has_any_role(ask.customer, needed):
        raise refusals.insufficient_privileges()


def _check_upn(ask: Ask, upn: str, user: User | None) -> None:
    domain = upn.rpartition("@")[2].lower()
    customer = ask.customer
    federated = {name.lower() for name in customer.federated_domains}
    managed = {name.lower() for name in (customer.initial_domain, *customer.custom_domains)} - federated
    if "@" not in upn or domain not in managed:
        raise refusals.invalid_property(refusals.UNVERIFIED_DOMAIN)
    if not _UPN.match(upn):
        raise _invalid("userPrincipalName")
    holder = _holder_of_upn(customer, upn)
    if holder is not None and holder is not user:
        raise refusals.invalid_property(refusals.DUPLICATE_UPN, ask.state.switches.duplicate_upn_status)


def _holder_of_upn(customer: Customer, upn: str) -> User | None:
    """A soft-deleted user does not keep its UPN from others."""
    name = upn.lower()
    for user in customer.users.values():
        if user.deleted_at is None and user.user_principal_name.lower() == name:
            return user
    return None


def _check_immutable_id(customer: Customer, immutable_id: str | None, user: User | None) -> None:
    if immutable_id and any(
        other.immutable_id == immutable_id and other is not user for other in customer.users.values()
    ):
        raise refusals.invalid_property(refusals.DUPLICATE_IMMUTABLE_ID)


def _check_lengths(members: Members) -> None:
    """Limits of the directory. Source: learn.microsoft.com/graph/api/resources/user"""
    for name, most in _LONGEST.items():
        if len(members.text(name) or "") > most:
            raise _invalid(name)


def _usage_location(text: str) -> str:
    if not _USAGE_LOCATION.match(text):
        raise _invalid("usageLocation")
    return text.upper()


def _needed(members: Members, name: str) -> str:
    text = members.text(name)
    if not text or not text.strip():
        raise _missing(name)
    return text


def _missing(name: str) -> Refusal:
    return refusals.invalid_property(f"A value is required for property '{name}' of resource 'User'.")


def _invalid(name: str) -> Refusal:
    return refusals.invalid_property(f"Invalid value specified for property '{name}' of resource 'User'.")


def _record(ask: Ask, operation: str, user: User, new: Json | None, old: Json | None = None) -> None:
    details = {"CustomerUserId": user.id, "UserPrincipalName": user.user_principal_name}
    ask.state.audit.record(ask, "customer_user", operation, new=new, old=old, details=details)


_USERS = "/customers/{customer_id}/users"
_USER = "/customers/{customer_id}/users/{user_id}"
_WRITERS = (USER_ADMINISTRATOR, DIRECTORY_WRITER)
_PASSWORD_WRITERS = (USER_ADMINISTRATOR, PRIVILEGED_AUTHENTICATION_ADMINISTRATOR)

OPERATIONS = (
    Operation("POST", _USERS, create_user, roles=_WRITERS),
    Operation("PATCH", _USERS, update_user_by_query, roles=_WRITERS),
    Operation("DELETE", _USERS, delete_user_by_query, roles=(USER_ADMINISTRATOR,)),
    Operation("PATCH", _USER, update_user, roles=_WRITERS),
    Operation("DELETE", _USER, delete_user, roles=(USER_ADMINISTRATOR,)),
    Operation("PATCH", f"{_USER}/resetpassword", reset_password, roles=_PASSWORD_WRITERS),
)
