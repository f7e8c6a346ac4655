"""Requests that are not answered: the status, and why."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from gateway.media_types import JSON


class HttpRefused(Exception):
    """A request that is refused before GraphQL has a part in it."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        code: str = "BAD_REQUEST",
        headers: Mapping[str, str] | None = None,
        figures: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers
        self.figures = figures or {}

    def response(self, media_type: str = JSON) -> Response:
        return error_response(self.status, self.message, {"code": self.code, **self.figures}, self.headers, media_type)


def error_response(
    status: int,
    message: str,
    extensions: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """An answer of one error in the shape of GraphQL's, whatever the status."""
    body = msgspec.json.encode({"errors": [{"message": message, "extensions": extensions}]})
    return Response(body, status, headers, f"{media_type}; charset=utf-8")


def too_large(limit: int, asked: int) -> HttpRefused:
    return HttpRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"A body may have {limit:,} bytes, and this has {'at least ' if asked == limit + 1 else ''}{asked:,}.",
        code="BODY_TOO_LARGE",
        headers={"Connection": "close"},
        figures={"limit": limit, "asked": asked},
    )
