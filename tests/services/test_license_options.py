"""The lines of the Manage Licenses dialog, and how a license is tied to its product."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from services.authorization import Permission
from services.license_options import LicenseBlockerCode, held_license, license_options
from services.models import License, ProductType, ServicePlan, SubscribedSku, User, UserStatus

NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
MAIL = ServicePlan("efb87545-963c-4e0d-99df-69c6916d9eb0", "EXCHANGE_S_ENTERPRISE", "Exchange Online (Plan 2)")
SWAY = ServicePlan("a23b959c-7ce8-4e57-9140-b90eb88a9e97", "SWAY", "Sway")
FOUNDATION = ServicePlan("113feb6c-3fe4-4440-bddc-54d774bf0318", "EXCHANGE_S_FOUNDATION", None, for_users=False)
ADA = User(
    tenant_id=TENANT,
    microsoft_id="a9ef48bb-8758-4590-a312-d4a47bfaded4",
    user_principal_name="ada@contoso.onmicrosoft.com",
    display_name="Ada",
    first_name=None,
    last_name=None,
    usage_location="US",
    status=UserStatus.ACTIVE,
    directory_synced=False,
    federated=False,
    deleted_at=None,
    as_of=NOW,
)
E3 = SubscribedSku(
    tenant_id=TENANT,
    sku_id="6fd2c87f-b296-42f0-b197-1e91e994b900",
    sku_part_number="ENTERPRISEPACK",
    product_name="Office 365 E3",
    product_type=ProductType.CLOUD_SERVICES,
    active_units=5,
    consumed_units=4,
    available_units=1,
    suspended_units=0,
    warning_units=0,
    total_units=5,
    capability_status="Enabled",
    license_group_id="group1",
    service_plans=(MAIL, SWAY, FOUNDATION),
    as_of=NOW,
)
HELD = License(
    tenant_id=TENANT,
    sku_id=E3.sku_id,
    sku_part_number="ENTERPRISEPACK",
    product_name="Office 365 E3",
    license_group_id="group1",
    assigned_plans=(MAIL,),
)


def blockers(sku=E3, *, user=ADA, held=False, lacking=None):
    [option] = license_options(user, [HELD] if held else [], [sku], lacking=lacking)
    assert option.assigned is held
    assert option.changeable is not bool(option.blockers)
    assert all(one.message.endswith(".") for one in option.blockers)
    return [one.code.value for one in option.blockers]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"available_units": 0}, ["NONE_AVAILABLE"]),
        ({"available_units": -2}, ["NONE_AVAILABLE"]),
        ({"capability_status": "Suspended"}, ["SUSPENDED"]),
        ({"capability_status": "LockedOut", "available_units": 0}, ["SUSPENDED"]),
        ({"capability_status": "deleted"}, ["SUSPENDED"]),
        ({"capability_status": "Warning"}, []),
        ({"capability_status": ""}, []),
        ({"capability_status": "SomethingNew"}, []),
    ],
)
def test_what_the_product_puts_in_the_way_counts_for_switching_on_alone(changes, expected):
    assert blockers(structs.replace(E3, **changes)) == expected
    assert blockers(structs.replace(E3, **changes), held=True) == []


@pytest.mark.parametrize("location", [None, ""])
def test_without_a_usage_location_nothing_is_switched_on(location):
    user = structs.replace(ADA, usage_location=location)

    assert blockers(user=user) == ["USAGE_LOCATION_MISSING"]
    assert blockers(user=user, held=True) == []


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("permission", [Permission.WRITE_LICENSES, Permission.MANAGE_ADMINS])
def test_a_missing_permission_blocks_either_way_and_is_named(held, permission):
    [option] = license_options(ADA, [HELD] if held else [], [E3], lacking=permission)

    assert [(one.code, one.message) for one in option.blockers] == [
        (LicenseBlockerCode.NOT_PERMITTED, f"This needs the permission {permission.value}.")
    ]


def test_all_that_stands_in_the_way_is_named():
    user = structs.replace(ADA, status=UserStatus.DELETED, deleted_at=NOW, usage_location=None)
    sku = structs.replace(E3, available_units=0)

    assert blockers(sku, user=user, lacking=Permission.WRITE_LICENSES) == [
        "USER_DELETED",
        "NOT_PERMITTED",
        "NONE_AVAILABLE",
        "USAGE_LOCATION_MISSING",
    ]


def test_what_the_tenant_holds_as_a_whole_is_offered_to_nobody_and_shown_to_its_holder():
    capacity = structs.replace(E3, product_type=ProductType.OTHER)

    assert license_options(ADA, [], [capacity], lacking=None) == []
    assert blockers(capacity, held=True) == ["NOT_USER_ASSIGNABLE"]


def test_a_product_that_the_user_has_is_never_hidden():
    """The tenant lists no units of it any more."""
    [option] = license_options(ADA, [HELD], [], lacking=None)

    assert (option.assigned, option.changeable) == (True, True)
    assert (option.sku.product_name, option.sku.total_units, option.sku.capability_status) == (
        "Office 365 E3",
        0,
        "Deleted",
    )
    assert option.sku.service_plans == (MAIL,)


def test_plans_left_out_of_a_license_are_off_and_those_of_the_tenant_are_not_told():
    tied = held_license(ADA, HELD, [E3])

    assert tied.sku is E3
    assert (tied.service_plans, tied.disabled_service_plans) == ([MAIL], [SWAY])


def test_plans_listed_as_off_are_told_once():
    tied = held_license(ADA, structs.replace(HELD, disabled_plans=(SWAY,)), [E3])

    assert (tied.service_plans, tied.disabled_service_plans) == ([MAIL], [SWAY])
