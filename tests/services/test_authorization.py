"""What a caller may do, and how a refusal reads."""

import pytest

from services.authorization import DEMO_PARTNER, Caller, Permission, ViewerKind
from services.errors import NotPermitted

READER = Caller(
    subject="ann",
    issuer="https://issuer.example",
    name="Ann",
    kind=ViewerKind.DIRECT_CUSTOMER,
    permissions=frozenset({Permission.READ}),
    tenant_ids=frozenset({"11111111-1111-4111-8111-111111111111"}),
)


def test_a_caller_may_what_the_token_lists_and_nothing_else():
    assert [each.name for each in Permission if READER.may(each)] == ["READ"]


def test_a_permission_that_is_there_is_granted_in_silence():
    READER.require(Permission.READ)


def test_a_missing_permission_is_refused_by_its_name():
    with pytest.raises(NotPermitted) as refusal:
        READER.require(Permission.DELETE_USERS)

    assert refusal.value.message == "This needs the permission DELETE_USERS, which your token does not carry."
    assert refusal.value.extensions() == {"code": "NOT_PERMITTED"}


def test_the_demo_partner_may_everything_in_every_tenant():
    assert DEMO_PARTNER.name == "Demo partner"
    assert DEMO_PARTNER.kind is ViewerKind.PARTNER
    assert DEMO_PARTNER.permissions == frozenset(Permission)
    assert DEMO_PARTNER.tenant_ids is None


def test_the_names_are_those_of_the_schema():
    assert [each.value for each in Permission] == [
        "READ",
        "WRITE_USERS",
        "WRITE_LICENSES",
        "WRITE_ROLES",
        "RESET_PASSWORDS",
        "DELETE_USERS",
        "MANAGE_ADMINS",
        "READ_AUDIT",
    ]
    assert [each.value for each in ViewerKind] == ["RESELLER", "DIRECT_CUSTOMER", "PARTNER"]
