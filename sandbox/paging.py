"""Pages and continuation tokens.

A page links to the next through `links.next` (address and MS-ContinuationToken header) and repeats the token
as the member `continuationToken`, since the SDKs read the one or the other. A seek request need not repeat
size, filter or order: the token carries them. Sources:
learn.microsoft.com/partner-center/developer/get-invoice-unbilled-recon-lineitems (the link),
microsoft/partner-center-sdk-for-dotNET (the member, the seek operations).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import msgspec

from sandbox import refusals
from sandbox.asks import Ask, Query
from sandbox.wire import Json, collection, link

T = TypeVar("T")

_SEEK_OPERATIONS = ("next", "previous", "first", "last", "pageindex")


class _Place(msgspec.Struct, array_like=True):
    """What a continuation token says."""

    path: str
    query: list[tuple[str, str]]
    start: int
    end: int
    last_id: str


@dataclass(slots=True)
class Listing:
    """What a list request asks for: its own query, or that of the request its token came from."""

    path: str
    query: Query
    seek: str | None
    place: _Place | None

    @classmethod
    def read(cls, ask: Ask, path: str) -> Listing:
        seek = ask.query.first("seekOperation")
        if seek is not None and seek.lower() not in _SEEK_OPERATIONS:
            raise refusals.unknown_enum(seek)
        pairs = [(name, value) for name, value in ask.query.pairs if name.lower() != "seekoperation"]
        token = ask.headers.get("ms-continuationtoken", "")
        place = _read_token(token, path) if token and seek else None
        if place is not None:
            pairs = place.query
        elif seek is not None and seek.lower() in ("next", "previous"):
            raise refusals.invalid_input("A continuation token is needed.")
        return cls(path, Query(pairs), seek.lower() if seek else None, place)

    def page(
        self,
        everything: Sequence[T],
        shown: Callable[[T], bool],
        write: Callable[[T], Json],
        identify: Callable[[T], str],
        page_size: int,
    ) -> Json:
        """The page that is asked for, of those in `everything` that are shown; `page_size` is default and most.

        The rest is needed to find the place again when the last of a page stopped being shown meanwhile.
        """
        size = min(self.query.integer("size") or page_size, page_size)
        found = [item for item in everything if shown(item)]
        start = self._start(len(found), size)
        if start is None:
            start = _after(everything, shown, identify, self.place)
        end = min(start + size, len(found))
        items = [write(found[index]) for index in range(start, end)]
        links: Json = {"self": link(_uri(self.path, self.query.pairs))}
        last_id = identify(found[end - 1]) if items else ""
        token = _write_token(_Place(self.path, self.query.pairs, start, end, last_id))
        following = end < len(found)
        if following:
            links["next"] = self._seek_link("Next", token)
        if start > 0:
            links["previous"] = self._seek_link("Previous", token)
        return collection(items, links, token if following else None)

    def _start(self, count: int, size: int) -> int | None:
        """None for the page after a token's place."""
        place = self.place
        if self.seek == "first":
            return 0
        if self.seek == "last":
            return max(0, (count - 1) // size * size)
        if self.seek == "pageindex":
            return min(self.query.integer("offset") * size, count)
        if place is None:
            return min(self.query.integer("offset"), count)
        if self.seek == "previous":
            return max(0, place.start - size)
        return None

    def _seek_link(self, operation: str, token: str) -> Json:
        uri = _uri(self.path, [*self.query.pairs, ("seekOperation", operation)])
        return link(uri, [("MS-ContinuationToken", token)])


def _after(
    everything: Sequence[T], shown: Callable[[T], bool], identify: Callable[[T], str], place: _Place | None
) -> int:
    """How many are shown up to the last item of `place`; where it ended, when that item is gone for good."""
    assert place is not None
    count = 0
    for item in everything:
        count += shown(item)
        if identify(item) == place.last_id:
            return count
    return min(max(0, place.end - 1), count)


def _uri(path: str, pairs: list[tuple[str, str]]) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    return f"{path}?{query}" if query else path


def _write_token(place: _Place) -> str:
    return base64.b64encode(msgspec.json.encode(place)).decode()


def _read_token(token: str, path: str) -> _Place:
    try:
        place = msgspec.json.decode(base64.b64decode(token, validate=True), type=_Place)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        raise refusals.invalid_input("The continuation token is not valid.") from None
    if place.path != path:
        raise refusals.invalid_input("The continuation token belongs to another collection.")
    return place
