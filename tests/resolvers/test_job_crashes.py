"""Jobs outlive the processes that run them: real gateways over one Redis and one sandbox, killed at any moment."""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from sandbox.state import SandboxState
from services.global_ids import decode_id
from tests.callers import bearer
from tests.changes import sku_of
from tests.jobs import BULK, CANCEL, ENDED, NORTHWIND, RESULTS, holders, user_ids
from tests.program import Running, running

USERS = 200
KILLS = 10
LEASE_SECONDS = "1.5"
SETTINGS = {
    "GATEWAY_JOB_LEASE_SECONDS": LEASE_SECONDS,
    "GATEWAY_LOCK_LEASE_SECONDS": "1",
    "GATEWAY_JOB_LOOK_SECONDS": "0.2",
    "GATEWAY_DRAIN_ACCEPT_SECONDS": "0",
    "GATEWAY_LOG_LEVEL": "warning",
}
PATIENCE_SECONDS = 100.0


class Fleet:
    """Some gateways over one sandbox; those that are killed stay away."""

    def __init__(self, stack: ExitStack, settings: dict[str, str], count: int) -> None:
        self._settings = settings
        self.sandbox = httpx.Client(base_url=settings["GATEWAY_PARTNER_CENTER_URL"], timeout=30)
        stack.callback(self.sandbox.close)
        with ThreadPoolExecutor(4) as threads:
            self.members = list(threads.map(lambda _: self._started(stack), range(count)))

    def _started(self, stack: ExitStack) -> tuple[Running, httpx.Client]:
        program = stack.enter_context(running("serve", "--port", "0", lines=1, settings=self._settings))
        url = program.lines[0].split()[-1].removesuffix("/graphql")
        client = httpx.Client(base_url=url, timeout=30, headers={"Authorization": bearer()})
        stack.callback(client.close)
        return program, client

    def ask(self, query: str, variables: dict[str, Any], member: int = 0) -> Any:
        answer = self.members[member][1].post("/graphql", json={"query": query, "variables": variables})
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def runs_a_job(self, member: int) -> bool:
        text = self.members[member][1].get("/metrics").text
        found = re.search(r"^gateway_jobs_running (\S+)$", text, re.MULTILINE)
        return found is not None and float(found[1]) > 0

    def kill(self, member: int) -> None:
        program, _ = self.members.pop(member)
        assert program.stop(signal.SIGKILL) == -signal.SIGKILL

    def writes(self) -> list[dict[str, Any]]:
        """Changes of licenses that the sandbox was asked for."""
        calls = self.sandbox.get("/sandbox/calls").json()["calls"]
        return [call for call in calls if call["method"] == "POST" and call["path"].endswith("/licenseupdates")]

    def slow_down(self, milliseconds: int) -> None:
        """Has each change take so long."""
        rule = {"method": "POST", "path": "licenseupdates", "delay_ms": milliseconds}
        self.sandbox.post("/sandbox/faults", json={"rules": [rule]}).raise_for_status()


@pytest.fixture
def fleet(request, sandbox_settings, redis_url):
    count = getattr(request, "param", 2)
    with ExitStack() as stack:
        started = Fleet(stack, {**sandbox_settings, **SETTINGS, "GATEWAY_REDIS_URL": redis_url}, count)
        started.sandbox.post("/sandbox/reset", json={}).raise_for_status()
        started.sandbox.delete("/sandbox/calls").raise_for_status()
        yield started


def until(reached: Any, seconds: float = PATIENCE_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return found


def submitted(fleet: Fleet, people: list[str], sku_id: str) -> str:
    input = {"users": {"ids": user_ids(NORTHWIND, people)}, "remove": [sku_id]}
    payload = fleet.ask(BULK, {"input": input})["updateLicensesInBulk"]
    assert payload["userErrors"] == []
    return str(payload["job"]["id"])


def job_of(fleet: Fleet, id: str, member: int = 0) -> Any:
    return fleet.ask(RESULTS, {"id": id}, member)["node"]


def at_its_end(fleet: Fleet, id: str) -> Any:
    return until(lambda: (job := job_of(fleet, id))["state"] in ENDED and job)


def microsoft_id(result: dict[str, Any]) -> str:
    decoded = decode_id(result["user"]["id"])
    assert decoded is not None
    return decoded.microsoft_id


def held_now(fleet: Fleet, people: list[str]) -> dict[str, list[str]]:
    """Which of these still hold the product, as the gateway reads it anew."""
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { microsoftId licenses { sku { skuId } } } } }"
    found = {}
    for start in range(0, len(people), 100):
        ids = user_ids(NORTHWIND, people[start : start + 100])
        answer = fleet.members[0][1].post(
            "/graphql", json={"query": query, "variables": {"ids": ids}}, headers={"Cache-Control": "no-cache"}
        )
        for user in answer.json()["data"]["nodes"]:
            found[user["microsoftId"]] = [one["sku"]["skuId"] for one in user["licenses"]]
    return found


