"""Creating people: everything checked first, then user, roles, licenses and mail, in this order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from msgspec import structs

from services.authorization import Permission
from services.changes import Change, problem_of, require, together_with
from services.errors import Conflict, Refused, RefusedReason, UpstreamError
from services.license_options import find_sku
from services.license_plans import MOST_TOGGLES, Toggle, assignment_problems, none_available
from services.licenses import LicenseService
from services.locks import Locks, sign_in_name_lock, sku_lock
from services.lookups import ACTIVE_USERS, LICENSES, ROLE_MEMBERS, SUBSCRIBED_SKUS, USER, USER_ROLES
from services.mailer import DeliveryKind, Mailer, Message
from services.models import (
    DirectoryRole,
    LicenseAssignment,
    LicenseChange,
    NewUser,
    RoleRef,
    SubscribedSku,
    Tenant,
    User,
    UserStatus,
)
from services.outcomes import Field, LicenseEffect, Outcome, Problem, ProblemCode, Refusal, effect_on
from services.partner_center.client import PartnerCenterClient
from services.password_changes import (
    PasswordChoice,
    PasswordService,
    address_problems,
    password_problem,
    policy_problems,
)
from services.passwords import generate
from services.secret import Secret
from services.sign_in_names import (
    DOMAIN,
    USERNAME,
    domain_problems,
    free_usernames,
    name_taken_problems,
    username_problems,
)
from services.user_actions import is_restorable
from services.users import UserService, location_problem, name_problems, role_problems
from services.writes import Applied, OutcomeUnknown

T = TypeVar("T")

_LICENSES: Field = ("input", "licenses")
_ROLES: Field = ("input", "roleIds")
OTHER_PASSWORD = (
    "The user was created by an earlier try of this request, with a password that cannot be found out any more "
    "unless that try was answered. Reset the password."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUserRequest:
    """Who is to be created, with what."""

    username: str
    domain: str
    display_name: str
    first_name: str | None
    last_name: str | None
    usage_location: str
    role_ids: Sequence[str]
    licenses: Sequence[Toggle]
    password: PasswordChoice
    send_to: Sequence[str]

    @property
    def user_principal_name(self) -> str:
        return f"{self.username}@{self.domain.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was read before the first write."""

    skus: Sequence[SubscribedSku]
    given: Sequence[DirectoryRole]
    deleted: Sequence[User]
    from_first_try: User | None
    """The user whom an earlier try of the same request created; its end was not known."""


