"""The monitoring list, subscriptions behind it, and who holds a product."""

import pytest

from sandbox.faults import read_rules
from sandbox.people import stable_id
from tests.gateway_client import CONTOSO

UNITS = "activeUnits warningUnits suspendedUnits totalUnits consumedUnits availableUnits"
LIST = f"""
query ($tenant: UUID!, $filter: SkuFilter) {{
  tenant(by: {{microsoftId: $tenant}}) {{
    subscribedSkus(filter: $filter) {{
      id skuId skuPartNumber productName productType {UNITS} asOf
      servicePlans {{ id name displayName }}
      tenant {{ microsoftId }}
    }}
  }}
}}
"""
SUBSCRIPTIONS = """
query ($tenant: UUID!, $filter: SkuFilter) {
  tenant(by: {microsoftId: $tenant}) {
    subscribedSkus(filter: $filter) {
      skuPartNumber
      subscriptions {
        id microsoftId skuId offerName friendlyName commerce quantity status autoRenew
        effectiveAt commitmentEndsAt cancellableUntil
      }
    }
  }
}
"""
EVERY_TYPE = {"productTypes": ["CLOUD_SERVICES", "DYNAMICS", "OTHER"]}


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


async def skus(gateway, tenant=CONTOSO, document=LIST, **wanted):
    answer = await gateway.data(document, {"tenant": tenant, "filter": wanted or None})
    return answer["tenant"]["subscribedSkus"]


async def subscriptions(gateway, tenant, *members):
    """What the members say of each subscription, by product."""
    found = await skus(gateway, tenant, SUBSCRIPTIONS, **EVERY_TYPE)
    return {
        sku["skuPartNumber"]: [tuple(one[name] for name in members) for one in sku["subscriptions"]] for sku in found
    }


def figures(sku):
    return tuple(sku[name] for name in UNITS.split())


async def test_the_list_has_microsofts_own_figures_in_name_order(gateway):
    """The default types only: what the tenant holds as a whole is not there, nor is Azure."""
    found = await skus(gateway)

    assert [(sku["productName"], sku["skuPartNumber"], sku["productType"], figures(sku)) for sku in found] == [
        (
            "Dynamics 365 for Sales Enterprise Edition",
            "DYN365_ENTERPRISE_SALES",
            "DYNAMICS",
            (6, 0, 0, 6, 4, 2),
        ),
        ("Enterprise Mobility + Security E3", "EMS", "CLOUD_SERVICES", (8, 2, 3, 10, 6, 4)),
        ("Office 365 E3", "ENTERPRISEPACK", "CLOUD_SERVICES", (25, 0, 0, 25, 20, 5)),
        ("Power BI Pro", "POWER_BI_PRO", "CLOUD_SERVICES", (5, 0, 0, 5, 5, 0)),
        ("Visio Plan 2", "VISIOCLIENT", "CLOUD_SERVICES", (4, 0, 0, 4, 2, 2)),
    ]
    assert {sku["tenant"]["microsoftId"] for sku in found} == {CONTOSO}
    assert len(gateway.calls()) == 1


async def test_what_a_tenant_holds_as_a_whole_comes_on_request(gateway):
    [capacity] = await skus(gateway, productTypes=["OTHER"])

    assert capacity["skuPartNumber"] == "CDS_DB_CAPACITY"
    assert figures(capacity) == (3, 0, 0, 3, 1, 2)
    assert len(await skus(gateway, **EVERY_TYPE)) == 6


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"productTypes": ["DYNAMICS"]}, ["DYN365_ENTERPRISE_SALES"]),
        ({"productTypes": []}, []),
        ({"minAvailableUnits": 3}, ["EMS", "ENTERPRISEPACK"]),
        ({"minAvailableUnits": 6}, []),
        ({"minAvailableUnits": -5, "productTypes": ["OTHER"]}, ["CDS_DB_CAPACITY"]),
        ({"overAssigned": True}, []),
        ({"overAssigned": False, "minAvailableUnits": 5}, ["ENTERPRISEPACK"]),
    ],
)
async def test_every_part_of_a_filter_must_hold(gateway, wanted, found):
    assert [sku["skuPartNumber"] for sku in await skus(gateway, **wanted)] == found


async def test_more_consumed_than_there_is_makes_available_negative(gateway):
    [basic] = await skus(gateway, tenant_id("litware"), overAssigned=True)

    assert figures(basic) == (4, 0, 0, 4, 6, -2)


async def test_an_unknown_product_is_listed_as_partner_center_names_it(gateway):
    [pilot] = await skus(gateway, tenant_id("wingtiptoys"))

    assert pilot["productName"] == "Wingtip Pilot 2031"
    assert (pilot["skuPartNumber"], pilot["productType"]) == ("WINGTIP_PILOT_2031", "CLOUD_SERVICES")
    assert pilot["servicePlans"] == []


