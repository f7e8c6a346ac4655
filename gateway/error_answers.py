"""What callers are told of an error: a message of ours, a stable code, never a stack or Microsoft's text.

graphql-core's messages repeat what was given: literals, whole input objects, variables, the text where parsing
ended. Any of it may be a password. So of a message about a value only the beginning is passed on, which names
the variable, the place and what was expected there; a message of a form that is not known here says less.
"""

from __future__ import annotations

import re

from graphql import GraphQLError, GraphQLSyntaxError

from schema.scalars import WHAT_SCALARS_EXPECT
from services.errors import GatewayError

INTERNAL_MESSAGE = "Something went wrong in the gateway. Its log has more under the request id of this answer."
LONGEST_MESSAGE = 200

_SYNTAX = re.compile(
    r"Syntax Error: (Expected (?:'[^']{1,12}'|<\w{3}>|Name|String|Int|Float)(?=, found)"
    r"|Unexpected (?:<EOF>|'(?:[!$&()\[\]:=@{|}]|\.\.\.)')|Unterminated string|Invalid number|Invalid character"
    r"|Document contains more than \d+ \w+"
    r"|Document nested too deeply)"
)
"""What the parser waited for; a text found instead, or a character, is never in it."""

_ABOUT_NAMES = re.compile(
    r"Cannot |Unknown |Fields? '|Fragment |Directive |The (?:directive|query|mutation|subscription) "
    r"|This anonymous |Anonymous |Subscription "
    r"|There can be only one (?:argument|variable|operation|fragment|directive)"
    r"|Variable '\$\w+' (?:is |of type |of required type )|Argument '[^']*' of type "
    r"|OneOf Input Object '\w+' must |Value for member field '\w+' must |Variable '\$?\w+' must be non-nullable "
    r"|GraphQL introspection |Maximum introspection |Too many |Must provide "
)
"""Rules that compare names and types, none of them with values. (Fields that conflict name no arguments.)"""

_WHERE = re.compile(
    r"(?:Variable '\$\w+'|Argument '[\w.@]+\(\w+:\)') has invalid (?:default )?value(?: at [\w.\[\]]+)?: "
)

_EXPECTATIONS = (
    re.compile(r"Expected value of type '[\[\]!\w]+' (?:to be an object|to include required field '\w+')"),
    re.compile(r"Expected value of type '[\[\]!\w]+' not to include unknown field"),
    re.compile(r"Expected (?:a )?value of non-null type '[\[\]!\w]+' (?:not to be None|to be provided)"),
    re.compile(r"Expected value of type '[\[\]!\w]+'"),
    re.compile(r"Expected variable '\$\w+' provided to (?:field '\w+'|(?:non-null )?type '[\[\]!\w]+')"),
    re.compile(r"Exactly one key must be specified for OneOf type '\w+'"),
)
_LEAF = re.compile(r"(?:Enum '(\w+)'|(\w+)) cannot represent ")
_ENUM = re.compile(r"Value '.*' does not exist in '(\w+)' enum\.", re.DOTALL)
_OF_VARIABLES = ("Variable ", "OneOf Input Object ", "Value for member field ")
"""How messages about values begin that came in variables; what is wrong in a document is told in `documents`."""
_TWICE = "An input field is given twice."
_UNUSABLE = "A value cannot be used here."


def answer_of(error: GraphQLError) -> GraphQLError:
    """Gives the error as callers see it, with its path and places, and `extensions.code`."""
    cause = _cause(error)
    if isinstance(cause, GatewayError):
        return _with(error, cause.message, cause.extensions())
    if cause is not None:
        return _with(error, INTERNAL_MESSAGE, {"code": "INTERNAL"})
    if isinstance(error, GraphQLSyntaxError):
        known = _SYNTAX.match(error.message)
        return _with(error, f"Syntax Error: {known[1]}." if known else "Syntax Error.", {"code": "PARSE_FAILED"})
    if "code" in (error.extensions or {}):
        return error
    of_input = error.path is not None or _WHERE.match(error.message) or error.message.startswith(_OF_VARIABLES)
    return _with(error, _cut(_harmless(error.message)), {"code": "BAD_INPUT" if of_input else "VALIDATION_FAILED"})


def is_internal(error: GraphQLError) -> bool:
    """Whether an error is a defect of ours: an exception that nobody raised on purpose."""
    cause = _cause(error)
    return cause is not None and not isinstance(cause, GatewayError)


def _harmless(message: str) -> str:
    """The message without any value that was given."""
    if _ABOUT_NAMES.match(message):
        return message
    if message.startswith("There can be only one input field "):
        return _TWICE
    where = _WHERE.match(message)
    return (where[0] if where else "") + _expectation(message[where.end() :] if where else message)


def _expectation(message: str) -> str:
    if message in WHAT_SCALARS_EXPECT:
        return message
    for known in _EXPECTATIONS:
        if found := known.match(message):
            return f"{found[0]}."
    if found := _ENUM.fullmatch(message.partition(" Did you mean ")[0]):
        return f"The value does not exist in '{found[1]}' enum."
    if found := _LEAF.match(message):
        return f"{found[1] or found[2]} cannot represent the value."
    return _UNUSABLE


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
