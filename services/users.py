"""Editing people: information and roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from services.authorization import Caller, Permission
from services.changes import Change, privileged_problems, problem_of, together_with
from services.countries import country_name
from services.directory import require_active_user
from services.errors import NotFound, Refused, RefusedReason, UpstreamError
from services.locks import Locks, user_lock
from services.lookups import ACTIVE_USERS, ROLE_MEMBERS, USER, USER_ROLES
from services.models import DirectoryRole, RoleRef, User, UserRef
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal
from services.partner_center.client import PartnerCenterClient
from services.privileged_roles import is_privileged
from services.writes import Applied, OutcomeUnknown

LONGEST_NAMES = {"first_name": 64, "last_name": 64, "display_name": 256}
"""Source: learn.microsoft.com/graph/api/resources/user (givenName, surname, displayName)"""
MOST_ROLES = 50
FIELD_NAMES = {
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
class _Plan:
    """A change that may be made. `information` is what differs; roles are those held now, and afterwards."""

    user: User
    information: Mapping[str, str]
    held: Sequence[DirectoryRole]
    wanted_roles: Sequence[DirectoryRole]

    @property
    def added(self) -> list[DirectoryRole]:
        return _beside(self.wanted_roles, self.held)

    @property
    def removed(self) -> list[DirectoryRole]:
        return _beside(self.held, self.wanted_roles)

    @property
    def changed_fields(self) -> tuple[str, ...]:
        names = [FIELD_NAMES[name] for name in self.information]
        return (*names, "roleIds") if self.added or self.removed else tuple(names)

    def before(self) -> dict[str, Any]:
        fields: dict[str, Any] = {FIELD_NAMES[name]: getattr(self.user, name) for name in self.information}
        return fields | self._roles(self.held)

    def wanted(self) -> dict[str, Any]:
        fields: dict[str, Any] = {FIELD_NAMES[name]: value or None for name, value in self.information.items()}
        return fields | self._roles(self.wanted_roles)

    def _roles(self, roles: Sequence[DirectoryRole]) -> dict[str, Any]:
        changed = self.added or self.removed
        return {"roleIds": sorted(role.microsoft_id for role in roles)} if changed else {}


@dataclass(frozen=True, slots=True)
class UserService:
    """Edits people."""

    partner_center: PartnerCenterClient
    locks: Locks

    async def update(self, change: Change, ref: UserRef, edit: UserEdit) -> Outcome:
        """Writes what differs: information first, then roles, additions before removals."""
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            with together_with(_invalid_edit(edit)):
                plan = await self._checked(change, ref, edit)
            change.plans(plan.before(), plan.wanted())
            changed = plan.changed_fields
            if change.dry_run or not changed:
                return Outcome(user=_edited(plan.user, plan.information), changed_fields=changed)
            return await self._made(change, plan)

    async def _checked(self, change: Change, ref: UserRef, edit: UserEdit) -> _Plan:
        """What is to be written, decided on fresh reads; refuses with all that stands in the way."""
        user = await require_active_user(self.partner_center, ref, _ID, change.now())
        change.user_principal_name = user.user_principal_name
        held, offered = await self._roles(change, ref, edit.role_ids)
        information = {
            name: value or ""
            for name, value in edit.information.items()
            if (getattr(user, name) or "") != (value or "")
        }
        problems = [
            *privileged_problems(change.caller, held, _ID),
            *([] if change.resumed else _stale_version(user, edit.expected_version)),
            *_synced_names(user, information),
        ]
        wanted = held if edit.role_ids is None else _wanted_roles(edit.role_ids, offered)
        if edit.role_ids is not None:
            problems += role_problems(change, edit.role_ids, offered)
        if problems:
            raise Refusal(*problems)
        return _Plan(user, information, held, wanted)

    async def _roles(
        self, change: Change, ref: UserRef, role_ids: Sequence[str] | None
    ) -> tuple[list[DirectoryRole], dict[str, DirectoryRole]]:
        """The roles that the user holds, and those that can be given; neither is asked for where it decides nothing."""
        if role_ids is None and change.caller.may(Permission.MANAGE_ADMINS):
            return [], {}
        held = await self.partner_center.list_user_roles(ref)
        offered = {role.microsoft_id: role for role in held}
        if role_ids is not None and not offered.keys() >= set(role_ids):
            offered |= {role.microsoft_id: role for role in await self.partner_center.list_roles(ref.tenant_id)}
        return held, offered

    async def _made(self, change: Change, plan: _Plan) -> Outcome:
        user, ref = plan.user, plan.user.ref
        if plan.information:
            change.makes_stale(USER, ref)
            change.makes_stale(ACTIVE_USERS, ref.tenant_id)
            user = await self.write_information(change, user, plan.information)
        problem = await self._write_roles(change, user, plan)
        changed = plan.changed_fields
        if change.after.get("roleIds") == change.before.get("roleIds"):
            changed = tuple(name for name in changed if name != "roleIds")
        return Outcome(user=user, changed_fields=changed, user_errors=(problem,) if problem else ())

    async def write_information(self, change: Change, user: User, information: Mapping[str, str]) -> User:
        """Writes names and usage location, and gives the user as it is then; an empty text clears a name."""

        async def read_back() -> Applied[User] | None:
            now = await self.partner_center.get_user(user.ref)
            return Applied(now) if all((getattr(now, k) or "") == v for k, v in information.items()) else None

        try:
            edited = await change.write(
                "information",
                lambda request_id: self.partner_center.update_user(user.ref, information, request_id=request_id),
                read_back,
                lambda _: change.after.update(
                    {FIELD_NAMES[name]: value or None for name, value in information.items()}
                ),
            )
        except Refused as error:
            fields = {
                RefusedReason.USAGE_LOCATION: "usageLocation",
                RefusedReason.DIRECTORY_SYNCED: FIELD_NAMES[next(iter(information))],
            }
            name = fields.get(error.reason)
            raise Refusal(problem_of(error, ("input", name) if name else None, nothing_written=True)) from error
        return edited

    async def _write_roles(self, change: Change, user: User, plan: _Plan) -> Problem | None:
        """Gives and takes roles one by one; the first that fails ends it and is told at `roleIds`."""
        if not plan.added and not plan.removed:
            return None
        change.makes_stale(USER_ROLES, user.ref)
        change.makes_stale(ROLE_MEMBERS, *(RoleRef(user.tenant_id, one.microsoft_id) for one in plan.added))
        try:
            for role in plan.added:
                await self.add_role(change, user, role)
            for role in plan.removed:
                await self._remove_role(change, user, role)
        except (UpstreamError, OutcomeUnknown) as error:
            if not change.applied:
                raise Refusal(problem_of(error, _ROLES, nothing_written=True)) from error
            problem = problem_of(error, _ROLES)
            message = f"Not all roles were changed. {problem.message} Repeating the change is safe."
            return replace(problem, message=message)
        return None

    async def add_role(self, change: Change, user: User, role: DirectoryRole) -> None:
        """Gives one role; done also where the user holds it already."""
        ref = RoleRef(user.tenant_id, role.microsoft_id)

        def made(_: None) -> None:
            change.after["roleIds"] = sorted({*change.after.get("roleIds", ()), role.microsoft_id})

        try:
            await change.write(
                f"add-role-{role.microsoft_id}",
                lambda request_id: self.partner_center.add_role_member(ref, user, request_id=request_id),
                lambda: self._holds(user.ref, role, wanted=True),
                made,
            )
        except Refused as error:
            if error.reason is not RefusedReason.ALREADY_THERE:
                raise
            made(None)

    async def _remove_role(self, change: Change, user: User, role: DirectoryRole) -> None:
        """Takes one role; done also where the user holds it no more."""
        ref = RoleRef(user.tenant_id, role.microsoft_id)

        def made(_: None) -> None:
            change.after["roleIds"] = sorted(set(change.after["roleIds"]) - {role.microsoft_id})

        try:
            await change.write(
                f"remove-role-{role.microsoft_id}",
                lambda request_id: self.partner_center.remove_role_member(
                    ref, user.microsoft_id, request_id=request_id
                ),
                lambda: self._holds(user.ref, role, wanted=False),
                made,
            )
        except NotFound:
            # Whose absence it is, the role's or the user's, is not said.
            if not await self._holds(user.ref, role, wanted=False):
                raise
            made(None)

    async def _holds(self, ref: UserRef, role: DirectoryRole, *, wanted: bool) -> Applied[None] | None:
        held = {one.microsoft_id for one in await self.partner_center.list_user_roles(ref)}
        return Applied(None) if (role.microsoft_id in held) is wanted else None


def _edited(user: User, information: Mapping[str, str]) -> User:
    after: dict[str, Any] = {name: value or None for name, value in information.items()}
    return structs.replace(user, **after)


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
        value, field = information[name], ("input", FIELD_NAMES[name])
        if name == "display_name" and not (value or "").strip():
            message = "A display name cannot be empty."
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=field))
        elif value is not None and (len(value) > longest or not value.isprintable()):
            message = f"{FIELD_NAMES[name]} can have at most {longest} characters, all on one line."
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


def forbidden_roles(caller: Caller, role_ids: Sequence[str]) -> list[Problem]:
    """The privileged roles that a caller without MANAGE_ADMINS may not ask for, whoever is to have them: whether
    somebody holds one already makes no difference, since such a user is out of the caller's reach."""
    if caller.may(Permission.MANAGE_ADMINS):
        return []
    message = "Giving a privileged role needs the permission MANAGE_ADMINS, which your token does not carry."
    return [
        Problem(code=ProblemCode.NOT_PERMITTED, message=message, field=(*_ROLES, str(index)))
        for index, role_id in enumerate(role_ids)
        if is_privileged(role_id)
    ]


