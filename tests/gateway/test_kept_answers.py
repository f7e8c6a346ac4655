"""A question that was just answered is answered again from the answer, but only where it would be the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.kept_answers import KeptAnswers
from gateway.metrics import REPEATED
from loaders.traces import ReadTrace
from sandbox.state import SandboxState
from services.cache_memory import MemoryCache
from services.lookups import ACTIVE_USERS, DOMAINS, Volatile
from services.upstream_use import UpstreamUse
from tests.callers import bearer, without
from tests.changes import AUDIT, UPDATE, change, id_of
from tests.gateway_client import CONTOSO, Gateway, running_gateway

ROOT = Path(__file__).parent.parent.parent
PEOPLE = """query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    name
    users(first: 50, filter: {status: [ACTIVE]}) {
      totalCount
      nodes { id displayName licenses { sku { productName } } }
    }
  }
}"""
EVERYBODY = """query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) { users(first: 50) { nodes { id deletion { daysLeft } } } }
}"""
DELETED = """query ($tenant: UUID!) {
  tenant(by: {microsoftId: $tenant}) {
    users(first: 50, filter: {status: [DELETED]}) { nodes { displayName deletion { daysLeft } } }
  }
}"""
OF_CONTOSO = {"tenant": CONTOSO}


@pytest.fixture
def world() -> SandboxState:
    return SandboxState()


@pytest.fixture
async def asked(world: SandboxState) -> AsyncIterator[Gateway]:
    async with running_gateway(world) as it:
        yield it


class Counting:
    """How many answers were given again since it was made."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> float:
        return sum(sample.value for family in REPEATED.collect() for sample in family.samples if "total" in sample.name)

    @property
    def repeated(self) -> int:
        return int(self._now() - self._before)


async def ask_thrice(asked: Gateway, query: str, variables: Any = None, **headers: str) -> list[dict[str, Any]]:
    """The first answer fills the cache, the second comes of it alone, so the third may be the second's."""
    return [await asked.ask(query, variables, **headers) for _ in range(3)]


async def test_an_answer_is_given_again_under_the_id_of_the_new_request(asked):
    counting = Counting()
    _, second, third = await ask_thrice(asked, PEOPLE, OF_CONTOSO)
    own = "1e3c7a2c-1b1f-4a4e-9c57-0f7d3d0f1a11"
    answer = await asked.http.post(
        "/graphql", json={"query": PEOPLE, "variables": OF_CONTOSO}, headers={"X-Request-Id": own}
    )

    assert counting.repeated == 2
    assert third["data"] == second["data"] == answer.json()["data"]
    assert len({one["extensions"]["requestId"] for one in (second, third, answer.json())}) == 3
    assert answer.json()["extensions"]["requestId"] == own == answer.headers["X-Request-Id"]
    second["extensions"].pop("requestId")
    third["extensions"].pop("requestId")
    assert second == third


async def test_what_is_changed_is_seen_at_once(asked, world):
    await ask_thrice(asked, PEOPLE, OF_CONTOSO)
    await change(asked, UPDATE, id=id_of(world, "Adele Vance"), displayName="Adele Wu")
    counting = Counting()
    after = await asked.ask(PEOPLE, OF_CONTOSO)

    assert counting.repeated == 0
    names = {user["displayName"] for user in after["data"]["tenant"]["users"]["nodes"]}
    assert "Adele Wu" in names
    assert "Adele Vance" not in names


async def test_what_one_caller_sees_is_not_given_to_another(asked):
    counting = Counting()
    everything = await ask_thrice(asked, "{ tenants { totalCount } }")
    customer = bearer("direct-customer", tenant_ids=[CONTOSO])
    own = await asked.ask("{ tenants { totalCount } }", Authorization=customer)
    none = await asked.ask("{ tenants { totalCount } }", Authorization=bearer(permissions=without("READ")))

    assert counting.repeated == 1
    assert everything[-1]["data"]["tenants"]["totalCount"] == 13
    assert own["data"]["tenants"]["totalCount"] == 1
    assert none["data"] is None
    assert none["errors"][0]["extensions"]["code"] == "NOT_PERMITTED"


