"""Global ids of objects: opaque to callers, stable, and enough to find the object again.

An id names the kind, the tenant and the Microsoft id. It carries no permission: whoever decodes one asks
for the object afterwards like everybody else.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import NamedTuple

LONGEST_ID = 512
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class GlobalId(NamedTuple):
    """Kind is a GraphQL type name; a tenant's own id has no `microsoft_id` beside the tenant."""

    kind: str
    tenant_id: str
    microsoft_id: str


@lru_cache(maxsize=32_768)
def encode_id(kind: str, tenant_id: str, microsoft_id: str = "") -> str:
    """Gives the global id as callers see it."""
    return urlsafe_b64encode(f"{kind}:{tenant_id}:{microsoft_id}".encode()).rstrip(b"=").decode()


def decode_id(text: str) -> GlobalId | None:
    """Reads a global id; None for anything that `encode_id` did not make."""
    if len(text) > LONGEST_ID:
        return None
    try:
        plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return None
    kind, _, rest = plain.partition(":")
    tenant_id, separator, microsoft_id = rest.partition(":")
    if not separator or not kind.isalpha() or not _GUID.fullmatch(tenant_id):
        return None
    if microsoft_id and not _GUID.fullmatch(microsoft_id):
        return None
    # Two spellings of one id would be two objects to a client's cache.
    return GlobalId(kind, tenant_id, microsoft_id) if encode_id(kind, tenant_id, microsoft_id) == text else None
