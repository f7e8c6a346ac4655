"""Licenses of people, their number, and the Manage Licenses dialog."""

import pytest

from sandbox.faults import read_rules
from sandbox.people import person, stable_id
from tests.callers import bearer, without
from tests.gateway_client import CONTOSO

LICENSES = """
query ($tenant: UUID!, $search: String) {
  tenant(by: {microsoftId: $tenant}) {
    users(filter: {search: $search}) {
      nodes {
        displayName assignedLicenseCount
        licenses {
          sku { skuPartNumber productName totalUnits id }
          servicePlans { name } disabledServicePlans { name }
        }
      }
    }
  }
}
"""
OPTIONS = """
query ($tenant: UUID!, $search: String) {
  tenant(by: {microsoftId: $tenant}) {
    users(filter: {search: $search}) {
      nodes {
        licenseOptions {
          sku { skuPartNumber availableUnits } assigned changeable blockers { code message }
        }
      }
    }
  }
}
"""


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


async def one_user(gateway, document, search, tenant=CONTOSO, **headers):
    answer = await gateway.data(document, {"tenant": tenant, "search": search}, **headers)
    [user] = answer["tenant"]["users"]["nodes"]
    return user


async def options(gateway, search, tenant=CONTOSO, **headers):
    """Each line of the dialog: where the toggle stands, and the codes of what stands in the way."""
    lines = (await one_user(gateway, OPTIONS, search, tenant, **headers))["licenseOptions"]
    assert all(line["changeable"] is not bool(line["blockers"]) for line in lines)
    return {
        line["sku"]["skuPartNumber"]: (line["assigned"], [one["code"] for one in line["blockers"]]) for line in lines
    }


async def test_licenses_stand_in_product_name_order_with_what_is_switched_on_and_off(gateway):
    user = await one_user(gateway, LICENSES, "Johanna")

    assert user["assignedLicenseCount"] == 5
    assert [one["sku"]["productName"] for one in user["licenses"]] == [
        "Dynamics 365 for Sales Enterprise Edition",
        "Enterprise Mobility + Security E3",
        "Office 365 E3",
        "Power BI Pro",
        "Visio Plan 2",
    ]
    e3 = user["licenses"][2]
    assert e3["disabledServicePlans"] == [{"name": "SWAY"}]
    assert {"name": "SWAY"} not in e3["servicePlans"]
    assert {"name": "EXCHANGE_S_ENTERPRISE"} in e3["servicePlans"]
    assert e3["sku"]["totalUnits"] == 25


@pytest.mark.parametrize("listed", [False, True])
async def test_plans_switched_off_are_told_whether_the_wire_lists_them_or_leaves_them_out(gateway, sandbox, listed):
    sandbox.switches = sandbox.switches.changed({"list_disabled_plans": listed})
    ems, e3 = (await one_user(gateway, LICENSES, "Diego"))["licenses"]

    assert ems["disabledServicePlans"] == [{"name": "MFA_PREMIUM"}]
    assert sorted(plan["name"] for plan in e3["disabledServicePlans"]) == ["TEAMS1", "YAMMER_ENTERPRISE"]


@pytest.mark.parametrize(("search", "calls"), [("Allan Deyoung", 3), ("Enrico Cattaneo", 2)])
async def test_who_holds_nothing_has_an_empty_list_and_a_deleted_user_is_not_asked_for(gateway, search, calls):
    user = await one_user(gateway, LICENSES, search)

    assert (user["licenses"], user["assignedLicenseCount"]) == ([], 0)
    assert len(gateway.calls()) == calls


async def test_licenses_of_both_groups_are_told(gateway):
    user = await one_user(gateway, LICENSES, "Holly", tenant_id("tailspintoys"))

    assert [one["sku"]["skuPartNumber"] for one in user["licenses"]] == ["CFQ7TTC0K5DR/0002", "STANDARDPACK"]


async def test_the_license_of_a_product_that_the_tenant_no_longer_lists_is_told_all_the_same(gateway, sandbox):
    holdings = sandbox.world.customers[CONTOSO].holdings
    visio = next(sku_id for sku_id, one in holdings.items() if one.product.part_number == "VISIOCLIENT")
    del holdings[visio]
    user = await one_user(gateway, LICENSES, "Lee Gu")

    assert [(one["sku"]["productName"], one["sku"]["totalUnits"]) for one in user["licenses"]] == [
        ("Office 365 E3", 25),
        ("Visio Plan 2", 0),
    ]
    assert user["licenses"][1]["disabledServicePlans"] == []
    assert (await options(gateway, "Lee Gu"))["VISIOCLIENT"] == (True, [])


async def test_the_dialog_has_every_product_that_the_user_has_or_could_get(gateway):
    assert await options(gateway, "Adele") == {
        "DYN365_ENTERPRISE_SALES": (False, []),
        "EMS": (False, []),
        "ENTERPRISEPACK": (True, []),
        "POWER_BI_PRO": (True, []),
        "VISIOCLIENT": (False, []),
    }


async def test_a_product_without_a_unit_left_cannot_be_switched_on_and_says_so(gateway):
    lines = (await one_user(gateway, OPTIONS, "Lynne"))["licenseOptions"]
    [power_bi] = [line for line in lines if line["sku"]["skuPartNumber"] == "POWER_BI_PRO"]

    assert power_bi == {
        "sku": {"skuPartNumber": "POWER_BI_PRO", "availableUnits": 0},
        "assigned": False,
        "changeable": False,
        "blockers": [{"code": "NONE_AVAILABLE", "message": "No unit of Power BI Pro is left."}],
    }


