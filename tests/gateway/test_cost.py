"""What an operation promises, as `extensions.cost` says it, and where the figures come from."""

import re
from pathlib import Path

import pytest
from graphql import GraphQLObjectType

from gateway.upstream_costs import ASKED_BY_FIELD
from schema.build import build_schema
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = build_schema()._schema
DOCUMENTED = Path(__file__).parents[2].joinpath("docs", "configuration.md").read_text("utf-8")
USERS = "{ tenants(first: %d) { nodes { users(first: %d) { nodes { %s } } } } }"


def fields():
    for kind in SCHEMA.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                yield kind.name, name, field


@pytest.mark.parametrize(
    ("query", "nodes", "calls"),
    [
        ("{ __typename }", 0, 0),
        ("{ viewer { name } }", 0, 0),
        ("{ viewer { tenantCount } }", 0, 1),
        ("{ tenants { nodes { users { nodes { licenses { sku { skuId } } } } } } }", 2_550, 2_551),
        ("{ tenants { edges { node { users { edges { node { licenses { sku { skuId } } } } } } } } }", 2_550, 2_551),
        ("{ tenants(first: null) { totalCount } }", 50, 1),
        ("{ tenants(first: 0) { totalCount } }", 0, 1),
        (USERS % (2, 10, "id"), 22, 3),
        (USERS % (2, 10, "roles { name } actions { name }"), 22, 23),
        (USERS % (2, 10, "licenses { sku { id } } assignedLicenseCount licenseOptions { assigned }"), 22, 23),
        ("{ tenants(first: 2) { nodes { users(first: 10, filter: {unlicensed: true}) { totalCount } } } }", 22, 103),
        ('{ a: tenant(by: {domain: "a.b"}) { id } b: tenant(by: {domain: "a.c"}) { id } }', 0, 2),
        ('{ nodes(ids: ["a", "b", "c"]) { id ... on Tenant { users(first: 5) { totalCount } } } }', 15, 6),
        ("{ tenants(first: 10) { nodes { subscribedSkus { activeUnits } } } }", 10, 11),
        ("{ tenants(first: 2) { nodes { subscribedSkus { holders(first: 5) { totalCount } } } } }", 102, 103),
        ("{ tenants(first: 2) { nodes { subscribedSkus { subscriptions { id } } } } }", 2, 25),
        ("{ tenants(first: 2) { nodes { access { status } country domains } } }", 2, 9),
        ("{ users(first: 10) { nodes { licenses { sku { id } } } } }", 10, 60),
        ('{ users(scope: {ids: ["a", "b"]}, filter: {unlicensed: true}) { totalCount } }', 50, 102),
        ("{ portfolio { lines { subscribedSkus(first: 5) { nodes { subscriptions { id } } } } } }", 50, 600),
        ("{ tenants(first: 3) { nodes { ...T } } } fragment T on Tenant { roles { name } }", 3, 4),
    ],
)
async def test_the_cost_of_an_operation_is_told(gateway, query, nodes, calls):  # noqa: F811
    answer = await gateway.ask(query)

    assert answer["extensions"]["cost"] == {"nodes": nodes, "calls": calls}


async def test_a_change_promises_ten_calls_and_what_its_answer_asks_for(gateway):  # noqa: F811
    query = 'mutation { deleteUser(input: {id: "x", dryRun: true}) { user { licenses { sku { id } } } } }'

    assert (await gateway.ask(query))["extensions"]["cost"] == {"nodes": 0, "calls": 11}


async def test_every_field_that_says_what_it_costs_is_counted():
    """The table follows the schema: whoever describes a cost has it counted, too."""
    costly = {(kind, name) for kind, name, field in fields() if re.search(r"\bCosts? ", field.description or "")}

    assert costly - set(ASKED_BY_FIELD) == set()


async def test_nothing_is_counted_that_does_not_exist():
    assert set(ASKED_BY_FIELD) <= {(kind, name) for kind, name, _ in fields()}


async def test_every_page_has_a_default_size_that_its_cost_is_counted_by():
    pages = [field for _, _, field in fields() if "first" in field.args]

    assert pages
    assert {field.args["first"].default_value for field in pages} == {50}


async def test_every_field_that_is_counted_is_documented():
    cost = DOCUMENTED.split("### Cost", 1)[1].split("###", 1)[0]

    assert {name for _, name in ASKED_BY_FIELD if f"`{name}`" not in cost} == set()
