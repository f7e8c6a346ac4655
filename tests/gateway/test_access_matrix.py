"""What is outside a caller's scope looks exactly like what does not exist: in every place that can name something.

Each case of `access_cases` is asked of three gateways that have seen the same: with names of the caller's own,
of another tenant's, and of nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import unified_diff

import pytest

from sandbox.seed import CITY_POWER_ID, TREY_RESEARCH_ID
from sandbox.state import SandboxState
from schema.build import build_schema
from tests.callers import bearer, without
from tests.gateway.access_cases import CASES, NAMES_NOTHING, naming_places
from tests.gateway.access_names import Names, guid, names_of
from tests.gateway.access_trials import ask_all, trials

SCHEMA = build_schema()._schema
WORLD = SandboxState().world
TENANTS = {each.company_name: each for each in WORLD.customers.values()}
SKUS = {"Contoso": "ENTERPRISEPACK", "Fabrikam": "SPB", "Litware": "O365_BUSINESS_ESSENTIALS"}
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
    "reseller narrowed to one of its tenants": narrowed("reseller", "Litware", "Contoso", reseller_id=TREY_RESEARCH_ID),
    "direct customer": narrowed("direct-customer", "Fabrikam", "Contoso"),
    "narrowed partner": narrowed("partner", "Fabrikam", "Contoso"),
}
NOBODY = {
    "reseller of nobody": stranger(bearer("reseller", subject="nobody")),
    "direct customer without a tenant": stranger(bearer("direct-customer", subject="nobody")),
}
WITHOUT_READ = {
    "partner": stranger(bearer(permissions=without("READ"), subject="no reader")),
    "direct customer": stranger(
        bearer("direct-customer", without("READ"), tenant_ids=ids("Contoso"), subject="no reader")
    ),
}


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
    async with trials(own, foreign, warmed=state == "warm") as tried:
        before = [await each.audit_log(foreign) for each in tried]
        seen = await ask_all(someone.authorization, ids(*someone.reaches), tried, cold=state == "cold")
        after = [await each.audit_log(foreign) for each in tried]

    wrong = []
    for case, (own_answer, others_answer, no_answer) in zip(CASES, seen, strict=True):
        if case.tells and own_answer == no_answer:
            wrong.append(f"{case.name}: does not find the caller's own")
        if others_answer != no_answer and not (state == "warm" and who in case.shared_when_warm):
            wrong.append(f"{case.name}:\n{told_apart(others_answer, no_answer)}")
    if wrong:
        pytest.fail("\n".join(wrong))
    assert after == before


@pytest.mark.parametrize("who", NOBODY)
async def test_who_reaches_nothing_finds_nothing_of_anybody(who):
    """What exists looks like what does not, whosever it is."""
    own, foreign = named("Contoso"), named("Fabrikam", unlike="Contoso")
    async with trials(own, foreign, warmed=True) as tried:
        seen = await ask_all(NOBODY[who].authorization, [], tried, cold=False)

    for case, answers in zip(CASES, seen, strict=True):
        # Where the case itself stands in a tenant, that one is Contoso for each of the names.
        assert answers[1] == answers[2], case.name
        assert answers[0] == answers[2] or not case.tells, case.name


@pytest.mark.parametrize("who", WITHOUT_READ)
async def test_without_read_everything_looks_like_nothing_and_nobody_is_asked(who):
    own, foreign = named("Contoso"), named("Fabrikam", unlike="Contoso")
    async with trials(own, foreign, warmed=True) as tried:
        seen = await ask_all(WITHOUT_READ[who].authorization, [], tried, cold=False)

    for case, answers in zip(CASES, seen, strict=True):
        assert len(set(answers)) == 1, case.name
        status, answer, calls = json.loads(answers[0])
        assert (status, calls) == (200, []), case.name
        [answer] = answer.get("events", [answer])
        data = answer.get("data") or {}
        codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
        payloads = [field for field in data.values() if isinstance(field, dict)]
        codes |= {error["code"] for payload in payloads for error in payload["userErrors"]}
        assert codes == {"NOT_PERMITTED"}, case.name