async def test_a_token_that_is_no_longer_good_gets_no_kept_answer(asked):
    good = bearer()
    await ask_thrice(asked, PEOPLE, OF_CONTOSO, Authorization=good)
    answer = await asked.http.post(
        "/graphql", json={"query": PEOPLE, "variables": OF_CONTOSO}, headers={"Authorization": good[:-4] + "AAAA"}
    )

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "query", [DELETED, EVERYBODY, AUDIT, "{ tenants(first: 1) { nodes { auditLog(first: 1) { totalCount } } } }"]
)
async def test_what_depends_on_the_time_or_on_records_is_answered_anew(asked, query):
    counting = Counting()
    await ask_thrice(asked, query, OF_CONTOSO if "$tenant" in query else None)

    assert counting.repeated == 0


async def test_the_days_that_are_left_to_restore_somebody_go_down(asked, world):
    before = (await ask_thrice(asked, DELETED, OF_CONTOSO))[-1]["data"]["tenant"]["users"]["nodes"]
    world.clock.advance(86_400)
    after = (await ask_thrice(asked, DELETED, OF_CONTOSO))[-1]["data"]["tenant"]["users"]["nodes"]

    left = {one["displayName"]: one["deletion"]["daysLeft"] for one in after}
    assert before
    assert all(left.get(one["displayName"], 0) == max(0, one["deletion"]["daysLeft"] - 1) for one in before)


async def test_who_wants_no_cache_gets_none(asked):
    await ask_thrice(asked, PEOPLE, OF_CONTOSO)
    counting = Counting()
    asked.calls()
    for header in ("no-cache", "max-age=0", "max-age=60"):
        await asked.ask(PEOPLE, OF_CONTOSO, Cache_Control=header)

    assert counting.repeated == 0
    assert asked.calls()


async def test_a_change_that_is_asked_for_twice_is_made_twice(asked):
    counting = Counting()
    id = await an_id(asked)
    for name in ("Adele A", "Adele B", "Adele A", "Adele B"):
        payload = await change(asked, UPDATE, id=id, displayName=name)
        assert payload["user"]["displayName"] == name

    assert counting.repeated == 0


async def an_id(asked: Gateway) -> str:
    data = await asked.data(PEOPLE, OF_CONTOSO)
    return str(min(user["id"] for user in data["tenant"]["users"]["nodes"]))


async def test_an_answer_with_an_error_is_not_given_again(asked):
    counting = Counting()
    query = "{ viewer { name } portfolio { coverage { asked } } }"
    answers = await ask_thrice(asked, query, Authorization=bearer(permissions=without("READ")))

    assert [one["extensions"]["code"] for answer in answers for one in answer["errors"]] == ["NOT_PERMITTED"] * 3
    assert counting.repeated == 0


async def test_with_no_room_none_is_kept():
    async with running_gateway(SandboxState(), GATEWAY_ANSWER_BYTES="0") as it:
        counting = Counting()
        await ask_thrice(it, PEOPLE, OF_CONTOSO)

        assert counting.repeated == 0


async def test_the_answer_of_every_example_is_the_same_with_kept_answers_and_without():
    """Asked again and again, beside a gateway that keeps none, over the same sandbox."""
    world = SandboxState()
    async with running_gateway(world) as keeping, running_gateway(world, GATEWAY_ANSWER_BYTES="0") as plain:
        counting = Counting()
        for file in sorted((ROOT / "examples").glob("*.graphql")):
            query = file.read_text(encoding="utf-8")
            if "mutation" in query or "subscription" in query:
                continue
            given = file.with_suffix(".variables.json")
            variables = json.loads(given.read_text(encoding="utf-8")) if given.is_file() else None
            expected = (await ask_thrice(plain, query, variables))[-1]
            for answer in await ask_thrice(keeping, query, variables):
                assert without_times(answer.get("data")) == without_times(expected.get("data")), file.name
        assert counting.repeated >= 10


