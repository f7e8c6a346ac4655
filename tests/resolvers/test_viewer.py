"""Who is asking, in their own words and numbers."""

import pytest

from sandbox.seed import CITY_POWER_ID, TREY_RESEARCH_ID
from tests.callers import EVERYTHING, bearer
from tests.gateway_client import CONTOSO

WHO = "{ viewer { name kind permissions } }"
COUNT = "{ viewer { name tenantCount } }"


async def test_without_a_token_the_demo_partner_asks(gateway):
    answer = await gateway.data(WHO)

    assert answer == {"viewer": {"name": "Demo partner", "kind": "PARTNER", "permissions": list(EVERYTHING)}}
    assert gateway.calls() == []


@pytest.mark.parametrize(
    ("caller", "kind"),
    [
        (bearer(permissions=("READ_AUDIT", "READ")), "PARTNER"),
        (bearer("reseller", ("READ_AUDIT", "READ"), reseller_id=TREY_RESEARCH_ID), "RESELLER"),
        (bearer("direct-customer", ("READ_AUDIT", "READ"), tenant_ids=[CONTOSO]), "DIRECT_CUSTOMER"),
    ],
)
async def test_a_token_says_who_asks(gateway, caller, kind):
    answer = await gateway.data(WHO, Authorization=caller)

    name = f"Test {kind.lower().replace('_', '-')}"
    assert answer == {"viewer": {"name": name, "kind": kind, "permissions": ["READ", "READ_AUDIT"]}}
    assert gateway.calls() == []


@pytest.mark.parametrize(
    ("caller", "count", "calls"),
    [
        (bearer(), 13, 1),
        (bearer(tenant_ids=[CONTOSO, "00000000-aaaa-4bbb-8ccc-000000000000"]), 1, 2),
        (bearer("reseller", reseller_id=TREY_RESEARCH_ID), 5, 1),
        (bearer("reseller", reseller_id=CITY_POWER_ID), 5, 1),
        (bearer("reseller", reseller_id=TREY_RESEARCH_ID, tenant_ids=[CONTOSO]), 1, 1),
        (bearer("reseller"), 0, 0),
        (bearer("direct-customer", tenant_ids=[CONTOSO]), 1, 1),
        (bearer("direct-customer"), 0, 0),
    ],
)
async def test_the_number_of_tenants_is_that_of_the_scope(gateway, caller, count, calls):
    assert (await gateway.data(COUNT, Authorization=caller))["viewer"]["tenantCount"] == count
    assert len(gateway.calls()) == calls


async def test_without_read_the_viewer_answers_but_not_the_number_of_tenants(gateway):
    answer = await gateway.ask(COUNT, Authorization=bearer(permissions=()))

    assert answer["data"] == {"viewer": {"name": "Test partner", "tenantCount": None}}
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]) == (["viewer", "tenantCount"], {"code": "NOT_PERMITTED"})
    assert gateway.calls() == []


async def test_without_read_the_tenants_take_the_viewer_along_since_they_are_never_null(gateway):
    document = "{ viewer { name } tenants { nodes { name } } }"
    answer = await gateway.ask(document, Authorization=bearer(permissions=()))

    assert answer["data"] is None
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]) == (["tenants"], {"code": "NOT_PERMITTED"})
    assert gateway.calls() == []
