"""What is outside a caller's scope looks exactly like what does not exist: in every place that can name something.

Each case of `access_cases` is asked of three gateways that have seen the same: with names of the caller's own,
of another tenant's, and of nothing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from difflib import unified_diff

import pytest
from structlog.testing import capture_logs

from sandbox.seed import CITY_POWER_ID, TREY_RESEARCH_ID
from sandbox.state import SandboxState
from schema.build import build_schema
from tests.callers import bearer, without
from tests.gateway.access_cases import CASES, NAMES_NOTHING, naming_places
from tests.gateway.access_names import Names, Others, guid, missing_like, names_of, without_chance
from tests.gateway_client import Gateway, running_gateway

SCHEMA = build_schema()._schema
WORLD = SandboxState().world
TENANTS = {each.company_name: each for each in WORLD.customers.values()}
SKUS = {"Contoso": "ENTERPRISEPACK", "Fabrikam": "SPB", "Northwind Traders": "SPE_E3"}
PRODUCT_IDS = {each.part_number: each.id for each in WORLD.products.values()}


def named(company: str, unlike: str | None = None) -> Names:
    return names_of(TENANTS[company], PRODUCT_IDS[SKUS[company]], TENANTS[unlike] if unlike else None)


@dataclass(frozen=True)
class Someone:
    """A caller, a tenant of its own and one of another's, and all that it reaches."""

    authorization: str
    own: str
    foreign: str
    reaches: tuple[str, ...]


def ids(*companies: str) -> list[str]:
    return [TENANTS[each].id for each in companies]


def customers_of(reseller: str) -> tuple[str, ...]:
    return tuple(each.company_name for each in WORLD.customers.values() if each.reseller_id == reseller)


def reseller(id: str, own: str, foreign: str) -> Someone:
    return Someone(bearer("reseller", reseller_id=id, subject=id), own, foreign, customers_of(id))


def narrowed(kind: str, foreign: str, *companies: str, reseller_id: str | None = None) -> Someone:
    """A caller who reaches Contoso alone; who claims somebody else's tenant claims one that nobody has, too."""
    claimed = [*ids(*companies), *([guid("tenant")] if foreign in companies else [])]
    token = bearer(kind, tenant_ids=claimed, reseller_id=reseller_id, subject=f"narrowed {kind}")
    return Someone(token, "Contoso", foreign, ("Contoso",))


def stranger(authorization: str) -> Someone:
    return Someone(authorization, "Contoso", "Fabrikam", ())


CALLERS = {
    "reseller": reseller(TREY_RESEARCH_ID, "Contoso", "Fabrikam"),
    "other reseller": reseller(CITY_POWER_ID, "Fabrikam", "Contoso"),
    "reseller with a claim for a tenant that is not its own": narrowed(
        "reseller", "Fabrikam", "Contoso", "Fabrikam", reseller_id=TREY_RESEARCH_ID
    ),
    "reseller narrowed to one of its tenants": narrowed(
        "reseller", "Northwind Traders", "Contoso", reseller_id=TREY_RESEARCH_ID
    ),
    "direct customer": narrowed("direct-customer", "Fabrikam", "Contoso"),
    "narrowed partner": narrowed("partner", "Fabrikam", "Contoso"),
}
NOBODY = {
    "reseller of nobody": stranger(bearer("reseller", subject="nobody")),
    "direct customer without a tenant": stranger(bearer("direct-customer", subject="nobody")),
    "partner narrowed to nothing": stranger(bearer(tenant_ids=[], subject="nobody")),
}
WITHOUT_READ = {
    "partner": stranger(bearer(permissions=without("READ"), subject="no reader")),
    "direct customer": stranger(
        bearer("direct-customer", without("READ"), tenant_ids=ids("Contoso"), subject="no reader")
    ),
}
WARMING = """query ($tenant: UUID!, $domain: String!, $user: ID!, $sku: ID!) {
  tenants { nodes { id domains country access { status } } }
  users(first: 3) { nodes { id } } portfolio { lines { skuId } }
  tenant(by: {microsoftId: $tenant}) { roles { id } subscribedSkus { subscriptions { id } }
    users(first: 9) { nodes { licenses { sku { id } } roles { id } } } auditLog { totalCount } }
  byDomain: tenant(by: {domain: $domain}) { name }
  node(id: $user) { ... on User { displayName version roles { id } licenses { sku { id } } } }
  sku: node(id: $sku) { ... on SubscribedSku { holders { totalCount } } }
}"""
TOUCHED = (
    """mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { version } userErrors { code } } }"""
)


async def warm(gateway: Gateway, own: Names, foreign: Names) -> None:
    """Has a partner read everything that the cases ask for."""
    for names in (own, foreign):
        asked = {
            "tenant": names.tenant,
            "domain": names.domain,
            "user": names.id("User"),
            "sku": names.id("SubscribedSku"),
        }
        await gateway.ask(WARMING, asked)


async def touch(gateway: Gateway, foreign: Names) -> Names:
    """Has a partner change the foreign user, so that there are a record and a key; gives the user's version."""
    change = {"id": foreign.id("User"), "firstName": "Grace", "idempotencyKey": foreign.idempotency_key}
    answer = await gateway.data(TOUCHED, {"input": change})
    assert answer["updateUser"]["userErrors"] == []
    return replace(foreign, version=answer["updateUser"]["user"]["version"])


