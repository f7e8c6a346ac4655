"""What a row of the samples' table is: a call, what it gives, and what it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.errors import RefusedReason, UpstreamError
from services.models import LicenseAssignment, LicenseChange, NewUser, UserRef
from tests.services.partner_center.scripted import Wired

TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
USER = UserRef(TENANT, "a9ef48bb-8758-4590-a312-d4a47bfaded4")
POWER_BI = "f8a1db68-be16-40ed-86d5-cb42ce701560"
ASSIGN_POWER_BI = LicenseChange(assign=(LicenseAssignment(POWER_BI),))
NEW_USER = NewUser("userid@domain.onmicrosoft.com", "User name", "US", "First", "Last", "abCD123*")


@dataclass(frozen=True)
class Raises:
    """The error a sample must become."""

    kind: type[UpstreamError]
    status: int
    code: int | None = None
    reason: RefusedReason | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class Holds:
    """JSON that is passed on as it is: the value at each path."""

    values: dict[tuple[str | int, ...], object]


@dataclass(frozen=True)
class Row:
    call: Callable[[Wired], Awaitable[Any]]
    gives: Any
    asks: tuple[str, str] | None = None


def call(method: str, path: str, body: object = None) -> Callable[[Wired], Awaitable[Any]]:
    """A call for which the client has no method: it goes through the transport and gives its JSON."""

    async def through_the_transport(wired: Wired) -> object:
        return (await wired.transport.request(method, path, tenant_id=None, body=body)).json()

    return through_the_transport


def get(path: str, values: dict[tuple[str | int, ...], object]) -> Row:
    return Row(call("GET", path), Holds(values))


def instant(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]
