"""The `filter` query parameter: one field, one value, one operator, as JSON.

Source: learn.microsoft.com/partner-center/developer/utility-resources. Values are compared without regard to
case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox import refusals
from sandbox.asks import Query
from sandbox.members import Members

_OPERATORS = (
    "equals",
    "not_equals",
    "greater_than",
    "greater_than_or_equals",
    "less_than",
    "less_than_or_equals",
    "substring",
    "and",
    "or",
    "starts_with",
    "not_starts_with",
)


@dataclass(frozen=True, slots=True)
class Filter:
    field: str
    """Lower case."""
    value: str
    operator: str

    def accepts(self, text: str) -> bool:
        found, wanted = text.casefold(), self.value.casefold()
        if self.operator == "starts_with":
            return found.startswith(wanted)
        if self.operator == "substring":
            return wanted in found
        return found == wanted


def read_filter(query: Query, operators_by_field: Mapping[str, tuple[str, ...]]) -> Filter | None:
    """The request's filter; refuses a field that the collection does not have and an operator it does not
    allow."""
    text = query.first("filter")
    if not text or not text.strip():
        return None
    members = Members.parse(text.encode())
    operator = (members.text("Operator") or "").strip()
    if operator.replace("_", "").lower() not in [name.replace("_", "") for name in _OPERATORS]:
        raise refusals.unknown_enum(operator)
    field = (members.text("Field") or "").lower()
    allowed = {name.lower(): operators for name, operators in operators_by_field.items()}.get(field)
    if allowed is None:
        raise refusals.invalid_property(f"Invalid property: {members.text('Field')}")
    chosen = next((name for name in _OPERATORS if name.replace("_", "") == operator.replace("_", "").lower()), "")
    if chosen not in allowed:
        raise refusals.invalid_input(f"The operator {operator} is not supported for {members.text('Field')}.")
    value = members.text("Value")
    if value is None:
        raise refusals.invalid_input("The filter has no value.")
    return Filter(field, value, chosen)
