"""From the text of a request to an operation that may run: parsed, counted, validated, and remembered.

Remembered are the last documents that passed: not long ones, and not mutations, whose text may hold a password.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from gateway.argument_limits import GivenArgument, check_argument, given_arguments
from gateway.document_cost import Cost, CostCounter
from gateway.document_shape import check_shape
from gateway.document_values import Values, variables_in
from gateway.error_answers import answer_of
from gateway.limits import LimitExceeded, Limits

_REMEMBERED_COSTS = 16
"""Costs of one operation by its page sizes: few are ever in use."""


@dataclass
class Operation:
    """An operation of a document that has been validated."""

    node: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    schema: GraphQLSchema
    limits: Limits
    _costs: OrderedDict[Hashable, Cost] = field(default_factory=OrderedDict)
    _cost_variables: set[str] = field(default_factory=set)
    _fixed_arguments_passed: bool = False

    @property
    def is_mutation(self) -> bool:
        return self.node.operation is OperationType.MUTATION

    def check(self, variables: Mapping[str, Any]) -> Cost:
        """Gives what the operation promises with these variables, or raises the limit that it exceeds."""
        cost = self._cost(variables)
        values = Values(self.node, variables)
        if not self._fixed_arguments_passed:
            for each in self._arguments:
                if not variables_in(each.value):
                    check_argument(each, values, self.limits)
            self._fixed_arguments_passed = True
        for each in self._variable_arguments:
            check_argument(each, values, self.limits)
        return cost

    def _cost(self, variables: Mapping[str, Any]) -> Cost:
        key = repr([(name, variables.get(name, ...)) for name in sorted(self._cost_variables)])
        known = self._costs.get(key)
        if known is not None:
            return known
        values = Values(self.node, variables)
        cost = CostCounter(self.schema, self.fragments, values, self.limits).count(self.node)
        read = set(values.used)
        if not read <= self._cost_variables:  # what is skipped may have hidden some: older keys say too little
            self._cost_variables |= read
            self._costs.clear()
            key = repr([(name, variables.get(name, ...)) for name in sorted(self._cost_variables)])
        if len(key) <= 1024:
            self._costs[key] = cost
        while len(self._costs) > _REMEMBERED_COSTS:
            self._costs.popitem(last=False)
        return cost

    @cached_property
    def _arguments(self) -> list[GivenArgument]:
        return given_arguments(self.schema, self.node, self.fragments)

    @cached_property
    def _variable_arguments(self) -> list[GivenArgument]:
        return [each for each in self._arguments if variables_in(each.value)]


@dataclass(frozen=True, slots=True)
class Document:
    """A document that may be answered."""

    node: DocumentNode
    operations: Mapping[str | None, Operation]

    def find(self, name: str | None) -> Operation:
        """Gives the operation of this name, or the only one there is."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        found = self.operations.get(name) if name is not None else None
        if found is None:
            raise refusal(
                "BAD_REQUEST",
                "operationName must name one of the operations of the document."
                if name is None
                else "The document has no operation of the name that operationName gives.",
            )
        return found


class Refused(Exception):
    """A document is not answered. `errors` say why, each with its code."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


class Documents:
    """The documents of one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, suggestions: bool) -> None:
        self._schema = schema
        self.limits = limits
        self._suggestions = suggestions
        self._remembered: OrderedDict[str, Document] = OrderedDict()

    def read(self, text: str, rules: tuple[type[ASTValidationRule], ...]) -> Document:
        """Gives the document, or raises `Refused`, or the limit that it exceeds."""
        known = self._remembered.get(text)
        if known is not None:
            self._remembered.move_to_end(text)
            return known
        node = self._parse(text)
        check_shape(node, self.limits)
        self._validate(node, rules)
        document = self._document(node)
        self._remember(text, document)
        return document

    def _parse(self, text: str) -> DocumentNode:
        limits = self.limits
        size = len(text) if len(text) > limits.max_query_bytes else len(text.encode(errors="replace"))
        if size > limits.max_query_bytes:
            raise LimitExceeded(
                "TOKEN_LIMIT",
                f"A query may have {limits.max_query_bytes:,} bytes, and this has {size:,}.",
                limit=limits.max_query_bytes,
                asked=size,
            )
        try:
            return parse(text, max_tokens=limits.max_tokens)
        except GraphQLSyntaxError as error:
            # The place of the error is in the caller's text, its wording is not: a text cannot bring it about.
            if f"contains more than {limits.max_tokens} tokens. Parsing aborted" in error.message:
                raise LimitExceeded(
                    "TOKEN_LIMIT",
                    f"A query may have {limits.max_tokens:,} tokens, comments included, and this has more.",
                    limit=limits.max_tokens,
                    asked=limits.max_tokens + 1,
                ) from None
            raise Refused([error]) from None

    def _validate(self, node: DocumentNode, rules: tuple[type[ASTValidationRule], ...]) -> None:
        errors = validate(
            self._schema,
            node,
            (*rules, MaybeNullValidationRule, OneOfInputValidationRule),
            max_errors=self.limits.max_validation_errors,
            hide_suggestions=not self._suggestions,
        )
        if errors:
            raise Refused([_in_our_words(error) for error in errors[: self.limits.max_validation_errors]])

    def _document(self, node: DocumentNode) -> Document:
        fragments = {each.name.value: each for each in node.definitions if isinstance(each, FragmentDefinitionNode)}
        operations = {
            each.name.value if each.name else None: Operation(each, fragments, self._schema, self.limits)
            for each in node.definitions
            if isinstance(each, OperationDefinitionNode)
        }
        return Document(node, operations)

    def _remember(self, text: str, document: Document) -> None:
        if len(text) > self.limits.max_remembered_document_bytes:
            return
        if any(each.is_mutation for each in document.operations.values()):
            return
        self._remembered[text] = document
        while len(self._remembered) > self.limits.max_remembered_documents:
            self._remembered.popitem(last=False)


PARTS_LATER = "Answers come whole: @defer and @stream are not offered. Send several smaller queries instead."
_NOT_OFFERED = frozenset(f"Unknown directive '@{name}'." for name in ("defer", "stream"))


def _in_our_words(error: GraphQLError) -> GraphQLError:
    """The error as callers see it. What broke while a literal was looked at is the literal's fault, not ours:
    Python itself refuses to read a number of 6,000 digits."""
    if error.message in _NOT_OFFERED:
        return GraphQLError(PARTS_LATER, error.nodes, extensions={"code": "BAD_REQUEST"})
    told = answer_of(GraphQLError(error.message, error.nodes))
    return GraphQLError(told.message, error.nodes, extensions={"code": "VALIDATION_FAILED"})


def refusal(code: str, message: str) -> Refused:
    """A refusal in words of ours."""
    return Refused([GraphQLError(message, extensions={"code": code})])
