"""Two executions of the same operation, by graphql-core alone and compiled, and what counts as the same answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import strawberry
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from execution.executor import compiled_execution
from execution.records import plain

ADDRESS = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)


class Uncancelled(StrawberryGraphQLCoreExecutionContext):
    """No error makes more than its own field null, so none hides another: all are told."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.error_propagation = False


class Pair:
    """A schema as it comes, and compiled."""

    def __init__(self, build: Callable[[type | None], strawberry.Schema]) -> None:
        self.executor = compiled_execution()
        self.stock = build(None)
        self.uncancelled = build(Uncancelled)
        self.compiled = build(self.executor)

    @property
    def counts(self):
        return self.executor.counts

    async def same(self, query: str, root: Callable[[], Any] = lambda: None, variables: Any = None) -> Any:
        """Asks both, insists on the same data and the same errors in whatever order, and gives the answer.

        Where several errors make the same place null, graphql-core tells one or more of them, as it happens: the
        first to be raised cancels what is under way. There ours must be among those it tells if none cancels another.
        """
        expected = as_answer(await self.stock.execute(query, variables, root_value=root()))
        found = as_answer(await self.compiled.execute(query, variables, root_value=root()))

        assert comparable(found["data"]) == comparable(expected["data"])
        ours, theirs = (by_place(one["errors"], expected["data"]) for one in (found, expected))
        assert ours.keys() == theirs.keys()
        if ours != theirs:
            every = as_answer(await self.uncancelled.execute(query, variables, root_value=root()))
            possible = {comparable(error) for error in every["errors"]}
            for place, errors in ours.items():
                assert errors == theirs[place] or errors <= possible, place
        return found


def as_answer(result: Any) -> dict[str, Any]:
    return {"data": plain(result.data), "errors": [error.formatted for error in result.errors or ()]}


def comparable(data: Any) -> str:
    # As text: NaN is never equal to itself, True is equal to 1, and the order of fields counts.
    return ADDRESS.sub("", repr(data))


def by_place(errors: list[dict[str, Any]], data: Any) -> dict[tuple[Any, ...], set[str]]:
    """The errors by the place that is null for them."""
    places: dict[tuple[Any, ...], set[str]] = {}
    for error in errors:
        places.setdefault(null_place(error.get("path") or (), data), set()).add(comparable(error))
    return places


def null_place(path: Any, data: Any) -> tuple[Any, ...]:
    for length, step in enumerate(path):
        if data is None:
            return tuple(path[:length])
        data = data[step]
    return tuple(path)
