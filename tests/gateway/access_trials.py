"""Three gateways with the same past, each asked every case with names of another kind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from structlog.testing import capture_logs

from sandbox.state import SandboxState
from services.global_ids import decode_id
from tests.gateway.access_cases import CASES, Case
from tests.gateway.access_names import Names, Others, guid, missing_like
from tests.gateway_client import Gateway, running_gateway
from tests.served_gateway import until

WARMING = """query ($tenant: UUID!, $domain: String!, $user: ID!, $sku: ID!) {
  tenants { nodes { id domains country access { status } } }
  users(first: 3) { nodes { id } } portfolio { lines { skuId } }
  tenant(by: {microsoftId: $tenant}) { roles { id } subscribedSkus { subscriptions { id } }
    users(first: 9) { nodes { licenses { sku { id } } roles { id } } } auditLog { totalCount } }
  byDomain: tenant(by: {domain: $domain}) { name }
  node(id: $user) { ... on User { displayName version roles { id } licenses { sku { id } } } }
  sku: node(id: $sku) { ... on SubscribedSku { holders { totalCount } } }
}"""
TOUCHED = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { id } } }"
VERSION = "query ($id: ID!) { node(id: $id) { ... on User { version } } }"
QUEUED = """mutation ($input: UpdateLicensesInBulkInput!) { updateLicensesInBulk(input: $input) {
  job { id } userErrors { code } } }"""
ENDED = "query ($id: ID!) { node(id: $id) { ... on Job { endedAt } } }"
AUDIT = "query ($by: TenantBy!) { tenant(by: $by) { auditLog { totalCount nodes { at actor action } } } }"


@dataclass(frozen=True)
class Trial:
    """A gateway, the caller's own names there, and the names that are tried."""

    gateway: Gateway
    own: Names
    tried: Names

    async def audit_log(self, tenant: Names) -> list[str]:
        """What a partner sees in a tenant's audit log."""
        answer = await self.gateway.data(AUDIT, {"by": {"microsoftId": tenant.tenant}})
        return [json.dumps(node) for node in answer["tenant"]["auditLog"]["nodes"]]


@asynccontextmanager
async def trials(own: Names, foreign: Names, *, warmed: bool) -> AsyncIterator[list[Trial]]:
    """What one gateway is asked does not show in another's answer: one for the caller's own, one for another's names,
    one for those of nothing."""
    with capture_logs():  # writing them out would take longer than the tests
        async with AsyncExitStack() as stack:
            gateways = [await stack.enter_async_context(running_gateway(SandboxState())) for _ in range(3)]
            found = [
                (await _touched(each, own, changed=False), await _touched(each, foreign, changed=True))
                for each in gateways
            ]
            for gateway in gateways if warmed else ():
                await _warm(gateway, own, foreign)
            tried = [found[0][0], found[1][1], missing_like(found[2][1])]
            yield [Trial(*each) for each in zip(gateways, [mine for mine, _ in found], tried, strict=True)]


async def ask_all(authorization: str, reaches: Collection[str], tried: list[Trial], *, cold: bool) -> list[list[str]]:
    """Asks each case in each trial, and gives what was seen; asserts that nothing is written, and that nothing is told
    of tenants that the caller does not reach."""
    others = Others(tried[0].gateway.sandbox.world, reaches)
    headers = {"Authorization": authorization} | ({"Cache-Control": "no-cache"} if cold else {})
    return [[await _seen(case, each, headers, others) for each in tried] for case in CASES]


async def _seen(case: Case, trial: Trial, headers: dict[str, str], others: Others) -> str:
    """The answer and the calls for it, without what the names themselves say."""
    body = {"query": case.query, "variables": case.variables(trial.own, trial.tried)}
    accept = {"Accept": "text/event-stream"} if case.query.startswith("subscription") else {}
    trial.gateway.sandbox.calls.clear()
    response = await trial.gateway.http.post("/graphql", json=body, headers=headers | accept)
    calls = sorted(trial.gateway.calls())
    assert [call for call in calls if not call.startswith("GET ")] == [], case.name
    # Beside what the caller has said itself.
    assert others.seen_in(trial.tried.hidden_in(response.text)) == set(), f"{case.name}: {response.text}"
    whole = json.dumps([response.status_code, _answer(response.text), calls], indent=1, ensure_ascii=False)
    return trial.own.hidden_in(trial.tried.hidden_in(whole))


def _answer(text: str) -> dict[str, Any]:
    """The answer without what is another one each time; of a stream, its events."""
    if text.startswith("{"):
        return _without_chance(json.loads(text))
    events = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    return {"events": [_without_chance(json.loads(event)) for event in events if event.strip()]}


def _without_chance(answer: dict[str, Any]) -> dict[str, Any]:
    extensions = {name: value for name, value in answer.get("extensions", {}).items() if name != "requestId"}
    if "upstream" in extensions:
        extensions["upstream"] = extensions["upstream"] | {"waitedMs": 0}
    return answer | {"extensions": extensions}


async def _warm(gateway: Gateway, own: Names, foreign: Names) -> None:
    """Has a partner read everything that the cases ask for."""
    for names in (own, foreign):
        asked = {
            "tenant": names.tenant,
            "domain": names.domain,
            "user": names.id("User"),
            "sku": names.id("SubscribedSku"),
        }
        await gateway.ask(WARMING, asked)


async def _touched(gateway: Gateway, names: Names, *, changed: bool) -> Names:
    """Has a partner change a user, and ask for a change that comes to nothing in a job; gives the names with what came
    of it."""
    user_id, key = names.id("User"), names.idempotency_key
    if changed:
        await gateway.data(TOUCHED, {"input": {"id": user_id, "firstName": "Grace", "idempotencyKey": key}})
    many = {"users": {"ids": [user_id]}, "remove": [guid("sku")], "idempotencyKey": key}
    queued = await gateway.data(QUEUED, {"input": many})
    job_id = queued["updateLicensesInBulk"]["job"]["id"]
    await until(lambda: _is_ended(gateway, job_id))
    decoded, user = decode_id(job_id), await gateway.data(VERSION, {"id": user_id})
    assert decoded is not None
    return replace(names, version=user["node"]["version"], job=decoded.tenant_id)


async def _is_ended(gateway: Gateway, job_id: str) -> bool:
    job = await gateway.data(ENDED, {"id": job_id})
    return job["node"]["endedAt"] is not None
