"""Comparing text as people do: without regard to case and accents."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "’": "'"}
)
"""Letters that Unicode does not take apart, though people who search or look down a list take them for plain ones."""


def folded(text: str) -> str:
    """The text by which names are ordered and searched: accents, strokes and case taken away."""
    # Most names have no accents, and are quicker made small than looked up.
    return text.lower() if text.isascii() else _folded(text)


@lru_cache(maxsize=65_536)
def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()
    return plain.translate(_LETTERS)
