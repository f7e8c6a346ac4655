"""Mixed traffic: queries whose answers are known, and changes whose effects are kept account of.

Queries are the examples; they ask about tenants that nobody changes here, so each answer must be the one of the
healthy start, save for fields that are null with an error. Changes are made to people of Northwind Traders, each
by one writer at a time, who knows afterwards what the person must be like.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.processes import ROOT, bearer

NORTHWIND = "northwindtraders.onmicrosoft.com"
PRODUCT = "e43b5b99-8dfb-405f-9987-dc307f34bcbd"
"""Microsoft Teams Phone Standard, of which Northwind has units left."""
WRITERS = 12
CALLERS = 32
WRITE_SHARE = 0.2
REPEATS = 6
VARYING = frozenset({"asOf", "oldestAsOf", "coverage", "version", "daysLeft"})
ALLOWED_CODES = frozenset({"UPSTREAM_ERROR", "THROTTLED", "TIMEOUT", "UNAVAILABLE"})
UNDECIDED = "OUTCOME_UNKNOWN"
_NO_QUERIES = ("mutation", "subscription")
_NOT_STEADY = ("20-", "21-", "22-")
"""Examples that look at all tenants, Northwind too, or at what was done."""

PEOPLE = """query ($domain: String!, $after: String) {
  tenant(by: {domain: $domain}) {
    users(first: 100, after: $after) { nodes { id displayName licenses { sku { skuId } } } }
  }
}"""
AGAIN = """query ($ids: [ID!]!) {
  nodes(ids: $ids) { ... on User { id displayName licenses { sku { skuId } } } }
}"""
UNITS = """query ($domain: String!) {
  tenant(by: {domain: $domain}) { subscribedSkus { skuId consumedUnits } }
}"""
RENAME = """mutation ($input: UpdateUserInput!) {
  updateUser(input: $input) { user { displayName } userErrors { code message retryable } }
}"""
LICENSE = """mutation ($input: UpdateUserLicensesInput!) {
  updateUserLicenses(input: $input) {
    user { licenses { sku { skuId } } } effects { change } userErrors { code message retryable }
  }
}"""


@dataclass
class Person:
    """Somebody of Northwind, as the writer knows them; a value in doubt is a set of more than one."""

    id: str
    names: set[str]
    holds: set[bool]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    writes: int = 0


@dataclass
class Tally:
    """What came of the traffic. `wrong` must stay empty."""

    answered: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    in_doubt: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Traffic:
    """Asks the gateways by turns. The same seed gives the same requests in the same order."""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self._clients = [httpx.AsyncClient(base_url=url, timeout=120) for url in urls]
        self._chance = random.Random(seed)  # noqa: S311  # a schedule
        self._bearers = [bearer(f"caller {number}") for number in range(CALLERS)]
        self._turn = 0
        self._known: dict[str, Any] = {}
        self.people: list[Person] = []
        self.units_at_start = 0
        self.tally = Tally()
        self.queries = list(_examples())

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def learn(self) -> None:
        """Learns the right answers from a healthy system."""
        for name, body in self.queries:
            first = (await self._post(body)).json()
            again = (await self._post(body, fresh=True)).json()
            problem = first.get("errors") or _difference(
                _steady(again["data"]), _steady(first["data"]), "", partial=False
            )
            if problem:
                raise RuntimeError(f"{name} does not answer alike twice: {problem}")
            self._known[name] = _steady(first["data"])
        found = (await self._post({"query": PEOPLE, "variables": {"domain": NORTHWIND}})).json()
        self.people = [
            Person(each["id"], {each["displayName"]}, {holds(each)})
            for each in found["data"]["tenant"]["users"]["nodes"][:WRITERS]
        ]
        self.units_at_start = await self._units() - sum(True in person.holds for person in self.people)

    async def run(self, seconds: float, rate: float) -> None:
        """Sends so many requests a second, whether or not the earlier ones were answered; then waits for all."""
        count = int(seconds * rate)
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
                if self._chance.random() < WRITE_SHARE:
                    group.create_task(self._change(self._chance.choice(self.people), self._chance.random()))
                else:
                    group.create_task(self._query(*self._chance.choice(self.queries)))

    async def ask_in_turn(self, count: int) -> None:
        """Sends so many queries, each after the answer to the one before."""
        for _ in range(count):
            await self._query(*self._chance.choice(self.queries))

    async def settle(self) -> None:
        """Compares everybody with what is known of them, and the units with those who hold one."""
        body = {"query": AGAIN, "variables": {"ids": [person.id for person in self.people]}}
        found = (await self._post(body, fresh=True)).json()
        by_id = {each["id"]: each for each in found["data"]["nodes"]}
        holders = 0
        for person in self.people:
            now = by_id[person.id]
            if now["displayName"] not in person.names:
                self.tally.wrong.append(f"a name is {now['displayName']!r}, not one of {sorted(person.names)}")
            if holds(now) not in person.holds:
                self.tally.wrong.append(f"a license is {'held' if holds(now) else 'not held'}, against the answer")
            holders += holds(now)
        if (units := await self._units()) != self.units_at_start + holders:
            self.tally.wrong.append(f"{units} units are taken, {self.units_at_start + holders} are accounted for")

    async def _units(self) -> int:
        body = {"query": UNITS, "variables": {"domain": NORTHWIND}}
        found = (await self._post(body, fresh=True)).json()["data"]["tenant"]["subscribedSkus"]
        return next(int(each["consumedUnits"]) for each in found if each["skuId"] == PRODUCT)

    async def _query(self, name: str, body: dict[str, Any]) -> None:
        response = await self._timed(body)
        if response.status_code != 200:
            return
        answer = response.json()
        codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
        self.tally.answered["query in full" if not codes else "query in part"] += 1
        self.tally.codes.update(codes)
        if set(codes) - ALLOWED_CODES:
            self.tally.wrong.append(f"{name}: {sorted(set(codes) - ALLOWED_CODES)}")
        if difference := _difference(_steady(answer.get("data")), self._known[name], "", partial=bool(codes)):
            self.tally.wrong.append(f"{name}: {difference}")

    async def _change(self, person: Person, chance: float) -> None:
        async with person.lock:
            if chance < 0.5 or len(person.holds) > 1:
                name = f"Soak {uuid4().hex[:8]}"
                settled = await self._write(RENAME, {"id": person.id, "displayName": name})
                person.names = {name} if settled else person.names if settled is False else person.names | {name}
            else:
                wanted = not next(iter(person.holds))
                change = {"assign": [{"skuId": PRODUCT}]} if wanted else {"remove": [PRODUCT]}
                settled = await self._write(LICENSE, {"userId": person.id, **change})
                person.holds = {wanted} if settled else person.holds if settled is False else {True, False}
            person.writes += settled is True

    async def _write(self, mutation: str, given: dict[str, Any]) -> bool | None:
        """Makes a change, with one key, until it is decided: made, not made, or None where nobody knows."""
        given = {**given, "idempotencyKey": uuid4().hex}
        decided: bool | None = False
        for number in range(REPEATS):
            answer = (await self._timed({"query": mutation, "variables": {"input": given}})).json()
            if not answer.get("data"):
                codes = [error["extensions"]["code"] for error in answer["errors"]]
            else:
                [payload] = answer["data"].values()
                codes = [error["code"] for error in payload["userErrors"]]
            self.tally.codes.update(codes)
            self.tally.answered["change made" if not codes else "change not made"] += 1
            if not codes:
                return True
            decided = None if UNDECIDED in codes or decided is None else False
            if set(codes) - ALLOWED_CODES - {UNDECIDED}:
                self.tally.wrong.append(f"a change was answered {codes}")
                return decided
            await asyncio.sleep(0.5 * (number + 1))
        self.tally.in_doubt += decided is None
        return decided

    async def _timed(self, body: dict[str, Any]) -> httpx.Response:
        started = time.monotonic()
        answer = await self._post(body)
        self.tally.seconds.append(time.monotonic() - started)
        if answer.status_code in (429, 503):
            self.tally.answered["turned away"] += 1
        elif answer.status_code != 200:
            self.tally.wrong.append(f"status {answer.status_code}")
        return answer

    async def _post(self, body: dict[str, Any], *, fresh: bool = False) -> httpx.Response:
        self._turn += 1
        headers = {"Authorization": self._bearers[self._turn % CALLERS]}
        if fresh:
            headers["Cache-Control"] = "no-cache"
        return await self._clients[self._turn % len(self._clients)].post("/graphql", json=body, headers=headers)


def holds(person: dict[str, Any]) -> bool:
    return any(each["sku"]["skuId"] == PRODUCT for each in person["licenses"])


def _examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((ROOT / "examples").glob("*.graphql")):
        query = path.read_text(encoding="utf-8")
        if path.name.startswith(_NOT_STEADY) or any(line.startswith(_NO_QUERIES) for line in query.splitlines()):
            continue
        variables = path.with_suffix(".variables.json")
        given = json.loads(variables.read_text(encoding="utf-8")) if variables.exists() else {}
        yield path.stem, {"query": query, "variables": given}


def _steady(value: Any) -> Any:
    """The answer without what changes by itself."""
    if isinstance(value, dict):
        return {name: _steady(inner) for name, inner in value.items() if name not in VARYING}
    return [_steady(inner) for inner in value] if isinstance(value, list) else value


def _difference(given: Any, right: Any, path: str, *, partial: bool) -> str | None:
    """Where an answer is not the right one; null is no difference in an answer that says what is missing."""
    if given is None and partial:
        return None
    if isinstance(given, dict) and isinstance(right, dict) and given.keys() == right.keys():
        pairs = [(name, given[name], right[name]) for name in given]
    elif isinstance(given, list) and isinstance(right, list) and len(given) == len(right):
        pairs = [(str(index), one, other) for index, (one, other) in enumerate(zip(given, right, strict=True))]
    else:
        return None if given == right else f"{path or 'data'} is {str(given)[:60]}, not {str(right)[:60]}"
    found = (_difference(one, other, f"{path}.{name}", partial=partial) for name, one, other in pairs)
    return next((each for each in found if each), None)
