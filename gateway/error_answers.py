"""What callers are told of an error: a message of ours, a stable code, never a stack or Microsoft's text."""

from __future__ import annotations

import re

from graphql import GraphQLError, GraphQLSyntaxError

from services.errors import GatewayError

INTERNAL_MESSAGE = "Something went wrong in the gateway. Its log has more under the request id of this answer."
_FOUND_TOKEN = re.compile(r",? found .*$|: (?:\"|').*$", re.DOTALL)
_GIVEN_VALUE = re.compile(r" (?:got|has) invalid value .*?(?=(?: at ['\"]|; |: ))", re.DOTALL)
LONGEST_MESSAGE = 200


def answer_of(error: GraphQLError) -> GraphQLError:
    """Gives the error as callers see it, with its path and places, and `extensions.code`."""
    cause = _cause(error)
    if isinstance(cause, GatewayError):
        return _with(error, cause.message, cause.extensions())
    if cause is not None:
        return _with(error, INTERNAL_MESSAGE, {"code": "INTERNAL"})
    if isinstance(error, GraphQLSyntaxError):
        # The text that was found may be part of a password: the place is enough to find it.
        return _with(error, _cut(_FOUND_TOKEN.sub("", error.message) + "."), {"code": "PARSE_FAILED"})
    if "code" in (error.extensions or {}):
        return error
    code = "BAD_INPUT" if error.path is not None or error.message.startswith("Variable ") else "VALIDATION_FAILED"
    return _with(error, _cut(_GIVEN_VALUE.sub(" has an invalid value", error.message)), {"code": code})


def is_internal(error: GraphQLError) -> bool:
    """Whether an error is a defect of ours: an exception that nobody raised on purpose."""
    cause = _cause(error)
    return cause is not None and not isinstance(cause, GatewayError)


def _cause(error: GraphQLError) -> BaseException | None:
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _with(error: GraphQLError, message: str, extensions: dict[str, object]) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        original_error=error.original_error,
        extensions=extensions,
    )


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
