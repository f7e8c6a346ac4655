"""schema.graphql says what is served, and everything in it is described for callers."""

import re
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)

from gateway.cli import main
from schema.build import printed

ROOT = Path(__file__).parents[2]
FILE = ROOT / "schema.graphql"
TYPES = [
    kind
    for kind in build_schema(FILE.read_text(encoding="utf-8")).type_map.values()
    if not is_introspection_type(kind) and not is_specified_scalar_type(kind)
]


def described():
    """Everything that can have a description, by its path in the schema."""
    for kind in TYPES:
        yield kind.name, kind.description
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            for name, field in kind.fields.items():
                yield f"{kind.name}.{name}", field.description
                for argument, details in field.args.items():
                    yield f"{kind.name}.{name}({argument})", details.description
        if isinstance(kind, GraphQLInputObjectType):
            for name, member in kind.fields.items():
                yield f"{kind.name}.{name}", member.description
        if isinstance(kind, GraphQLEnumType):
            for name, value in kind.values.items():
                yield f"{kind.name}.{name}", value.description


def test_the_file_is_what_the_program_prints(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8") == printed()


def test_everything_has_a_description():
    assert [path for path, text in described() if not (text or "").strip()] == []


def test_descriptions_have_no_full_stop_at_the_end():
    wrong = [path for path, text in described() if text and (text != text.strip() or text.endswith("."))]

    assert wrong == []


def test_the_text_stands_on_its_own():
    """What is printed names no other place where the surface would be described."""
    assert not re.search(r"\.\./|shared/|\.md\b|TODO", FILE.read_text(encoding="utf-8"))


def test_nullable_defaults_are_not_printed():
    assert not re.search(r"= null\b", FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["Tenant", "User", "DirectoryRole", "SubscribedSku", "MicrosoftSubscription"])
def test_what_can_be_fetched_again_is_a_node(kind):
    [found] = [one for one in TYPES if one.name == kind]

    assert isinstance(found, GraphQLObjectType)
    assert [interface.name for interface in found.interfaces] == ["Node"]


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("TenantBy", {"id", "microsoftId", "domain"}),
        ("UserBy", {"microsoftId", "userPrincipalName"}),
    ],
)
def test_who_is_meant_is_said_in_exactly_one_way(kind, members):
    [found] = [one for one in TYPES if one.name == kind]

    assert isinstance(found, GraphQLInputObjectType)
    assert found.is_one_of
    assert set(found.fields) == members


def test_every_connection_has_edges_nodes_a_page_info_and_a_total():
    connections = [one for one in TYPES if one.name.endswith("Connection") and isinstance(one, GraphQLObjectType)]

    assert {one.name for one in connections} >= {"TenantConnection", "UserConnection"}
    for one in connections:
        assert {"edges", "nodes", "pageInfo", "totalCount"} <= set(one.fields)


def test_a_part_that_costs_a_call_of_its_own_can_be_null():
    """So that its failure leaves the rest of the answer standing."""
    kinds = {one.name: one for one in TYPES if isinstance(one, GraphQLObjectType)}
    costly = {
        "Tenant": ("domains", "country", "access", "user", "users", "subscribedSkus", "roles"),
        "User": ("roles", "assignedLicenseCount", "licenses", "licenseOptions"),
        "SubscribedSku": ("subscriptions", "holders"),
        "Viewer": ("tenantCount",),
        "Query": ("node", "tenant"),
    }

    wrong = [
        f"{kind}.{name}"
        for kind, names in costly.items()
        for name in names
        if str(kinds[kind].fields[name].type).endswith("!")
    ]
    assert wrong == []