async def test_products_of_the_second_license_group_are_listed(gateway):
    assert [(sku["skuPartNumber"], figures(sku)) for sku in await skus(gateway, tenant_id("tailspintoys"))] == [
        ("CFQ7TTC0K5DR/0002", (10, 0, 0, 10, 2, 8)),
        ("STANDARDPACK", (6, 0, 0, 6, 2, 4)),
    ]


async def test_service_plans_are_told_with_all_their_names(gateway):
    [power_bi] = [sku for sku in await skus(gateway) if sku["skuPartNumber"] == "POWER_BI_PRO"]

    assert {"id": "70d33638-9c74-4d01-bfd3-562de28bd4ba", "name": "BI_AZURE_P2", "displayName": "Power BI Pro"} in (
        power_bi["servicePlans"]
    )


@pytest.mark.parametrize("name", ["adventureworks"])
async def test_a_tenant_that_bought_nothing_has_an_empty_list(gateway, name):
    assert await skus(gateway, tenant_id(name)) == []


async def test_azure_software_and_marketplace_services_are_nowhere(gateway):
    alpine = tenant_id("alpineskihouse")

    assert await subscriptions(gateway, alpine, "quantity", "commerce") == {
        "STANDARDPACK": [(8, "LEGACY")],
        "MCOEV": [(3, "LEGACY")],
    }


async def test_two_subscriptions_to_one_product_stand_behind_it(gateway):
    found = await subscriptions(gateway, CONTOSO, "commerce", "quantity", "status", "autoRenew")

    assert found == {
        "CDS_DB_CAPACITY": [("NEW_COMMERCE", 3, "ACTIVE", True)],
        "DYN365_ENTERPRISE_SALES": [("NEW_COMMERCE", 6, "ACTIVE", True)],
        "EMS": [("LEGACY", 8, "ACTIVE", True)],
        "ENTERPRISEPACK": found["ENTERPRISEPACK"],
        "POWER_BI_PRO": [("NEW_COMMERCE", 5, "ACTIVE", True)],
        "VISIOCLIENT": [],
    }
    assert sorted(found["ENTERPRISEPACK"]) == [
        ("LEGACY", 15, "ACTIVE", True),
        ("NEW_COMMERCE", 10, "ACTIVE", True),
    ]


async def test_the_dates_of_a_subscription_are_those_of_its_kind(gateway, sandbox):
    """The end of a legacy term is a day; new commerce has the last second of it, and a time to cancel."""
    found = await skus(gateway, CONTOSO, SUBSCRIPTIONS)
    bought = sandbox.world.customers[CONTOSO].subscriptions
    [e3] = [sku["subscriptions"] for sku in found if sku["skuPartNumber"] == "ENTERPRISEPACK"]
    by_commerce = {one["commerce"]: one for one in e3}
    legacy = bought[by_commerce["LEGACY"]["microsoftId"]]
    modern = bought[by_commerce["NEW_COMMERCE"]["microsoftId"]]

    assert [by_commerce["LEGACY"][name] for name in ("effectiveAt", "commitmentEndsAt", "cancellableUntil")] == [
        legacy.starts_at.strftime("%Y-%m-%dT00:00:00Z"),
        legacy.commitment_ends_at.strftime("%Y-%m-%dT00:00:00Z"),
        None,
    ]
    assert [by_commerce["NEW_COMMERCE"][name] for name in ("effectiveAt", "commitmentEndsAt", "cancellableUntil")] == [
        modern.starts_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        modern.commitment_ends_at.strftime("%Y-%m-%dT23:59:59Z"),
        modern.cancellable_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ]


async def test_subscriptions_are_tied_by_what_is_provisioned_and_never_by_name(gateway):
    """Fabrikam's legacy offer is named like Business Premium, and gives Business Standard."""
    found = await subscriptions(gateway, tenant_id("fabrikam"), "commerce", "offerName", "quantity")

    assert found["O365_BUSINESS_PREMIUM"] == [("LEGACY", "Microsoft 365 Business Premium", 5)]
    assert found["SPB"] == [("NEW_COMMERCE", "Microsoft 365 Business Premium", 4)]


async def test_what_is_not_provisioned_is_tied_by_the_catalogue(gateway):
    woodgrove = tenant_id("woodgrovebank")
    found = await subscriptions(gateway, woodgrove, "commerce", "quantity")

    assert found == {
        "SPE_E5": [("NEW_COMMERCE", 6)],
        "AAD_PREMIUM_P2": [("NEW_COMMERCE", 6)],
        "PROJECTPROFESSIONAL": [("LEGACY", 2)],
        "MCOMEETADV": [("NEW_COMMERCE", 6)],
    }
    calls = gateway.calls()
    assert len([call for call in calls if call.endswith("/provisioningstatus")]) == 4
    assert len([call for call in calls if "/products/" in call or "/offers/" in call]) == 2
    assert await subscriptions(gateway, woodgrove, "commerce", "quantity") == found
    assert gateway.calls() == []


