"""Paths below Partner Center's root, as they are asked for and as its links name them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode, urlsplit

from services.errors import UpstreamError


def leads_away(path: str) -> bool:
    """Whether a path, relative to /v1, may lead out of it: one that climbs, in whatever spelling."""
    if not path.startswith("/") or "#" in path:
        return True
    if "." not in path and "%" not in path:
        return False
    steps = unquote(path.partition("?")[0]).replace("\\", "/").split("/")
    return ".." in steps or "." in steps


def with_params(path: str, params: Mapping[str, str] | str | None) -> str:
    """Gives the path with its query; a text is one already. Blanks become %20, as in Partner Center's own links."""
    path = path if path.startswith("/") else f"/{path}"
    query = params if params is None or isinstance(params, str) else urlencode(params, quote_via=quote)
    return f"{path}?{query}" if query else path


def path_of_link(uri: str) -> str:
    """Gives a link as path and query relative to /v1, whatever host it names.

    Links are relative to /v1, and in old traces begin with it. A host is dropped: the token is for ours.
    """
    try:
        parts = urlsplit(uri.strip())
    except ValueError as error:
        raise UpstreamError("Microsoft's answer holds a link that cannot be followed.") from error
    path = f"/{parts.path.lstrip('/')}"
    if path[:4].lower() == "/v1/":
        path = path[3:]
    return f"{path}?{parts.query}" if parts.query else path
