"""The mutation about licenses."""

from __future__ import annotations

from resolvers.context import Info
from resolvers.outcomes import change_user
from schema.change_inputs import AssignLicenseInput, UpdateUserLicensesInput
from services.authorization import Permission
from services.changes import Change
from services.license_plans import LicenseEdit, Toggle
from services.models import UserRef
from services.outcomes import Outcome


async def update_user_licenses(info: Info, input: UpdateUserLicensesInput) -> Outcome:
    edit = LicenseEdit([toggle(one) for one in input.assign or ()], list(input.remove or ()), input.usage_location)

    async def update(change: Change, ref: UserRef) -> Outcome:
        return await info.context.changes.licenses.update(change, ref, edit)

    return await change_user(info, "updateUserLicenses", input, input.user_id, Permission.WRITE_LICENSES, update)


def toggle(input: AssignLicenseInput) -> Toggle:
    plans = input.disabled_service_plan_ids
    return Toggle(input.sku_id, None if plans is None else tuple(plans))
