"""The manifest of the only operations that run, where there is one.

It is read once, at start. Nothing that a client sends is ever added to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from graphql import GraphQLError, parse

from gateway.config import ConfigError

VARIABLE = "GATEWAY_TRUSTED_DOCUMENTS"
APOLLO_FORMAT = "apollo-persisted-query-manifest"
LARGEST_MANIFEST_BYTES = 64 * 1024 * 1024
LONGEST_ID = 512


class NotTrusted(Exception):
    """The operation is not in the manifest."""

    code = "DOCUMENT_NOT_TRUSTED"

    def __init__(self) -> None:
        super().__init__("Only operations of a list agreed beforehand are answered here, and this is none of them.")


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """Documents by every name that they go by: the manifest's id, and the SHA-256 of their text."""

    by_name: Mapping[str, str]

    def find(self, names: tuple[str, ...], text: str | None) -> str:
        """Gives the document that a request means, or raises NotTrusted. All that it gives must mean the same."""
        meant = {self._named(name) for name in names}
        if text is not None:
            meant.add(self._named(_digest(text)))
        if len(meant) != 1:
            raise NotTrusted
        return meant.pop()

    def _named(self, name: str) -> str:
        found = self.by_name.get(name)
        if found is None:
            raise NotTrusted
        return found


def load_trusted_documents(path: Path | None) -> TrustedDocuments | None:
    """Reads the manifest, or refuses to start with one that cannot be used; None where none is set."""
    if path is None:
        return None
    documents = _documents(_read(path))
    if not documents:
        raise ConfigError(VARIABLE, "names a manifest without an operation.")
    by_name = {_digest(text): text for text in documents.values()}
    for name, text in documents.items():
        if by_name.setdefault(name, text) != text:
            raise ConfigError(VARIABLE, "names a manifest where an id is the SHA-256 of another document.")
    return TrustedDocuments(by_name)


def _read(path: Path) -> Any:  # Any: JSON
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_MANIFEST_BYTES + 1)
        if len(raw) > LARGEST_MANIFEST_BYTES:
            raise ConfigError(VARIABLE, "names a manifest of more than 64 MiB.")
        return msgspec.json.decode(raw)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as failure:
        raise ConfigError(VARIABLE, "must name a JSON file that can be read.") from failure


def _documents(manifest: Any) -> dict[str, str]:
    if isinstance(manifest, dict) and "operations" in manifest and "format" in manifest:
        if manifest["format"] != APOLLO_FORMAT or manifest.get("version") != 1:
            raise ConfigError(VARIABLE, f"names a manifest that is not {APOLLO_FORMAT} version 1.")
        entries = [_apollo_entry(each) for each in _list(manifest["operations"])]
    elif isinstance(manifest, dict):
        entries = list(manifest.items())
    else:
        raise ConfigError(VARIABLE, "must name a JSON object from ids to documents.")
    documents: dict[str, str] = {}
    for name, text in entries:
        if documents.setdefault(name, text) != text:
            raise ConfigError(VARIABLE, "names a manifest with two documents of one id.")
        _check(name, text)
    return documents


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(VARIABLE, "names a manifest whose operations are no list.")
    return value


def _apollo_entry(entry: Any) -> tuple[Any, Any]:
    return (entry.get("id"), entry.get("body")) if isinstance(entry, dict) else (None, None)


def _check(name: Any, text: Any) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ID or not isinstance(text, str):
        raise ConfigError(VARIABLE, "names a manifest in which an entry is not an id with a document.")
    try:
        parse(text)
    except GraphQLError as error:
        raise ConfigError(VARIABLE, "names a manifest in which a document is no GraphQL.") from error


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