async def test_an_over_assigned_product_can_still_be_taken_away(gateway):
    litware = tenant_id("litware")

    assert await options(gateway, "Kim Akers", litware) == {"O365_BUSINESS_ESSENTIALS": (True, [])}


async def test_without_a_usage_location_nothing_can_be_switched_on(gateway):
    found = await options(gateway, "Debra")

    assert found["ENTERPRISEPACK"] == (False, ["USAGE_LOCATION_MISSING"])
    assert found["POWER_BI_PRO"] == (False, ["NONE_AVAILABLE", "USAGE_LOCATION_MISSING"])


async def test_without_a_usage_location_what_is_held_can_be_taken_away(gateway, sandbox):
    users = sandbox.world.customers[CONTOSO].users
    users[stable_id("user", "adele.vance@contoso.onmicrosoft.com")].usage_location = None

    assert (await options(gateway, "Adele"))["ENTERPRISEPACK"] == (True, [])


async def test_a_suspended_product_is_named_so_and_one_in_grace_is_usable(gateway):
    assert await options(gateway, "Carol Poland", tenant_id("fourthcoffee")) == {
        "EXCHANGESTANDARD": (False, ["SUSPENDED"]),
        "O365_BUSINESS": (False, []),
    }


async def test_nothing_of_a_deleted_user_can_be_changed(gateway):
    found = await options(gateway, "Enrico")

    assert len(found) == 5
    assert all(assigned is False and blockers[0] == "USER_DELETED" for assigned, blockers in found.values())


async def test_a_product_held_by_the_tenant_as_a_whole_has_a_line_only_where_somebody_has_it(gateway, sandbox):
    customer = sandbox.world.customers[CONTOSO]
    capacity = next(key for key, one in customer.holdings.items() if one.product.part_number == "CDS_DB_CAPACITY")
    customer.users[stable_id("user", "lee.gu@contoso.onmicrosoft.com")].licenses[capacity] = set()

    assert (await options(gateway, "Lee Gu"))["CDS_DB_CAPACITY"] == (True, ["NOT_USER_ASSIGNABLE"])
    assert "CDS_DB_CAPACITY" not in await options(gateway, "Adele")


async def test_without_the_permission_every_line_says_so(gateway):
    caller = bearer(permissions=without("WRITE_LICENSES"))
    lines = (await one_user(gateway, OPTIONS, "Adele", Authorization=caller))["licenseOptions"]

    assert {str(line["blockers"]) for line in lines} == {
        str([{"code": "NOT_PERMITTED", "message": "This needs the permission WRITE_LICENSES."}])
    }


async def test_without_manage_admins_the_licenses_of_a_privileged_user_cannot_be_changed(gateway):
    caller = bearer(permissions=without("MANAGE_ADMINS"))
    lines = (await one_user(gateway, OPTIONS, "Megan", Authorization=caller))["licenseOptions"]

    assert lines[0]["blockers"][0] == {
        "code": "NOT_PERMITTED",
        "message": "This needs the permission MANAGE_ADMINS.",
    }
    assert (await options(gateway, "Adele", Authorization=caller))["ENTERPRISEPACK"] == (True, [])


async def test_the_dialog_costs_a_call_for_the_user_and_one_for_the_tenant(gateway):
    await options(gateway, "Adele")
    assert len(gateway.calls()) == 2 + 1 + 1
    await options(gateway, "Adele")
    assert gateway.calls() == []


async def test_one_user_whose_licenses_cannot_be_read_does_not_take_the_others_along(gateway, sandbox):
    lee = stable_id("user", "lee.gu@contoso.onmicrosoft.com")
    sandbox.faults.rules = read_rules([{"path": f"{lee}/licenses", "status": 501}])
    answer = await gateway.ask(LICENSES, {"tenant": CONTOSO, "search": "le"})

    nodes = answer["data"]["tenant"]["users"]["nodes"]
    failed = [number for number, one in enumerate(nodes) if one["licenses"] is None]
    assert [nodes[number]["displayName"] for number in failed] == ["Lee Gu"]
    assert sorted(error["path"][-1] for error in answer["errors"]) == ["assignedLicenseCount", "licenses"]
    assert {error["path"][3] for error in answer["errors"]} == set(failed)


async def test_a_failing_product_list_leaves_the_number_of_licenses(gateway, sandbox):
    sandbox.faults.rules = read_rules([{"path": "subscribedskus", "status": 501}])
    answer = await gateway.ask(LICENSES, {"tenant": CONTOSO, "search": "Adele"})

    [user] = answer["data"]["tenant"]["users"]["nodes"]
    assert (user["licenses"], user["assignedLicenseCount"]) == (None, 2)
    [error] = answer["errors"]
    assert error["path"] == ["tenant", "users", "nodes", 0, "licenses"]


async def test_a_new_user_has_no_license_and_every_toggle(gateway, sandbox):
    new = person("contoso.onmicrosoft.com", "Nova New")
    sandbox.world.customers[CONTOSO].users[new.id] = new

    assert [assigned for assigned, _ in (await options(gateway, "Nova")).values()] == [False] * 5
