"""graphql-core's executor with compiled selections: the usual is written at once, all else is left to graphql-core.

graphql-core collects the fields, so fragments, directives, aliases and merging are its own. Where it would complete
a list or an object field by field, a plan of the selection (execution.compiler) does so in one go, if everything is as
expected. What is not (null where none may be, a value of another class, an exception, something to be awaited) is
completed by graphql-core from the same value, whose errors, paths and null rules stand. So attributes of objects must
be stored values, or computed without effects: they may be read twice.

The methods overridden here are internal to graphql-core 3.3, so its version is pinned and the comparison with stock
execution (tests/execution) decides on a new one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, ClassVar

from graphql import (
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    is_leaf_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from execution.compiler import compile_plan
from execution.fields import attribute_of, batch_for
from execution.levels import Level, Place
from execution.plans import Counts, Plan, Plans, Selected, Structure

MOST_FIELDS = 1_000
"""Of one selection with all that is below it: generated code has a bound, and graphql-core takes the rest."""


class CompiledExecutor(StrawberryGraphQLCoreExecutionContext):
    """One execution. `compiled_execution` makes a class of it for each schema."""

    plans: ClassVar[Plans]
    counts: ClassVar[Counts]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: whatever graphql-core builds an executor with
        super().__init__(*args, **kwargs)
        if self.middleware_manager is not None and not self.middleware_manager.middlewares:
            self.middleware_manager = None  # Strawberry gives an empty one, which costs each field a call
        self._met: dict[tuple[GraphQLObjectType, int, bool], tuple[FieldDetailsList, Plan | None]] = {}
        self._off = self._reason_to_be_off()
        if self._off:
            self.counts.off[self._off] += 1

    def _reason_to_be_off(self) -> str | None:
        if self.middleware_manager is not None:
            return "middleware"  # wants to see every field, and extensions with a `resolve` hook are among it
        if self.abort_signal is not None:
            return "abort signal"
        if any(self.schema.get_directive(name) for name in ("defer", "stream")):
            return "incremental delivery"
        return None

    # Plans

    def _plan(self, kind: GraphQLObjectType, details: FieldDetailsList, *, nullable: bool) -> Plan | None:
        if self._off:
            return None
        key = kind, id(details), nullable
        met = self._met.get(key)
        if met is None:
            # The list is kept along, or another could be given its id.
            met = self._met[key] = details, self._find_plan(kind, details, nullable=nullable)
        return met[1]

    def _find_plan(self, kind: GraphQLObjectType, details: FieldDetailsList, *, nullable: bool) -> Plan | None:
        try:
            structure = self._structure(kind, details, [MOST_FIELDS])
        except Exception:  # fields that cannot be collected: graphql-core says so where it comes to them, if it does
            return None

        def make() -> Plan | None:
            try:
                plan = compile_plan(self.schema, kind, structure, nullable=nullable)
            except (SyntaxError, RecursionError, MemoryError):  # nested deeper than Python reads
                return None
            self.counts.compiled += 1
            return plan

        return self.plans.get((kind, nullable, structure), make)

    def _structure(self, kind: GraphQLObjectType, details: FieldDetailsList, left: list[int]) -> Structure:
        """What is selected on a type, with all below. Arguments and variables are no part of it."""
        selected = []
        for response, mentions in self.collect_subfields(kind, details).grouped_field_set.items():
            left[0] -= 1
            if left[0] < 0:
                raise ValueError("more fields than are compiled")
            name = mentions[0].node.name.value
            field = self.schema.get_field(kind, name)
            if field is None:
                raise ValueError("a field that is not there")
            inner: Any = field.type
            while hasattr(inner, "of_type"):
                inner = inner.of_type
            attribute = attribute_of(field)
            below = None
            if is_object_type(inner) and (attribute or batch_for(self.schema, field)):
                below = self._structure(inner, mentions, left)
            all_plain = all(each.plain for each in below) if below is not None else is_leaf_type(inner)
            plain = name == "__typename" or (attribute is not None and all_plain)
            selected.append(Selected(response, name, below, plain))
        return tuple(selected)

    # Where graphql-core completes values

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,  # Any: graphql-core's, passed on as it comes
    ) -> Any:  # Any: answers, or what is awaited for them
        nullable = not is_non_null_type(item_type)
        kind: Any = item_type if nullable else item_type.of_type  # type: ignore[union-attr]
        if is_object_type(kind):
            plan = self._plan(kind, field_details_list, nullable=nullable) if position_context is None else None
            if plan is not None and isinstance(items, (list, tuple)) and type(items) in (list, tuple):
                self.counts.fast_lists += 1
                place = Place(item_type, field_details_list, info)
                level = Level(self, plan, kind, place, items, path.add_key)
                answers = level.complete()
                return _unless_failed(answers, level) if isinstance(answers, list) else _awaited(answers, level)
            self.counts.slow_lists += 1
        return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,  # Any: graphql-core's, passed on as it comes
    ) -> Any:  # Any: an answer, or what is awaited for it
        plan = self._plan(return_type, field_details_list, nullable=False) if position_context is None else None
        answer = None
        if plan is not None:
            try:
                [answer] = plan.build((result,))
            except Exception:
                self.counts.refused += 1
        if plan is None or answer is None:
            self.counts.slow_objects += 1
            return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
        self.counts.fast_objects += 1
        if not plan.steps:
            return answer
        grouped = self.collect_subfields(return_type, field_details_list).grouped_field_set
        left = {step.name: grouped[step.name] for step in plan.steps}
        rest = self.execute_fields(return_type, result, path, left, None)
        if self.is_awaitable(rest):
            return _merged(answer, rest)
        answer.update(rest)
        return answer

    # For levels

    def complete_given(
        self,
        return_type: GraphQLOutputType,
        details: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        value: Any,
    ) -> Any:  # Any: an answer, or what is awaited for it
        """Completes a value as if it were just resolved. It raises where null rules hand the error on."""
        if self.is_awaitable(value):
            return self.complete_awaitable_value(return_type, details, info, path, value, None)
        try:
            completed = self.complete_value(return_type, details, info, path, value, None)
        except Exception as error:
            self.handle_field_error(error, return_type, details, path)
            return None
        if not self.is_awaitable(completed):
            return completed

        async def wait() -> Any:
            try:
                return await completed
            except Exception as error:
                self.handle_field_error(error, return_type, details, path)
                return None

        return wait()


def compiled_execution(most_plans: int = 1_000) -> type[CompiledExecutor]:
    """Gives a schema its `execution_context_class`, with a table of plans and counts of its own."""
    members = {"plans": Plans(most_plans), "counts": Counts()}
    return type("CompiledExecutor", (CompiledExecutor,), members)


def _unless_failed(answers: list[Any], level: Level) -> list[Any]:
    if level.failed:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
    return answers


async def _awaited(answers: Awaitable[list[Any]], level: Level) -> list[Any]:
    return _unless_failed(await answers, level)


async def _merged(answer: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    answer.update(await rest)
    return answer