@dataclass(frozen=True, slots=True)
class NewUserService:
    """Creates people. `now` is the service's clock, by which a deleted user keeps its name for 30 days."""

    partner_center: PartnerCenterClient
    users: UserService
    licenses: LicenseService
    passwords: PasswordService
    mailer: Mailer
    locks: Locks
    now: Callable[[], datetime]

    async def create(
        self, change: Change, find_tenant: Callable[[], Awaitable[Tenant]], wanted: NewUserRequest
    ) -> Outcome:
        require(change.caller, *needed_permissions(wanted))
        tenant = await find_tenant()
        tenant_id = tenant.microsoft_id
        change.user_principal_name = wanted.user_principal_name
        names = [sign_in_name_lock(tenant_id, wanted.user_principal_name)]
        names += [sku_lock(tenant_id, toggle.sku_id) for toggle in wanted.licenses[:MOST_TOGGLES]]
        async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
            found = await self._checked(change, tenant, wanted)
            if change.dry_run:
                effects = _effects([toggle.sku_id for toggle in wanted.licenses], found.skus, forecast=True)
                messages = self._messages(wanted, tenant, Secret("not set"))
                return Outcome(effects=effects, delivery=self.passwords.forecast(messages))
            password = wanted.password.value or generate([wanted.user_principal_name])
            handed_over = password if wanted.password.value is None else None
            try:
                user = found.from_first_try or await self._write_user(change, tenant_id, wanted, password, found)
            except OutcomeUnknown:
                message = (
                    f"Microsoft did not say whether {wanted.user_principal_name} was created. "
                    "Look for the user before you repeat it."
                )
                problem = Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=message)
                return Outcome(user_errors=(problem,), temporary_password=handed_over)
            problems = await self._give_roles(change, user, found.given)
            effects, license_problems = await self._give_licenses(change, user, wanted.licenses, found.skus)
        problems += license_problems
        if found.from_first_try is not None and handed_over is not None:
            # That try had another password, which was given in its answer or to nobody.
            problem = Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=OTHER_PASSWORD, field=("input", "password"))
            return Outcome(user=user, effects=effects, user_errors=(*problems, problem))
        return Outcome(
            user=user,
            effects=effects,
            delivery=tuple(await self.mailer.send(self._messages(wanted, tenant, password))),
            user_errors=tuple(problems),
            temporary_password=handed_over,
        )

    async def _checked(self, change: Change, tenant: Tenant, wanted: NewUserRequest) -> _Found:
        """Checks everything before the first write, and refuses with all problems together."""
        tenant_id, client = tenant.microsoft_id, self.partner_center
        with together_with(_invalid(wanted)):
            domains, active, deleted, roles, skus = await asyncio.gather(
                client.list_domains(tenant_id),
                client.list_users(tenant_id, UserStatus.ACTIVE),
                client.list_users(tenant_id, UserStatus.DELETED),
                client.list_roles(tenant_id) if wanted.role_ids else _nothing(DirectoryRole),
                client.list_subscribed_skus(tenant_id) if wanted.licenses else _nothing(SubscribedSku),
            )
            deleted = [user for user in deleted if is_restorable(user, self.now())]
            first_try = next((user for user in active if change.resumed and _is_as_wanted(user, wanted)), None)
            offered = {role.microsoft_id: role for role in roles}
            problems = [
                *domain_problems(wanted.domain, {tenant.domain, *domains}),
                *([] if first_try else name_taken_problems(wanted.username, wanted.domain, [*active, *deleted])),
                *role_problems(change, wanted.role_ids, offered),
                *([] if first_try else assignment_problems(wanted.licenses[:MOST_TOGGLES], skus, (), _LICENSES)),
            ]
            if problems:
                raise Refusal(*problems)
        change.plans(
            {},
            {
                "userPrincipalName": wanted.user_principal_name,
                "displayName": wanted.display_name,
                "usageLocation": wanted.usage_location,
                "roleIds": list(dict.fromkeys(wanted.role_ids)),
                "skuIds": [toggle.sku_id for toggle in wanted.licenses],
            },
        )
        given = [offered[role_id] for role_id in dict.fromkeys(wanted.role_ids)]
        return _Found(skus=skus, given=given, deleted=deleted, from_first_try=first_try)

    async def _write_user(
        self, change: Change, tenant_id: str, wanted: NewUserRequest, password: Secret, found: _Found
    ) -> User:
        change.makes_stale(ACTIVE_USERS, tenant_id)
        new_user = NewUser(
            user_principal_name=wanted.user_principal_name,
            display_name=wanted.display_name,
            usage_location=wanted.usage_location,
            first_name=wanted.first_name,
            last_name=wanted.last_name,
            password=password.reveal(),
            force_change_password=wanted.password.must_change,
        )

        async def read_back() -> Applied[User] | None:
            # The name was free under our lock a moment ago, so whoever has it and looks so is the user of this change.
            active = await self.partner_center.list_users(tenant_id, UserStatus.ACTIVE)
            return next((Applied(user) for user in active if _is_as_wanted(user, wanted)), None)

        def made(user: User) -> None:
            change.user_id = user.microsoft_id
            change.after |= {
                name: change.wanted[name] for name in ("userPrincipalName", "displayName", "usageLocation")
            }

        # Another password is another request to Microsoft, which would give the answer to the first one's id.
        step = f"create-{uuid4()}" if change.resumed and wanted.password.value is None else "create"
        try:
            user = await change.write(
                step,
                lambda request_id: self.partner_center.create_user(tenant_id, new_user, request_id=request_id),
                read_back,
                made,
            )
        except (Refused, Conflict) as error:
            raise Refusal(await self._refused(error, tenant_id, wanted, found)) from error
        change.makes_stale(USER, user.ref)
        change.makes_stale(USER_ROLES, user.ref)
        change.makes_stale(LICENSES, user.ref)
        return user

    async def _refused(
        self, error: Refused | Conflict, tenant_id: str, wanted: NewUserRequest, found: _Found
    ) -> Problem:
        """Microsoft's refusal at the field that it is about; a taken name with whoever took it meanwhile."""
        if error.reason is RefusedReason.NAME_TAKEN:
            try:
                active = await self.partner_center.list_users(tenant_id, UserStatus.ACTIVE)
            except UpstreamError:
                return problem_of(error, USERNAME)
            everyone = [*active, *found.deleted]
            problem = replace(
                problem_of(error, USERNAME), suggestions=free_usernames(wanted.username, wanted.domain, everyone)
            )
            return next(iter(name_taken_problems(wanted.username, wanted.domain, everyone)), problem)
        if error.reason is RefusedReason.DOMAIN:
            message = f"Microsoft takes no new users in {wanted.domain}: it is federated with another sign-in service."
            return Problem(code=ProblemCode.INVALID, message=message, field=DOMAIN)
        at_location = error.reason is RefusedReason.USAGE_LOCATION
        return password_problem(error, ("input", "usageLocation") if at_location else ("input",))

    async def _give_roles(self, change: Change, user: User, roles: Sequence[DirectoryRole]) -> list[Problem]:
        """Gives all that can be given; what cannot is told, each at its place."""
        problems = []
        change.makes_stale(ROLE_MEMBERS, *(RoleRef(user.tenant_id, role.microsoft_id) for role in roles))
        for index, role in enumerate(roles):
            try:
                await self.users.add_role(change, user, role)
            except (UpstreamError, OutcomeUnknown) as error:
                message = f"The user was created, but the role {role.name} was not given: "
                problems.append(_of_step(problem_of(error, (*_ROLES, str(index))), message))
        return problems

    async def _give_licenses(
        self, change: Change, user: User, toggles: Sequence[Toggle], skus: Sequence[SubscribedSku]
    ) -> tuple[tuple[LicenseEffect, ...], list[Problem]]:
        """Assigns group by group; effects only for what was done."""
        change.makes_stale(SUBSCRIBED_SKUS, *([user.tenant_id] if toggles else []))
        groups: dict[str, list[Toggle]] = {}
        for toggle in toggles:
            sku = find_sku(skus, toggle.sku_id)
            groups.setdefault(sku.license_group_id if sku else "group1", []).append(toggle)
        effects: tuple[LicenseEffect, ...] = ()
        problems = []
        for name, group in sorted(groups.items()):
            assign = tuple(LicenseAssignment(one.sku_id, one.disabled_plan_ids or ()) for one in group)
            sku_ids = [one.sku_id for one in group]

            def made(_: None, sku_ids: Sequence[str] = sku_ids) -> None:
                change.after["skuIds"] = [*change.after.get("skuIds", ()), *sku_ids]

            try:
                await self.licenses.write_group(
                    change, user.ref, f"licenses-{name}", LicenseChange(assign=assign), made
                )
                effects += _effects(sku_ids, skus, forecast=False)
            except (UpstreamError, OutcomeUnknown) as error:
                problems.append(_license_problem(error, toggles, sku_ids, skus))
        return effects, problems

    def _messages(self, wanted: NewUserRequest, tenant: Tenant, password: Secret) -> list[Message]:
        return [
            Message(
                to=address,
                kind=DeliveryKind.PASSWORD,
                tenant_name=tenant.name,
                display_name=wanted.display_name,
                user_principal_name=wanted.user_principal_name,
                password=password,
                must_change=wanted.password.must_change,
                created=True,
            )
            for address in dict.fromkeys(wanted.send_to)
        ]


