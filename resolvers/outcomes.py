"""What changes have in common: finding whom they are about, running them in their frame, showing what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import strawberry
from graphql import FieldNode, FragmentSpreadNode, SelectionSetNode
from strawberry.types.maybe import Some

from resolvers.context import Info
from resolvers.scope import is_in_scope
from resolvers.selection import selected_fields
from services.authorization import Caller, Permission, ViewerKind
from services.change_runner import ChangeRequest
from services.changes import Change, missing_permissions
from services.errors import UpstreamError
from services.global_ids import decode_id
from services.license_plans import is_predicted
from services.models import SubscribedSku, UserRef
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal

Work = Callable[[Change], Awaitable[Outcome]]


async def change_user(
    info: Info,
    action: str,
    input: Any,
    id: str,
    permissions: Permission | Sequence[Permission],
    work: Callable[[Change, UserRef], Awaitable[Outcome]],
    forbidden: Sequence[Problem] = (),
) -> Outcome:
    """Runs a change to one user, named by a global id; a foreign or unknown one looks the same.

    `forbidden` is what else of the input the caller may not ask for; like the permissions it is told without
    asking anybody.
    """
    field = ("input", "userId" if hasattr(input, "user_id") else "id")
    decoded = decode_id(id)
    found = decoded is not None and decoded.kind == "User" and decoded.microsoft_id != ""
    target = _Target(action, "user", field, _several(permissions), forbidden)
    if decoded is None or not found:
        return _without_target(info, target)
    ref = UserRef(decoded.tenant_id, decoded.microsoft_id)
    return await _run(info, target, input, ref.tenant_id, ref.user_id, lambda change: work(change, ref))


async def change_tenant(
    info: Info,
    action: str,
    input: Any,
    id: str,
    permissions: Permission | Sequence[Permission],
    work: Callable[[Change, str], Awaitable[Outcome]],
    forbidden: Sequence[Problem] = (),
) -> Outcome:
    """Runs a change in one tenant, named by a global id."""
    decoded = decode_id(id)
    target = _Target(action, "tenant", ("input", "tenantId"), _several(permissions), forbidden)
    if decoded is None or decoded.kind != "Tenant" or decoded.microsoft_id:
        return _without_target(info, target)
    return await _run(info, target, input, decoded.tenant_id, None, lambda change: work(change, change.tenant_id))


@dataclass(frozen=True, slots=True)
class _Target:
    """What a mutation is about, and what its caller needs to ask for it."""

    action: str
    kind: str
    field: Field
    permissions: tuple[Permission, ...]
    forbidden: Sequence[Problem]

    @property
    def absent(self) -> Problem:
        return Problem(code=ProblemCode.NOT_FOUND, message=f"There is no such {self.kind}.", field=self.field)

    def problems(self, caller: Caller) -> list[Problem]:
        """What the caller may not ask for, whatever it is asked for."""
        return [*missing_permissions(caller, Permission.READ, *self.permissions), *self.forbidden]


def _several(permissions: Permission | Sequence[Permission]) -> tuple[Permission, ...]:
    return (permissions,) if isinstance(permissions, Permission) else tuple(permissions)


def _without_target(info: Info, target: _Target) -> Outcome:
    """The answer to an id that names nothing: that of an unknown one, and no tenant's audit log is concerned."""
    return Outcome(user_errors=tuple(target.problems(info.context.caller)) or (target.absent,))


async def _run(info: Info, target: _Target, input: Any, tenant_id: str, user_id: str | None, work: Work) -> Outcome:
    request = ChangeRequest(
        caller=info.context.caller,
        action=target.action,
        tenant_id=tenant_id,
        user_id=user_id,
        given=_fingerprinted(input),
        dry_run=bool(input.dry_run),
        idempotency_key=input.idempotency_key,
        request_id=info.context.request_id,
        field=target.field,
    )

    async def admit(change: Change) -> None:
        if problems := target.problems(change.caller):
            change.concerns_tenant = is_known_in_scope(change.caller, change.tenant_id)
            raise Refusal(*problems)
        if not await is_in_scope(info, change.tenant_id):
            change.concerns_tenant = False
            raise Refusal(target.absent)

    async def confirmed(change: Change) -> Outcome:
        try:
            outcome = await work(change)
        finally:
            info.context.loaders.clear_all()
        if not _asks_whether_predicted(info):
            return outcome
        # Not through the loaders: they end with the request, and the change may have to outlive it.
        return await info.context.changes.licenses.compared(change, outcome)

    return await info.context.changes.runner.run(request, admit, confirmed)


def is_known_in_scope(caller: Caller, tenant_id: str) -> bool:
    """Whether the tenant is the caller's, as far as that is known without asking Microsoft: a tenant's audit log
    has nothing of strangers."""
    if caller.tenant_ids is not None and tenant_id not in caller.tenant_ids:
        return False
    if caller.kind is not ViewerKind.RESELLER:
        return caller.kind is ViewerKind.PARTNER or caller.tenant_ids is not None
    return caller.tenant_ids is not None and caller.reseller_id is not None


async def _shown(info: Info, tenant_id: str) -> Sequence[SubscribedSku]:
    try:
        return await info.context.loaders.subscribed_skus_by_tenant.load(tenant_id)
    except UpstreamError:
        return ()


def _asks_whether_predicted(info: Info) -> bool:
    effects = selected_fields(info).get("effects", [])
    return any(_mentions(info, node.selection_set, "predicted") for node in effects)


def _mentions(info: Info, selections: SelectionSetNode | None, name: str) -> bool:
    """Whether a field of this name stands anywhere below, skipped or not."""
    for node in selections.selections if selections else ():
        if isinstance(node, FieldNode) and node.name.value == name:
            return True
        below: SelectionSetNode | None
        if isinstance(node, FragmentSpreadNode):
            below = info._raw_info.fragments[node.name.value].selection_set
        else:
            below = getattr(node, "selection_set", None)
        if _mentions(info, below, name):
            return True
    return False


def _fingerprinted(input: Any) -> dict[str, Any]:
    """The input as its idempotency key is tied to it: a dry run takes no key, so `dryRun` says nothing."""
    plain: dict[str, Any] = as_plain(input)
    plain.pop("dry_run", None)
    return plain


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
    """Compares with what Microsoft shows now, where that was not done right after the change."""
    if root.forecast:
        return True
    if root.predicted is not None:
        return bool(root.predicted)
    return is_predicted(root, await _shown(info, root.sku.tenant_id))


def resolve_temporary_password(root: strawberry.Parent[Any]) -> str | None:
    return root.temporary_password.reveal() if root.temporary_password is not None else None