def _invalid_edit(edit: UserEdit) -> list[Problem]:
    """What is wrong with the input by itself."""
    found = name_problems(edit.information)
    if "usage_location" in edit.information and (problem := location_problem(edit.information["usage_location"])):
        found.append(problem)
    return found


def _stale_version(user: User, expected: str | None) -> list[Problem]:
    if expected is None or expected == user.version:
        return []
    message = f"{user.display_name} was changed in the meantime. Look at the current state and decide anew."
    field = ("input", "expectedVersion")
    return [Problem(code=ProblemCode.STALE_VERSION, message=message, field=field, current=user)]


def _synced_names(user: User, information: Mapping[str, str]) -> list[Problem]:
    if not user.directory_synced:
        return []
    message = f"{user.display_name} is mastered in the customer's own directory; names have to be changed there."
    return [
        Problem(code=ProblemCode.DIRECTORY_SYNCED, message=message, field=("input", FIELD_NAMES[name]))
        for name in information
        if name in LONGEST_NAMES
    ]


def _wanted_roles(role_ids: Sequence[str], offered: Mapping[str, DirectoryRole]) -> list[DirectoryRole]:
    return [offered[role_id] for role_id in dict.fromkeys(role_ids) if role_id in offered]


def _beside(roles: Sequence[DirectoryRole], others: Sequence[DirectoryRole]) -> list[DirectoryRole]:
    known = {role.microsoft_id for role in others}
    return [role for role in roles if role.microsoft_id not in known]
