"""From an HTTP request to the operation it asks for. What is malformed is refused here, never answered with 500."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.requests import ClientDisconnect, Request

from gateway.http_refusals import HttpRefused, too_large
from gateway.media_types import is_json

METHODS = "GET, HEAD, POST"
_NAMES = ("query", "variables", "operationName", "extensions", "documentId", "id")
_MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class RequestLimits:
    max_body_bytes: int
    max_json_depth: int
    body_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class AskedOperation:
    """What a request asks for, with members of the right types and nothing more known of them."""

    query: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None
    document_id: str | None
    body: bytes | None = None
    """The bytes that all of this stands in; None for a GET request."""


async def read_request(request: Request, limits: RequestLimits) -> AskedOperation:
    """Reads a GET or POST request."""
    if request.method == "GET":
        return read_members(_from_url(request.scope["query_string"]), limits)
    if request.method == "POST":
        _check_body_type(request)
        body = await _read_body(request, limits)
        return replace(read_members(decode(body), limits), body=body)
    raise HttpRefused(HTTPStatus.METHOD_NOT_ALLOWED, f"Only {METHODS} are answered here.", headers={"Allow": METHODS})


def names_operation(request: Request) -> bool:
    """Whether the URL has a parameter that asks for something."""
    names = {part.partition(b"=")[0] for part in request.scope["query_string"].split(b"&")}
    return not names.isdisjoint(name.encode() for name in _NAMES)


def _check_body_type(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unsupported("Compressed bodies are not taken.")
    types = request.headers.getlist("content-type")
    if len(types) != 1 or not is_json(types[0]):
        raise _unsupported("The body must be JSON in UTF-8, with Content-Type: application/json.")


def _unsupported(message: str) -> HttpRefused:
    return HttpRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, headers={"Connection": "close"})


async def _read_body(request: Request, limits: RequestLimits) -> bytes:
    most = limits.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > most):
        raise too_large(most, int(declared[:18]))
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large(most, most + 1)
    except TimeoutError as late:
        raise HttpRefused(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body did not arrive within {limits.body_timeout_seconds:g} seconds.",
            code="TIMEOUT",
            headers={"Connection": "close"},
        ) from late
    except ClientDisconnect as gone:
        raise _malformed("The body ended too early.") from gone
    return bytes(body)


def _from_url(query_string: bytes) -> dict[str, Any]:
    """The parameters of a GET request. Each may come once; those that are not ours are passed over."""
    found: dict[str, Any] = {}
    parts = query_string.split(b"&")
    if len(parts) > _MOST_PARAMETERS:
        raise _malformed("The URL has too many parameters.")
    for part in parts:
        name, _, value = part.partition(b"=")
        try:
            key = _unquoted(name)
            if key not in _NAMES:
                continue
            text = _unquoted(value)
        except UnicodeDecodeError as error:
            raise _malformed("The URL's parameters are not UTF-8.") from error
        if key in found:
            raise _malformed(f"The parameter {key} is given twice.")
        found[key] = text
    for key in ("variables", "extensions"):
        if key in found:
            found[key] = decode(found[key].encode()) if found[key] else None
    return found


def _unquoted(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8")


def decode(text: bytes | str) -> Any:  # Any: JSON
    """Reads JSON strictly: no NaN, no number beyond all range, no half of a surrogate pair, no bottomless nesting."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _malformed("The request is not well-formed JSON in UTF-8.") from error


def read_members(members: Any, limits: RequestLimits) -> AskedOperation:
    """Reads what a body or a message of a socket holds, whatever that is."""
    if isinstance(members, list):
        raise _malformed("Several requests in one (batches) are not taken: send one at a time.")
    if not isinstance(members, dict):
        raise _malformed("The request must be a JSON object.")
    document_id = _member(members, "documentId", str, "a text")
    return AskedOperation(
        query=_member(members, "query", str, "a text"),
        variables=_nested(members, "variables", limits),
        operation_name=_member(members, "operationName", str, "a text"),
        extensions=_nested(members, "extensions", limits),
        document_id=document_id if document_id is not None else _member(members, "id", str, "a text"),
    )


def _member(members: Mapping[str, Any], name: str, kind: type, expected: str) -> Any:
    value = members.get(name)
    if value is not None and not isinstance(value, kind):
        raise _malformed(f"{name} must be {expected}, or null.")
    return value


def _nested(members: Mapping[str, Any], name: str, limits: RequestLimits) -> Any:
    value = _member(members, name, dict, "an object")
    if value is not None and depth_of(value, limits.max_json_depth) > limits.max_json_depth:
        raise _malformed(f"{name} may nest {limits.max_json_depth} deep at most.")
    return value


def depth_of(value: object, most: int) -> int:
    """How deep JSON nests; counting ends one beyond `most`."""
    level, depth = [value], 0
    while level and depth <= most:
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not any(isinstance(each, (dict, list)) for each in level):
            break
        level, depth = inner, depth + 1
    return depth


def _malformed(message: str) -> HttpRefused:
    return HttpRefused(HTTPStatus.BAD_REQUEST, message)
