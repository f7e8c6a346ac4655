"""How an operation runs: read and counted first, then within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import strawberry
from graphql import ExecutionResult as GraphQLExecutionResult
from graphql import GraphQLError, specified_rules
from graphql import OperationType as OperationKind
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.execution import ExecutionContext, PreExecutionError
from strawberry.types.graphql import OperationType

from gateway.documents import Documents, Operation, Refused, refusal
from gateway.limits import LimitExceeded, Limits
from gateway.running_operations import RunningOperations
from services.deadlines import start_deadline

ANSWER_SECONDS = 0.75
"""How long an operation may take beyond its time, to make an answer of what it has."""
_STOPPING = "The gateway is stopping. Ask again: another one answers."


class LimitedSchema(strawberry.Schema):
    """A schema that answers within limits, over HTTP and WebSocket alike.

    The two methods are Strawberry's own seams between reading, validating and executing; its extensions could
    neither refuse a document between parsing and validation nor keep an operation within a time. Hooks of
    extensions around parsing and validation are not called.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: whatever strawberry.Schema takes
        super().__init__(*args, **kwargs)
        self.running = RunningOperations()
        self.limit(Limits())

    def limit(self, limits: Limits) -> None:
        """Sets the limits, and forgets what was read under others."""
        self.limits = limits
        self.documents = Documents(self._schema, limits, suggestions=not self.config.disable_field_suggestions)

    async def _prepare_operation_async(
        self, context: ExecutionContext, extensions_runner: SchemaExtensionsRunner
    ) -> PreExecutionError | None:
        try:
            operation = self._read(context)
            cost = operation.check(context.variables or {})
        except Refused as refused:
            errors = refused.errors
        except LimitExceeded as exceeded:
            errors = [GraphQLError(exceeded.message, original_error=exceeded)]
        else:
            context.extensions_results["cost"] = {"nodes": cost.nodes, "calls": cost.calls}
            return None
        context.pre_execution_errors = errors
        return PreExecutionError(data=None, errors=errors)

    def is_subscription(self, query: str, operation_name: str | None) -> bool:
        """Whether a request asks to follow something. One that will be refused does not."""
        try:
            operation = self.documents.read(query, tuple(specified_rules)).find(operation_name)
        except (Refused, LimitExceeded):
            return False
        return operation.node.operation is OperationKind.SUBSCRIPTION

    def _read(self, context: ExecutionContext) -> Operation:
        if not context.query:
            raise refusal("BAD_REQUEST", "The request holds no query.")
        document = self.documents.read(context.query, context.validation_rules)
        context.graphql_document = document.node
        operation = document.find(context._provided_operation_name)
        kind = OperationType(operation.node.operation.value)
        if kind not in context.allowed_operations:
            raise InvalidOperationTypeError(kind)
        return operation

    async def _execute_operation(
        self,
        execution_context: ExecutionContext,
        extensions_runner: SchemaExtensionsRunner,
        middleware_manager: Any,  # Any: graphql-core's, passed on as it comes
        execute_function: Callable[..., Any],
        custom_context_kwargs: dict[str, Any],
    ) -> Any:
        is_mutation = execution_context.operation_type is OperationType.MUTATION
        limits = self.limits
        seconds = limits.mutation_timeout_seconds if is_mutation else limits.query_timeout_seconds
        # What waits for Microsoft ends with this, so that the answer holds what is there by then.
        start_deadline(seconds)
        trace = getattr(execution_context.context, "trace", None)
        if is_mutation and trace is not None:
            trace.repeatable = False
        try:
            async with asyncio.timeout(seconds + ANSWER_SECONDS) as timeout:
                with self.running.mutation() if is_mutation else self.running.query(timeout):
                    return await super()._execute_operation(
                        execution_context,
                        extensions_runner,
                        middleware_manager,
                        execute_function,
                        custom_context_kwargs,
                    )
        except TimeoutError:
            if not timeout.expired():
                raise
        finally:
            loaders = getattr(execution_context.context, "loaders", None)
            if loaders is not None:  # batches run by themselves, and go on when who asked is cancelled
                loaders.stop()
        if self.running.are_cut and not is_mutation:
            error = GraphQLError(_STOPPING, extensions={"code": "UNAVAILABLE"})
        else:
            error = GraphQLError(_too_late(seconds, is_mutation=is_mutation), extensions={"code": "TIMEOUT"})
        self._process_errors([error], execution_context)
        execution_context.result = GraphQLExecutionResult(data=None, errors=[error])
        return execution_context.result


def _too_late(seconds: float, *, is_mutation: bool) -> str:
    if is_mutation:
        return f"The change took more than {seconds:g} seconds. Look whether it was made before asking for it again."
    return f"The answer took more than {seconds:g} seconds. Ask for less at a time, or try again."
