"""Assigning and removing licenses: all of a call, or none of it.

Source: learn.microsoft.com/partner-center/developer/assign-licenses-to-a-user. Texts are Microsoft Graph's
(user: assignLicense) where Partner Center's page shows none.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox import refusals
from sandbox.asks import DIRECTORY_WRITER, LICENSE_ADMINISTRATOR, USER_ADMINISTRATOR, Ask, Operation
from sandbox.licenses import find_product, free_units
from sandbox.members import Members
from sandbox.wire import Answer, Json, attributes
from sandbox.world import Holding, User


@dataclass(frozen=True, slots=True)
class _Assignment:
    sku_id: str
    excluded_plans: frozenset[str]
    echo: Json


def update_licenses(ask: Ask) -> Answer:
    user = _user(ask)
    members = ask.members()
    assignments = [_read_assignment(value) for value in members.items("licensesToAssign") or []]
    removals = members.texts("licensesToRemove") or []
    removed = [sku_id.strip().lower() for sku_id in removals]
    if not assignments and not removed:
        text = "Both licensesToAssign and licensesToRemove cannot be empty."
        raise refusals.Refusal(400, 2001, text)
    assigned = [assignment.sku_id for assignment in assignments]
    if len({*assigned, *removed}) < len(assigned) + len(removed):
        raise refusals.invalid_property("A license is named more than once.")
    _check_groups(ask, [*assigned, *removed])
    if assignments and not user.usage_location:
        raise refusals.invalid_property(refusals.INVALID_USAGE_LOCATION)
    for assignment in assignments:
        _check_assignment(ask, user, assignment)
    absent = [sku_id for sku_id in removed if sku_id not in user.licenses]
    if absent and ask.state.switches.remove_absent_license_status >= 400:
        raise refusals.invalid_property(refusals.ABSENT_LICENSE, ask.state.switches.remove_absent_license_status)
    for sku_id in removed:
        user.licenses.pop(sku_id, None)
    for assignment in assignments:
        user.licenses[assignment.sku_id] = set(assignment.excluded_plans)
    body: Json = {}
    if members.value("licensesToAssign") is not None:
        body["licensesToAssign"] = [assignment.echo for assignment in assignments]
    if members.value("licensesToRemove") is not None:
        body["licensesToRemove"] = removals
    body["licenseWarnings"] = []
    body["attributes"] = attributes("LicenseUpdate")
    _record(ask, user, body, assigned, removed)
    return Answer(201, body)


def _user(ask: Ask) -> User:
    """The newer reference page lets the path name the user by UPN as well."""
    name = ask.params["user_id"]
    if "@" not in name:
        return ask.user()
    for user in ask.customer.users.values():
        if user.deleted_at is None and user.user_principal_name.lower() == name.lower():
            return user
    raise refusals.unknown_user()


def _read_assignment(value: object) -> _Assignment:
    if not isinstance(value, dict):
        raise refusals.invalid_input("licensesToAssign must hold objects.")
    members = Members(value)
    sku_id = members.text("skuId")
    if not sku_id:
        raise refusals.invalid_input("skuId is needed.")
    excluded = members.texts("excludedPlans")
    echo: Json = {} if excluded is None else {"excludedPlans": excluded}
    echo["skuId"] = sku_id
    plans = frozenset(plan.strip().lower() for plan in excluded or ())
    return _Assignment(sku_id.strip().lower(), plans, echo)


def _check_groups(ask: Ask, sku_ids: list[str]) -> None:
    """One call may touch one license group only."""
    products = [find_product(ask, sku_id) for sku_id in sku_ids]
    groups = {product.license_group for product in products if product is not None}
    if len(groups) > 1:
        raise refusals.invalid_input("All licenses of one call must belong to the same license group.")


def _check_assignment(ask: Ask, user: User, assignment: _Assignment) -> None:
    holding: Holding | None = ask.customer.holdings.get(assignment.sku_id)
    if holding is None:
        raise refusals.invalid_property(f"License {assignment.sku_id} does not correspond to a valid company License.")
    if holding.product.target_type.lower() != "user":
        raise refusals.invalid_property(
            f"License {assignment.sku_id} is held by the company as a whole and cannot be assigned to a user."
        )
    unknown = assignment.excluded_plans - {plan.id for plan in holding.product.plans}
    if unknown:
        raise refusals.invalid_property(
            f"Service plans {', '.join(sorted(unknown))} do not belong to the license {assignment.sku_id}."
        )
    if assignment.sku_id not in user.licenses and free_units(ask.customer, assignment.sku_id) < 1:
        raise refusals.no_license_left(ask.customer.id, assignment.sku_id)


def _record(ask: Ask, user: User, body: Json, assigned: list[str], removed: list[str]) -> None:
    details = {"CustomerUserId": user.id}
    if assigned:
        details["AddedLicenseSkuId"] = ",".join(assigned)
    if removed:
        details["RemovedLicenseSkuId"] = ",".join(removed)
    ask.state.audit.record(ask, "license", "update_customer_user_licenses", new=body, details=details)


OPERATIONS = (
    Operation(
        "POST",
        "/customers/{customer_id}/users/{user_id}/licenseupdates",
        update_licenses,
        roles=(LICENSE_ADMINISTRATOR, USER_ADMINISTRATOR, DIRECTORY_WRITER),
    ),
)
