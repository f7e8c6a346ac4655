"""Finds what must not be written down by the name of the member that holds it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.secret import Secret

_SECRET = re.compile(r"password|passwd|passphrase|pwd|secret|token|credential|assertion")
_HARMLESS = frozenset({"sendpasswordto"})
"""Named so, yet no secret: the addresses that a password is sent to."""


def names_a_secret(name: str) -> bool:
    """Tells whether a member of this name holds a password or the like, in whatever spelling."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    return plain not in _HARMLESS and _SECRET.search(plain) is not None


def find_secret(value: object, path: str = "", *, named: bool = False) -> str | None:
    """Gives the path to the first secret in a JSON-like value: a `Secret`, or anything below a telling name
    that is more than yes, no or nothing."""
    if isinstance(value, Secret):
        return path or "."
    if isinstance(value, Mapping):
        members = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        members = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return path if named and value is not None and not isinstance(value, bool) else None
    for name, inner in members:
        found = find_secret(inner, f"{path}.{name}".lstrip("."), named=named or names_a_secret(name))
        if found is not None:
            return found
    return None


def without_secrets(value: object, *, named: bool = False) -> object:
    """Gives the value with null in place of every secret that `find_secret` would find."""
    if isinstance(value, Secret):
        return None
    if isinstance(value, Mapping):
        return {name: without_secrets(inner, named=named or names_a_secret(str(name))) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [without_secrets(inner, named=named) for inner in value]
    return None if named and not isinstance(value, bool) else value