def units(fleet: Fleet, sku_id: str) -> int:
    query = "query ($id: UUID!) { tenant(by: {microsoftId: $id}) { subscribedSkus { skuId consumedUnits } } }"
    answer = fleet.members[0][1].post(
        "/graphql", json={"query": query, "variables": {"id": NORTHWIND}}, headers={"Cache-Control": "no-cache"}
    )
    skus = answer.json()["data"]["tenant"]["subscribedSkus"]
    return next(int(sku["consumedUnits"]) for sku in skus if sku["skuId"] == sku_id)


@pytest.mark.parametrize("fleet", [KILLS + 1], indirect=True)
@pytest.mark.timeout(240)
def test_killed_again_and_again_a_job_changes_every_user_once_and_says_what_became_of_each(fleet):
    """Ten kills of one job: each user ends changed exactly once, or is reported as unknown; the units agree."""
    seed = SandboxState()
    sku_id, people = sku_of(seed, "SPE_F1"), holders(seed, "SPE_F1", NORTHWIND)
    chosen = people[:USERS]
    fleet.slow_down(60)
    id = submitted(fleet, chosen, sku_id)
    kills = done = 0
    while kills < KILLS and job_of(fleet, id)["state"] not in ENDED:
        member = next((each for each in range(len(fleet.members)) if fleet.runs_a_job(each)), None)
        if member is None:
            continue
        if kills % 2:  # three deaths before any user ends would be taken for the job's doing
            until(lambda done=done: job_of(fleet, id)["done"] > done)
        time.sleep(random.uniform(0.0, 0.3))
        fleet.kill(member)
        kills += 1
        done = job_of(fleet, id)["done"]
    assert kills == KILLS
    job = at_its_end(fleet, id)

    results = [edge["node"] for edge in job["results"]["edges"]]
    told = Counter(microsoft_id(one) for one in results)
    assert told == dict.fromkeys(chosen, 1)
    assert (job["total"], job["done"]) == (USERS, USERS)
    unknown = {microsoft_id(one) for one in results if one["userErrors"]}
    applied = {call["request_id"] + call["path"]: call["path"] for call in fleet.writes() if call["status"] == 201}
    written = Counter(path.rsplit("/", 2)[1] for path in applied.values())
    assert all(count == 1 for count in written.values())  # a repeat with the same id is the same request
    assert set(written) | unknown == set(chosen)
    assert not any(sku_id in held for held in held_now(fleet, chosen).values())
    assert units(fleet, sku_id) == len(people) - USERS
    assert [one["effects"][0]["change"] for one in results if not one["userErrors"]] == [-1] * (USERS - len(unknown))


@pytest.mark.timeout(120)
def test_a_process_that_stops_hands_its_job_back_at_once(fleet):
    seed = SandboxState()
    sku_id, chosen = sku_of(seed, "SPE_F1"), holders(seed, "SPE_F1", NORTHWIND)[:60]
    fleet.slow_down(30)
    id = submitted(fleet, chosen, sku_id)
    member = until(lambda: next((str(each) for each in (0, 1) if fleet.runs_a_job(each)), None))
    until(lambda: job_of(fleet, id, 1 - int(member))["done"] > 3)
    assert fleet.members[int(member)][0].stop(signal.SIGTERM) == 0
    stopped_at = time.monotonic()
    other = 1 - int(member)
    until(lambda: fleet.runs_a_job(other))
    assert time.monotonic() - stopped_at < 10
    job = until(lambda: (job := job_of(fleet, id, other))["state"] in ENDED and job)

    assert (job["state"], job["done"], job["failed"]) == ("SUCCEEDED", 60, 0)
    assert Counter(call["path"].rsplit("/", 2)[1] for call in fleet.writes()) == dict.fromkeys(chosen, 1)


@pytest.mark.timeout(120)
def test_a_job_is_cancelled_through_another_replica(fleet):
    seed = SandboxState()
    sku_id, chosen = sku_of(seed, "SPE_F1"), holders(seed, "SPE_F1", NORTHWIND)[:60]
    fleet.slow_down(30)
    id = submitted(fleet, chosen, sku_id)
    member = until(lambda: next((str(each) for each in (0, 1) if fleet.runs_a_job(each)), None))
    until(lambda: job_of(fleet, id)["done"] > 3)
    fleet.ask(CANCEL, {"input": {"id": id}}, 1 - int(member))
    job = at_its_end(fleet, id)

    assert job["state"] == "CANCELLED"
    assert 3 < job["done"] < 60
    assert len(fleet.writes()) == job["done"] == job["results"]["totalCount"]
