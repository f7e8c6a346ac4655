"""What is kept of a job in Redis: JSON, with the service plans of a product once a job and not once a user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec
from msgspec import structs

from services.jobs import Claimed, Job, JobOrder, JobResult, JobState, JobUser, owner_of
from services.models import ServicePlan, SubscribedSku, UserRef

Plans = dict[str, tuple[ServicePlan, ...]]
"""Service plans by product: of each (tenant and SKU) once."""

_USERS: Final = msgspec.json.Decoder(list[tuple[int, str, int | None]])


def write_users(order: JobOrder, users: Sequence[JobUser]) -> bytes:
    """Gives the users as they are kept: each with the number of its tenant."""
    numbers = {tenant_id: number for number, tenant_id in enumerate(order.tenant_ids)}
    return msgspec.json.encode([(numbers[one.ref.tenant_id], one.ref.user_id, one.place) for one in users])


def read_users(order: JobOrder, form: bytes) -> list[JobUser]:
    return [
        JobUser(UserRef(order.tenant_ids[number], user_id), place) for number, user_id, place in _USERS.decode(form)
    ]


def write_result(result: JobResult) -> tuple[bytes, Plans]:
    """Gives a result without service plans, and these."""
    plans: Plans = {}

    def bare(sku: SubscribedSku) -> SubscribedSku:
        plans[name_of(sku)] = sku.service_plans
        return structs.replace(sku, service_plans=())

    return msgspec.json.encode(_with_skus(result, bare)), plans


def read_result(form: bytes) -> JobResult:
    """Gives a result as it was kept, without service plans."""
    return msgspec.json.decode(form, type=JobResult)


def with_plans(result: JobResult, plans: Mapping[str, tuple[ServicePlan, ...]]) -> JobResult:
    """Gives the result with the service plans of its products."""
    return _with_skus(result, lambda sku: structs.replace(sku, service_plans=plans.get(name_of(sku), ())))


def products_of(result: JobResult) -> set[str]:
    """Names the products of a result, as `Plans` does."""
    skus = [effect.sku for effect in result.effects]
    return {name_of(sku) for sku in skus + [problem.sku for problem in result.user_errors if problem.sku is not None]}


def name_of(sku: SubscribedSku) -> str:
    return f"{sku.tenant_id}:{sku.sku_id}"


def write_plans(plans: tuple[ServicePlan, ...]) -> bytes:
    return msgspec.json.encode(plans)


def read_plans(form: bytes) -> tuple[ServicePlan, ...]:
    return msgspec.json.decode(form, type=tuple[ServicePlan, ...])


def _with_skus(result: JobResult, changed: Callable[[SubscribedSku], SubscribedSku]) -> JobResult:
    effects = tuple(replace(effect, sku=changed(effect.sku)) for effect in result.effects)
    problems = tuple(
        problem if problem.sku is None else replace(problem, sku=changed(problem.sku)) for problem in result.user_errors
    )
    return replace(result, effects=effects, user_errors=problems)


def read_claim(kept: bytes | None, fingerprint: str) -> Claimed | None:
    """Gives what an idempotency key stands for."""
    if kept is None:
        return None
    job_id, _, known = kept.decode().partition(" ")
    return Claimed(job_id, known == fingerprint)


def read_job(members: Mapping[bytes, bytes]) -> Job:
    """Gives the job whose hash has these members."""
    order = msgspec.json.decode(members[b"order"], type=JobOrder)
    ended_at = members.get(b"ended_at")
    return Job(
        job_id=order.job_id,
        owner=owner_of(order.caller),
        tenant_ids=order.tenant_ids,
        state=JobState(members[b"state"].decode()),
        total=order.total,
        done=int(members[b"done"]),
        failed=int(members[b"failed"]),
        created_at=order.created_at,
        ended_at=datetime.fromisoformat(ended_at.decode()) if ended_at else None,
    )


def deaths_so_far(members: Mapping[bytes, bytes]) -> int:
    """How many holders died one after the other without ending a user, by what the last one left."""
    if not members.get(b"holder"):
        return 0
    if int(members[b"done"]) > int(members[b"done_when_taken"]):
        return 1
    return int(members[b"deaths"]) + 1


def is_marked(marks: bytes, number: int) -> bool:
    """Whether a bit is set, counted as SETBIT does."""
    byte, bit = divmod(number, 8)
    return byte < len(marks) and bool(marks[byte] >> (7 - bit) & 1)
