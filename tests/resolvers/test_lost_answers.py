"""Every write against everything that can happen to it: requests under their ids, state changed once, one record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.directory_roles import REPORTS_READER
from sandbox.people import stable_id
from sandbox.world import Customer
from services.global_ids import encode_id
from tests.gateway_client import IMPATIENT, running_gateway
from tests.served_gateway import until
from tests.upstream import Upstream

EMS = "efccb6f7-5641-4e0e-bd10-b4976e1bf68e"
AUDIT = """
query ($id: ID!) { tenant(by: {id: $id}) { auditLog { nodes { action outcome correlationId changes } } } }
"""
TENANT = encode_id("Tenant", CONTOSO_ID)


def upn(name: str) -> str:
    return f"{name}@{CONTOSO_DOMAIN}"


def user_id(name: str) -> str:
    return encode_id("User", CONTOSO_ID, stable_id("user", upn(name)))


def person(contoso: Customer, name: str) -> Any:
    return next((user for user in contoso.users.values() if user.user_principal_name == upn(name)), None)


@dataclass(frozen=True)
class Action:
    mutation: str
    given: dict[str, Any]
    applied: Callable[[Customer], bool]
    reads_answer: bool = True
    """Whether the gateway reads the body of Microsoft's answer."""


ACTIONS = {
    "create": Action(
        "createUser",
        {
            "tenantId": TENANT,
            "username": "ada",
            "domain": CONTOSO_DOMAIN,
            "displayName": "Ada Lovelace",
            "usageLocation": "GB",
            "password": {},
            "sendPasswordTo": ["boss@example.com"],
        },
        lambda contoso: person(contoso, "ada") is not None,
    ),
    "edit": Action(
        "updateUser",
        {"id": user_id("adele.vance"), "lastName": "King"},
        lambda contoso: person(contoso, "adele.vance").last_name == "King",
    ),
    "add role": Action(
        "updateUser",
        {"id": user_id("adele.vance"), "roleIds": [REPORTS_READER]},
        lambda contoso: person(contoso, "adele.vance").roles == {REPORTS_READER},
        reads_answer=False,
    ),
    "remove role": Action(
        "updateUser",
        {"id": user_id("patti.fernandez"), "roleIds": []},
        lambda contoso: person(contoso, "patti.fernandez").roles == set(),
        reads_answer=False,
    ),
    "licenses": Action(
        "updateUserLicenses",
        {"userId": user_id("adele.vance"), "assign": [{"skuId": EMS}]},
        lambda contoso: EMS in person(contoso, "adele.vance").licenses,
    ),
    "delete": Action(
        "deleteUser",
        {"id": user_id("adele.vance")},
        lambda contoso: person(contoso, "adele.vance").deleted_at is not None,
        reads_answer=False,
    ),
    "restore": Action(
        "restoreUser",
        {"id": user_id("enrico.cattaneo")},
        lambda contoso: person(contoso, "enrico.cattaneo").deleted_at is None,
    ),
}

EVENTS: list[tuple[list[str], list[int], str | None, str]] = [
    (["ok"], [1], None, "DONE"),
    (["refused"], [1, 1], None, "DONE"),
    (["refused", "refused"], [1, 1, 1], None, "DONE"),
    (["refused"] * 3, [1, 1, 1], "UPSTREAM_ERROR", "FAILED"),
    (["reset"], [1, 1], None, "DONE"),
    (["reset", "reset"], [1, 1], "UPSTREAM_ERROR", "FAILED"),
    (["lost"], [1, 1], None, "DONE"),
    (["lost", "lost"], [1, 1], None, "DONE"),
    (["lost", "refused", "refused", "refused"], [1, 1, 1, 1], None, "DONE"),
    (["cut"], [1, 1], None, "DONE"),
    (["408"], [1, 2], None, "DONE"),
    (["502"], [1, 2], None, "DONE"),
    (["503"], [1, 2], None, "DONE"),
    (["504"], [1, 2], None, "DONE"),
    (["408 done"], [1], None, "DONE"),
    (["502 done"], [1], None, "DONE"),
    (["503 done"], [1], None, "DONE"),
    (["504 done"], [1], None, "DONE"),
    (["503", "503"], [1, 2], "UPSTREAM_ERROR", "FAILED"),
    (["503", "503 done"], [1, 2], None, "DONE"),
    (["500"], [1], "UPSTREAM_ERROR", "FAILED"),
    (["500 done"], [1], None, "DONE"),
    (["429:0"], [1, 2], None, "DONE"),
    (["429:250"], [1], "THROTTLED", "FAILED"),
    (["409"], [1, 2], None, "DONE"),
    (["409"] * 4, [1, 2, 3, 4], "UPSTREAM_ERROR", "FAILED"),
    (["400"], [1], "UPSTREAM_ERROR", "FAILED"),
]


def document(mutation: str) -> str:
    kind = f"{mutation[0].upper()}{mutation[1:]}Input"
    answer = "{ user { id } userErrors { code retryable } }"
    return f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {answer} }}"


