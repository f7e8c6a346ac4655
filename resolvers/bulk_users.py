"""Whom a change of many users is about: those that ids name, or all that a filter finds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from resolvers.context import Info
from resolvers.many_tenants import TenantFailure, ask_each, tenants_of_scope
from resolvers.ordering import folded
from resolvers.scope import is_in_scope
from resolvers.user_filters import check_filter, filtered, statuses_wanted
from resolvers.users import shown_users
from schema.change_inputs import BulkUsersInput, BulkUsersMatchInput
from schema.enums import TenantFailureCode, UserStatus
from services.bulk_licenses import FoundUser
from services.errors import BadInput
from services.global_ids import decode_id
from services.jobs import MOST_USERS, JobUser
from services.models import Tenant, User, UserRef
from services.outcomes import Field, Problem, ProblemCode, Refusal

_IDS: Field = ("input", "users", "ids")
_MATCHING: Field = ("input", "users", "matching")
_CODES = {
    TenantFailureCode.ACCESS_MISSING: ProblemCode.TENANT_ACCESS_MISSING,
    TenantFailureCode.THROTTLED: ProblemCode.THROTTLED,
}


async def named_users(info: Info, ids: Sequence[str], most: int) -> list[FoundUser]:
    """The users of these ids, each once. Refuses all that cannot be meant; whether the others exist is seen later."""
    if not ids or len(ids) > most:
        message = "Name at least one user." if not ids else f"At most {most:,} users can be changed at once."
        raise Refusal(Problem(code=ProblemCode.INVALID, message=message, field=_IDS))
    refs = [_ref(id) for id in ids]
    tenant_ids = list(dict.fromkeys(ref.tenant_id for ref in refs if ref is not None))
    reached = await asyncio.gather(*(is_in_scope(info, tenant_id) for tenant_id in tenant_ids))
    in_scope = {tenant_id for tenant_id, reaches in zip(tenant_ids, reached, strict=True) if reaches}
    found: dict[UserRef, FoundUser] = {}
    absent = []
    for place, ref in enumerate(refs):
        if ref is None or ref.tenant_id not in in_scope:
            field = (*_IDS, str(place))
            absent.append(Problem(code=ProblemCode.NOT_FOUND, message="There is no such user.", field=field))
        elif ref not in found:
            found[ref] = FoundUser(JobUser(ref, place))
    if absent:
        raise Refusal(*absent)
    return list(found.values())


def tenants_named(users: BulkUsersInput) -> set[str]:
    """The tenants that ids name, whoever reaches them."""
    scope = users.matching.value.scope if users.matching is not None else None
    tenant_ids = scope.ids.value if scope is not None and scope.ids is not None else []
    ids = [*(users.ids.value if users.ids is not None else ()), *tenant_ids]
    decoded = (decode_id(id) for id in ids[:MOST_USERS])
    return {one.tenant_id for one in decoded if one is not None and one.kind in ("User", "Tenant")}


def _ref(id: str) -> UserRef | None:
    decoded = decode_id(id)
    if decoded is None or decoded.kind != "User" or not decoded.microsoft_id:
        return None
    return UserRef(decoded.tenant_id, decoded.microsoft_id)


async def matching_users(info: Info, wanted: BulkUsersMatchInput) -> tuple[list[FoundUser], list[Problem]]:
    """The users that the filter finds, by name, and a problem for each tenant that could not be searched. Deleted
    ones, who can hold no license, are found only where the filter names their status."""
    filter = wanted.filter
    try:
        check_filter(filter)
        tenants = await tenants_of_scope(info, wanted.scope)
    except BadInput as error:
        raise Refusal(Problem(code=ProblemCode.INVALID, message=error.message, field=_MATCHING)) from error
    statuses = statuses_wanted(filter)
    if filter.status is None:
        statuses.discard(UserStatus.DELETED)

    async def matching(tenant: Tenant) -> list[User]:
        users = await shown_users(info, tenant.microsoft_id, statuses)
        return await filtered(info, tenant.microsoft_id, users, filter)

    answers = await ask_each(tenants, matching)
    users = [user for _, found in answers.given for user in found]
    users.sort(key=lambda user: (folded(user.display_name), user.microsoft_id))
    return [FoundUser(JobUser(user.ref), user) for user in users], [_unsearched(one) for one in answers.failed]


def _unsearched(failure: TenantFailure) -> Problem:
    code = _CODES.get(failure.code, ProblemCode.UPSTREAM_ERROR)
    message = f"{failure.tenant.name} could not be searched, so nobody there is changed."
    if code is ProblemCode.TENANT_ACCESS_MISSING:
        message += " The partner lacks access to it."
    return Problem(
        code=code,
        message=message,
        field=_MATCHING,
        retryable=code is not ProblemCode.TENANT_ACCESS_MISSING,
        retry_after_seconds=failure.retry_after_seconds or 1,
    )
