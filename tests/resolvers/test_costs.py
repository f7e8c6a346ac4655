"""What a query costs at Partner Center, cold and hot, counted by the sandbox and told in the answer."""

import pytest

from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.gateway_client import CONTOSO, running_gateway
from tests.redis_server import redis_server_url, redis_url  # noqa: F401  # fixtures


def tenant_id(name):
    return stable_id("tenant", f"{name}.onmicrosoft.com")


ADELE = stable_id("user", "adele.vance@contoso.onmicrosoft.com")

PEOPLE = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: 50) {
      totalCount
      nodes {
        id microsoftId userPrincipalName displayName firstName lastName usageLocation status directorySynced
        deletion { daysLeft } actions { name allowed } version asOf tenant { id microsoftId }
      }
    }
  }
}
"""
MONITORING = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    subscribedSkus { productName activeUnits consumedUnits availableUnits suspendedUnits tenant { id } }
  }
}
"""
WITH_SUBSCRIPTIONS = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    subscribedSkus { productName subscriptions { quantity status } }
  }
}
"""
ROLES = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) { users(first: 50) { nodes { roles { name } } } }
}
"""
LICENSES = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: 50) { nodes { assignedLicenseCount licenses { sku { id } } licenseOptions { assigned } } }
  }
}
"""
EVERYTHING = """
query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    name domain domains country access { status } roles { name } asOf
    users { nodes { tenant { name domain } roles { name } licenses { sku { tenant { name } } } } }
    subscribedSkus { subscriptions { id } holders { totalCount } tenant { country } }
  }
}
"""
COSTS = {
    "people": (PEOPLE, "contoso", 2),
    "people of a tenant without any": (PEOPLE, "adventureworks", 2),
    "monitoring list": (MONITORING, "contoso", 1),
    "monitoring list with subscriptions": (WITH_SUBSCRIPTIONS, "contoso", 2 + 6),
    "subscriptions of a tenant with Azure, software and a marketplace service": (
        WITH_SUBSCRIPTIONS,
        "alpineskihouse",
        2 + 2,
    ),
    "subscriptions of a tenant without any": (WITH_SUBSCRIPTIONS, "adventureworks", 1),
    "roles": (ROLES, "contoso", 2 + 1 + 16),
    "licenses of 30 active people": (LICENSES, "contoso", 2 + 30 + 1),
    "everything": (EVERYTHING, "contoso", 1 + 1 + 1 + 2 + 16 + 30 + 1 + 1 + 6),
}


async def spent(gateway, document, variables, **headers):
    """The calls that the sandbox saw; the answer says the same number."""
    answer = await gateway.ask(document, variables, **headers)
    calls = gateway.calls()
    assert "errors" not in answer
    assert answer["extensions"]["upstream"]["calls"] == len(calls)
    assert answer["extensions"]["upstream"]["throttledSeconds"] == 0
    return calls, answer


@pytest.mark.parametrize("name", COSTS)
async def test_a_query_costs_the_least_cold_and_nothing_hot(gateway, name):
    document, tenant, cost = COSTS[name]
    variables = {"tenant": tenant_id(tenant)}

    cold, first = await spent(gateway, document, variables)
    hot, second = await spent(gateway, document, variables)

    assert (len(cold), len(hot)) == (cost, 0)
    assert len(set(cold)) == len(cold)
    assert second["data"] == first["data"]
    assert second["extensions"]["upstream"]["cacheMisses"] == 0


@pytest.mark.parametrize("name", COSTS)
async def test_with_redis_another_process_finds_everything_hot(sandbox, redis_url, name):  # noqa: F811  # the fixture
    document, tenant, cost = COSTS[name]
    variables = {"tenant": tenant_id(tenant)}

    async with running_gateway(sandbox, GATEWAY_REDIS_URL=redis_url) as gateway:
        cold, first = await spent(gateway, document, variables)
    async with running_gateway(sandbox, GATEWAY_REDIS_URL=redis_url) as gateway:
        hot, second = await spent(gateway, document, variables)

    assert (len(cold), len(hot)) == (cost, 0)
    assert second["data"] == first["data"]


async def test_what_has_no_subscription_costs_one_call_more(gateway):
    """A tenant without a product has no subscription to look for; one with a product has."""
    cold, _ = await spent(gateway, WITH_SUBSCRIPTIONS, {"tenant": tenant_id("woodgrovebank")})

    assert len(cold) == 2 + 4 + 2  # two of the four are not provisioned, and the catalogue is asked


async def test_the_same_object_by_any_number_of_aliases_and_paths_is_one_look_up(gateway):
    document = """
    query ($id: ID!, $tenant: UUID!, $user: UUID!) {
      a: node(id: $id) { ...U }
      b: node(id: $id) { ...U }
      nodes(ids: [$id, $id]) { ...U }
      c: tenant(by: {microsoftId: $tenant}) { user(by: {microsoftId: $user}) { ...U } subscribedSkus { id } }
      d: tenant(by: {microsoftId: $tenant}) { one: user(by: {microsoftId: $user}) { ...U } }
    }
    fragment U on User { displayName first: assignedLicenseCount second: assignedLicenseCount licenses { sku { id } } }
    """
    variables = {"id": encode_id("User", CONTOSO, ADELE), "tenant": CONTOSO, "user": ADELE}
    calls, _ = await spent(gateway, document, variables)

    assert sorted(calls) == sorted(
        [
            f"GET /v1/customers/{CONTOSO}/users/{ADELE}",
            f"GET /v1/customers/{CONTOSO}/users/{ADELE}/licenses?licenseGroupIds=Group1&licenseGroupIds=Group2",
            f"GET /v1/customers/{CONTOSO}/subscribedskus?licenseGroupIds=Group1&licenseGroupIds=Group2",
        ]
    )


async def test_the_same_is_one_look_up_past_the_cache_as_well(gateway):
    document = """
    query ($tenant: UUID!) {
      a: tenant(by: {microsoftId: $tenant}) { name users { totalCount } }
      b: tenant(by: {microsoftId: $tenant}) { name country users(first: 1) { nodes { tenant { name } } } }
    }
    """
    for _ in range(2):
        calls, _ = await spent(gateway, document, {"tenant": CONTOSO}, Cache_Control="no-cache")
        assert len(calls) == 3


async def test_50_names_of_one_tenant_are_one_look_up(gateway):
    document = """
    query ($tenant: UUID!) {
      tenant(by: {microsoftId: $tenant}) { users(first: 50) { nodes { tenant { name domain } } } }
    }
    """
    calls, _ = await spent(gateway, document, {"tenant": CONTOSO})

    assert len(calls) == 2 + 1


async def test_no_cache_reads_past_the_cache_and_keeps_what_it_read(gateway, sandbox):
    [holding] = [one for one in sandbox.world.customers[CONTOSO].holdings.values() if one.active_units == 25]
    await spent(gateway, MONITORING, {"tenant": CONTOSO})
    holding.active_units = 26

    async def active(**headers):
        calls, answer = await spent(gateway, MONITORING, {"tenant": CONTOSO}, **headers)
        [e3] = [sku for sku in answer["data"]["tenant"]["subscribedSkus"] if sku["productName"] == "Office 365 E3"]
        return e3["activeUnits"], len(calls)

    assert await active() == (25, 0)
    assert await active(Cache_Control="max-age=60") == (25, 0)
    assert await active(Cache_Control="no-cache") == (26, 1)
    assert await active() == (26, 0)
    holding.active_units = 27
    assert await active(Cache_Control="max-age=0") == (27, 1)
    assert await active() == (27, 0)


async def test_hits_and_misses_are_told(gateway):
    _, cold = await spent(gateway, PEOPLE, {"tenant": CONTOSO})
    _, hot = await spent(gateway, PEOPLE, {"tenant": CONTOSO})

    assert cold["extensions"]["upstream"] | {"waitedMs": 0} == {
        "calls": 2,
        "cacheHits": 0,
        "cacheMisses": 2,
        "stale": 0,
        "waitedMs": 0,
        "throttledSeconds": 0,
    }
    assert hot["extensions"]["upstream"] == {
        "calls": 0,
        "cacheHits": 2,
        "cacheMisses": 0,
        "stale": 0,
        "waitedMs": 0,
        "throttledSeconds": 0,
    }


@pytest.mark.parametrize("document", ["{ viewer { name } }", '{ node(id: "x") { id } }', "{ __typename }"])
async def test_what_needs_nothing_costs_nothing(gateway, document):
    calls, _ = await spent(gateway, document, None)

    assert calls == []
