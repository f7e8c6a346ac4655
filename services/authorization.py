"""Who is asking, and what they may do. Which tenants are in reach is decided where tenants are listed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.errors import NotPermitted


class ViewerKind(Enum):
    """What a caller is to the partner, which decides the tenants in reach."""

    RESELLER = "RESELLER"
    DIRECT_CUSTOMER = "DIRECT_CUSTOMER"
    PARTNER = "PARTNER"


class Permission(Enum):
    """What a caller may be allowed, tenant by tenant alike."""

    READ = "READ"
    WRITE_USERS = "WRITE_USERS"
    WRITE_LICENSES = "WRITE_LICENSES"
    WRITE_ROLES = "WRITE_ROLES"
    RESET_PASSWORDS = "RESET_PASSWORDS"
    DELETE_USERS = "DELETE_USERS"
    MANAGE_ADMINS = "MANAGE_ADMINS"
    READ_AUDIT = "READ_AUDIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent the request, as the verified token says.

    `subject` is unique within `issuer` only. `tenant_ids` are lower-case GUIDs: the tenants of a direct
    customer, and for the others a narrowing; None means not narrowed. `reseller_id` is the indirect
    reseller's Microsoft tenant id, lower case; a reseller without one reaches nothing.
    """

    subject: str
    issuer: str
    name: str
    kind: ViewerKind
    permissions: frozenset[Permission]
    tenant_ids: frozenset[str] | None = None
    reseller_id: str | None = None

    def is_person(self, user_id: str, user_principal_name: str) -> bool:
        """Whether the token is that of this user, as far as its subject or name says so."""
        own_names = {self.subject.casefold(), self.name.casefold()}
        return user_id in own_names or user_principal_name.casefold() in own_names

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Refuses a caller who lacks the permission; asked before anything else is done."""
        if permission not in self.permissions:
            raise NotPermitted(f"This needs the permission {permission.value}, which your token does not carry.")


DEMO_PARTNER = Caller(
    subject="demo",
    issuer="sandbox",
    name="Demo partner",
    kind=ViewerKind.PARTNER,
    permissions=frozenset(Permission),
)
"""Who asks without a token in sandbox mode."""