async def carry_out(gateway, action, **more):
    answer = await gateway.data(document(action.mutation), {"input": action.given | more})
    return answer[action.mutation]


async def records(gateway):
    return (await gateway.data(AUDIT, {"id": TENANT}))["tenant"]["auditLog"]["nodes"]


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize(("script", "ids", "code", "outcome"), EVENTS, ids=["+".join(event[0]) for event in EVENTS])
async def test_a_write_is_done_once_or_not_at_all(sandbox, name, script, ids, code, outcome):
    action, upstream = ACTIONS[name], Upstream(sandbox, *script)
    async with running_gateway(sandbox, upstream) as gateway:
        payload = await carry_out(gateway, action)
        [record] = await records(gateway)

    assert upstream.ids == ids
    assert len({write.correlation_id for write in upstream.writes}) == len(ids)
    assert len({str(write.body) for write in upstream.writes}) == 1
    assert [error["code"] for error in payload["userErrors"]] == ([code] if code else [])
    assert action.applied(sandbox.world.customers[CONTOSO_ID]) is (code is None)
    assert len(sandbox.audit.records) == (1 if code is None else 0)
    assert (record["action"], record["outcome"]) == (action.mutation, outcome)
    assert record["correlationId"] in {write.correlation_id for write in upstream.writes}


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.reads_answer])
async def test_an_answer_that_cannot_be_read_is_as_good_as_lost(sandbox, name):
    action, upstream = ACTIONS[name], Upstream(sandbox, "garbled")
    async with running_gateway(sandbox, upstream) as gateway:
        payload = await carry_out(gateway, action)

    assert payload["userErrors"] == []
    assert upstream.ids == [1, 1]
    assert len(sandbox.audit.records) == 1


@pytest.mark.parametrize("name", ACTIONS)
async def test_what_nobody_can_tell_is_unknown_and_settled_by_a_repeat_with_the_same_key(sandbox, name):
    """The first answer is lost, its repeat too, and Microsoft cannot be read for a while. The change was made."""
    action, upstream = ACTIONS[name], Upstream(sandbox, "lost", "lost")
    upstream.reads_fail = True
    async with running_gateway(sandbox, upstream) as gateway:
        first = await carry_out(gateway, action, idempotencyKey="k1")
        upstream.reads_fail = False
        unknown = await records(gateway)
        second = await carry_out(gateway, action, idempotencyKey="k1")

    assert first["userErrors"] == [{"code": "OUTCOME_UNKNOWN", "retryable": False}]
    assert [record["outcome"] for record in unknown] == ["UNKNOWN"]
    assert second["user"] is not None
    assert len(sandbox.audit.records) == 1
    assert action.applied(sandbox.world.customers[CONTOSO_ID])
    if name == "create":  # with a password that only the first answer had
        assert second["userErrors"] == [{"code": "OUTCOME_UNKNOWN", "retryable": False}]
    else:
        assert second["userErrors"] == []


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.mutation != "resetUserPassword"])
@pytest.mark.parametrize("word", ["lost", "503"])
async def test_the_record_of_what_nobody_could_tell_is_completed_later(sandbox, name, word):
    """Nothing can be read for a while, and nobody asks again; the first later looks fail too."""
    action, upstream = ACTIONS[name], Upstream(sandbox, word, word, word)
    upstream.reads_fail = True
    later = replace(IMPATIENT, later_looks_seconds=tuple(0.2 * number for number in range(1, 16)))

    async def is_settled():
        return (await records(gateway))[0]["outcome"] != "UNKNOWN"

    async with running_gateway(sandbox, upstream, later) as gateway:
        payload = await carry_out(gateway, action)
        failed = upstream.failed_reads
        await until(lambda: upstream.failed_reads >= failed + 2)
        [unknown] = await records(gateway)
        upstream.reads_fail = False
        await until(is_settled)
        [settled] = await records(gateway)

    assert [error["code"] for error in payload["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert unknown["outcome"] == "UNKNOWN"
    assert settled == unknown | {"outcome": "DONE" if word == "lost" else "FAILED", "changes": settled["changes"]}
    before, after = (json.loads(settled["changes"])[name] for name in ("before", "after"))
    assert (after != before) is (word == "lost")
    assert action.applied(sandbox.world.customers[CONTOSO_ID]) is (word == "lost")
    assert len(sandbox.audit.records) == (1 if word == "lost" else 0)


@pytest.mark.parametrize("name", ACTIONS)
async def test_a_key_is_free_again_after_a_change_that_was_not_made(sandbox, name):
    """A repeat that was promised to help does help."""
    action, upstream = ACTIONS[name], Upstream(sandbox, "503", "503")
    async with running_gateway(sandbox, upstream) as gateway:
        first = await carry_out(gateway, action, idempotencyKey="k1")
        second = await carry_out(gateway, action, idempotencyKey="k1")

    assert first["userErrors"] == [{"code": "UPSTREAM_ERROR", "retryable": True}]
    assert second["userErrors"] == []
    assert action.applied(sandbox.world.customers[CONTOSO_ID])
