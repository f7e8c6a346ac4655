"""What an operation promises: the nodes of its pages, multiplied on the way down, and the calls behind them.

The document has been validated. Each fragment is added up once, for one object, and multiplied where it is
spread: counting takes time in proportion to the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    get_named_type,
)

from gateway.document_shape import PAGE_PARTS
from gateway.document_values import Values, whole_number
from gateway.limits import LimitExceeded, Limits, cut
from gateway.upstream_costs import (
    ASKED_BY_FIELD,
    CALLS_OF_A_CHANGE,
    DEFAULT_PAGE_SIZE,
    PLAIN_LIST_ITEMS,
    TENANT_TYPE,
    Asks,
    Per,
    asked_by_filter,
    tenants_in,
)

_SATURATED = 10**9


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation promises, both estimated."""

    nodes: int
    calls: int


@dataclass(frozen=True, slots=True)
class _Weight:
    """An amount, and the largest single part of it with its place."""

    amount: int = 0
    largest: int = 0
    place: tuple[str, ...] = ()

    def plus(self, other: _Weight) -> _Weight:
        if not other.amount:
            return self
        larger = self if self.largest >= other.largest else other
        return _Weight(min(self.amount + other.amount, _SATURATED), larger.largest, larger.place)

    def times(self, count: int, name: str | None) -> _Weight:
        """The weight of so many objects in a field of this name; None for a field that needs no mention."""
        amount, largest = min(self.amount * count, _SATURATED), min(self.largest * count, _SATURATED)
        return _Weight(amount, largest, (name, *self.place) if name else self.place) if amount else _NO_WEIGHT


_NO_WEIGHT = _Weight()


@dataclass(slots=True)
class _Sum:
    """What a selection costs for one object. `of_object` and `of_tenant` are look-ups that its fields share."""

    nodes: _Weight = _NO_WEIGHT
    calls: _Weight = _NO_WEIGHT
    of_object: dict[str, _Weight] = field(default_factory=dict)
    of_tenant: dict[str, _Weight] = field(default_factory=dict)
    has_page: bool = False

    def add(self, other: _Sum) -> None:
        self.nodes = self.nodes.plus(other.nodes)
        self.calls = self.calls.plus(other.calls)
        _share(self.of_object, other.of_object)
        _share(self.of_tenant, other.of_tenant)
        self.has_page |= other.has_page

    def ask(self, asks: Asks, place: str, times: int) -> None:
        """Adds a look-up; one that nothing shares so many times."""
        if asks.per in (Per.ID, Per.TENANT_IN_SCOPE):
            self.calls = self.calls.plus(_Weight(asks.calls * times, asks.calls * times, (place,)))
        else:
            weight = _Weight(asks.calls, asks.calls, (place,))
            _share(self.of_tenant if asks.per is Per.TENANT else self.of_object, {asks.look_up: weight})

    def settle(self, *, tenant: bool) -> _Weight:
        """The calls for one object, shared look-ups included; those of a tenant where the object is one."""
        total = self.calls
        for shared in (self.of_object, self.of_tenant if tenant else {}):
            for weight in shared.values():
                total = total.plus(weight)
        return total


def _share(known: dict[str, _Weight], more: Mapping[str, _Weight]) -> None:
    for look_up, weight in more.items():
        if weight.amount > known.get(look_up, _NO_WEIGHT).amount:
            known[look_up] = weight