@asynccontextmanager
async def gateways_alike(own: Names, foreign: Names, warmed: bool) -> AsyncIterator[tuple[list[Gateway], Names]]:
    """Three gateways with the same past, so that what one is asked does not show in another's answer."""
    with capture_logs():  # writing them out would take longer than the tests
        async with AsyncExitStack() as stack:
            gateways = [await stack.enter_async_context(running_gateway(SandboxState())) for _ in range(3)]
            for gateway in gateways:
                touched = await touch(gateway, foreign)
                if warmed:
                    await warm(gateway, own, foreign)
            yield gateways, touched


def looked_at(names: Names, status: int, answer: dict[str, object], calls: list[str]) -> str:
    """An answer and the calls for it, without what the names themselves say."""
    calls = sorted(calls)
    whole = json.dumps([status, without_chance(answer), calls], indent=1, sort_keys=True, ensure_ascii=False)
    return names.hidden_in(whole)


async def ask_all(someone: Someone, names: list[Names], gateways: list[Gateway], *, cold: bool) -> list[list[str]]:
    """Asks each case with each of the names, and gives what was seen; asserts that nothing is written or leaks."""
    headers = {"Authorization": someone.authorization} | ({"Cache-Control": "no-cache"} if cold else {})
    others = Others(WORLD, ids(*someone.reaches))
    seen: list[list[str]] = []
    for case in CASES:
        seen.append([])
        for tried, gateway in zip(names, gateways, strict=True):
            gateway.sandbox.calls.clear()
            body = {"query": case.query, "variables": case.variables(names[0], tried)}
            response = await gateway.http.post("/graphql", json=body, headers=headers)
            calls = gateway.calls()
            assert [call for call in calls if not call.startswith("GET ")] == [], case.name
            # Beside what the caller has said itself.
            assert others.seen_in(tried.hidden_in(response.text)) == set(), f"{case.name}: {response.text}"
            seen[-1].append(looked_at(tried, response.status_code, response.json(), calls))
    return seen


def told_apart(seen: str, other: str) -> str:
    return "\n".join(unified_diff(seen.splitlines(), other.splitlines(), "another's", "nothing", n=1, lineterm=""))


def test_every_place_that_can_name_something_is_tried():
    """A new argument or input field needs a case, or a reason why it names nothing."""
    places = naming_places(SCHEMA)

    assert places == {case.takes for case in CASES} | NAMES_NOTHING.keys()
    assert not NAMES_NOTHING.keys() & {case.takes for case in CASES}


@pytest.mark.parametrize(
    ("who", "state"),
    [*((who, "warm") for who in CALLERS), *((who, "cold") for who in ("reseller", "direct customer"))],
)
async def test_anothers_looks_like_nothing_everywhere(who, state):
    """Data, errors, figures and calls are the same, and nothing is written: not even into the other's audit log."""
    someone = CALLERS[who]
    own, foreign = named(someone.own), named(someone.foreign, unlike=someone.own)
    async with gateways_alike(own, foreign, state == "warm") as (gateways, touched):
        names = [own, touched, missing_like(touched)]
        seen = await ask_all(someone, names, gateways, cold=state == "cold")
        asked = "query ($by: TenantBy!) { tenant(by: $by) { auditLog { totalCount nodes { actor } } } }"
        logs = [await gateway.data(asked, {"by": {"id": foreign.id("Tenant")}}) for gateway in gateways]

    wrong = []
    for case, (own_answer, others_answer, no_answer) in zip(CASES, seen, strict=True):
        if case.tells and own_answer == no_answer:
            wrong.append(f"{case.name}: does not find the caller's own")
        if others_answer != no_answer and not (state == "warm" and who in case.shared_when_warm):
            wrong.append(f"{case.name}:\n{told_apart(others_answer, no_answer)}")
    if wrong:
        pytest.fail("\n".join(wrong))
    assert logs == [{"tenant": {"auditLog": {"totalCount": 1, "nodes": [{"actor": "Demo partner"}]}}}] * 3


@pytest.mark.parametrize("who", NOBODY)
async def test_who_reaches_nothing_finds_nothing_of_anybody(who):
    """What exists looks like what does not, whosever it is."""
    own, foreign = named("Contoso"), named("Fabrikam", unlike="Contoso")
    async with gateways_alike(own, foreign, warmed=True) as (gateways, touched):
        seen = await ask_all(NOBODY[who], [own, touched, missing_like(touched)], gateways, cold=False)

    for case, answers in zip(CASES, seen, strict=True):
        # Where the case itself stands in a tenant, that one is Contoso for each of the names.
        assert answers[1] == answers[2], case.name
        assert answers[0] == answers[2] or not case.tells, case.name


@pytest.mark.parametrize("who", WITHOUT_READ)
async def test_without_read_everything_looks_like_nothing_and_nobody_is_asked(who):
    own, foreign = named("Contoso"), named("Fabrikam", unlike="Contoso")
    async with gateways_alike(own, foreign, warmed=True) as (gateways, touched):
        seen = await ask_all(WITHOUT_READ[who], [own, touched, missing_like(touched)], gateways, cold=False)

    for case, answers in zip(CASES, seen, strict=True):
        assert len(set(answers)) == 1, case.name
        status, answer, calls = json.loads(answers[0])
        assert (status, calls, answer["extensions"]["upstream"]["calls"]) == (200, [], 0), case.name
        data = answer.get("data") or {}
        codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
        payloads = [field for field in data.values() if isinstance(field, dict)]
        codes |= {error["code"] for payload in payloads for error in payload["userErrors"]}
        assert codes == {"NOT_PERMITTED"}, case.name
