"""Dry runs: the same checks and the same payload as the change itself, to the last step before the write."""

import pytest

from sandbox.directory_roles import BILLING_ADMINISTRATOR
from tests.callers import bearer, without
from tests.changes import (
    DELETE,
    LICENSE,
    RESTORE,
    UPDATE,
    audit_log,
    change,
    id_of,
    order_fault,
    sku_of,
    tenant_named,
    world_of,
    writes,
)

ADATUM = tenant_named("adatum")
UNHELD = "11111111-2222-4333-8444-555555555555"


def good(sandbox):
    """A change of each kind that can be made."""
    adele, e3 = id_of(sandbox, "Adele Vance"), sku_of(sandbox, "ENTERPRISEPACK")
    return [
        (UPDATE, {"id": adele, "firstName": "Ada", "usageLocation": "GR", "roleIds": [BILLING_ADMINISTRATOR]}),
        (UPDATE, {"id": adele, "firstName": "Adele"}),
        (LICENSE, {"userId": adele, "assign": [{"skuId": sku_of(sandbox, "VISIOCLIENT")}], "remove": [e3]}),
        (LICENSE, {"userId": adele, "assign": [{"skuId": e3}]}),
        (LICENSE, {"userId": id_of(sandbox, "Debra Berger"), "assign": [{"skuId": e3}], "usageLocation": "US"}),
        (DELETE, {"id": adele}),
    ]


def bad(sandbox):
    """Changes that are refused, by Microsoft's state, by the input, or by who is asked about."""
    adele, enrico = id_of(sandbox, "Adele Vance"), id_of(sandbox, "Enrico Cattaneo")
    unheld = [{"skuId": UNHELD}]
    full = [{"skuId": sku_of(sandbox, "POWER_BI_PRO")}]
    return [
        (UPDATE, {"id": adele, "displayName": None, "roleIds": [UNHELD], "expectedVersion": "old"}),
        (UPDATE, {"id": id_of(sandbox, "Robert Lindqvist"), "firstName": "R"}),
        (UPDATE, {"id": enrico, "firstName": "E"}),
        (UPDATE, {"id": id_of(sandbox, "Roxanne Kenison", ADATUM), "firstName": "R"}),
        (LICENSE, {"userId": id_of(sandbox, "Debra Berger"), "assign": full, "remove": [full[0]["skuId"]]}),
        (LICENSE, {"userId": adele, "assign": unheld}),
        (LICENSE, {"userId": enrico, "assign": unheld}),
        (DELETE, {"id": id_of(sandbox, "Megan Bowen")}),
        (DELETE, {"id": enrico}),
        (RESTORE, {"id": adele}),
        (RESTORE, {"id": id_of(sandbox, "Ben Walters")}),
        (RESTORE, {"id": "nonsense"}),
    ]


def comparable(payload):
    """A payload without what only Microsoft can say: when somebody was deleted, and whether it shows the figures."""
    user = payload["user"] and {name: payload["user"][name] for name in ("id", "displayName", "usageLocation")}
    effects = [one | {"predicted": None} for one in payload.get("effects", ())]
    return payload | {"user": user, "effects": effects}


@pytest.mark.parametrize("which", range(6))
async def test_what_a_dry_run_predicts_is_what_the_change_does(gateway, sandbox, which):
    mutation, input = good(sandbox)[which]
    before = world_of(sandbox)
    predicted = await change(gateway, mutation, **input, dryRun=True)
    assert world_of(sandbox) == before
    assert writes(gateway.calls()) == []
    made = await change(gateway, mutation, **input)

    assert predicted["userErrors"] == made["userErrors"] == []
    assert comparable(predicted) == comparable(made)
    assert {one["predicted"] for one in predicted.get("effects", ())} <= {True}
    assert {one["predicted"] for one in made.get("effects", ())} <= {False}
    assert len(await audit_log(gateway)) == 1


@pytest.mark.parametrize("which", range(12))
async def test_a_dry_run_is_refused_as_the_change_is(gateway, sandbox, which):
    mutation, input = bad(sandbox)[which]
    before = world_of(sandbox)
    tried = await change(gateway, mutation, **input, dryRun=True)
    refused = await change(gateway, mutation, **input)

    assert refused["userErrors"] != []
    assert tried == refused
    assert writes(gateway.calls()) == []
    assert world_of(sandbox) == before


@pytest.mark.parametrize(
    ("mutation", "permission"),
    [(UPDATE, "WRITE_USERS"), (LICENSE, "WRITE_LICENSES"), (DELETE, "DELETE_USERS"), (RESTORE, "DELETE_USERS")],
)
async def test_a_dry_run_needs_the_same_permission(gateway, sandbox, mutation, permission):
    name = "userId" if mutation is LICENSE else "id"
    input = {name: id_of(sandbox, "Adele Vance"), "dryRun": True}
    payload = await change(gateway, mutation, bearer(permissions=without(permission)), **input)

    assert [error["code"] for error in payload["userErrors"]] == ["NOT_PERMITTED"]
    assert gateway.calls() == []


async def test_a_dry_run_tells_of_a_microsoft_that_does_not_answer(gateway, sandbox):
    order_fault(sandbox, method="GET", path="/users/", status=429, retry_after=100)
    payload = await change(gateway, DELETE, id=id_of(sandbox, "Adele Vance"), dryRun=True)

    [error] = payload["userErrors"]
    assert (error["code"], error["retryAfterSeconds"], error["retryable"]) == ("THROTTLED", 100, True)
