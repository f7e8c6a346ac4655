"""Reading users of a customer, and how a user is written.

Sources: learn.microsoft.com/partner-center/developer/user-resources,
…/get-a-list-of-all-user-accounts-for-a-customer, …/get-a-user-account-by-id, …/view-a-deleted-user.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sandbox import refusals
from sandbox.asks import DIRECTORY_READER, GLOBAL_READER, USER_ADMINISTRATOR, Ask, Operation, Query
from sandbox.filters import read_filter
from sandbox.paging import Listing
from sandbox.wire import Answer, Json, attributes, instant, link
from sandbox.world import User

_FILTERED = {"UserState": ("equals",), "UserStatus": ("equals",)}
_STATES = ("active", "inactive")
_SORT_KEYS: dict[str, Callable[[User], str]] = {
    "displayname": lambda user: user.display_name.casefold(),
    "userprincipalname": lambda user: user.user_principal_name.casefold(),
    "firstname": lambda user: (user.first_name or "").casefold(),
    "lastname": lambda user: (user.last_name or "").casefold(),
    "id": lambda user: user.id,
}


def list_users(ask: Ask) -> Answer:
    """Active users, or soft-deleted ones with the filter `UserState` = `Inactive`; never both."""
    listing = Listing.read(ask, f"/customers/{ask.customer.id}/users")
    wanted = read_filter(listing.query, _FILTERED)
    state = wanted.value.lower() if wanted else "active"
    if state not in _STATES:
        raise refusals.unknown_enum(wanted.value if wanted else state)
    purge_deleted_users(ask)
    inactive = state == "inactive"
    users = list(ask.customer.users.values())
    _sort(users, listing.query)
    page = listing.page(
        users,
        lambda user: (user.deleted_at is not None) == inactive,
        lambda user: write_user(ask.customer.id, user),
        lambda user: user.id,
        ask.state.switches.users_page_size,
    )
    return Answer(200, page)


def get_user(ask: Ask) -> Answer:
    purge_deleted_users(ask)
    user = ask.user(deleted=ask.state.switches.deleted_user_readable)
    return Answer(200, write_user(ask.customer.id, user))


def write_user(customer_id: str, user: User, password_profile: Json | None = None) -> Json:
    """`password_profile` is echoed in answers to writes only."""
    body: Json = {}
    if user.usage_location:
        body["usageLocation"] = user.usage_location
    body["id"] = user.id
    body["userPrincipalName"] = user.user_principal_name
    if user.first_name:
        body["firstName"] = user.first_name
    if user.last_name:
        body["lastName"] = user.last_name
    body["displayName"] = user.display_name
    if user.immutable_id:
        body["immutableId"] = user.immutable_id
    if password_profile is not None:
        body["passwordProfile"] = password_profile
    if user.phone_number:
        body["phoneNumber"] = user.phone_number
    if user.last_directory_sync_time is not None:
        body["lastDirectorySyncTime"] = instant(user.last_directory_sync_time)
    body["userDomainType"] = user.domain_type
    if user.deleted_at is None:
        body["state"] = "active"
    else:
        body["state"] = "inactive"
        body["softDeletionTime"] = instant(user.deleted_at)
    body["links"] = {"self": link(f"/customers/{customer_id}/users/{user.id}")}
    body["attributes"] = attributes("CustomerUser")
    return body


def purge_deleted_users(ask: Ask) -> None:
    """Forgets the customer's users whose late purge has come."""
    limit = ask.state.clock.now() - timedelta(days=ask.state.switches.purge_after_days)
    users = ask.customer.users
    for user in [user for user in users.values() if user.deleted_at is not None and user.deleted_at < limit]:
        del users[user.id]


def _sort(users: list[User], query: Query) -> None:
    field = query.first("sortField", "sortOption.sortField")
    direction = (query.first("sortDirection", "sortOption.sortDirection") or "ascending").lower()
    if direction not in ("ascending", "descending"):
        raise refusals.unknown_enum(direction)
    if not field:
        return
    key = _SORT_KEYS.get(field.lower())
    if key is None:
        raise refusals.invalid_property(f"Invalid property: {field}")
    users.sort(key=key, reverse=direction == "descending")


READERS = (DIRECTORY_READER, GLOBAL_READER, USER_ADMINISTRATOR)

OPERATIONS = (
    Operation("GET", "/customers/{customer_id}/users", list_users, roles=READERS),
    Operation("GET", "/customers/{customer_id}/users/{user_id}", get_user, roles=READERS),
)
