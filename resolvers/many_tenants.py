"""Asking many tenants at once, and saying honestly which of them answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, Generic, TypeVar

from loaders.read_through import Loader
from resolvers.context import Info
from resolvers.coverage import Coverage
from resolvers.scope import tenants_in_scope
from schema.enums import TenantFailureCode
from schema.inputs import TenantScope
from services.errors import AccessMissing, BadInput, TenantNotFound, Throttled, Timeout, UpstreamError
from services.global_ids import decode_id
from services.lookups import Lookup
from services.models import Tenant

T = TypeVar("T")

MOST_IDS = 1_000
_WINDOW = 64
"""So many tenants are asked at once where each is asked for many things, such as a call a user."""


@dataclass(frozen=True, slots=True)
class TenantFailure:
    """A tenant that is missing in an answer, and why."""

    tenant: Tenant
    code: TenantFailureCode
    retry_after_seconds: int | None


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What each tenant answered, in the order asked, and which did not."""

    given: list[tuple[Tenant, T]]
    failed: list[TenantFailure]


async def tenants_of_scope(info: Info, scope: TenantScope | None) -> list[Tenant]:
    """The tenants that a scope names; every one of the viewer's where it names none."""
    if scope is None or scope.ids is None:
        if scope is not None and scope.all is not None and not scope.all.value:
            raise BadInput("scope.all: give true, or name the tenants with ids.")
        return await tenants_in_scope(info)
    ids = scope.ids.value
    if len(ids) > MOST_IDS:
        raise BadInput(f"scope.ids: at most {MOST_IDS} tenants can be named; ask for all instead.")
    tenants = await tenants_in_scope(info)
    by_id = {tenant.id: tenant for tenant in tenants}
    for index, id in enumerate(ids):
        decoded = decode_id(id)
        if id not in by_id or decoded is None or decoded.kind != "Tenant":
            raise BadInput(f"scope.ids[{index}]: there is no such tenant.")
    return [by_id[id] for id in dict.fromkeys(ids)]


async def read_each(tenants: Sequence[Tenant], loader: Loader[str, T]) -> list[T | UpstreamError]:
    """What each tenant's look-up gives, in order. All are asked for at once: how much of the cache is read at a time,
    and how many calls are made, is bounded where that is done."""
    results: list[T | UpstreamError] = []
    for answer in await loader.many([tenant.microsoft_id for tenant in tenants]):
        if isinstance(answer, Exception) and not isinstance(answer, UpstreamError):
            raise answer  # a defect of ours is no failure of a tenant
        results.append(answer)
    return results


async def ask_each(tenants: Sequence[Tenant], ask: Callable[[Tenant], Awaitable[T]]) -> Answers[T]:
    """Asks every tenant. One that fails costs only itself; a defect of ours is no failure of a tenant."""
    turns = asyncio.Semaphore(_WINDOW)

    async def in_turn(tenant: Tenant) -> T | UpstreamError:
        async with turns:
            try:
                return await ask(tenant)
            except UpstreamError as error:
                return error

    return answers_of(tenants, await asyncio.gather(*map(in_turn, tenants)))


def answers_of(tenants: Sequence[Tenant], results: Sequence[T | UpstreamError]) -> Answers[T]:
    """Tells what was given from what failed."""
    given: list[tuple[Tenant, T]] = []
    failed: list[TenantFailure] = []
    for tenant, result in zip(tenants, results, strict=True):
        if isinstance(result, UpstreamError):
            failed.append(_failure(tenant, result))
        else:
            given.append((tenant, result))
    return Answers(given, failed)


def coverage_of(
    info: Info, answers: Answers[T], lookups: Iterable[Lookup[Any, Any]], as_ofs: Iterable[datetime]
) -> Coverage:
    """What the answers speak of. `lookups` are those whose older copies may have stood in."""
    kinds = {lookup.kind for lookup in lookups}
    stale = {getattr(key, "tenant_id", key) for kind, key in info.context.upstream_use.stale if kind in kinds}
    return Coverage(
        asked=len(answers.given) + len(answers.failed),
        answered=len(answers.given),
        stale=sum(tenant.microsoft_id in stale for tenant, _ in answers.given),
        failed=answers.failed,
        oldest_as_of=min(as_ofs, default=None),
    )


def _failure(tenant: Tenant, error: UpstreamError) -> TenantFailure:
    if isinstance(error, Throttled):
        return TenantFailure(tenant, TenantFailureCode.THROTTLED, ceil(error.retry_after_seconds))
    if isinstance(error, (AccessMissing, TenantNotFound)):
        return TenantFailure(tenant, TenantFailureCode.ACCESS_MISSING, None)
    code = TenantFailureCode.TIMEOUT if isinstance(error, Timeout) else TenantFailureCode.UPSTREAM_ERROR
    return TenantFailure(tenant, code, None)
