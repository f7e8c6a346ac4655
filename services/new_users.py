"""Creating people: everything checked first, then user, roles, licenses and mail, in this order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from services.authorization import Permission
from services.changes import Change, problem_of, require
from services.errors import Conflict, Refused, RefusedReason, UpstreamError
from services.license_options import find_sku
from services.licenses import MOST_TOGGLES, LicenseService, Toggle, assignment_problems, none_available
from services.locks import Locks, sign_in_name_lock, sku_lock
from services.lookups import ACTIVE_USERS, LICENSES, SUBSCRIBED_SKUS, USER
from services.mailer import DeliveryKind, Mailer, Message
from services.models import (
    DirectoryRole,
    LicenseAssignment,
    LicenseChange,
    NewUser,
    SubscribedSku,
    Tenant,
    User,
    UserStatus,
)
from services.outcomes import Field, LicenseEffect, Outcome, Problem, ProblemCode, Refusal, effect_on
from services.partner_center.client import PartnerCenterClient
from services.password_changes import PasswordChoice, PasswordService, address_problems, policy_problems
from services.passwords import generate
from services.secret import Secret
from services.users import UserService, location_problem, name_problems, role_problems
from services.writes import Applied, OutcomeUnknown

LONGEST_USERNAME = 64
_USERNAME = re.compile(r"[A-Za-z0-9!#^~'_-]+(?:\.[A-Za-z0-9!#^~'_-]+)*")
"""What a sign-in name can be made of before the @: no dot at either end, nor two in a row.
Source: learn.microsoft.com/entra/identity/authentication/concept-sspr-policy (userPrincipalName policies)"""
SUGGESTIONS = 3
_LICENSES: Field = ("input", "licenses")
_ROLES: Field = ("input", "roleIds")
_USERNAME_FIELD: Field = ("input", "username")


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


@dataclass(frozen=True, slots=True)
class NewUserService:
    """Creates people."""

    partner_center: PartnerCenterClient
    users: UserService
    licenses: LicenseService
    passwords: PasswordService
    mailer: Mailer
    locks: Locks

    async def create(self, change: Change, tenant: Tenant, wanted: NewUserRequest) -> Outcome:
        require(change.caller, Permission.WRITE_USERS)
        if wanted.role_ids:
            require(change.caller, Permission.WRITE_ROLES)
        if wanted.licenses:
            require(change.caller, Permission.WRITE_LICENSES)
        problems = _invalid(wanted)
        if problems:
            raise Refusal(*problems)
        tenant_id = tenant.microsoft_id
        change.user_principal_name = wanted.user_principal_name
        names = [sign_in_name_lock(tenant_id, wanted.user_principal_name)]
        names += [sku_lock(tenant_id, toggle.sku_id) for toggle in wanted.licenses]
        async with self.locks.hold(names, deadline_seconds=change.seconds_left()):
            return await self._create(change, tenant, wanted)

    async def _create(self, change: Change, tenant: Tenant, wanted: NewUserRequest) -> Outcome:
        tenant_id = tenant.microsoft_id
        client = self.partner_center
        domains, active, deleted, roles, skus = await asyncio.gather(
            client.list_domains(tenant_id),
            client.list_users(tenant_id, UserStatus.ACTIVE),
            client.list_users(tenant_id, UserStatus.DELETED),
            client.list_roles(tenant_id) if wanted.role_ids else _no_roles(),
            client.list_subscribed_skus(tenant_id) if wanted.licenses else _no_skus(),
        )
        offered = {role.microsoft_id: role for role in roles}
        problems = [
            *_domain_problems(wanted.domain, {tenant.domain, *domains}),
            *([] if change.resumed else _name_taken(wanted, [*active, *deleted])),
            *role_problems(change, wanted.role_ids, offered),
            *assignment_problems(wanted.licenses, skus, (), _LICENSES),
        ]
        if problems:
            raise Refusal(*problems)
        given = [offered[role_id] for role_id in dict.fromkeys(wanted.role_ids)]
        change.after = {
            "userPrincipalName": wanted.user_principal_name,
            "displayName": wanted.display_name,
            "usageLocation": wanted.usage_location,
            "roleIds": [role.microsoft_id for role in given],
            "skuIds": [toggle.sku_id for toggle in wanted.licenses],
        }
        if change.dry_run:
            effects = _effects([toggle.sku_id for toggle in wanted.licenses], skus, forecast=True)
            messages = self._messages(wanted, tenant, Secret("not set"))
            return Outcome(effects=effects, delivery=self.passwords.forecast(messages))
        password = wanted.password.value or generate([wanted.user_principal_name])
        user = await self._write_user(change, tenant_id, wanted, password)
        role_problem = await self._give_roles(change, user, given)
        effects, license_problems = await self._give_licenses(change, user, wanted.licenses, skus)
        delivery = await self.mailer.send(self._messages(wanted, tenant, password))
        return Outcome(
            user=user,
            effects=effects,
            delivery=tuple(delivery),
            user_errors=(*role_problem, *license_problems),
            temporary_password=password if wanted.password.value is None else None,
        )

    async def _write_user(self, change: Change, tenant_id: str, wanted: NewUserRequest, password: Secret) -> User:
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
            # The name was free under our lock a moment ago, so whoever has it now is the user of this change.
            for user in await self.partner_center.list_users(tenant_id, UserStatus.ACTIVE):
                if user.user_principal_name.casefold() == wanted.user_principal_name.casefold():
                    return Applied(user)
            return None

        try:
            user = await change.write(
                "create",
                lambda request_id: self.partner_center.create_user(tenant_id, new_user, request_id=request_id),
                read_back,
            )
        except (Refused, Conflict) as error:
            found = await read_back() if error.reason is RefusedReason.NAME_TAKEN else None
            if found is None or not (change.resumed and found.value.display_name == wanted.display_name):
                raise Refusal(_refused(error, wanted, found.value if found else None)) from error
            user = found.value
        change.user_id = user.microsoft_id
        change.makes_stale(USER, user.ref)
        change.makes_stale(LICENSES, user.ref)
        return user

    async def _give_roles(self, change: Change, user: User, roles: Sequence[DirectoryRole]) -> list[Problem]:
        for role in roles:
            try:
                await self.users.add_role(change, user, role)
            except (UpstreamError, OutcomeUnknown) as error:
                problem = problem_of(error, _ROLES)
                message = f"The user was created, without the role {role.name}: {problem.message}"
                return [replace(problem, message=message)]
        return []

    async def _give_licenses(
        self, change: Change, user: User, toggles: Sequence[Toggle], skus: Sequence[SubscribedSku]
    ) -> tuple[tuple[LicenseEffect, ...], list[Problem]]:
        """Assigns group by group; effects only for what was done."""
        if not toggles:
            return (), []
        change.makes_stale(SUBSCRIBED_SKUS, user.tenant_id)
        groups: dict[str, list[Toggle]] = {}
        for toggle in toggles:
            sku = find_sku(skus, toggle.sku_id)
            groups.setdefault(sku.license_group_id if sku else "group1", []).append(toggle)
        effects: tuple[LicenseEffect, ...] = ()
        for name, group in sorted(groups.items()):
            assign = tuple(LicenseAssignment(one.sku_id, one.disabled_plan_ids or ()) for one in group)
            try:
                await self.licenses.write_group(change, user, f"licenses-{name}", LicenseChange(assign=assign))
            except (UpstreamError, OutcomeUnknown) as error:
                return effects, [_license_problem(error, toggles, group, skus)]
            effects += _effects([one.sku_id for one in group], skus, forecast=False)
        return effects, []

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
    found = []
    if not _USERNAME.fullmatch(wanted.username) or len(wanted.username) > LONGEST_USERNAME:
        message = (
            f"A username has 1 to {LONGEST_USERNAME} letters, digits or any of . - _ ! # ^ ~ ', "
            "and no dot at its ends or beside another."
        )
        found.append(Problem(code=ProblemCode.INVALID, message=message, field=_USERNAME_FIELD))
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


def _domain_problems(domain: str, domains: Collection[str]) -> list[Problem]:
    if domain.lower() in {one.lower() for one in domains}:
        return []
    message = f"{domain} is no domain of the tenant. It has: {', '.join(sorted(one.lower() for one in domains))}."
    return [Problem(code=ProblemCode.INVALID, message=message, field=("input", "domain"))]


def _name_taken(wanted: NewUserRequest, everyone: Sequence[User]) -> list[Problem]:
    """The holder of the name, active or deleted, and names that are free."""
    taken = {user.user_principal_name.casefold(): user for user in everyone}
    holder = taken.get(wanted.user_principal_name.casefold())
    if holder is None:
        return []
    candidates = (f"{wanted.username}{number}" for number in range(2, len(taken) + SUGGESTIONS + 2))
    free = [name for name in candidates if f"{name}@{wanted.domain}".casefold() not in taken][:SUGGESTIONS]
    deleted = ", who is deleted and can be restored," if holder.status is UserStatus.DELETED else ""
    message = f"{holder.display_name}{deleted} has the sign-in name {wanted.user_principal_name}."
    return [
        Problem(
            code=ProblemCode.NAME_TAKEN,
            message=message,
            field=_USERNAME_FIELD,
            holder=holder,
            suggestions=tuple(free),
        )
    ]


def _refused(error: Refused | Conflict, wanted: NewUserRequest, holder: User | None) -> Problem:
    """Microsoft's refusal at the field that it is about; a taken name with whoever took it meanwhile."""
    if holder is not None:
        return _name_taken(wanted, [holder])[0]
    fields: dict[RefusedReason, Field] = {
        RefusedReason.PASSWORD_POLICY: ("input", "password", "value"),
        RefusedReason.NAME_TAKEN: _USERNAME_FIELD,
        RefusedReason.USAGE_LOCATION: ("input", "usageLocation"),
    }
    return problem_of(error, fields.get(error.reason, ("input",)))


def _license_problem(
    error: UpstreamError | OutcomeUnknown,
    toggles: Sequence[Toggle],
    group: Sequence[Toggle],
    skus: Sequence[SubscribedSku],
) -> Problem:
    problem = problem_of(error, _LICENSES)
    message = f"The user was created, without all of the licenses: {problem.message}"
    sku = find_sku(skus, group[0].sku_id) if len(group) == 1 else None
    if isinstance(error, Refused) and error.reason is RefusedReason.NO_LICENSE_LEFT and sku is not None:
        field = (*_LICENSES, str(list(toggles).index(group[0])), "skuId")
        return replace(none_available(replace(sku, available_units=0), field), message=message)
    return replace(problem, message=message)


def _effects(sku_ids: Sequence[str], skus: Sequence[SubscribedSku], *, forecast: bool) -> tuple[LicenseEffect, ...]:
    found = (find_sku(skus, sku_id) for sku_id in sku_ids)
    return tuple(effect_on(sku, 1, forecast=forecast) for sku in found if sku is not None)


async def _no_roles() -> list[DirectoryRole]:
    return []


async def _no_skus() -> list[SubscribedSku]:
    return []
