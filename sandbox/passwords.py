"""Which passwords the directory accepts.

8 to 256 characters, three of four classes, and not the user's name in it. Source: learn.microsoft.com
"Password policies and account restrictions in Microsoft Entra ID". The list of banned passwords is
Microsoft's own and left out.
"""

from __future__ import annotations

from sandbox import refusals

_LEAST, _MOST = 8, 256
_CLASSES_NEEDED = 3
_SHORTEST_NAME = 3
"""Shorter names may stand in a password: nearly every word would hold them."""


def check_password(password: str, user_principal_name: str) -> None:
    name = user_principal_name.partition("@")[0].lower()
    named = len(name) >= _SHORTEST_NAME and name in password.lower()
    if not _LEAST <= len(password) <= _MOST or _count_classes(password) < _CLASSES_NEEDED or named:
        raise refusals.invalid_property(refusals.WEAK_PASSWORD)


def _count_classes(password: str) -> int:
    return sum(
        (
            any(character.islower() for character in password),
            any(character.isupper() for character in password),
            any(character.isdigit() for character in password),
            any(not character.isalnum() for character in password),
        )
    )
