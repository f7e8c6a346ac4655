"""The objects of one type at one place of a selection, below any number of parents, answered together.

What graphql-core does an object at a time is done here a field at a time: its values for all objects, then all that
is below these values, flattened, as the next level. An object that fails, because a field that must not be null has an
error, stands as that error among the answers: what holds it becomes null, or fails in turn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import GraphQLError, GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path, gather_with_cancel

from execution.fields import resolver_arguments
from execution.many import checked_answers
from execution.plans import Plan, Step

if TYPE_CHECKING:
    from execution.executor import CompiledExecutor

Values = Sequence[Any]
PathOf = Callable[[int], Path]


class Place(NamedTuple):
    """What graphql-core wants to know of where a value stands, beside its path."""

    kind: GraphQLOutputType
    details: FieldDetailsList
    info: GraphQLResolveInfo[Any]


class Level:
    """One level: its items, all at the same place. `path_of` gives the path of an item by its number."""

    def __init__(
        self,
        executor: CompiledExecutor,
        plan: Plan,
        kind: GraphQLObjectType,
        place: Place,
        items: Values,
        path_of: PathOf,
    ) -> None:
        self.executor = executor
        self.plan = plan
        self.kind = kind
        self.place = place
        self.items = items
        self.path_of = path_of
        self.answers: list[Any] = []
        self.live: Sequence[int] = ()
        """The numbers of the items whose answer has fields left to fill."""
        self.failed: dict[int, GraphQLError] = {}

    def complete(self) -> list[Any] | Awaitable[list[Any]]:
        """Gives an answer an item: its fields, null, or the error that is handed on."""
        waiting = [self._build()]
        if self.plan.steps and self.live:
            self.executor.counts.levels += 1
            grouped = self.executor.collect_subfields(self.kind, self.place.details).grouped_field_set
            waiting += [self._start(step, grouped[step.name]) for step in self.plan.steps]
        left = _all(waiting)
        return self._end() if left is None else self._end_after(left)

    async def _end_after(self, left: Awaitable[None]) -> list[Any]:
        await left
        return self._end()

    def _end(self) -> list[Any]:
        for number, error in self.failed.items():
            kind, details, _ = self.place
            self.answers[number] = self._handled(error, kind, details, self.path_of(number))
        return self.answers

    def _handled(
        self, error: GraphQLError, kind: GraphQLOutputType, details: FieldDetailsList, path: Path
    ) -> GraphQLError | None:
        """Null where it may be, with the error noted; else the error."""
        try:
            self.executor.handle_field_error(error, kind, details, path)
        except GraphQLError as handed_on:
            return handed_on
        return None

    # Plain fields

    def _build(self) -> Awaitable[None] | None:
        try:
            self.answers = self.plan.build(self.items)
        except Exception:
            return self._build_each()
        self.live = range(len(self.items))
        if self.plan.steps and None in self.answers:
            self.live = [number for number in self.live if self.answers[number] is not None]
        return None

    def _build_each(self) -> Awaitable[None] | None:
        """Finds out which items are not as expected, and leaves those alone to graphql-core."""
        refused: list[int] = []
        for number, item in enumerate(self.items):
            try:
                self.answers += self.plan.build((item,))
            except Exception:
                self.answers.append(None)
                refused.append(number)
        self.executor.counts.refused += len(refused)
        self.live = [number for number, answer in enumerate(self.answers) if answer is not None]
        waiting = []
        for number in refused:
            waiting.append(
                self._given(number, self.answers, number, self.place, self.path_of(number), self.items[number])
            )
            if number in self.failed and not self.plan.steps:
                break  # as graphql-core, which looks no further; where there are steps, others may be of other lists
        return _all(waiting)

    # Fields that take a step

    def _start(self, step: Step, details: FieldDetailsList) -> Awaitable[None] | None:
        if step.read is None and (step.batch is None or len(self.live) == 1):
            return _all(self._resolved(number, step, details) for number in self.live)
        executor = self.executor
        nodes = [each.node for each in details]
        info = executor.build_resolve_info(step.field, nodes, self.kind, self._path(self.live[0], step))
        place = Place(step.field.type, details, info)
        objects = self.items if len(self.live) == len(self.items) else [self.items[number] for number in self.live]
        if step.read is not None:
            return self._fill(step, place, [_read(step.read, one) for one in objects])
        executor.counts.batches += 1
        values = self._asked(step, place, objects)
        if executor.is_awaitable(values):
            return self._fill_after(step, place, objects, values)
        return self._fill(step, place, checked_answers(values, objects))

    def _resolved(self, number: int, step: Step, details: FieldDetailsList) -> Awaitable[None] | None:
        """Has graphql-core resolve a field of one object."""
        path = self._path(number, step)

        def execute() -> Any:
            return self.executor.execute_field(self.kind, self.items[number], details, path, None)

        return self._put(number, self.answers[number], step.name, execute)

    def _asked(self, step: Step, place: Place, objects: Values) -> Any:
        """The values of a field for all objects, or what is awaited for them."""
        assert step.batch is not None
        executor, first = self.executor, place.details[0]
        try:
            given = get_argument_values(
                step.field,
                first.node,
                executor.variable_values,
                first.fragment_variable_values,
                executor.hide_suggestions,
            )
            info, arguments = resolver_arguments(step.field, place.info, given)
            return step.batch(objects, info, **arguments)
        except Exception as error:
            return [error] * len(objects)

    async def _fill_after(self, step: Step, place: Place, objects: Values, values: Awaitable[Values]) -> None:
        try:
            answered = checked_answers(await values, objects)
        except Exception as error:
            answered = [error] * len(objects)
        left = self._fill(step, place, answered)
        if left is not None:
            await left

    def _fill(self, step: Step, place: Place, values: Values) -> Awaitable[None] | None:
        """Completes the values of a field, one for each living item."""
        if step.below is not None:
            return self._descend(step, step.below, place, values)
        given = zip(self.live, values, strict=True)
        if step.build is None:
            return _all(self._field_given(number, step, place, value) for number, value in given)
        try:
            completed = step.build(values)
        except Exception:
            return _all(self._fill_one(number, step, place, value) for number, value in given)
        name = step.name
        for number, answer in zip(self.live, completed, strict=True):
            self.answers[number][name] = answer
        return None

    def _fill_one(self, number: int, step: Step, place: Place, value: Any) -> Awaitable[None] | None:
        assert step.build is not None
        try:
            [self.answers[number][step.name]] = step.build((value,))
        except Exception:
            self.executor.counts.refused += 1
            return self._field_given(number, step, place, value)
        return None

    # The next level

    def _descend(self, step: Step, plan: Plan, place: Place, values: Values) -> Awaitable[None] | None:
        """Completes all objects below a field together, and hands each parent its own."""
        owners: list[int] = []
        flat: list[Any] = []
        ends: list[int] = []
        waiting = []
        for number, value in zip(self.live, values, strict=True):
            if value is None and step.nullable:
                continue
            if not step.is_list:
                flat.append(value)
            elif type(value) is list or type(value) is tuple:
                flat.extend(value)
            else:
                waiting.append(self._field_given(number, step, place, value))
                continue
            owners.append(number)
            ends.append(len(flat))

        def path_of(item: int) -> Path:
            at = bisect_right(ends, item)
            path = self._path(owners[at], step)
            return path.add_key(item - (ends[at - 1] if at else 0)) if step.is_list else path

        assert step.item_kind is not None  # it goes with a plan
        kind = place._replace(kind=step.item_type)
        below = Level(self.executor, plan, step.item_kind, kind, flat, path_of)

        def hand_up(answers: list[Any]) -> None:
            start = 0
            for number, end in zip(owners, ends, strict=True):
                answer = answers[start:end] if step.is_list else answers[start]
                start = end
                if below.failed:
                    answer = self._without_failed(answer, number, step, place)
                self.answers[number][step.name] = answer

        async def hand_up_after(left: Awaitable[list[Any]]) -> None:
            hand_up(await left)

        answers = below.complete()
        if isinstance(answers, list):
            hand_up(answers)
        else:
            waiting.append(hand_up_after(answers))
        return _all(waiting)

    def _without_failed(self, answer: Any, number: int, step: Step, place: Place) -> Any:
        """What becomes of a field's answer by those below that failed."""
        if step.is_list:
            error = next((each for each in answer if isinstance(each, GraphQLError)), None)
            if error is None:
                return answer
            answer = self._handled(error, place.kind, place.details, self._path(number, step))
        if isinstance(answer, GraphQLError):
            self.failed.setdefault(number, answer)
            return None
        return answer

    # Single values, by graphql-core

    def _field_given(self, number: int, step: Step, place: Place, value: Any) -> Awaitable[None] | None:
        return self._given(number, self.answers[number], step.name, place, self._path(number, step), value)

    def _given(
        self, number: int, target: Any, key: str | int, place: Place, path: Path, value: Any
    ) -> Awaitable[None] | None:
        return self._put(number, target, key, lambda: self.executor.complete_given(*place, path, value))

    def _put(self, number: int, target: Any, key: str | int, answer: Callable[[], Any]) -> Awaitable[None] | None:
        """Puts an answer of graphql-core where it belongs. If it raises, an error is handed on: the item fails."""
        try:
            answered = answer()
        except GraphQLError as error:
            self.failed.setdefault(number, error)
            return None
        if not self.executor.is_awaitable(answered):
            target[key] = answered
            return None

        async def wait() -> None:
            try:
                target[key] = await answered
            except GraphQLError as error:
                self.failed.setdefault(number, error)

        return wait()

    def _path(self, number: int, step: Step) -> Path:
        return Path(self.path_of(number), step.name, self.kind.name)


def _read(read: Callable[[Any], Any], one: Any) -> Any:
    try:
        return read(one)
    except Exception as error:
        return error


def _all(waiting: Iterable[Awaitable[None] | None]) -> Awaitable[Any] | None:
    """One thing to wait for; None where nothing is left."""
    left = [each for each in waiting if each is not None]
    if len(left) > 1:
        return gather_with_cancel(*left)
    return left[0] if left else None
