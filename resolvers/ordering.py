"""Comparing text as people do: without regard to case and accents."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "’": "'"}
)
"""Letters that Unicode does not take apart, though people who search write them plainly."""


def folded(text: str) -> str:
    """The text by which names are ordered: accents and case taken away."""
    # Most names have no accents, and are quicker made small than looked up.
    return text.lower() if text.isascii() else _folded(text)


def searchable(text: str) -> str:
    """The text in which is searched: as ordered, and with letters such as ł as people type them."""
    return text.lower() if text.isascii() else _searchable(text)


@lru_cache(maxsize=65_536)
def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()


@lru_cache(maxsize=65_536)
def _searchable(text: str) -> str:
    return _folded(text).translate(_LETTERS)
