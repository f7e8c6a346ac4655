"""The rows of an export, as CSV or JSON lines, a piece at a time.

The columns are the same for one tenant or all. In CSV a text that a spreadsheet would take for a formula is given
with an apostrophe before it: whoever may choose a display name must not run anything at whoever opens the file.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from io import StringIO

import msgspec

from resolvers.all_users import FoundUsers
from resolvers.coverage import Coverage
from resolvers.ordering import folded
from resolvers.portfolio import FoundSkus
from schema.scalars import write_instant
from services.models import SubscribedSku, Tenant, User

Cell = str | int | bool | None
Row = Sequence[Cell]
ROWS_A_PIECE = 500
"""Some milliseconds of work, and about 100 KB."""

_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones, too, in some programs

USER_COLUMNS = (
    "tenantName",
    "tenantDomain",
    "tenantMicrosoftId",
    "microsoftId",
    "userPrincipalName",
    "displayName",
    "firstName",
    "lastName",
    "usageLocation",
    "status",
    "directorySynced",
    "deletedAt",
    "restorableUntil",
    "id",
    "asOf",
)
SKU_COLUMNS = (
    "skuId",
    "skuPartNumber",
    "productName",
    "productType",
    "tenantName",
    "tenantDomain",
    "tenantMicrosoftId",
    "activeUnits",
    "warningUnits",
    "suspendedUnits",
    "totalUnits",
    "consumedUnits",
    "availableUnits",
    "unusedUnits",
    "id",
    "asOf",
)


def user_rows(found: FoundUsers) -> Iterator[Row]:
    """A row a user: tenant after tenant by name, the users of each by name."""
    for tenant, users in sorted(found.by_tenant, key=lambda one: _tenants_place(one[0])):
        for user in sorted(users, key=lambda user: (folded(user.display_name), user.microsoft_id)):
            yield _user_row(tenant, user)


def _tenants_place(tenant: Tenant) -> tuple[str, str]:
    return folded(tenant.name), tenant.microsoft_id


def _user_row(tenant: Tenant, user: User) -> Row:
    return (
        tenant.name,
        tenant.domain,
        tenant.microsoft_id,
        user.microsoft_id,
        user.user_principal_name,
        user.display_name,
        user.first_name,
        user.last_name,
        user.usage_location,
        user.status.value,
        user.directory_synced,
        _instant(user.deleted_at),
        _instant(user.restorable_until()),
        user.id,
        _instant(user.as_of),
    )


def sku_rows(found: FoundSkus) -> Iterator[Row]:
    """A row for each product of each tenant: product after product by name, the most available first."""
    entries = [(tenant, sku) for tenant, skus in found.by_tenant for sku in skus]
    names: dict[str, str] = {}
    for _, sku in entries:  # one product under two names stays together, under one of them
        names[sku.sku_id] = min(sku.product_name, names.get(sku.sku_id, sku.product_name))

    def place(entry: tuple[Tenant, SubscribedSku]) -> tuple[str, str, int, str]:
        sku = entry[1]
        return folded(names[sku.sku_id]), sku.sku_id, -sku.available_units, sku.tenant_id

    for tenant, sku in sorted(entries, key=place):
        yield _sku_row(tenant, sku)


def _sku_row(tenant: Tenant, sku: SubscribedSku) -> Row:
    return (
        sku.sku_id,
        sku.sku_part_number,
        sku.product_name,
        sku.product_type.value,
        tenant.name,
        tenant.domain,
        tenant.microsoft_id,
        sku.active_units,
        sku.warning_units,
        sku.suspended_units,
        sku.total_units,
        sku.consumed_units,
        sku.available_units,
        max(sku.available_units, 0),
        sku.id,
        _instant(sku.as_of),
    )


def _instant(value: datetime | None) -> str | None:
    return None if value is None else write_instant(value)


class Form(Enum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"

    @property
    def media_type(self) -> str:
        return "text/csv; charset=utf-8; header=present" if self is Form.CSV else "application/jsonl; charset=utf-8"


def pieces(form: Form, columns: Sequence[str], rows: Iterable[Row], coverage: Coverage) -> Iterator[bytes]:
    """The body, a piece at a time, so that it is never held whole."""
    return _csv_pieces(columns, rows) if form is Form.CSV else _json_pieces(columns, rows, coverage)


def _csv_pieces(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in _in_pieces(rows, lambda: text.tell() > 0):
        if row is None:
            yield text.getvalue().encode(errors="replace")
            text.seek(0)
            text.truncate()
        else:
            writer.writerow([_csv_cell(cell) for cell in row])


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_STARTS_FORMULA) else cell
    return str(cell).lower() if isinstance(cell, bool) else cell


def _json_pieces(columns: Sequence[str], rows: Iterable[Row], coverage: Coverage) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    lines: list[bytes] = []
    for row in _in_pieces(rows, lambda: bool(lines)):
        if row is None:
            yield b"\n".join(lines) + b"\n"
            lines.clear()
        else:
            lines.append(encode(dict(zip(columns, row, strict=True))))
    yield encode({"coverage": told(coverage)}) + b"\n"


def _in_pieces(rows: Iterable[Row], begun: Callable[[], bool]) -> Iterator[Row | None]:
    """The rows, and None wherever a piece is full, and at the end if one is begun."""
    number = 0
    for number, row in enumerate(rows, start=1):
        yield row
        if number % ROWS_A_PIECE == 0:
            yield None
    if begun():
        yield None


def told(coverage: Coverage) -> dict[str, object]:
    """The coverage, with the names of GraphQL."""
    return {
        "asked": coverage.asked,
        "answered": coverage.answered,
        "stale": coverage.stale,
        "oldestAsOf": _instant(coverage.oldest_as_of),
        "failed": [
            {
                "tenant": {"id": one.tenant.id, "microsoftId": one.tenant.microsoft_id, "name": one.tenant.name},
                "code": one.code.value,
                "retryAfterSeconds": one.retry_after_seconds,
            }
            for one in coverage.failed
        ],
    }
