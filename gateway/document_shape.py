"""How deep, broad and repetitive a document is, before anything is known about its types.

Fragments are counted at every spread, but looked into once each: counting takes time in proportion to the
document, however much the document would unfold to. What is checked here holds for every operation of it,
so that validation, which is slower, never sees a document that is out of all proportion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
)
from graphql.language import DirectiveNode

from gateway.limits import LimitExceeded, Limits, cut

PAGE_PARTS = frozenset({"edges", "nodes", "node"})
"""What stands between a list in pages and its items: counts in `max_levels`, not in `max_depth`."""
_INTROSPECTION = frozenset({"__schema", "__type"})
_SATURATED = 10**9


class _Shape(NamedTuple):
    """What a selection unfolds to. `deepest` is the name of the field at the end of the longest way down."""

    depth: int = 0
    levels: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    schemas: int = 0
    deepest: str = ""
    most_aliases: tuple[int, str] = (0, "")

    def beside(self, other: _Shape) -> _Shape:
        return _Shape(
            max(self.depth, other.depth),
            max(self.levels, other.levels),
            min(self.fields + other.fields, _SATURATED),
            min(self.aliases + other.aliases, _SATURATED),
            min(self.directives + other.directives, _SATURATED),
            min(self.schemas + other.schemas, _SATURATED),
            self.deepest if self.depth >= other.depth else other.deepest,
            max(self.most_aliases, other.most_aliases),
        )


_EMPTY = _Shape()


def check_shape(document: DocumentNode, limits: Limits) -> None:
    """Lets a document pass, or raises the first limit that one of its operations exceeds."""
    _Checker(document, limits).check()


class _Checker:
    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        definitions = document.definitions
        self._operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
        self._fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
        self._fragment_count = sum(isinstance(each, FragmentDefinitionNode) for each in definitions)
        self._shapes: dict[str, _Shape] = {}
        self._entered: set[str] = set()

    def check(self) -> None:
        limits = self._limits
        _most("OPERATION_LIMIT", "operations", len(self._operations), limits.max_operations)
        variables = max((len(each.variable_definitions or ()) for each in self._operations), default=0)
        _most("OPERATION_LIMIT", "variables", variables, limits.max_variables)
        _most("OPERATION_LIMIT", "fragments", self._fragment_count, limits.max_fragments)
        for operation in self._operations:
            self._check_operation(operation)
        for name in self._fragments:  # those that no operation spreads, too: validation looks into them
            self._in_fragment(name, 0)

    def _check_operation(self, operation: OperationDefinitionNode) -> None:
        limits = self._limits
        shape = self._in_set(operation.selection_set, 1)
        own = self._directives(operation.directives)
        own += sum(self._directives(each.directives) for each in operation.variable_definitions or ())
        _most("DEPTH_LIMIT", "fields deep", shape.depth, limits.max_depth, shape.deepest)
        _most("DEPTH_LIMIT", "levels deep in all", shape.levels, limits.max_levels, shape.deepest)
        _most("DEPTH_LIMIT", "times __schema", shape.schemas, 1)
        _most("ALIAS_LIMIT", "aliases", shape.aliases, limits.max_aliases, shape.most_aliases[1])
        if operation.operation is OperationType.MUTATION:
            roots = sum(1 for _ in self._roots(operation.selection_set, set()))
            _most("ALIAS_LIMIT", "changes in one request", roots, limits.max_mutation_fields)
        _most("DIRECTIVE_LIMIT", "directives", shape.directives + own, limits.max_directives)
        _most("COST_LIMIT", "fields", shape.fields, limits.max_fields)

    def _in_set(self, selections: SelectionSetNode | None, level: int) -> _Shape:
        if selections is None:
            return _EMPTY
        if level > self._limits.max_levels:
            _most("DEPTH_LIMIT", "levels deep in all", level, self._limits.max_levels)
        self._check_repeats(selections)
        shape = _EMPTY
        for selection in selections.selections:
            shape = shape.beside(self._in_selection(selection, level))
        return shape

    def _check_repeats(self, selections: SelectionSetNode) -> None:
        """Validation compares fields of one name pair by pair, so many of them are dear, and of no use."""
        if len(selections.selections) <= self._limits.max_repeats:
            return
        fields = (each for each in selections.selections if isinstance(each, FieldNode))
        [(name, times)] = Counter((each.alias or each.name).value for each in fields).most_common(1) or [("", 0)]
        _most("COST_LIMIT", "fields of one name side by side", times, self._limits.max_repeats, name)

    def _in_selection(self, selection: SelectionNode, level: int) -> _Shape:
        directives = self._directives(selection.directives)
        if isinstance(selection, FieldNode):
            return self._in_field(selection, level, directives)
        if isinstance(selection, InlineFragmentNode):
            inner = self._in_set(selection.selection_set, level + 1)
            return inner._replace(levels=inner.levels + 1, directives=inner.directives + directives)
        assert isinstance(selection, FragmentSpreadNode)
        inner = self._in_fragment(selection.name.value, level)
        return inner._replace(directives=inner.directives + directives) if directives else inner

    def _in_field(self, field: FieldNode, level: int, directives: int) -> _Shape:
        name = field.name.value
        inner = self._in_set(field.selection_set, level + 1)
        depth = 0 if name in _INTROSPECTION else inner.depth + (name not in PAGE_PARTS)
        aliases = inner.aliases + (field.alias is not None)
        return _Shape(
            depth,
            inner.levels + 1,
            min(inner.fields + 1, _SATURATED),
            aliases,
            inner.directives + directives,
            inner.schemas + (name == "__schema"),
            inner.deepest or name,
            (aliases, name),
        )

    def _in_fragment(self, name: str, level: int) -> _Shape:
        if (known := self._shapes.get(name)) is not None:
            return known
        fragment = self._fragments.get(name)
        if fragment is None or name in self._entered:  # unknown, or a circle: validation says so
            return _EMPTY
        self._entered.add(name)
        shape = self._in_set(fragment.selection_set, level)
        self._entered.discard(name)
        directives = shape.directives + self._directives(fragment.directives)
        self._shapes[name] = shape = shape._replace(directives=directives)
        return shape

    def _roots(self, selections: SelectionSetNode, spread: set[str]) -> Iterator[FieldNode]:
        """Fields at the top: graphql-core, too, takes each fragment once in a selection."""
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, InlineFragmentNode):
                yield from self._roots(selection.selection_set, spread)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in spread:
                spread.add(selection.name.value)
                if fragment := self._fragments.get(selection.name.value):
                    yield from self._roots(fragment.selection_set, spread)

    def _directives(self, directives: tuple[DirectiveNode, ...] | None) -> int:
        count = len(directives or ())
        _most("DIRECTIVE_LIMIT", "directives at one place", count, self._limits.max_directives_per_node)
        return count


def _most(code: str, what: str, asked: int, limit: int, where: str = "") -> None:
    if asked > limit:
        figure = f"{asked:,}" if asked < _SATURATED else f"more than {_SATURATED:,}"
        message = f"At most {limit:,} {what} are allowed, and this has {figure}"
        message += f", most of it by `{cut(where)}`." if where else "."
        raise LimitExceeded(code, message, limit=limit, asked=asked, field=cut(where) or None)