async def test_where_the_role_to_read_the_provisioning_is_missing_the_catalogue_is_asked(gateway, sandbox):
    sandbox.faults.rules = read_rules([{"path": "provisioningstatus", "status": 403}])
    found = await subscriptions(gateway, CONTOSO, "quantity")

    assert {name: len(tied) for name, tied in found.items()} == {
        "CDS_DB_CAPACITY": 1,
        "DYN365_ENTERPRISE_SALES": 1,
        "EMS": 1,
        "ENTERPRISEPACK": 2,
        "POWER_BI_PRO": 1,
        "VISIOCLIENT": 0,
    }


async def test_one_provisioning_state_that_fails_is_an_error_of_subscriptions_alone(gateway, sandbox):
    """Whichever product it belongs to, that product's list would not be whole."""
    bought = next(iter(sandbox.world.customers[CONTOSO].subscriptions))
    sandbox.faults.rules = read_rules([{"path": f"(?i){bought}/provisioningstatus", "status": 501}])
    answer = await gateway.ask(SUBSCRIPTIONS, {"tenant": CONTOSO})

    found = answer["data"]["tenant"]["subscribedSkus"]
    assert [sku["subscriptions"] for sku in found] == [None] * 5
    assert [error["path"] for error in answer["errors"]] == [
        ["tenant", "subscribedSkus", number, "subscriptions"] for number in range(5)
    ]


async def test_the_states_of_subscriptions_are_told(gateway):
    assert await subscriptions(gateway, tenant_id("fourthcoffee"), "status", "autoRenew") == {
        "EXCHANGESTANDARD": [("SUSPENDED", True)],
        "O365_BUSINESS": [("EXPIRED", False)],
    }


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("pending", "PENDING"),
        ("disabled", "DISABLED"),
        ("none", "UNKNOWN"),
        ("deleted", "DELETED"),
        ("frozen", "UNKNOWN"),
    ],
)
async def test_every_other_state_is_told_and_a_new_one_is_unknown(gateway, sandbox, status, told):
    litware = tenant_id("litware")
    [only] = sandbox.world.customers[litware].subscriptions.values()
    only.status = status

    assert await subscriptions(gateway, litware, "status") == {"O365_BUSINESS_ESSENTIALS": [(told,)]}


HOLDERS = """
query ($tenant: UUID!, $first: Int, $after: String) {
  tenant(by: {microsoftId: $tenant}) {
    subscribedSkus {
      skuPartNumber
      holders(first: $first, after: $after) {
        totalCount nodes { displayName } pageInfo { hasNextPage endCursor } coverage { asked answered }
      }
    }
  }
}
"""


async def test_the_holders_of_each_product_are_paged_by_name(gateway):
    answer = await gateway.data(HOLDERS, {"tenant": CONTOSO, "first": 2})
    found = {sku["skuPartNumber"]: sku["holders"] for sku in answer["tenant"]["subscribedSkus"]}

    assert {name: holders["totalCount"] for name, holders in found.items()} == {
        "DYN365_ENTERPRISE_SALES": 4,
        "EMS": 6,
        "ENTERPRISEPACK": 20,
        "POWER_BI_PRO": 5,
        "VISIOCLIENT": 2,
    }
    ems = found["EMS"]
    assert [one["displayName"] for one in ems["nodes"]] == ["Diego Siciliani", "Johanna Lorenz"]
    assert ems["coverage"] == {"asked": 1, "answered": 1}
    after = ems["pageInfo"]["endCursor"]
    following = await gateway.data(HOLDERS, {"tenant": CONTOSO, "first": 10, "after": after})
    [ems] = [sku for sku in following["tenant"]["subscribedSkus"] if sku["skuPartNumber"] == "EMS"]
    assert [one["displayName"] for one in ems["holders"]["nodes"]] == [
        "Megan Bowen",
        "Nestor Wilke",
        "Robert Lindqvist",
        "Zoë Ångström",
    ]
    assert len(gateway.calls()) == 1 + 1 + 30


async def test_a_bad_page_of_holders_is_refused_before_anything_is_read(gateway):
    answer = await gateway.ask(HOLDERS, {"tenant": CONTOSO, "first": 501})

    assert answer.get("data") is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["PAGE_SIZE_LIMIT"]
    assert gateway.calls() == []


async def test_a_bad_cursor_of_holders_is_refused_before_people_are_read(gateway):
    answer = await gateway.ask(HOLDERS, {"tenant": CONTOSO, "after": "garbage"})

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_INPUT"] * 5
    assert len(gateway.calls()) == 1
