"""The gateway's own schema: every example is answered compiled as by graphql-core, and hardly ever by it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from starlette.routing import WebSocketRoute
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from sandbox.state import SandboxState
from tests.example_facts import BEGINS_IT, FOLLOWS_IT, JOB
from tests.execution.comparison import comparable
from tests.gateway_client import Gateway, running_gateway
from tests.test_examples import EXAMPLES, answer_of, variables_of

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
BY_CHANCE = {"temporaryPassword", "correlationId", "version", "createUser user id"}
"""Fields that differ from run to run; the version of a user who was just deleted holds the instant."""


def schema_of(gateway: Gateway) -> Any:
    transport: Any = gateway.http._transport
    endpoints: list[Any] = [route.endpoint for route in transport.app.routes if isinstance(route, WebSocketRoute)]
    return endpoints[0].schema


def settled(answer: Any, *path: str) -> Any:
    """The answer without what another run gives otherwise."""
    if isinstance(answer, dict):
        return {key: settled(one, *path, key) for key, one in answer.items()}
    if isinstance(answer, list):
        return [settled(value) for value in answer]
    if path and BY_CHANCE & {path[-1], " ".join(path)}:
        return bool(answer)
    return INSTANT.sub("then", answer) if isinstance(answer, str) else answer


def made_before(example):
    """The examples that begin the job that an example asks for, and see it through."""
    if JOB not in json.dumps(variables_of(example)):
        return []
    others = [BEGINS_IT, FOLLOWS_IT] if example.stem == "25-job-results" else [BEGINS_IT]
    return [each for each in EXAMPLES if each.stem in others]


async def answered(example, *, compiled):
    async with running_gateway(SandboxState()) as gateway:
        schema = schema_of(gateway)
        counts = schema.execution_context_class.counts
        if not compiled:
            schema.execution_context_class = StrawberryGraphQLCoreExecutionContext
        for before in made_before(example):
            await answer_of(before, gateway)
        return settled(await answer_of(example, gateway)), counts


@pytest.mark.parametrize("example", EXAMPLES, ids=[file.stem for file in EXAMPLES])
async def test_an_example_is_answered_as_by_graphql_core(example):
    expected, _ = await answered(example, compiled=False)
    found, counts = await answered(example, compiled=True)

    assert comparable(found) == comparable(expected)
    assert counts.off == {}
    assert (counts.slow_lists, counts.slow_objects, counts.refused) == (0, 0, 0)
    assert counts.fast_lists + counts.fast_objects > 0
