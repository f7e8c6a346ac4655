"""The mutation about licenses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.outcomes import change_user
from resolvers.selection import fields_below, selected_fields
from resolvers.users import find_user
from schema.change_inputs import AssignLicenseInput, UpdateUserLicensesInput
from services.authorization import Permission
from services.changes import Change
from services.license_plans import LicenseEdit, Toggle
from services.models import LicensedUser, User, UserRef
from services.outcomes import Outcome

_BESIDE_THE_RECORD = frozenset(
    {"__typename", "id", "microsoftId", "tenant", "status", "deletion", "roles", "assignedLicenseCount", "licenses"}
)
"""Fields of an active user that are known by the id, or have a look-up of their own."""


async def update_user_licenses(info: Info, input: UpdateUserLicensesInput) -> Outcome:
    edit = LicenseEdit([toggle(one) for one in input.assign or ()], list(input.remove or ()), input.usage_location)
    of_user = fields_below(info, selected_fields(info).get("user", []))

    async def update(change: Change, ref: UserRef) -> Outcome:
        show_user = _needs_record(of_user)
        return await info.context.changes.licenses.update(change, ref, edit, show_user=show_user)

    return await change_user(info, "updateUserLicenses", input, input.user_id, Permission.WRITE_LICENSES, update)


async def resolve_licensed_user(root: strawberry.Parent[Any], info: Info) -> User | LicensedUser | None:
    """The user after the change. Where the record was not needed and a repeat of the change, under its key, selects
    more than the first time, it is read now."""
    ref: UserRef | None = root.unread
    if ref is None:
        user: User | None = root.user
        return user
    return await find_user(info, ref) if _needs_record(selected_fields(info)) else LicensedUser(*ref)


def _needs_record(selected: Iterable[str]) -> bool:
    return not _BESIDE_THE_RECORD.issuperset(selected)


def toggle(input: AssignLicenseInput) -> Toggle:
    plans = input.disabled_service_plan_ids
    return Toggle(input.sku_id, None if plans is None else tuple(plans))
