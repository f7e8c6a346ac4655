"""Two gateways, each a process of its own, over one sandbox and one Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.gateway_client import PATIENT
from tests.program import running
from tests.redis_server import running_on_socket
from tests.served_gateway import token_of, until

NORTHWIND = "northwindtraders.onmicrosoft.com"
PHONE = "e43b5b99-8dfb-405f-9987-dc307f34bcbd"
"""Microsoft Teams Phone Standard, of which Northwind has 30 units left."""
UNITS = """query ($domain: String!) {
  tenant(by: {domain: $domain}) { subscribedSkus { skuId availableUnits consumedUnits } }
}"""
PEOPLE = """query ($domain: String!) {
  tenant(by: {domain: $domain}) { users(first: 100) { nodes { id displayName licenses { sku { skuId } } } } }
}"""
PERSON = "query ($id: ID!) { node(id: $id) { ... on User { displayName licenses { sku { skuId } } } } }"
ASSIGN = """mutation ($input: UpdateUserLicensesInput!) {
  updateUserLicenses(input: $input) { user { id } userErrors { code } }
}"""
RENAME = """mutation ($input: UpdateUserInput!) {
  updateUser(input: $input) { user { displayName } userErrors { code } }
}"""


class Replicas:
    """Both gateways, asked as several callers, so that none of them asks too much at once."""

    def __init__(self, urls: list[str], sandbox: str, redis: str) -> None:
        self.each = [httpx.AsyncClient(base_url=url, timeout=60) for url in urls]
        self.sandbox = sandbox
        self.redis = redis
        self._callers = [token_of(f"replicas {number}") for number in range(5)]
        self._turn = 0

    async def ask(self, number: int, query: str, **variables: Any) -> dict[str, Any]:
        self._turn += 1
        headers = {"Authorization": self._callers[self._turn % len(self._callers)]}
        body = {"query": query, "variables": variables}
        answer = (await self.each[number].post("/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer["errors"]
        return dict(answer["data"])

    def calls(self) -> list[dict[str, Any]]:
        return list(httpx.get(f"{self.sandbox}/sandbox/calls", timeout=60).json()["calls"])


@pytest.fixture(scope="module")
def running_replicas() -> Iterator[tuple[list[str], str, str]]:
    with running_on_socket() as (redis, _), running("sandbox", "--port", "0", lines=9) as sandbox:
        settings = dict(line.split("=", 1) for line in sandbox.lines)
        shared = settings | PATIENT | {"GATEWAY_REDIS_URL": redis, "GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}
        shared["GATEWAY_AUDIT_JOURNAL"] = f"{redis.removeprefix('unix://')}.journal"
        with (
            running("serve", "--port", "0", lines=1, settings=shared) as first,
            running("serve", "--port", "0", lines=1, settings=shared) as second,
        ):
            urls = [each.lines[0].split()[1].removesuffix("/graphql") for each in (first, second)]
            yield urls, settings["GATEWAY_PARTNER_CENTER_URL"], redis


@pytest.fixture
async def replicas(running_replicas: tuple[list[str], str, str]) -> AsyncIterator[Replicas]:
    both = Replicas(*running_replicas)
    yield both
    for each in both.each:
        await each.aclose()


async def test_the_access_token_is_got_once_for_both(replicas):
    """One gets it, and hands it to the other; before the first question nobody had one."""
    with Redis.from_url(replicas.redis) as redis:
        await until(lambda: [count for _, count in redis.pubsub_numsub(*redis.pubsub_channels())] == [2])
    await replicas.ask(0, UNITS, domain=NORTHWIND)
    await asyncio.sleep(2)  # on a loaded machine the other may hear of it late, and then not wait for it any more
    await replicas.ask(1, UNITS, domain=NORTHWIND)
    await asyncio.gather(*(replicas.ask(number % 2, PEOPLE, domain=NORTHWIND) for number in range(6)))

    assert len([call for call in replicas.calls() if "/oauth2/" in call["path"]]) == 1


async def test_a_change_through_one_is_seen_through_the_other_at_once(replicas):
    people = (await replicas.ask(0, PEOPLE, domain=NORTHWIND))["tenant"]["users"]["nodes"]
    someone = next(each for each in people if PHONE not in skus(each))
    for number in (0, 1):  # both know how it was
        await replicas.ask(number, PERSON, id=someone["id"])
        await replicas.ask(number, UNITS, domain=NORTHWIND)

    before = await units(replicas, 1)
    given = {"userId": someone["id"], "assign": [{"skuId": PHONE}]}
    await replicas.ask(0, ASSIGN, input=given)
    after = (await replicas.ask(1, PERSON, id=someone["id"]))["node"]
    assert skus(after) == skus(someone) | {PHONE}
    assert await units(replicas, 1) == before - 1

    for number in range(6):
        await replicas.ask(number % 2, RENAME, input={"id": someone["id"], "displayName": f"Ada {number}"})
        seen = (await replicas.ask(1 - number % 2, PERSON, id=someone["id"]))["node"]["displayName"]
        assert seen == f"Ada {number}"


async def test_of_fifty_who_take_ten_units_through_both_exactly_ten_succeed(replicas):
    people = (await replicas.ask(0, PEOPLE, domain=NORTHWIND))["tenant"]["users"]["nodes"]
    without = [each["id"] for each in people if PHONE not in skus(each)]

    async def take(number: int, user: str) -> str:
        given = {"userId": user, "assign": [{"skuId": PHONE}]}
        payload = (await replicas.ask(number % 2, ASSIGN, input=given))["updateUserLicenses"]
        return payload["userErrors"][0]["code"] if payload["userErrors"] else "DONE"

    spare = await units(replicas, 0) - 10
    assert set(await asyncio.gather(*(take(0, user) for user in without[:spare]))) <= {"DONE"}
    takers = without[spare : spare + 50]
    answers = Counter(await asyncio.gather(*(take(number, user) for number, user in enumerate(takers))))

    assert len(takers) == 50
    assert answers == {"DONE": 10, "NONE_AVAILABLE": 40}
    assert [await units(replicas, number) for number in (0, 1)] == [0, 0]


def skus(person: dict[str, Any]) -> set[str]:
    return {each["sku"]["skuId"] for each in person["licenses"]}


async def units(replicas: Replicas, number: int) -> int:
    found = (await replicas.ask(number, UNITS, domain=NORTHWIND))["tenant"]["subscribedSkus"]
    return next(int(each["availableUnits"]) for each in found if each["skuId"] == PHONE)
