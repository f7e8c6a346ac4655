"""What changes have in common: finding whom they are about, running them in their frame, showing what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import strawberry
from strawberry.types.maybe import Some

from resolvers.context import Info
from resolvers.scope import is_in_scope
from services.authorization import Permission
from services.change_runner import ChangeRequest
from services.changes import Change, require
from services.errors import UpstreamError
from services.global_ids import decode_id
from services.license_options import find_sku
from services.models import UserRef
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal

Work = Callable[[Change], Awaitable[Outcome]]


async def change_user(
    info: Info,
    action: str,
    input: Any,
    id: str,
    permission: Permission,
    work: Callable[[Change, UserRef], Awaitable[Outcome]],
) -> Outcome:
    """Runs a change to one user, named by a global id; a foreign or unknown one looks the same."""
    field = ("input", "userId" if hasattr(input, "user_id") else "id")
    decoded = decode_id(id)
    if decoded is None or decoded.kind != "User" or not decoded.microsoft_id:
        info.context.caller.require(Permission.READ)
        return Outcome(user_errors=(_no_such("user", field),))
    ref = UserRef(decoded.tenant_id, decoded.microsoft_id)

    async def of_user(change: Change) -> Outcome:
        await _require_in_scope(info, change, permission, _no_such("user", field))
        return await work(change, ref)

    return await _run(info, action, input, ref.tenant_id, ref.user_id, of_user)


async def change_tenant(
    info: Info,
    action: str,
    input: Any,
    id: str,
    permission: Permission,
    work: Callable[[Change, str], Awaitable[Outcome]],
) -> Outcome:
    """Runs a change in one tenant, named by a global id."""
    field = ("input", "tenantId")
    decoded = decode_id(id)
    if decoded is None or decoded.kind != "Tenant" or decoded.microsoft_id:
        info.context.caller.require(Permission.READ)
        return Outcome(user_errors=(_no_such("tenant", field),))

    async def in_tenant(change: Change) -> Outcome:
        await _require_in_scope(info, change, permission, _no_such("tenant", field))
        return await work(change, change.tenant_id)

    return await _run(info, action, input, decoded.tenant_id, None, in_tenant)


async def _run(info: Info, action: str, input: Any, tenant_id: str, user_id: str | None, work: Work) -> Outcome:
    request = ChangeRequest(
        caller=info.context.caller,
        action=action,
        tenant_id=tenant_id,
        user_id=user_id,
        given=as_plain(input),
        dry_run=bool(input.dry_run),
        idempotency_key=input.idempotency_key,
        request_id=info.context.request_id,
    )
    outcome = await info.context.changes.runner.run(request, work)
    info.context.loaders.clear_all()
    return outcome


async def _require_in_scope(info: Info, change: Change, permission: Permission, absent: Problem) -> None:
    require(change.caller, permission)
    if not await is_in_scope(info, change.tenant_id):
        change.concerns_tenant = False
        raise Refusal(absent)


def _no_such(what: str, field: Field) -> Problem:
    return Problem(code=ProblemCode.NOT_FOUND, message=f"There is no such {what}.", field=field)


def as_plain(value: Any) -> Any:
    """An input as plain data, the same for equal inputs: what was left out is absent, null is None."""
    if is_dataclass(value):
        members = {one.name: getattr(value, one.name) for one in fields(value)}
        given = {name: member for name, member in members.items() if member is not strawberry.UNSET}
        return {name: as_plain(member) for name, member in given.items()}
    if isinstance(value, Some):
        return {"given": as_plain(value.value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): as_plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(member) for member in value]
    return value


async def resolve_effect_predicted(root: strawberry.Parent[Any], info: Info) -> bool:
    """Compares with what Microsoft shows now; that costs one call a tenant."""
    if root.forecast:
        return True
    try:
        skus = await info.context.loaders.subscribed_skus_by_tenant.load(root.sku.tenant_id)
    except UpstreamError:
        return True
    now = find_sku(skus, root.sku.sku_id)
    return now is None or now.consumed_units != root.consumed_units_after


def resolve_temporary_password(root: strawberry.Parent[Any]) -> str | None:
    return root.temporary_password.reveal() if root.temporary_password is not None else None
