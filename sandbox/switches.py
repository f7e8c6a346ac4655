"""Answers to what the sources leave open, one switch each.

Microsoft's pages do not say how Partner Center behaves in these cases. The default is the likeliest answer; a
test or an operator can turn it over, through `POST /sandbox/switches`, to see whether a client depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace


class UnknownSwitch(ValueError):
    """The name of a switch, or the type of its value, that was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    create_user_status: int = 201
    """Status of a user's creation. The page's trace shows 200, generated clients accept both."""
    create_needs_password: bool = True
    """Whether a user's creation without a password is refused. Generated clients cannot even send one."""
    duplicate_upn_status: int = 400
    """Status for a UPN that is taken, at creation and update: 400 or 409."""
    deleted_user_readable: bool = False
    """Whether GET on a soft-deleted user answers it (`state: inactive`) instead of 404."""
    unknown_customer_status: int = 404
    """404 (60003), or 403 (20002) as for a customer without a relationship."""
    invalid_customer_id_code: int = 2000
    """Code for a customer id that is no GUID: 2000 or 900118."""
    remove_absent_license_status: int = 400
    """400, or 201 without an effect, for removing a license that the user lacks."""
    list_disabled_plans: bool = False
    """Whether a user's license shows switched-off plans (`capabilityStatus: Disabled`) or leaves them out."""
    restore_conflict_status: int = 409
    """Status for restoring a user whose UPN was taken meanwhile: 409 or 400."""
    restore_assigns_licenses: bool = True
    """Whether a restored user gets its licenses back as far as units are free."""
    restorable_days: int = 30
    """Days after which a deleted user can no longer be restored (documented)."""
    purge_after_days: int = 40
    """Days after which a deleted user leaves the list; later than restorable, as a late purge would be."""
    request_id_memory_seconds: int = 600
    """How long the answer to a write is kept for its MS-RequestId."""
    customers_page_size: int = 500
    """Default and largest page of customers; a larger size is clipped."""
    users_page_size: int = 500
    """Default and largest page of users and of role members."""
    throttle_per_minute: int = 500
    """Requests a minute on customers and subscriptions before 429, when throttling is on."""
    omitted_auto_renew_resets: bool = True
    """Whether an update of a subscription without `autoRenewEnabled` turns it off."""
    require_subscription_etag: bool = False
    """Whether an update of a legacy subscription without an etag is refused (2055)."""
    customers_deletable: bool = True
    """Whether DELETE on a customer works: only in Microsoft's integration sandbox, never in production."""
    multi_factor: bool = True
    """Whether App+User tokens are issued with `mfa` in `amr`; without it every call answers 401 900421."""
    access_token_seconds: int = 3600
    """Life of an access token, by the sandbox's clock."""

    def changed(self, changes: Mapping[str, object]) -> Switches:
        """These switches with some changed; UnknownSwitch names the first that cannot be."""
        known = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise UnknownSwitch(f"{name}: no such switch")
            if type(value) is not known[name]:
                raise UnknownSwitch(f"{name}: must be of type {known[name].__name__}")
            if type(value) is int and value < 1:
                raise UnknownSwitch(f"{name}: must be positive")
            if type(value) is int and name.endswith("_status") and not 200 <= value <= 599:
                raise UnknownSwitch(f"{name}: must be an HTTP status")
        return replace(self, **changes)  # type: ignore[arg-type]  # names and types were checked above

    def as_dict(self) -> dict[str, int | bool]:
        return asdict(self)
