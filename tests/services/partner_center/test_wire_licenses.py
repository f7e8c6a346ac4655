"""Licenses as they really come: with hundreds of plans, the same for many people, now and then in other letters."""

from __future__ import annotations

import pytest
from msgspec import structs

from services.errors import UpstreamError
from services.models import License, ServicePlan, UserRef
from tests.services.partner_center.scripted import Wired, reply

TENANT = "0c39d6d5-c70d-4c55-bc02-f620844f3fd1"
USER = UserRef(TENANT, "554526aa-cf5e-46fa-95df-98dbc55d8a1e")
SKU = "6fd2c87f-b296-42f0-b197-1e91e994b900"


async def test_plans_with_a_status_of_their_own_are_disabled():
    plans = [
        {"id": "A" * 8, "serviceName": "ONE", "capabilityStatus": "Assigned", "targetType": "User"},
        {"id": "b", "serviceName": "TWO", "displayName": "Two", "capabilityStatus": "Disabled"},
        {"id": "c", "serviceName": "THREE", "targetType": "Tenant"},
    ]
    wired = Wired()
    wired.upstream.replies = [reply(200, {"items": [{"productSku": {"id": SKU}, "servicePlans": plans}]})]

    [license_] = await wired.client.list_licenses(USER)

    assert license_.assigned_plans == (
        ServicePlan("aaaaaaaa", "ONE", None),
        ServicePlan("c", "THREE", None, for_users=False),
    )
    assert license_.disabled_plans == (ServicePlan("b", "TWO", "Two"),)


async def test_equal_answers_about_two_people_are_read_into_one_list_and_the_same_in_another_tenant_is_not():
    item = {"productSku": {"id": SKU, "name": "Azure AD"}, "servicePlans": [{"id": "a", "serviceName": "ONE"}]}
    wired = Wired()
    wired.upstream.replies = [reply(200, {"totalCount": 1, "items": [item]}) for _ in range(3)]
    other_tenant = "ffffffff-d70d-4c55-bc02-f620844f3fd1"

    one = await wired.client.list_licenses(USER)
    two = await wired.client.list_licenses(UserRef(TENANT, "ffffffff-cf5e-46fa-95df-98dbc55d8a1e"))
    three = await wired.client.list_licenses(UserRef(other_tenant, USER.user_id))

    assert one == [License(TENANT, SKU, None, "Azure AD", "group1", (ServicePlan("a", "ONE", None),))]
    assert two is one
    assert three == [structs.replace(one[0], tenant_id=other_tenant)]


@pytest.mark.parametrize("whole", [True, False])
async def test_licenses_in_another_letter_case_are_read_too(whole):
    item = {"ProductSku": {"Id": SKU, "Name": "Azure AD"}, "ServicePlans": [{"Id": "a", "ServiceName": "ONE"}]}
    wired = Wired()
    wired.upstream.replies = [reply(200, {"Items" if whole else "items": [item]})]

    assert await wired.client.list_licenses(USER) == [
        License(TENANT, SKU, None, "Azure AD", "group1", (ServicePlan("a", "ONE", None),))
    ]


@pytest.mark.parametrize("item", [None, {}, [], {"productSku": None}, {"productSku": {"id": SKU}, "servicePlans": 7}])
async def test_a_license_that_cannot_be_read_is_an_error_every_time(item):
    wired = Wired()
    wired.upstream.replies = [reply(200, {"items": [item]}) for _ in range(2)]

    for _ in range(2):
        with pytest.raises(UpstreamError, match="'list licenses' could not be read"):
            await wired.client.list_licenses(USER)
