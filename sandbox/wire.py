"""How Partner Center writes JSON: answers, links, collections, dates, ids.

Sources: learn.microsoft.com/partner-center/developer/headers and …/utility-resources; responses are
camelCase, leave out null members, and write enums in snake case.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

Json = dict[str, object]

_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
_SERVER_ID = "0000112D"
_REQUEST_CONTEXT = "appId=cid-v1:03ce8ca8-8373-4021-8f25-d5dd45c7b12f"


@dataclass(slots=True)
class Answer:
    """A response before it is written. A body of None is an empty one."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    traced: bool = True
    """Whether it carries the MS-* headers; the gateway in front of the API adds none."""

    def content(self) -> bytes:
        return b"" if self.body is None else msgspec.json.encode(self.body)


def trace_headers(request_id: str, correlation_id: str) -> dict[str, str]:
    """The headers on everything that Partner Center itself answers."""
    return {
        "MS-RequestId": request_id,
        "MS-CorrelationId": correlation_id,
        "MS-CV": base64.b64encode(os.urandom(12)).decode() + ".0",
        "MS-ServerId": _SERVER_ID,
        "Request-Context": _REQUEST_CONTEXT,
    }


def present(members: Mapping[str, object]) -> Json:
    """The members that are not None: null ones are left out on this wire."""
    return {name: value for name, value in members.items() if value is not None}


def attributes(object_type: str, etag: str | None = None) -> Json:
    return {"objectType": object_type} if etag is None else {"etag": etag, "objectType": object_type}


def link(uri: str, headers: Iterable[tuple[str, str]] = ()) -> Json:
    return {
        "uri": uri,
        "method": "GET",
        "headers": [{"key": key, "value": value} for key, value in headers],
    }


def collection(items: list[Json], links: Json | None = None, continuation: str | None = None) -> Json:
    """`totalCount` is the number of items in this page, never the grand total."""
    body: Json = {"totalCount": len(items), "items": items}
    if continuation is not None:
        body["continuationToken"] = continuation
    if links is not None:
        body["links"] = links
    body["attributes"] = attributes("Collection")
    return body


def instant(moment: datetime) -> str:
    """2017-01-20T00:33:34Z, with a fraction when there is one."""
    text = moment.replace(tzinfo=None).isoformat()
    if "." in text:
        text = text.rstrip("0")
    return text + "Z"


def day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT00:00:00Z")


def is_guid(text: str) -> bool:
    return _GUID.match(text.lower()) is not None
