"""Which facts are kept, under which key, for how long."""

from hashlib import sha256
from typing import NamedTuple

import pytest

from services import lookups
from services.lookups import Lookup, key_prefix
from services.models import RoleRef, SubscriptionRef, UserRef

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
PRODUCT = "CFQ7TTC0LH16:0001"


class Offer(NamedTuple):
    offer_id: str


KEYS: dict[str, tuple[object, int, str]] = {
    "TENANTS": (None, 300, "{}:tenants:"),
    "RESELLER_TENANTS": (OTHER, 300, f"{{}}:reseller-tenants:{OTHER}"),
    "TENANTS_BY_DOMAIN": (
        "contoso.com",
        300,
        "{}:tenants-by-domain:" + sha256(b"contoso.com").hexdigest(),
    ),
    "CUSTOMER": (TENANT, 900, f"{{{TENANT}}}:customer:"),
    "DOMAINS": (TENANT, 900, f"{{{TENANT}}}:domains:"),
    "ACTIVE_USERS": (TENANT, 60, f"{{{TENANT}}}:active-users:"),
    "DELETED_USERS": (TENANT, 60, f"{{{TENANT}}}:deleted-users:"),
    "USER": (UserRef(TENANT, OTHER), 30, f"{{{TENANT}}}:user:{OTHER}"),
    "LICENSES": (UserRef(TENANT, OTHER), 60, f"{{{TENANT}}}:licenses:{OTHER}"),
    "SUBSCRIBED_SKUS": (TENANT, 30, f"{{{TENANT}}}:subscribed-skus:"),
    "SUBSCRIPTIONS": (TENANT, 300, f"{{{TENANT}}}:subscriptions:"),
    "PROVISIONED_SKU": (SubscriptionRef(TENANT, OTHER), 86_400, f"{{{TENANT}}}:provisioned-sku:{OTHER}"),
    "CATALOG_SKU": (Offer(PRODUCT), 86_400, "{}:catalog-sku:" + sha256(PRODUCT.encode()).hexdigest()),
    "ROLES": (TENANT, 3600, f"{{{TENANT}}}:roles:"),
    "USER_ROLES": (UserRef(TENANT, OTHER), 60, f"{{{TENANT}}}:user-roles:{OTHER}"),
    "ROLE_MEMBERS": (RoleRef(TENANT, OTHER), 60, f"{{{TENANT}}}:role-members:{OTHER}"),
}


@pytest.mark.parametrize("name", KEYS)
def test_each_look_up_has_its_key_and_its_fresh_time(name):
    lookup = getattr(lookups, name)
    key, fresh_seconds, text = KEYS[name]

    assert (lookup.fresh_seconds, lookup.key(key)) == (fresh_seconds, text)


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
    assert key_prefix("live:partner") == "gw:1:live:partner:"