def _invalid(wanted: NewUserRequest) -> list[Problem]:
    """What is wrong with the input by itself, before anything is asked."""
    found = username_problems(wanted.username)
    found += name_problems(
        {"display_name": wanted.display_name, "first_name": wanted.first_name, "last_name": wanted.last_name}
    )
    if problem := location_problem(wanted.usage_location):
        found.append(problem)
    sku_ids = [toggle.sku_id for toggle in wanted.licenses]
    for index, sku_id in enumerate(sku_ids):
        if sku_id in sku_ids[:index]:
            field = (*_LICENSES, str(index), "skuId")
            message = f"The product {sku_id} is assigned twice. Name it once."
            found.append(Problem(code=ProblemCode.INVALID, message=message, field=field))
    if len(sku_ids) > MOST_TOGGLES:
        message = f"At most {MOST_TOGGLES} products can be named here."
        found.append(Problem(code=ProblemCode.INVALID, message=message, field=_LICENSES))
    found += policy_problems(wanted.password, wanted.user_principal_name)
    if not wanted.send_to:
        message = "Say where the password goes: at least one address is needed for a new user."
        found.append(Problem(code=ProblemCode.INVALID, message=message, field=("input", "sendPasswordTo")))
    return found + address_problems(wanted.send_to)


def _is_as_wanted(user: User, wanted: NewUserRequest) -> bool:
    """Whether a user can be the one that was asked for: a namesake with other data is somebody else."""
    return (
        user.user_principal_name.casefold() == wanted.user_principal_name.casefold()
        and user.display_name == wanted.display_name
        and (user.first_name or "") == (wanted.first_name or "")
        and (user.last_name or "") == (wanted.last_name or "")
        and user.usage_location == wanted.usage_location
    )


