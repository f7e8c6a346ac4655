"""Resolvers that answer for all parents of a level at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Resolver = TypeVar("Resolver", bound=Callable[..., Any])
Batch = Callable[..., Any]
"""`batch(parents, info, **arguments)`, async or not, gives one answer a parent, in order. A parent's exception is its
answer: null and an error at its own path, nobody else's. Whatever the batch raises is every parent's answer."""

_ATTRIBUTE = "for_many"


def for_many(batch: Batch) -> Callable[[Resolver], Resolver]:
    """Ties a batch to the resolver that answers the same field for one parent.

    The batch is asked where one selection has two or more parents, the resolver for one alone: so look-ups of single
    objects all over a request still meet in its loaders.
    """

    def tie(resolver: Resolver) -> Resolver:
        setattr(resolver, _ATTRIBUTE, batch)
        return resolver

    return tie


def batch_of(resolver: object) -> Batch | None:
    """The batch that was tied to a resolver."""
    batch: Batch | None = getattr(resolver, _ATTRIBUTE, None)
    return batch


def checked_answers(answers: Sequence[Any], parents: Sequence[Any]) -> Sequence[Any]:
    """One answer a parent. Any other number would give people what belongs to others, so all are refused."""
    if len(answers) == len(parents):
        return answers
    error = RuntimeError(f"A batch gave {len(answers)} answers for {len(parents)} parents.")
    return [error] * len(parents)
