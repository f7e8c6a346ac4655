"""Editing people: information and roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.authorization import Permission
from services.changes import Change, problem_of, require, require_for_privileged
from services.countries import country_name
from services.directory import require_active_user
from services.errors import Refused, RefusedReason, UpstreamError
from services.locks import Locks, user_lock
from services.lookups import ACTIVE_USERS, ROLE_MEMBERS, USER, USER_ROLES
from services.models import DirectoryRole, RoleRef, User, UserRef
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal
from services.partner_center.client import PartnerCenterClient
from services.writes import Applied, OutcomeUnknown

LONGEST_NAMES = {"first_name": 64, "last_name": 64, "display_name": 256}
"""Source: learn.microsoft.com/graph/api/resources/user (givenName, surname, displayName)"""
MOST_ROLES = 50
_FIELD_NAMES = {
    "first_name": "firstName",
    "last_name": "lastName",
    "display_name": "displayName",
    "usage_location": "usageLocation",
}
_ID: Field = ("input", "id")
_ROLES: Field = ("input", "roleIds")


@dataclass(frozen=True, slots=True)
class UserEdit:
    """What to change. `information` holds only what the caller named: a text, or None to clear it.

    `role_ids` are the roles afterwards; None leaves them alone.
    """

    information: Mapping[str, str | None]
    role_ids: Sequence[str] | None
    expected_version: str | None


@dataclass(frozen=True, slots=True)
class UserService:
    """Edits people."""

    partner_center: PartnerCenterClient
    locks: Locks

    async def update(self, change: Change, ref: UserRef, edit: UserEdit) -> Outcome:
        """Writes what differs: information first, then roles, additions before removals."""
        require(change.caller, Permission.WRITE_USERS)
        if edit.role_ids is not None:
            require(change.caller, Permission.WRITE_ROLES)
        problems = _invalid_information(edit.information)
        if problems:
            raise Refusal(*problems)
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            return await self._update(change, ref, edit)

    async def _update(self, change: Change, ref: UserRef, edit: UserEdit) -> Outcome:
        user = await require_active_user(self.partner_center, ref, _ID)
        change.user_principal_name = user.user_principal_name
        if edit.expected_version is not None and edit.expected_version != user.version and not change.resumed:
            message = f"{user.display_name} was changed in the meantime. Look at the current state and decide anew."
            field = ("input", "expectedVersion")
            raise Refusal(Problem(code=ProblemCode.STALE_VERSION, message=message, field=field, current=user))
        information = {
            name: value or ""
            for name, value in edit.information.items()
            if (getattr(user, name) or "") != (value or "")
        }
        _refuse_synced_names(user, information)
        added, removed = await self._role_changes(change, ref, edit.role_ids)
        changed = [_FIELD_NAMES[name] for name in information] + (["roleIds"] if added or removed else [])
        after = _edited(user, information)
        change.before = {_FIELD_NAMES[name]: getattr(user, name) for name in information}
        change.after = {_FIELD_NAMES[name]: value or None for name, value in information.items()}
        if added or removed:
            change.before["roleIds"] = [role.microsoft_id for role in removed]
            change.after["roleIds"] = [role.microsoft_id for role in added]
        if change.dry_run or not changed:
            return Outcome(user=after, changed_fields=tuple(changed))
        change.makes_stale(USER, ref)
        if information:
            change.makes_stale(ACTIVE_USERS, ref.tenant_id)
            await self.write_information(change, user, information)
        role_problem = await self._write_roles(change, after, added, removed)
        return Outcome(
            user=after,
            changed_fields=tuple(name for name in changed if name != "roleIds" or role_problem is None),
            user_errors=(role_problem,) if role_problem else (),
        )

    async def write_information(self, change: Change, user: User, information: Mapping[str, str]) -> None:
        """Writes names and usage location; an empty text clears a name."""

        async def read_back() -> Applied[User] | None:
            now = await self.partner_center.get_user(user.ref)
            return Applied(now) if all((getattr(now, k) or "") == v for k, v in information.items()) else None

        try:
            await change.write(
                "information",
                lambda request_id: self.partner_center.update_user(user.ref, information, request_id=request_id),
                read_back,
            )
        except Refused as error:
            raise Refusal(problem_of(error)) from error

    async def _role_changes(
        self, change: Change, ref: UserRef, role_ids: Sequence[str] | None
    ) -> tuple[list[DirectoryRole], list[DirectoryRole]]:
        """The roles to give and to take, read fresh; refuses what the caller may not do."""
        caller = change.caller
        if role_ids is None and caller.may(Permission.MANAGE_ADMINS):
            return [], []
        held = await self.partner_center.list_user_roles(ref)
        require_for_privileged(caller, held, _ID)
        if role_ids is None:
            return [], []
        offered = {role.microsoft_id: role for role in await self.partner_center.list_roles(ref.tenant_id)}
        problems = role_problems(change, role_ids, offered)
        if problems:
            raise Refusal(*problems)
        held_ids = {role.microsoft_id for role in held}
        added = [offered[role_id] for role_id in dict.fromkeys(role_ids) if role_id not in held_ids]
        return added, [role for role in held if role.microsoft_id not in role_ids]

    async def _write_roles(
        self, change: Change, user: User, added: Sequence[DirectoryRole], removed: Sequence[DirectoryRole]
    ) -> Problem | None:
        """Gives and takes roles one by one; the first that fails ends it and is told at `roleIds`."""
        change.makes_stale(USER_ROLES, user.ref)
        change.makes_stale(ROLE_MEMBERS, *(RoleRef(user.tenant_id, role.microsoft_id) for role in [*added, *removed]))
        try:
            for role in added:
                await self.add_role(change, user, role)
            for role in removed:
                await self._remove_role(change, user, role)
        except (UpstreamError, OutcomeUnknown) as error:
            problem = problem_of(error, _ROLES)
            message = f"Not all roles were changed: {problem.message} Repeating the change is safe."
            return replace(problem, message=message)
        return None

    async def add_role(self, change: Change, user: User, role: DirectoryRole) -> None:
        """Gives one role; done also where the user holds it already."""
        ref = RoleRef(user.tenant_id, role.microsoft_id)
        try:
            await change.write(
                f"add-role-{role.microsoft_id}",
                lambda request_id: self.partner_center.add_role_member(ref, user, request_id=request_id),
                lambda: self._holds(user.ref, role, wanted=True),
            )
        except Refused as error:
            if error.reason is not RefusedReason.ALREADY_THERE:
                raise

    async def _remove_role(self, change: Change, user: User, role: DirectoryRole) -> None:
        ref = RoleRef(user.tenant_id, role.microsoft_id)
        await change.write(
            f"remove-role-{role.microsoft_id}",
            lambda request_id: self.partner_center.remove_role_member(ref, user.microsoft_id, request_id=request_id),
            lambda: self._holds(user.ref, role, wanted=False),
        )

    async def _holds(self, ref: UserRef, role: DirectoryRole, *, wanted: bool) -> Applied[None] | None:
        held = {one.microsoft_id for one in await self.partner_center.list_user_roles(ref)}
        return Applied(None) if (role.microsoft_id in held) is wanted else None


def _edited(user: User, information: Mapping[str, str]) -> User:
    after: dict[str, Any] = {name: value or None for name, value in information.items()}
    return replace(user, **after)


def role_problems(change: Change, role_ids: Sequence[str], offered: Mapping[str, DirectoryRole]) -> list[Problem]:
    """What is wrong with a list of roles to give: unknown ones, and privileged ones without MANAGE_ADMINS."""
    found = []
    for index, role_id in enumerate(role_ids):
        field = (*_ROLES, str(index))
        role = offered.get(role_id)
        if role is None:
            message = f"The tenant has no directory role {role_id}."
            found.append(Problem(code=ProblemCode.NOT_FOUND, message=message, field=field))
        elif role.privileged and not change.caller.may(Permission.MANAGE_ADMINS):
            message = f"Giving the role {role.name} needs the permission MANAGE_ADMINS."
            found.append(Problem(code=ProblemCode.NOT_PERMITTED, message=message, field=field))
    if len(role_ids) > MOST_ROLES:
        message = f"At most {MOST_ROLES} roles can be given."
        found.append(Problem(code=ProblemCode.INVALID, message=message, field=_ROLES))
    return found


def name_problems(information: Mapping[str, str | None]) -> list[Problem]:
    """What is wrong with the names: an empty display name, and any that is too long or not one line."""
    found = []
    for name, longest in LONGEST_NAMES.items():
        if name not in information:
            continue
        value, field = information[name], ("input", _FIELD_NAMES[name])
        if name == "display_name" and not (value or "").strip():
            message = "A display name cannot be empty."
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=field))
        elif value is not None and (len(value) > longest or not value.isprintable()):
            message = f"{_FIELD_NAMES[name]} can have at most {longest} characters, all on one line."
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=field))
    return found


def location_problem(country: str | None) -> Problem | None:
    """What is wrong with a usage location: not given, or no country."""
    if country is not None and country_name(country):
        return None
    message = (
        "A usage location cannot be cleared."
        if country is None
        else f"{country} is no country code of ISO 3166-1 alpha-2, such as GR."
    )
    return Problem(code=ProblemCode.INVALID, message=message, field=("input", "usageLocation"))


def _invalid_information(information: Mapping[str, str | None]) -> list[Problem]:
    found = name_problems(information)
    if "usage_location" in information and (problem := location_problem(information["usage_location"])):
        found.append(problem)
    return found


def _refuse_synced_names(user: User, information: Mapping[str, str]) -> None:
    names = [name for name in information if name in LONGEST_NAMES]
    if user.directory_synced and names:
        message = f"{user.display_name} is mastered in the customer's own directory; names have to be changed there."
        raise Refusal(
            *(
                Problem(code=ProblemCode.DIRECTORY_SYNCED, message=message, field=("input", _FIELD_NAMES[name]))
                for name in names
            )
        )
