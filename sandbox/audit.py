"""The trail of writes, as Partner Center's audit records show them.

Source: learn.microsoft.com/partner-center/developer/auditing-resources. Values are JSON texts in PascalCase.
Passwords never enter the trail.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from sandbox.wire import Json, attributes, instant, present

if TYPE_CHECKING:
    from sandbox.asks import Ask
    from sandbox.world import Customer


@dataclass(frozen=True, slots=True)
class AuditRecord:
    id: str
    partner_id: str
    customer_id: str
    customer_name: str
    upn: str | None
    application_id: str
    session_id: str
    resource_type: str
    operation_type: str
    at: datetime
    new_value: str | None
    old_value: str | None
    details: dict[str, str] = field(default_factory=dict)

    def written(self) -> Json:
        body = present(
            {
                "id": self.id,
                "partnerId": self.partner_id,
                "customerId": self.customer_id,
                "customerName": self.customer_name,
                "userPrincipalName": self.upn,
                "applicationId": self.application_id,
                "sessionId": self.session_id,
                "resourceType": self.resource_type,
                "resourceOldValue": self.old_value,
                "resourceNewValue": self.new_value,
                "operationType": self.operation_type,
                "operationDate": instant(self.at),
                "operationStatus": "succeeded",
            }
        )
        body["customizedData"] = [{"key": key, "value": value} for key, value in self.details.items()]
        body["attributes"] = attributes("AuditRecord")
        return body


class AuditTrail:
    """Records, oldest first."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def clear(self) -> None:
        self.records.clear()

    def record(
        self,
        ask: Ask,
        resource_type: str,
        operation_type: str,
        *,
        customer: Customer | None = None,
        new: Mapping[str, object] | None = None,
        old: Mapping[str, object] | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Notes that the request did this to the customer of its path, or to the one given."""
        concerned = customer or ask.customer
        self.records.append(
            AuditRecord(
                id=str(uuid.uuid4()),
                partner_id=ask.state.world.partner_id,
                customer_id=concerned.id,
                customer_name=concerned.company_name,
                upn=ask.principal.upn,
                application_id=ask.principal.application_id,
                session_id=ask.correlation_id,
                resource_type=resource_type,
                operation_type=operation_type,
                at=ask.state.clock.now(),
                new_value=_text(new),
                old_value=_text(old),
                details=dict(details or {}),
            )
        )


def _text(value: Mapping[str, object] | None) -> str | None:
    return None if value is None else msgspec.json.encode(_pascal(value)).decode()


def _pascal(value: object) -> object:
    if isinstance(value, Mapping):
        return {
            name[:1].upper() + name[1:]: _pascal(member)
            for name, member in value.items()
            if name.lower() != "passwordprofile"
        }
    if isinstance(value, list):
        return [_pascal(member) for member in value]
    return value
