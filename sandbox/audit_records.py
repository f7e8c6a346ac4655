"""Reading the audit records.

The window is 30 days by default and 90 days at most back. Source:
learn.microsoft.com/partner-center/developer/get-a-record-of-partner-center-activity-by-user
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox import refusals
from sandbox.asks import Ask, Operation
from sandbox.audit import AuditRecord
from sandbox.filters import Filter, read_filter
from sandbox.paging import Listing
from sandbox.wire import Answer

WINDOW = timedelta(days=30)
OLDEST = timedelta(days=90)
_PAGE_SIZE = 500
_FORMATS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y")
_FILTERED = {"CompanyName": ("substring",), "CustomerId": ("equals",), "ResourceType": ("equals",)}


def list_audit_records(ask: Ask) -> Answer:
    listing = Listing.read(ask, "/auditrecords")
    wanted = read_filter(listing.query, _FILTERED)
    now = ask.state.clock.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = _date(listing.query.first("startDate"), "startDate") or today - WINDOW
    if start < today - OLDEST:
        raise refusals.invalid_input("startDate must not be older than 90 days.")
    end = _date(listing.query.first("endDate"), "endDate")
    until = start + WINDOW + timedelta(days=1) if end is None else end + timedelta(days=1)
    if until <= start:
        raise refusals.invalid_input("endDate must not be before startDate.")
    page = listing.page(
        ask.state.audit.records[::-1],
        lambda record: start <= record.at < until and (wanted is None or _matches(record, wanted)),
        AuditRecord.written,
        lambda record: record.id,
        _PAGE_SIZE,
    )
    return Answer(200, page)


def get_audit_record(ask: Ask) -> Answer:
    wanted = ask.params["record_id"].lower()
    for record in ask.state.audit.records:
        if record.id == wanted:
            return Answer(200, record.written())
    raise refusals.not_found()


def _matches(record: AuditRecord, wanted: Filter) -> bool:
    if wanted.field == "companyname":
        return wanted.accepts(record.customer_name)
    if wanted.field == "customerid":
        return wanted.accepts(record.customer_id)
    # The SDK writes the enum as CustomerUser, the wire as customer_user.
    return record.resource_type.replace("_", "") == wanted.value.replace("_", "").lower()


def _date(text: str | None, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise refusals.invalid_input(f"{name} is not a date.")


OPERATIONS = (
    Operation("GET", "/auditrecords", list_audit_records, application=True),
    Operation("GET", "/auditrecords/{record_id}", get_audit_record, application=True),
)
