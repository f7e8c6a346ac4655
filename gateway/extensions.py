"""What happens around every operation: figures into `extensions`, errors into answers and into the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import structlog
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from gateway.error_answers import answer_of, is_internal
from gateway.execution import LimitedSchema
from gateway.metrics import count_errors, count_use
from resolvers.context import GatewayContext

log = structlog.get_logger("gateway.operations")


class Figures(SchemaExtension):
    """Puts the request id and what the request cost upstream into every answer."""

    def get_results(self) -> dict[str, Any]:
        context = self.execution_context.context
        if not isinstance(context, GatewayContext):
            return {}
        use = context.upstream_use
        return {
            "requestId": context.request_id,
            "upstream": {
                "calls": use.calls,
                "cacheHits": use.cache_hits,
                "cacheMisses": use.cache_misses,
                "stale": len(use.stale),
                "waitedMs": round(use.waited_seconds * 1000),
                "throttledSeconds": round(use.throttled_seconds),
            },
        }


class ErrorAnswers(SchemaExtension):
    """Tells callers of errors in words and codes of ours, and counts what the operation came to."""

    def on_operation(self) -> Iterator[None]:
        yield
        context = self.execution_context.context
        if isinstance(context, GatewayContext):
            count_use(context.upstream_use)
        result = self.execution_context.result
        errors = getattr(result, "errors", None)
        if errors:
            result.errors = [answer_of(error) for error in errors]  # type: ignore[union-attr]  # it has errors
            count_errors(str((error.extensions or {}).get("code")) for error in result.errors)  # type: ignore[union-attr]


class GatewaySchema(LimitedSchema):
    """The schema as served. The stock log of errors holds lines of the document, so a password: ours does not."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            answer = answer_of(error)
            code = (answer.extensions or {}).get("code")
            path = ".".join(str(part) for part in error.path or ())
            if is_internal(error):
                cause = error.original_error
                log.error("operation failed", error_code=code, path=path, exc_info=cause)
            else:
                log.info("error answered", error_code=code, path=path)


EXTENSIONS: list[Callable[[], SchemaExtension]] = [
    Figures,
    ErrorAnswers,
]
