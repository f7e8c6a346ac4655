"""Partner Center on its bad days, as a caller of the gateway sees it: what is answered, when, and what it cost."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

import pytest

from sandbox.faults import read_rules
from sandbox.people import stable_id
from sandbox.state import SandboxState
from services.global_ids import encode_id
from tests.gateway_client import CONTOSO, Gateway, running_gateway
from tests.redis_server import redis_server_url, redis_url  # noqa: F401  # fixtures

ROLES = "query ($tenant: UUID!) { tenant(by: {microsoftId: $tenant}) { roles { name } } }"
NAMES = "query { tenants(first: 13) { nodes { name } } }"
EVERYBODY = "query { tenants(first: 13) { nodes { name users(first: 1) { totalCount } } } }"
RENAME = """
mutation ($user: ID!) {
  updateUser(input: {id: $user, displayName: "Else"}) { user { id } userErrors { code message retryable } }
}
"""
ADELE = encode_id("User", CONTOSO, stable_id("user", "adele.vance@contoso.onmicrosoft.com"))
NO_ACCESS = "Adatum Corporation"
"""A tenant whose people the partner may not see, on good days too."""
USERS_OF_CONTOSO = rf"/customers/{CONTOSO}/users\?"


def order(sandbox: SandboxState, *rules: dict[str, object]) -> None:
    sandbox.faults.rules = read_rules(list(rules))


def ids(sandbox: SandboxState, part: str) -> str:
    """The request ids of the calls whose path ends so, as letters: the same letter is the same id."""
    letters: dict[str, str] = {}
    return "".join(
        letters.setdefault(call.request_id, chr(ord("A") + len(letters)))
        for call in sandbox.calls
        if call.path.partition("?")[0].endswith(part)
    )


def correlation_ids(sandbox: SandboxState, part: str) -> list[str]:
    return [call.correlation_id for call in sandbox.calls if call.path.partition("?")[0].endswith(part)]


def asked(sandbox: SandboxState) -> list[int | None]:
    return [call.status for call in sandbox.calls if "/directoryroles" in call.path]


def without_users(answer: dict) -> list[str]:
    return [one["name"] for one in answer["data"]["tenants"]["nodes"] if one["users"] is None]


def errors_of(answer: dict, name: str) -> list[dict]:
    """What the errors of one of the tenants say beside their message."""
    names = [one["name"] for one in answer["data"]["tenants"]["nodes"]]
    return [error["extensions"] for error in answer["errors"] if names[error["path"][2]] == name]


def codes(answer: dict) -> dict[str, str]:
    return {".".join(map(str, error["path"])): error["extensions"]["code"] for error in answer.get("errors", [])}


@pytest.mark.parametrize(
    ("fault", "times", "calls", "code"),
    [
        ({"reset": True}, 2, "AAA", None),
        ({"reset": True}, 3, "AAA", "UPSTREAM_ERROR"),
        ({"lost_answer": True}, 2, "AAA", None),
        ({"lost_answer": True}, 3, "AAA", "UPSTREAM_ERROR"),
        ({"truncate": True}, 2, "AAA", None),
        ({"truncate": True}, 3, "AAA", "UPSTREAM_ERROR"),
        ({"status": 429, "retry_after": 0}, 2, "ABC", None),
        ({"status": 429, "retry_after": 0}, 3, "ABC", "THROTTLED"),
        ({"status": 408}, 2, "ABC", None),
        ({"status": 408}, 3, "ABC", "TIMEOUT"),
        ({"status": 502}, 2, "ABC", None),
        ({"status": 503}, 2, "ABC", None),
        ({"status": 503, "retry_after": 0}, 3, "ABC", "UPSTREAM_ERROR"),
        ({"status": 504}, 2, "ABC", None),
        ({"status": 500}, 1, "AB", None),
        ({"status": 500}, 2, "AB", "UPSTREAM_ERROR"),
        ({"status": 501}, 2, "AB", "UPSTREAM_ERROR"),
        ({"status": 599}, 2, "AB", "UPSTREAM_ERROR"),
        ({"status": 401}, 1, "AB", None),
        ({"status": 401}, 2, "AB", "UPSTREAM_ERROR"),
        ({"status": 400}, 1, "A", "UPSTREAM_ERROR"),
        ({"status": 403}, 1, "A", "ACCESS_MISSING"),
        ({"status": 409}, 1, "A", "UPSTREAM_ERROR"),
    ],
)
async def test_each_failure_of_a_read_is_met_as_the_table_says(gateway, sandbox, fault, times, calls, code):
    order(sandbox, {"path": "/directoryroles", "times": times, **fault})

    answer = await gateway.ask(ROLES, {"tenant": CONTOSO})

    assert codes(answer) == ({"tenant.roles": code} if code else {})
    assert ids(sandbox, "/directoryroles") == calls
    used = correlation_ids(sandbox, "/directoryroles")
    assert len(set(used)) == len(used) == len(calls)


async def test_a_pause_that_microsoft_asks_for_is_made(gateway, sandbox):
    order(sandbox, {"path": "/directoryroles", "times": 1, "status": 503, "retry_after": 1})
    started = time.monotonic()

    await gateway.data(ROLES, {"tenant": CONTOSO})

    assert time.monotonic() - started >= 1
    assert ids(sandbox, "/directoryroles") == "AB"


async def test_a_throttled_read_waits_and_the_answer_says_how_long(gateway, sandbox):
    order(sandbox, {"path": "/directoryroles", "times": 1, "status": 429, "retry_after": 1})

    answer = await gateway.ask(ROLES, {"tenant": CONTOSO})

    assert "errors" not in answer
    assert answer["extensions"]["upstream"]["throttledSeconds"] >= 1
    assert ids(sandbox, "/directoryroles") == "AB"


async def test_a_throttled_tenant_costs_its_own_fields_only_and_is_left_alone(gateway, sandbox):
    order(sandbox, {"path": USERS_OF_CONTOSO, "status": 429, "retry_after": 300})

    async with asyncio.timeout(20):  # less than either may take
        first = await gateway.ask(EVERYBODY)
        second = await gateway.ask(EVERYBODY)

    for answer in (first, second):
        (error,) = errors_of(answer, "Contoso")
        assert error["code"] == "THROTTLED"
        assert 270 < error["retryAfterSeconds"] <= 300
        assert without_users(answer) == [NO_ACCESS, "Contoso"]
        assert len(answer["data"]["tenants"]["nodes"]) == 13
    assert [call.status for call in sandbox.calls if CONTOSO in call.path and "/users" in call.path] == [429]


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"status": 500}])
async def test_a_broken_tenant_costs_its_own_fields_only(gateway, sandbox, fault):
    order(sandbox, {"path": USERS_OF_CONTOSO, **fault})

    answer = await gateway.ask(EVERYBODY)

    assert errors_of(answer, "Contoso") == [{"code": "UPSTREAM_ERROR"}]
    assert without_users(answer) == [NO_ACCESS, "Contoso"]


async def test_a_tenant_that_does_not_answer_costs_its_own_fields_and_the_time_of_the_query(sandbox):
    order(sandbox, {"path": USERS_OF_CONTOSO, "delay_ms": 60_000})
    async with running_gateway(sandbox, GATEWAY_QUERY_TIMEOUT_SECONDS="4") as gateway:
        async with asyncio.timeout(20):
            answer = await gateway.ask(EVERYBODY)

    assert errors_of(answer, "Contoso") == [{"code": "TIMEOUT"}]
    assert without_users(answer) == [NO_ACCESS, "Contoso"]


async def test_a_call_that_takes_too_long_is_ended_and_repeated_under_its_id(sandbox):
    order(sandbox, {"path": "/directoryroles", "delay_ms": 60_000, "times": 1})
    async with running_gateway(sandbox, GATEWAY_PARTNER_CENTER_READ_TIMEOUT_SECONDS="1") as gateway:
        started = time.monotonic()
        async with asyncio.timeout(20):
            await gateway.data(ROLES, {"tenant": CONTOSO})
        assert time.monotonic() - started >= 1

    assert ids(sandbox, "/directoryroles") == "AA"


async def test_no_storm_follows_when_everything_fails(gateway, sandbox):
    await gateway.data(NAMES)
    gateway.calls()
    order(sandbox, {"path": "/customers", "status": 503})
    asked = 60

    answers = [await gateway.ask(NAMES, Cache_Control="no-cache") for _ in range(asked)]

    assert {code for answer in answers for code in codes(answer).values()} == {"UPSTREAM_ERROR"}
    assert len(gateway.calls()) <= 1.1 * asked + 10


async def test_a_tenant_that_failed_again_and_again_is_not_asked_and_changes_to_it_are_refused_unsent(gateway, sandbox):
    order(sandbox, {"path": f"/customers/{CONTOSO}", "status": 503})
    for _ in range(5):
        await gateway.ask(ROLES, {"tenant": CONTOSO})
    gateway.calls()
    order(sandbox)

    read = await gateway.ask(ROLES, {"tenant": CONTOSO})
    change = await gateway.ask(RENAME, {"user": ADELE})

    assert set(codes(read).values()) == {"UPSTREAM_ERROR"}
    (error,) = change["data"]["updateUser"]["userErrors"]
    assert (error["code"], error["retryable"]) == ("UPSTREAM_ERROR", True)
    assert gateway.calls() == []
    assert without_users(await gateway.ask(EVERYBODY)) == [NO_ACCESS, "Contoso"]


async def test_a_change_waits_for_its_gate_or_is_refused_unsent(gateway, sandbox):
    order(sandbox, {"path": f"{CONTOSO}/users", "method": "PATCH", "status": 429, "retry_after": 200})

    first = await gateway.ask(RENAME, {"user": ADELE})
    second = await gateway.ask(RENAME, {"user": ADELE})

    for answer in (first, second):
        (error,) = answer["data"]["updateUser"]["userErrors"]
        assert (error["code"], error["retryable"]) == ("THROTTLED", True)
    assert [call.method for call in sandbox.calls].count("PATCH") == 1


async def test_after_one_429_neither_of_two_replicas_asks_before_the_time_is_over(sandbox, redis_url):  # noqa: F811
    order(sandbox, {"path": "/directoryroles", "times": 1, "status": 429, "retry_after": 2})
    async with (
        running_gateway(sandbox, GATEWAY_REDIS_URL=redis_url) as one,
        running_gateway(sandbox, GATEWAY_REDIS_URL=redis_url) as two,
    ):
        first = asyncio.create_task(one.ask(ROLES, {"tenant": CONTOSO}, Cache_Control="no-cache"))
        while not asked(sandbox):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        second = asyncio.create_task(two.ask(ROLES, {"tenant": CONTOSO}, Cache_Control="no-cache"))
        answers = [await first, await second]

    assert all("errors" not in answer for answer in answers)
    assert asked(sandbox) == [429, 200, 200]
    throttled_at, *later = [datetime.fromisoformat(call.at) for call in sandbox.calls if "/directoryroles" in call.path]
    assert all(at - throttled_at >= timedelta(seconds=2) for at in later)


async def test_a_reset_of_the_sandbox_opens_gates_and_breakers(gateway: Gateway, sandbox):
    order(sandbox, {"path": f"/customers/{CONTOSO}", "status": 503})
    for _ in range(5):
        await gateway.ask(ROLES, {"tenant": CONTOSO})

    assert (await gateway.http.post("/sandbox/reset", json={})).is_success

    await gateway.data(ROLES, {"tenant": CONTOSO})
