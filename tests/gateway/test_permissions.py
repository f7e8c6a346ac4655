"""Who may do what: a permission is asked for before anybody is asked, and what a viewer is told beforehand holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type

from sandbox.contoso import CONTOSO_DOMAIN
from sandbox.people import stable_id
from schema.build import build_schema
from services.global_ids import encode_id
from tests.callers import EVERYTHING, bearer, without
from tests.gateway_client import CONTOSO
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = build_schema()._schema
E3 = "6fd2c87f-b296-42f0-b197-1e91e994b900"
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
REPORTS_READER = "4a5d8f65-41da-4de4-8968-e035b65339cf"


def user_id(name: str) -> str:
    return encode_id("User", CONTOSO, stable_id("user", f"{name}@{CONTOSO_DOMAIN}"))


ADELE, MEGAN = user_id("adele.vance"), user_id("megan.bowen")
NEW = {
    "tenantId": encode_id("Tenant", CONTOSO),
    "username": "ada.lovelace",
    "domain": CONTOSO_DOMAIN,
    "displayName": "Ada Lovelace",
    "usageLocation": "GB",
    "password": {},
    "sendPasswordTo": ["ada@example.com"],
}
MANY = {"users": {"ids": [ADELE]}, "remove": [E3]}
CHANGES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("createUser", NEW, ("WRITE_USERS",)),
    ("createUser", NEW | {"roleIds": [REPORTS_READER]}, ("WRITE_USERS", "WRITE_ROLES")),
    ("createUser", NEW | {"licenses": [{"skuId": E3}]}, ("WRITE_USERS", "WRITE_LICENSES")),
    ("updateUser", {"id": ADELE, "firstName": "Ada"}, ("WRITE_USERS",)),
    ("updateUser", {"id": ADELE, "roleIds": [REPORTS_READER]}, ("WRITE_USERS", "WRITE_ROLES")),
    ("updateUserLicenses", {"userId": ADELE, "remove": [E3]}, ("WRITE_LICENSES",)),
    ("updateUserLicenses", {"userId": ADELE, "usageLocation": "GR"}, ("WRITE_LICENSES",)),
    ("updateLicensesInBulk", MANY, ("WRITE_LICENSES",)),
    ("cancelJob", {"id": encode_id("Job", CONTOSO)}, ("WRITE_LICENSES",)),
    ("deleteUser", {"id": ADELE}, ("DELETE_USERS",)),
    ("restoreUser", {"id": user_id("enrico.cattaneo")}, ("DELETE_USERS",)),
    ("resetUserPassword", {"id": ADELE, "password": {}}, ("RESET_PASSWORDS",)),
]
"""Each change, as it is asked for, and what it needs besides READ."""

ERRORS = "userErrors { code message field retryable }"
LACKING = [(name, given, needed, lacking) for name, given, needed in CHANGES for lacking in ("READ", *needed)]


def mutation(name: str) -> str:
    assert SCHEMA.mutation_type is not None
    payload = get_named_type(SCHEMA.mutation_type.fields[name].type)
    assert isinstance(payload, GraphQLObjectType)
    changed = "".join(f"{each} {{ id }} " for each in ("user", "job") if each in payload.fields)
    input_type = get_named_type(SCHEMA.mutation_type.fields[name].args["input"].type)
    return f"mutation ($input: {input_type}!) {{ {name}(input: $input) {{ {changed} {ERRORS} }} }}"


def dry(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(given) | ({} if name == "cancelJob" else {"dryRun": True})


async def errors_of(gateway, name, given, caller):  # noqa: F811
    """What stands in the way of a change, as it is told."""
    answer = await gateway.data(mutation(name), {"input": given}, Authorization=caller)
    assert all(answer[name].get(changed) is None for changed in ("user", "job")) or not answer[name]["userErrors"]
    return answer[name]["userErrors"]


# ── changes ──────────────────────────────────────────────────────────────────────────────────────


async def test_every_mutation_of_the_schema_is_tried():
    assert SCHEMA.mutation_type is not None
    assert {name for name, *_ in CHANGES} == set(SCHEMA.mutation_type.fields)


@pytest.mark.parametrize(
    ("name", "given", "needed", "lacking"),
    LACKING,
    ids=[f"{one[0]} {'+'.join(one[2])} without {one[3]}" for one in LACKING],
)
async def test_without_a_permission_a_change_is_refused_and_nobody_is_asked(gateway, name, given, needed, lacking):  # noqa: F811
    """Also in a dry run, and with an idempotency key."""
    caller = bearer(permissions=without(lacking))
    refused = [
        {
            "code": "NOT_PERMITTED",
            "message": f"This needs the permission {lacking}, which your token does not carry.",
            "field": None,
            "retryable": False,
        }
    ]
    gateway.calls()
    assert await errors_of(gateway, name, given, caller) == refused
    if name != "cancelJob":
        assert await errors_of(gateway, name, dict(given) | {"dryRun": True}, caller) == refused
        assert await errors_of(gateway, name, dict(given) | {"idempotencyKey": "k"}, caller) == refused
    assert gateway.calls() == []


@pytest.mark.parametrize(("name", "given", "needed"), CHANGES, ids=[f"{one[0]} {'+'.join(one[2])}" for one in CHANGES])
async def test_with_what_it_needs_and_no_more_a_change_is_not_refused_for_permissions(gateway, name, given, needed):  # noqa: F811
    caller = bearer(permissions=("READ", *needed))
    codes = {error["code"] for error in await errors_of(gateway, name, dry(name, given), caller)}

    assert codes <= {"NOT_FOUND"} if name == "cancelJob" else codes == set()


async def test_all_that_is_missing_is_told_in_one_error(gateway):  # noqa: F811
    given = NEW | {"roleIds": [REPORTS_READER], "licenses": [{"skuId": E3}]}
    [error] = await errors_of(gateway, "createUser", given, bearer(permissions=()))

    assert error["message"].startswith(
        "This needs the permission READ and WRITE_USERS and WRITE_ROLES and WRITE_LICENSES,"
    )


PRIVILEGED: list[tuple[str, dict[str, Any], str]] = [
    ("updateUser", {"id": MEGAN, "firstName": "Ada"}, "PRIVILEGED_TARGET"),
    ("updateUser", {"id": MEGAN, "usageLocation": "GR"}, "PRIVILEGED_TARGET"),
    ("updateUser", {"id": MEGAN, "roleIds": []}, "PRIVILEGED_TARGET"),
    ("updateUser", {"id": ADELE, "roleIds": [GLOBAL_ADMINISTRATOR]}, "NOT_PERMITTED"),
    ("createUser", NEW | {"roleIds": [GLOBAL_ADMINISTRATOR]}, "NOT_PERMITTED"),
    ("updateUserLicenses", {"userId": MEGAN, "remove": [E3]}, "PRIVILEGED_TARGET"),
    ("updateUserLicenses", {"userId": MEGAN, "usageLocation": "GR"}, "PRIVILEGED_TARGET"),
    ("deleteUser", {"id": MEGAN}, "PRIVILEGED_TARGET"),
    ("resetUserPassword", {"id": MEGAN, "password": {}}, "PRIVILEGED_TARGET"),
]


@pytest.mark.parametrize(("name", "given", "code"), PRIVILEGED, ids=[f"{name} {code}" for name, _, code in PRIVILEGED])
async def test_without_manage_admins_nobody_privileged_is_changed_and_nobody_becomes_so(gateway, name, given, code):  # noqa: F811
    gateway.calls()
    for asked in (given, given | {"dryRun": True}):
        errors = await errors_of(gateway, name, asked, bearer(permissions=without("MANAGE_ADMINS")))
        assert {error["code"] for error in errors} == {code}
    assert [call for call in gateway.calls() if not call.startswith("GET ")] == []


async def test_in_a_change_of_many_the_privileged_are_left_out(gateway):  # noqa: F811
    query = """mutation ($input: UpdateLicensesInBulkInput!) { updateLicensesInBulk(input: $input) {
      preview { userCount blockers { code } } userErrors { code } } }"""
    given = {"users": {"ids": [ADELE, MEGAN]}, "remove": [E3], "dryRun": True}
    caller = bearer(permissions=without("MANAGE_ADMINS"))
    answer = (await gateway.data(query, {"input": given}, Authorization=caller))["updateLicensesInBulk"]

    assert [blocker["code"] for blocker in answer["preview"]["blockers"]] == ["PRIVILEGED_TARGET"]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "caller", [bearer(permissions=without("READ")), bearer(permissions=())], ids=["all else", "none"]
)
async def test_without_read_every_query_but_the_viewer_is_null_or_refused(gateway, caller):  # noqa: F811
    """Whatever the schema has: a new field is asked as well."""
    assert SCHEMA.query_type is not None
    arguments = {
        "node": f'(id: "{ADELE}")',
        "nodes": f'(ids: ["{ADELE}"])',
        "tenant": f'(by: {{microsoftId: "{CONTOSO}"}})',
    }
    gateway.calls()
    for name, field in SCHEMA.query_type.fields.items():
        selection = "" if is_leaf_type(get_named_type(field.type)) else "{ __typename }"
        query = f"{{ {name}{arguments.get(name, '')} {selection} }}"
        answer = await gateway.ask(query, Authorization=caller)
        if name == "viewer":
            assert answer["data"] == {"viewer": {"__typename": "Viewer"}}
            continue
        assert (answer.get("data") or {}).get(name) in (None, [None]), name
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"NOT_PERMITTED"}, name
    assert gateway.calls() == []


async def test_the_viewer_tells_its_permissions_and_its_tenants_only_with_read(gateway):  # noqa: F811
    query = "{ viewer { permissions tenantCount } }"
    whole = await gateway.data(query, Authorization=bearer())
    assert set(whole["viewer"]["permissions"]) == set(EVERYTHING)
    for lacking in EVERYTHING:
        answer = await gateway.ask(query, Authorization=bearer(permissions=without(lacking)))
        assert set(answer["data"]["viewer"]["permissions"]) == set(EVERYTHING) - {lacking}
        assert (answer["data"]["viewer"]["tenantCount"] is None) is (lacking == "READ")


async def test_the_audit_log_needs_a_permission_of_its_own(gateway):  # noqa: F811
    query = f'{{ tenant(by: {{microsoftId: "{CONTOSO}"}}) {{ name auditLog {{ totalCount }} }} }}'
    answer = await gateway.ask(query, Authorization=bearer(permissions=without("READ_AUDIT")))

    assert answer["data"] == {"tenant": {"name": "Contoso", "auditLog": None}}
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["tenant", "auditLog"], "NOT_PERMITTED")
