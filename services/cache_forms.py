"""The form of a value in Redis, and how large values of each kind are: so many bytes are read at once, not more.

A form is a line of JSON that says what has to be known of the value, and then its JSON, or the digest of a body that
it has in common with others (`services.cache_bodies`). Over 1 MiB it is compressed.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import cache
from typing import Any, Final, Literal

import msgspec

from services.cache import LARGEST_ENTRY_BYTES, Absent, Kept
from services.generations import Generation
from services.lookups import Lookup, V
from services.upstream_turns import is_much_larger

COMPRESSED_OVER_BYTES: Final = 1024 * 1024
READ_AT_ONCE_BYTES: Final = 8 * 1024 * 1024
"""So much is read in one operation, going by what values of the kind were like lately: what is more takes longer
than an operation may, and memory."""
MOST_AT_ONCE: Final = 1_024
FEWEST_AT_ONCE: Final = 64
TELLING: Final = 32
"""So many values say what those of their kind are like, whatever was known before."""
_BODY = b"="
"""What a digest follows; no JSON begins so."""


class Head(msgspec.Struct, omit_defaults=True, gc=False):
    """What has to be known of a value, or that there is none."""

    v: Literal[3]
    generation: Generation
    at: float
    fresh: float
    renew: float
    absent: Absent | None = None


Form = tuple[Head, bytes, str]
"""A form that was read: its head, and the value's JSON or the digest of its body; of what is absent neither. A plain
tuple, since a thousand are made for one question."""


_encoder = msgspec.json.Encoder()
_head_decoder = msgspec.json.Decoder(Head)
encode_value = _encoder.encode


async def encode(generation: Generation, kept: Kept[Any], data: bytes, digest: str = "") -> bytes | None:
    """Gives the form of a value, with its JSON or the digest of that; None where it is too large to be kept."""
    raw = _encoder.encode(Head(3, generation, kept.fetched_at, kept.fresh_until, kept.renew_until, kept.absent))
    if kept.absent is None:
        raw = b"\n".join((raw, _BODY + digest.encode() if digest else data))
    if len(raw) <= COMPRESSED_OVER_BYTES:
        return raw
    return None if len(raw) > LARGEST_ENTRY_BYTES else await asyncio.to_thread(zlib.compress, raw, 1)


async def unpack(raw: bytes) -> bytes | None:
    """Gives a form that was compressed; None where it cannot be read."""
    try:
        return await asyncio.to_thread(_decompress, raw)
    except (zlib.error, ValueError):
        return None


def read_form(raw: bytes) -> Form | None:
    """Reads a form that is not compressed; None where it cannot be read."""
    first, line_end, data = raw.partition(b"\n")
    try:
        head = _head_decoder.decode(first)
        if bool(line_end) is (head.absent is not None):
            return None
        return (head, b"", data[1:].decode("ascii")) if data.startswith(_BODY) else (head, data, "")
    except ValueError:  # msgspec's errors are, too
        return None


def read_value(value_type: type[V], data: bytes) -> V:
    """Reads the JSON of a value; raises ValueError where it is none of that type."""
    value: V = _decoder(value_type).decode(data)  # type: ignore[arg-type]  # a type can be hashed
    return value


@cache
def _decoder(value_type: Any) -> msgspec.json.Decoder[Any]:  # the type is known at run time
    return msgspec.json.Decoder(value_type)


def _decompress(raw: bytes) -> bytes:
    inflate = zlib.decompressobj()
    plain = inflate.decompress(raw, LARGEST_ENTRY_BYTES + 1)
    if not inflate.eof:
        raise ValueError("cut short, or larger than anything that is kept")
    return plain


def claim_name(name: str, generation: Generation) -> str:
    """Gives the name under which a replica says that it fetches what belongs under another."""
    return f"{name}:claim:{generation}"


def takes(claimed_of: bytes | None, of_keys: int) -> bool:
    """Whether who wants so many keys fetches one in spite of an older claim: of a question so much larger that it may
    come to this key late."""
    if claimed_of is None:
        return True
    return claimed_of.isdigit() and is_much_larger(int(claimed_of), of_keys)


class ReadSizes:
    """How many values of a kind may be read at once, by look-up."""

    def __init__(self) -> None:
        self._bytes: dict[str, float] = {}
        self._most: dict[str, int] = {}

    def at_once(self, lookup: Lookup[Any, Any]) -> int:
        """Gives how many values come to what may be read at once."""
        fitting = int(READ_AT_ONCE_BYTES / max(1.0, self._bytes.get(lookup.kind, lookup.usual_bytes)))
        return max(FEWEST_AT_ONCE, min(fitting, self._most.get(lookup.kind, MOST_AT_ONCE)))

    def saw(self, lookup: Lookup[Any, Any], count: int, size_bytes: int) -> None:
        """Takes note of values that were read or stored."""
        if count:
            known = self._bytes.get(lookup.kind, lookup.usual_bytes)
            self._bytes[lookup.kind] = known + (size_bytes / count - known) * min(1.0, count / TELLING)

    def went(self, lookup: Lookup[Any, Any], count: int, *, well: bool) -> None:
        """Takes note of whether so many could be read in the time that there is: if not, it is half as many next time,
        and then slowly more again."""
        most = self._most.get(lookup.kind, MOST_AT_ONCE)
        if not well and count > FEWEST_AT_ONCE:
            self._most[lookup.kind] = count // 2
        elif well and most < MOST_AT_ONCE and count > most // 2:
            self._most[lookup.kind] = most + FEWEST_AT_ONCE
