"""Values that many keys of a tenant have in common, stored once: the people of a tenant hold the same few sets of
licenses.

The form of such a key names a body by its digest. A process has the bodies that it met lately at hand, decoded, so
equal values are one object there, and what is worked out from one is worked out once. A body is stored for much
longer than any value that names it; where one is gone all the same, what names it counts as not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Any, Final, NamedTuple

DIGEST_BYTES: Final = 16
BODY_OVER_BYTES: Final = 256
"""What is smaller stands in its own form."""
BODY_SECONDS: Final = 2 * 86_400
STORED_AGAIN_SECONDS: Final = 86_400
"""A body that is stored again lives on; what names it lives for hours."""
MOST_BODIES: Final = 2_048
MOST_STORED: Final = 20_000


class Body(NamedTuple):
    """A decoded value, and the bytes of its JSON form."""

    value: Any
    json_bytes: int


class Bodies:
    """What one process knows of bodies."""

    def __init__(self) -> None:
        self._met: OrderedDict[tuple[str, str], Body] = OrderedDict()
        self._stored_at: dict[str, float] = {}

    def find(self, kind: str, digest: str) -> Body | None:
        """Gives a body that was met, of a value of that kind of look-up."""
        return self._met.get((kind, digest))

    def meet(self, kind: str, digest: str, body: Body) -> Body:
        """Has a body at hand, and gives it."""
        self._met[kind, digest] = body
        if len(self._met) > MOST_BODIES:
            self._met.popitem(last=False)
        return body

    def is_due(self, name: str, now: float) -> bool:
        """Whether the body with that name in Redis is to be stored, since this process did not do so lately."""
        return now - self._stored_at.get(name, float("-inf")) > STORED_AGAIN_SECONDS

    def stored(self, name: str, now: float) -> None:
        """Takes note of a body that is in Redis."""
        if len(self._stored_at) >= MOST_STORED:
            self._stored_at.clear()
        self._stored_at[name] = now

    def is_gone(self, name: str) -> None:
        """Takes note of a body that is not in Redis, whatever was thought."""
        self._stored_at.pop(name, None)

    def clear(self) -> None:
        self._met.clear()
        self._stored_at.clear()


def digest_of(data: bytes) -> str:
    """Gives the digest of a value's JSON form."""
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
