"""Random valid operations: none breaks anything, and a direct customer sees nothing of another tenant."""

import re
from base64 import urlsafe_b64decode
from random import Random
from uuid import uuid4

import pytest
from graphql import build_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.build import printed
from services.global_ids import encode_id
from tests.callers import EVERYTHING, bearer
from tests.gateway.random_operations import RandomOperations
from tests.gateway_client import CONTOSO
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # Where a field that cannot be null fails, graphql-core drops its neighbours, some before they began.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SCHEMA = build_schema(printed())
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OPAQUE = re.compile(r"[A-Za-z0-9_-]{24,}")
UNFIT = {"INTERNAL", "VALIDATION_FAILED", "PARSE_FAILED"}
"""A defect of the gateway, and two of the generator."""
EXAMPLES = 200


def settled(function):
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=quiet, derandomize=True)(function)


def guids_of(tenant):
    """Every id that names something of the tenant's and of nobody else."""
    named = {tenant.id, *(user.id for user in tenant.users.values())}
    return named | {each.id.lower() for each in tenant.subscriptions.values()}


def domains_of(tenant):
    return {tenant.initial_domain, *tenant.custom_domains}


def ids_of(tenant):
    users = list(tenant.users.values())[:10]
    skus = [holding.product.id for holding in tenant.holdings.values()]
    roles = {role for user in users for role in user.roles} or {str(uuid4())}
    return [
        encode_id("Tenant", tenant.id),
        *(encode_id("User", tenant.id, user.id) for user in users),
        *(encode_id("SubscribedSku", tenant.id, sku) for sku in skus),
        *(encode_id("DirectoryRole", tenant.id, role) for role in sorted(roles)),
        *(encode_id("MicrosoftSubscription", tenant.id, each) for each in list(tenant.subscriptions)[:5]),
    ]


class Briefly(dict):
    """What hypothesis need not print where a test fails."""

    def __repr__(self):
        return "…"


@pytest.fixture(scope="module")
def texts(gateway):  # noqa: F811
    """What arguments are given: of Contoso's, of others', and of nobody's, evenly mixed."""
    tenants = list(gateway.sandbox.world.customers.values())
    own = [each for each in tenants if each.id == CONTOSO]
    others = [each for each in tenants if each.id != CONTOSO and each.users][:6]
    mixed = own * len(others) + others
    users = [user for each in mixed for user in list(each.users.values())[:5]]
    return Briefly(
        {
            "ID": [id for each in mixed for id in ids_of(each)] + ["x", encode_id("User", CONTOSO, str(uuid4()))],
            "UUID": [each.id for each in mixed] + [user.id for user in users] + [str(uuid4())],
            "roleIds": [*gateway.sandbox.world.roles, str(uuid4())],
            "disabledServicePlanIds": [str(uuid4())],
            "skuId": [each.product.id for tenant in mixed for each in tenant.holdings.values()],
            "licensedFor": list(gateway.sandbox.world.products),
            "remove": list(gateway.sandbox.world.products),
            "domain": [each.initial_domain for each in mixed],
            "userPrincipalName": [user.user_principal_name for user in users],
            "search": ["a", "contoso", "fabrikam", "onmicrosoft.com", ""],
            "after": ["", "x", "WyJ4IiwiYSIsImIiXQ"],
            "CountryCode": ["GR", "US", "DE"],
            "EmailAddress": ["ada@example.com"],
            "DateTime": ["2026-03-09T08:00:00Z"],
            "idempotencyKey": ["a", "b", "c"],
            "String": ["", "ada", "Łukasz"],
        }
    )


@pytest.fixture(scope="module")
def foreign(gateway):  # noqa: F811
    """Ids and words of tenants that are not Contoso, where Contoso does not have them as well."""
    tenants = gateway.sandbox.world.customers.values()
    [own] = [each for each in tenants if each.id == CONTOSO]
    known = " ".join(
        [own.company_name, *domains_of(own), *(user.user_principal_name for user in own.users.values())]
    ).lower()
    others = [each for each in tenants if each.id != CONTOSO]
    ids = {guid for each in others for guid in guids_of(each)} - guids_of(own)
    words = {word.lower() for each in others for word in (each.company_name, *domains_of(each))}
    return Briefly(ids=ids, words={word for word in words if word not in known})


def seen_in(text):
    """The GUIDs of an answer, those inside opaque ids and cursors included."""
    found = set(GUID.findall(text.lower()))
    for part in OPAQUE.findall(text):
        try:
            found |= set(GUID.findall(urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("latin-1").lower()))
        except ValueError:
            continue
    return found


async def answer(gateway, operation, caller):  # noqa: F811
    response = await gateway.http.post("/graphql", json={"query": operation}, headers={"Authorization": caller})
    assert response.status_code == 200, response.text
    codes = {error["extensions"]["code"] for error in response.json().get("errors", [])}
    assert not codes & UNFIT, f"{operation}\n{response.text}"
    return response.text


@settled
@given(seed=st.integers(0, 2**32 - 1))
async def test_a_direct_customer_sees_nothing_of_another_tenant(gateway, texts, foreign, seed):  # noqa: F811
    operations = RandomOperations(SCHEMA, Random(seed), texts)
    operation = operations.dry_run() if seed % 4 == 0 else operations.query()
    text = await answer(gateway, operation, bearer("direct-customer", EVERYTHING, tenant_ids=[CONTOSO]))

    assert not seen_in(text) & foreign["ids"]
    assert [word for word in foreign["words"] if word in text.lower()] == []


@settled
@given(seed=st.integers(0, 2**32 - 1))
async def test_nothing_that_a_partner_asks_breaks_anything(gateway, texts, seed):  # noqa: F811
    operations = RandomOperations(SCHEMA, Random(seed), texts)
    operation = operations.dry_run() if seed % 4 == 0 else operations.query()

    await answer(gateway, operation, bearer())


async def test_the_check_itself_finds_what_a_partner_sees(gateway, foreign):  # noqa: F811
    """Else it would prove nothing."""
    text = await answer(gateway, "{ tenants { nodes { id name users(first: 3) { nodes { id } } } } }", bearer())

    assert len(seen_in(text) & foreign["ids"]) > 10
    assert [word for word in foreign["words"] if word in text.lower()]