def without_times(value: Any) -> Any:
    """The two gateways read at different times."""
    if isinstance(value, dict):
        return {
            name: without_times(one) for name, one in value.items() if name not in ("asOf", "oldestAsOf", "endCursor")
        }
    return [without_times(one) for one in value] if isinstance(value, list) else value


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A cache with one list of domains, and answers that rest on it."""

    def __init__(self, max_bytes: int = 100_000) -> None:
        self.clock = Clock()
        self.cache = MemoryCache(clock=self.clock)
        self.answers = KeptAnswers(self.cache, max_bytes)

    async def store(self, *names: str) -> None:
        [looked] = await self.cache.look_up(DOMAINS, ["t"])
        await self.cache.store_many(DOMAINS, {"t": list(names)}, {"t": looked.generation})

    async def keep(self, key: str, body: bytes = b'{"id":"r-1"}', **use: Any) -> None:
        trace = ReadTrace()
        trace.add(DOMAINS, ["t"], await self.cache.look_up(DOMAINS, ["t"]))
        self.answers.keep(key, body, "r-1", trace.take(), UpstreamUse(**use))

    async def found(self, key: str) -> bytes | None:
        answer = await self.answers.find(key)
        return None if answer is None else b"".join(answer.pieces("r-2"))


async def test_an_answer_is_good_as_long_as_the_oldest_of_what_it_rests_on_is_fresh():
    scene = Scene()
    await scene.store("a.example")
    await scene.keep("q")
    [looked] = await scene.cache.look_up(DOMAINS, ["t"])
    assert looked.kept is not None
    scene.clock.now = looked.kept.fresh_until - 0.1
    assert await scene.found("q") == b'{"id":"r-2"}'
    scene.clock.now = looked.kept.fresh_until
    assert await scene.found("q") is None
    assert scene.answers.size_bytes == 0
    await scene.keep("q")
    assert await scene.found("q") is None  # no longer fresh when it was kept


async def test_an_answer_is_not_good_any_more_when_what_it_rests_on_was_read_anew():
    scene = Scene()
    await scene.store("a.example")
    await scene.keep("q")
    await scene.store("a.example")
    assert await scene.found("q") is None


async def test_an_answer_is_not_good_while_a_change_is_under_way_nor_after():
    scene = Scene()
    [looked] = await scene.cache.look_up(ACTIVE_USERS, ["t"])
    await scene.cache.store_many(ACTIVE_USERS, {"t": []}, {"t": looked.generation})
    trace = ReadTrace()
    trace.add(ACTIVE_USERS, ["t"], await scene.cache.look_up(ACTIVE_USERS, ["t"]))
    scene.answers.keep("q", b"r-1", "r-1", trace.take(), UpstreamUse())
    assert await scene.found("q") == b"r-2"
    async with scene.cache.changing("t", {Volatile.USERS}):
        assert await scene.found("q") is None
    assert await scene.found("q") is None


@pytest.mark.parametrize("use", [{"calls": 1}, {"cache_misses": 1}, {"waited_seconds": 1}, {"stale": {("a", "b")}}])
async def test_an_answer_that_came_of_more_than_the_cache_is_not_kept(use):
    scene = Scene()
    await scene.store("a.example")
    await scene.keep("q", **use)
    assert await scene.found("q") is None


async def test_answers_have_a_bound_in_bytes_and_the_one_that_was_not_asked_for_longest_goes():
    scene = Scene(max_bytes=4_000)
    await scene.store("a.example")
    for key in "abc":
        await scene.keep(key, b" " * 900 + b"r-1")
    await scene.found("a")
    await scene.keep("d", b" " * 900 + b"r-1")
    await scene.keep("e", b" " * 900 + b"r-1")

    assert [key for key in "abcde" if await scene.found(key)] == ["a", "c", "d", "e"]
    assert scene.answers.size_bytes <= 4_000
    await scene.keep("large", b" " * 1_001 + b"r-1")
    assert await scene.found("large") is None


async def test_an_answer_that_is_dropped_while_it_is_looked_at_is_no_trouble():
    scene = Scene()
    await scene.store("a.example")
    await scene.keep("q")
    found = asyncio.gather(*(scene.found("q") for _ in range(5)))
    await scene.store("b.example")
    await found
    assert await scene.found("q") is None
