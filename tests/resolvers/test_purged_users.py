"""Who was deleted 30 days ago is not there any more, for changes as for queries, while Microsoft still lists them."""

from datetime import timedelta

import pytest

from tests.changes import DELETE, ERRORS, LICENSE, UPDATE, change, id_of, person_of, refused, world_of, writes
from tests.jobs import BULK, ended, found, results_of

ENRICO = "Enrico Cattaneo"
RESET = (
    f"mutation ($input: ResetUserPasswordInput!) {{ resetUserPassword(input: $input) {{ user {{ id }} {ERRORS} }} }}"
)
DELETED = f"{ENRICO} is deleted and can only be restored."
ABSENT = "There is no such user."


def changes(id, sku_id):
    return {
        "updateUser": (UPDATE, {"id": id, "firstName": "E"}, "id"),
        "updateUserLicenses": (LICENSE, {"userId": id, "assign": [{"skuId": sku_id}]}, "userId"),
        "deleteUser": (DELETE, {"id": id}, "id"),
        "resetUserPassword": (RESET, {"id": id, "password": {}}, "id"),
    }


@pytest.mark.parametrize("name", changes("", ""))
@pytest.mark.parametrize(("minutes_left", "code", "message"), [(1, "USER_DELETED", DELETED), (-1, "NOT_FOUND", ABSENT)])
async def test_thirty_days_after_deletion_a_user_is_not_found(gateway, sandbox, e3, name, minutes_left, code, message):
    person_of(sandbox, ENRICO).deleted_at = sandbox.clock.now() - timedelta(days=30, minutes=-minutes_left)
    id = id_of(sandbox, ENRICO)
    mutation, input, member = changes(id, e3)[name]
    before = world_of(sandbox)
    payload = await change(gateway, mutation, **input)

    assert payload["user"] is None
    assert payload["userErrors"] == [refused(code, message, "input", member)]
    assert world_of(sandbox) == before
    assert writes(gateway.calls()) == []
    node = (await gateway.data("query ($id: ID!) { node(id: $id) { id } }", {"id": id}))["node"]
    assert node == (None if code == "NOT_FOUND" else {"id": id})


async def test_the_thirty_days_go_by_the_sandboxs_clock(gateway, sandbox):
    sandbox.clock.advance(timedelta(days=31).total_seconds())
    payload = await change(gateway, UPDATE, id=id_of(sandbox, ENRICO), firstName="E")

    assert payload["userErrors"] == [refused("NOT_FOUND", ABSENT, "input", "id")]


async def test_a_change_of_many_does_not_find_them_either(gateway, sandbox, e3):
    person_of(sandbox, ENRICO).deleted_at = sandbox.clock.now() - timedelta(days=30)
    input = {"users": {"ids": [id_of(sandbox, ENRICO)]}, "assign": [{"skuId": e3}]}
    preview = (await change(gateway, BULK, **input, dryRun=True))["preview"]
    payload = await change(gateway, BULK, **input)
    job = await ended(gateway, payload["job"]["id"])

    assert [(one["code"], one["message"]) for one in preview["blockers"]] == [("NOT_FOUND", ABSENT)]
    [result] = results_of(await found(gateway, job["id"]))
    assert (result["user"], [one["code"] for one in result["userErrors"]]) == (None, ["NOT_FOUND"])