def needed_permissions(wanted: NewUserRequest) -> list[Permission]:
    """What a caller needs to ask for such a user at all."""
    needed = [Permission.WRITE_USERS]
    needed += [Permission.WRITE_ROLES] if wanted.role_ids else []
    return needed + ([Permission.WRITE_LICENSES] if wanted.licenses else [])


def _license_problem(
    error: UpstreamError | OutcomeUnknown,
    toggles: Sequence[Toggle],
    sku_ids: Sequence[str],
    skus: Sequence[SubscribedSku],
) -> Problem:
    """What became of one call: none of its products was assigned. The one that Microsoft names is pointed at."""
    names = [sku.product_name for sku_id in sku_ids if (sku := find_sku(skus, sku_id))]
    message = f"The user was created, but not assigned {', '.join(names)}: "
    problem = problem_of(error, _LICENSES)
    named = [one for one in sku_ids if isinstance(error, Refused) and one in error.detail.lower()]
    about = named[0] if named else sku_ids[0] if len(sku_ids) == 1 else None
    if about is None:
        return _of_step(problem, message)
    field = (*_LICENSES, str([toggle.sku_id for toggle in toggles].index(about)), "skuId")
    sku = find_sku(skus, about)
    if problem.code is ProblemCode.NONE_AVAILABLE and sku is not None:
        return _of_step(
            none_available(structs.replace(sku, available_units=min(sku.available_units, 0)), field), message
        )
    return _of_step(replace(problem, field=field), message)


def _of_step(problem: Problem, message: str) -> Problem:
    """A problem after the user was created: the same request cannot succeed later, since the name is taken now."""
    return replace(problem, message=f"{message}{problem.message}", retryable=False)


def _effects(sku_ids: Sequence[str], skus: Sequence[SubscribedSku], *, forecast: bool) -> tuple[LicenseEffect, ...]:
    found = (find_sku(skus, sku_id) for sku_id in sku_ids)
    return tuple(effect_on(sku, 1, forecast=forecast) for sku in found if sku is not None)


async def _nothing(_: type[T]) -> list[T]:
    return []
