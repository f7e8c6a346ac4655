"""What tests of jobs have in common: the operations, waiting for the end, many users of one tenant."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.state import SandboxState
from services.global_ids import encode_id
from services.jobs import Hold
from services.jobs_queue import GROUP
from services.jobs_redis import RedisJobs
from tests.changes import EFFECTS, ERRORS, sku_of, tenant_named
from tests.gateway_client import Gateway

NORTHWIND = tenant_named("northwindtraders")
JOB = "id state total done failed createdAt endedAt"
PREVIEW = f"""preview {{
  userCount {EFFECTS} blockers {{ __typename code message field retryable }}
}}"""
BULK = f"""mutation ($input: UpdateLicensesInBulkInput!) {{
  updateLicensesInBulk(input: $input) {{ job {{ {JOB} }} {PREVIEW} {ERRORS} }}
}}"""
CANCEL = f"""mutation ($input: CancelJobInput!) {{
  cancelJob(input: $input) {{ job {{ {JOB} }} preview {{ userCount }} {ERRORS} }}
}}"""
RESULTS = f"""query ($id: ID!, $onlyFailed: Boolean, $first: Int = 500, $after: String) {{
  node(id: $id) {{
    ... on Job {{
      {JOB}
      results(onlyFailed: $onlyFailed, first: $first, after: $after) {{
        totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
        edges {{ cursor node {{ user {{ id displayName }} {EFFECTS} {ERRORS} }} }}
        nodes {{ user {{ id displayName }} }}
      }}
    }}
  }}
}}"""
PROGRESS = f"subscription ($id: ID!) {{ jobProgress(id: $id) {{ {JOB} }} }}"
ENDED = ("SUCCEEDED", "PARTLY_FAILED", "FAILED", "CANCELLED")
WAIT_SECONDS = 60.0


async def found(gateway: Gateway, id: str, authorization: str | None = None, **variables: Any) -> Any:
    """The job with its results, or None."""
    headers = {"Authorization": authorization} if authorization else {}
    return (await gateway.data(RESULTS, {"id": id, **variables}, **headers))["node"]


async def ended(gateway: Gateway, id: str) -> dict[str, Any]:
    """The job with its results, when it has ended."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            job: dict[str, Any] = await found(gateway, id)
            if job["state"] in ENDED:
                return job
            await asyncio.sleep(0.02)


async def came_to(gateway: Gateway, id: str, done: int, state: str = "RUNNING") -> None:
    """Returns when the job is in this state and so many of its users have ended."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            job = await found(gateway, id)
            if job["state"] == state and job["done"] >= done:
                return
            await asyncio.sleep(0.01)


async def lease_runs_out(store: RedisJobs, hold: Hold) -> None:
    """As if the holder had been silent for the length of its lease."""
    client = store._connection.client
    await client.delete(store._lease(hold))
    await client.xclaim(store._key("queue"), GROUP, "silent", 0, [hold.entry], idle=3_600_000, justid=True)


def results_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in job["results"]["edges"]]


def holders(sandbox: SandboxState, part_number: str, tenant: str) -> list[str]:
    """The ids of the people of a tenant who hold a product, in the order of the sandbox."""
    sku_id = sku_of(sandbox, part_number)
    people = sandbox.world.customers[tenant].users.values()
    return [user.id for user in people if user.deleted_at is None and sku_id in user.licenses]


def user_ids(tenant: str, people: list[str]) -> list[str]:
    return [encode_id("User", tenant, one) for one in people]
