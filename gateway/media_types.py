"""What a request is written in, and what its answer may be written in.

Types are parsed and compared whole: a type that merely holds the words `application/json` can be sent by a
form of any web page, without the browser asking first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_TOKEN})=({_TOKEN}|"[^"\\]*")[ \t]*)?')
_WEIGHT = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_NO_PLACE = -1.0


def parse_media_type(text: str) -> tuple[str, dict[str, str]] | None:
    """Gives the type in lower case and its parameters, or None for what is no media type."""
    found = _TYPE.match(text)
    if found is None:
        return None
    parameters: dict[str, str] = {}
    place = found.end()
    while place < len(text):
        parameter = _PARAMETER.match(text, place)
        if parameter is None:
            return None
        if parameter[1]:
            if parameter[1].lower() in parameters:
                return None
            parameters[parameter[1].lower()] = parameter[2].strip('"')
        place = parameter.end()
    return found[1].lower(), parameters


def is_json(content_type: str) -> bool:
    """Whether a body of this type can be read: JSON in UTF-8."""
    parsed = parse_media_type(content_type)
    if parsed is None or parsed[0] != JSON:
        return False
    return parsed[1].get("charset", "utf-8").lower() in ("utf-8", "utf8")


def answer_type(accept: Iterable[str]) -> str | None:
    """Gives the type to answer in, by the values of all `Accept` headers; None where we have none that is taken.

    The newer type is for those who name it: whoever takes everything may be a client from before it.
    """
    ranges = _ranges(accept)
    if not ranges:
        return JSON
    newer = ranges.get(GRAPHQL_RESPONSE, _NO_PLACE)
    older = next((ranges[each] for each in (JSON, "application/*", "*/*") if each in ranges), _NO_PLACE)
    if newer > 0 and newer >= older:
        return GRAPHQL_RESPONSE
    if older > 0:
        return JSON
    return None


def names_html(accept: Iterable[str]) -> bool:
    """Whether a page is asked for, as browsers do."""
    return _ranges(accept).get("text/html", _NO_PLACE) > 0


def _ranges(accept: Iterable[str]) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for part in ",".join(accept).split(","):
        parsed = parse_media_type(part)
        if parsed is None:
            continue
        weight = parsed[1].get("q", "1")
        ranges[parsed[0]] = max(ranges.get(parsed[0], 0.0), float(weight) if _WEIGHT.fullmatch(weight) else 0.0)
    return ranges
