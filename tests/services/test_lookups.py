"""Which facts are kept, under which key, for how long."""

from hashlib import sha256
from typing import NamedTuple

import pytest

from services import lookups
from services.lookups import Lookup, Volatile, generation_key, key_prefix
from services.models import RoleRef, SubscriptionRef, UserRef

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
PRODUCT = "CFQ7TTC0LH16:0001"


class Offer(NamedTuple):
    offer_id: str


MINUTE, HOUR, DAY = 60, 3600, 86_400
KEYS: dict[str, tuple[object, tuple[int, int, int], str]] = {
    "TENANTS": (None, (300, 15 * MINUTE, DAY), "{}:tenants:"),
    "RESELLER_TENANTS": (OTHER, (300, 15 * MINUTE, DAY), f"{{}}:reseller-tenants:{OTHER}"),
    "TENANTS_BY_DOMAIN": ("contoso.com", (300, 0, 0), "{}:tenants-by-domain:" + sha256(b"contoso.com").hexdigest()),
    "CUSTOMER": (TENANT, (15 * MINUTE, HOUR, DAY), f"{{{TENANT}}}:customer:"),
    "DOMAINS": (TENANT, (15 * MINUTE, HOUR, DAY), f"{{{TENANT}}}:domains:"),
    "ACTIVE_USERS": (TENANT, (60, 120, HOUR), f"{{{TENANT}}}:active-users:"),
    "DELETED_USERS": (TENANT, (60, 120, HOUR), f"{{{TENANT}}}:deleted-users:"),
    "USER": (UserRef(TENANT, OTHER), (30, 60, HOUR), f"{{{TENANT}}}:user:{OTHER}"),
    "LICENSES": (UserRef(TENANT, OTHER), (60, 120, HOUR), f"{{{TENANT}}}:licenses:{OTHER}"),
    "SUBSCRIBED_SKUS": (TENANT, (30, 60, HOUR), f"{{{TENANT}}}:subscribed-skus:"),
    "SUBSCRIPTIONS": (TENANT, (300, 600, DAY), f"{{{TENANT}}}:subscriptions:"),
    "PROVISIONED_SKU": (SubscriptionRef(TENANT, OTHER), (7 * DAY, 0, 7 * DAY), f"{{{TENANT}}}:provisioned-sku:{OTHER}"),
    "CATALOG_SKU": (Offer(PRODUCT), (7 * DAY, 0, 7 * DAY), "{}:catalog-sku:" + sha256(PRODUCT.encode()).hexdigest()),
    "ROLES": (TENANT, (HOUR, DAY, 7 * DAY), f"{{{TENANT}}}:roles:"),
    "USER_ROLES": (UserRef(TENANT, OTHER), (60, 0, 15 * MINUTE), f"{{{TENANT}}}:user-roles:{OTHER}"),
    "ROLE_MEMBERS": (RoleRef(TENANT, OTHER), (60, 0, 15 * MINUTE), f"{{{TENANT}}}:role-members:{OTHER}"),
}
"""Key, the ages until which an answer is fresh, given while it is renewed, and stands in; and the text of the key."""

CHANGED_BY = {
    "ACTIVE_USERS": Volatile.USERS,
    "DELETED_USERS": Volatile.USERS,
    "USER": Volatile.USERS,
    "LICENSES": Volatile.LICENSES,
    "SUBSCRIBED_SKUS": Volatile.LICENSES,
    "USER_ROLES": Volatile.ROLES,
    "ROLE_MEMBERS": Volatile.ROLES,
}


@pytest.mark.parametrize("name", KEYS)
def test_each_look_up_has_its_key_and_its_times(name):
    lookup = getattr(lookups, name)
    key, times, text = KEYS[name]

    assert (lookup.fresh_seconds, lookup.renew_seconds, lookup.stand_in_seconds) == times
    assert lookup.key(key) == text


@pytest.mark.parametrize("name", KEYS)
def test_each_look_up_says_which_changes_make_it_out_of_date(name):
    assert getattr(lookups, name).volatile is CHANGED_BY.get(name)


def test_no_look_up_is_left_out_of_this_table_and_no_two_share_a_kind():
    named = {name: each for name, each in vars(lookups).items() if isinstance(each, Lookup)}

    assert named.keys() == KEYS.keys()
    assert len({each.kind for each in named.values()}) == len(KEYS)


def test_what_is_no_lower_case_guid_is_never_readable_in_a_key():
    sign_in_name = UserRef(TENANT.upper().replace("1", "A"), "adele@contoso.com")

    text = lookups.USER.key(sign_in_name)

    assert text == "{%s}:user:%s" % (  # noqa: UP031  # braces are literal here
        sha256(sign_in_name.tenant_id.encode()).hexdigest(),
        sha256(b"adele@contoso.com").hexdigest(),
    )


def test_an_id_with_a_line_break_after_a_guid_is_no_guid():
    assert lookups.CUSTOMER.key(TENANT + "\n") == "{" + sha256(f"{TENANT}\n".encode()).hexdigest() + "}:customer:"


def test_every_key_begins_with_the_format_and_the_namespace():
    assert key_prefix("live:partner") == "gw:3:live:partner:"


def test_a_tenants_generation_lies_in_the_slot_of_its_look_ups_and_never_shows_what_is_no_guid():
    assert generation_key(TENANT, Volatile.USERS) == f"{{{TENANT}}}:generation:users"
    assert generation_key("contoso.com", Volatile.ROLES) == "{%s}:generation:roles" % (  # noqa: UP031  # as above
        sha256(b"contoso.com").hexdigest()
    )