class CostCounter:
    """Counts one operation with its variables; `values.used` then says on which of them the figures depend."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        values: Values,
        limits: Limits,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._values = values
        self._limits = limits
        self._sums: dict[str, _Sum] = {}

    def count(self, operation: OperationDefinitionNode) -> Cost:
        """Gives the cost, or raises the limit that a page or the whole exceeds."""
        root = self._schema.get_root_type(operation.operation)
        if root is None:
            return Cost(0, 0)
        total = self._in_set(operation.selection_set, root)
        nodes, calls = total.nodes, total.settle(tenant=True)
        self._check("nodes", nodes, self._limits.max_cost_nodes, "Ask for smaller pages.")
        self._check("calls to Microsoft", calls, self._limits.max_cost_calls, "Ask for less at a time.")
        return Cost(nodes.amount, calls.amount)

    def _check(self, what: str, weight: _Weight, limit: int, advice: str) -> None:
        if weight.amount > limit:
            place = cut(".".join(weight.place))
            raise LimitExceeded(
                "COST_LIMIT",
                f"This may need {weight.amount:,} {what}, and {limit:,} are allowed; "
                f"`{place}` weighs most with {weight.largest:,}. {advice}",
                limit=limit,
                asked=weight.amount,
                field=place,
            )

    def _in_set(self, selections: SelectionSetNode, parent: Any) -> _Sum:  # Any: any composite type, or none
        total = _Sum()
        for selection in selections.selections:
            if self._left_out(selection.directives):
                continue
            if isinstance(selection, FieldNode):
                self._add_field(total, selection, parent)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self._schema.get_type(condition.name.value) if condition else parent
                total.add(self._in_set(selection.selection_set, inner))
            elif isinstance(selection, FragmentSpreadNode):
                total.add(self._in_fragment(selection.name.value))
        return total

    def _in_fragment(self, name: str) -> _Sum:
        known = self._sums.get(name)
        if known is None:
            fragment = self._fragments[name]
            condition = self._schema.get_type(fragment.type_condition.name.value)
            known = self._sums[name] = self._in_set(fragment.selection_set, condition)
        return known

    def _add_field(self, total: _Sum, node: FieldNode, parent: Any) -> None:
        name = node.name.value
        definition = self._definition(parent, name)
        if definition is None:  # introspection
            return
        arguments = {each.name.value: each.value for each in node.arguments or ()}
        asked = self._asked(parent, name, arguments)
        tenants = self._tenants(asked, arguments)
        ids = self._values.read(arguments["ids"]) if "ids" in arguments else None
        given_ids = len(ids) if isinstance(ids, list) else 1
        for asks in asked:
            if tenants is None:
                total.ask(asks, name, given_ids)
            else:
                total.ask(replace(asks, per=Per.TENANT_IN_SCOPE), name, tenants)
        size = self._page_size(node, definition, arguments)
        if size is not None:
            total.has_page = True
            total.nodes = total.nodes.plus(_Weight(size, size, (name,)))
        if node.selection_set is None:
            return
        kind = get_named_type(definition.type)
        inner = self._in_set(node.selection_set, kind)
        count = given_ids if "ids" in arguments else self._items(definition, parent, size, inner)
        shown = None if _is_page_part(parent, name) else name
        is_tenant = kind.name in (TENANT_TYPE, "Node")
        total.nodes = total.nodes.plus(inner.nodes.times(count, shown))
        total.calls = total.calls.plus(inner.settle(tenant=is_tenant).times(count, shown))
        if tenants is not None:
            for weight in inner.of_tenant.values():
                total.calls = total.calls.plus(weight.times(tenants, shown))
        elif not is_tenant:
            _share(total.of_tenant, {each: weight.times(1, shown) for each, weight in inner.of_tenant.items()})
        total.has_page |= inner.has_page

    def _definition(self, parent: Any, name: str) -> GraphQLField | None:
        if name.startswith("__") or not isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)):
            return None
        found: GraphQLField | None = parent.fields.get(name)
        return found

    def _asked(self, parent: Any, name: str, arguments: Mapping[str, Any]) -> list[Asks]:
        if parent is self._schema.mutation_type:
            return [Asks(name, CALLS_OF_A_CHANGE)]
        known = ASKED_BY_FIELD.get((parent.name, name))
        asks = [known] if known else []
        return asks + asked_by_filter(self._values.read(arguments.get("filter")))

    def _tenants(self, asked: list[Asks], arguments: Mapping[str, Any]) -> int | None:
        """How many tenants the field asks, where it asks many by itself."""
        if all(asks.per is not Per.TENANT_IN_SCOPE for asks in asked):
            return None
        return tenants_in(self._values.read(arguments.get("scope")))

    def _page_size(self, node: FieldNode, definition: GraphQLField, arguments: Mapping[str, Any]) -> int | None:
        if "first" not in definition.args:
            return None
        limit = self._limits.max_page_size
        value = self._values.read(arguments["first"]) if "first" in arguments else Undefined
        if value is Undefined:
            value = definition.args["first"].default_value
        size = whole_number(value)
        if size is None:  # null; or no number at all, which is refused as soon as variables are read
            return min(DEFAULT_PAGE_SIZE, limit)
        if not 0 <= size <= limit:
            asked = f"{size:,}" if abs(size) < _SATURATED else f"more than {_SATURATED:,}"
            raise LimitExceeded(
                "PAGE_SIZE_LIMIT",
                f"first: {asked} of `{node.name.value}` is not between 0 and {limit:,}. "
                "Ask for a smaller page and follow endCursor.",
                limit=limit,
                asked=size,
                field=node.name.value,
            )
        return size

    def _items(self, definition: GraphQLField, parent: Any, size: int | None, inner: _Sum) -> int:
        if size is not None:
            return size
        kind = definition.type.of_type if isinstance(definition.type, GraphQLNonNull) else definition.type
        plain = isinstance(kind, GraphQLList) and "pageInfo" not in parent.fields
        return PLAIN_LIST_ITEMS if plain and inner.has_page else 1

    def _left_out(self, directives: tuple[DirectiveNode, ...] | None) -> bool:
        for directive in directives or ():
            if directive.name.value in ("skip", "include") and directive.arguments:
                value = self._values.read(directive.arguments[0].value)
                if value is (directive.name.value == "skip"):
                    return True
        return False


def _is_page_part(parent: Any, name: str) -> bool:
    return "cursor" in parent.fields if name == "node" else name in PAGE_PARTS and "pageInfo" in parent.fields
