"""Which passwords Microsoft takes, told before it is asked, and passwords of our own making.

Source: learn.microsoft.com/entra/identity/authentication/concept-sspr-policy ("Password policies and account
restrictions in Microsoft Entra ID") for length, kinds and characters; that a user's names must not occur:
…/authentication/concept-password-ban-bad. Microsoft's list of banned passwords is its own: it may still refuse.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from services.secret import Secret

LEAST_CHARACTERS: Final = 8
MOST_CHARACTERS: Final = 256
KINDS_NEEDED: Final = 3
SHORTEST_NAME: Final = 3
"""Shorter names may stand in a password: nearly every word would hold them."""

SYMBOLS: Final = "@#$%^&*-_!+=[]{}|\\:',.?/`~\"();<>"
_KINDS: Final = (
    frozenset(ascii_lowercase),
    frozenset(ascii_uppercase),
    frozenset(digits),
    frozenset(SYMBOLS + " "),  # Microsoft lists the blank among them
)
_ALLOWED: Final = frozenset[str]().union(*_KINDS)

TOO_SHORT: Final = f"It must have at least {LEAST_CHARACTERS} characters."
TOO_LONG: Final = f"It must have at most {MOST_CHARACTERS} characters."
TOO_FEW_KINDS: Final = "It must mix at least three of these: lower-case letters, upper-case letters, digits, symbols."
NOT_ALLOWED: Final = (
    f"It may hold only letters from A to Z without accents, digits, blanks and these symbols: {' '.join(SYMBOLS)}"
)
BLANK_AT_THE_ENDS: Final = "It must neither begin nor end with a blank."
HOLDS_THE_NAME: Final = "It must not contain the user's name."

GENERATED_CHARACTERS: Final = 16
GENERATED_KINDS: Final = ("abcdefhkmnprtuvwxy", "ACEFHJKLMNPRTUVWXY", "34679", "#$%?!")
"""What generated passwords are made of: 46 characters, so 88 bits for 16 of them. Left out is what is taken for
another one in some typeface or hand (0 O o Q D, 1 I l i j |, 2 Z z, 5 S s, 8 B, G, g q), and the symbols that
HTML, mail programs, chats or spreadsheets change or take for something else (< > & ' " ` \\ @ * _ ~ = + - and
punctuation)."""


def violations(password: str, user_names: Iterable[str]) -> list[str]:
    """Every way in which Microsoft's policy is violated, as sentences for callers; empty for a good password.

    `user_names` are the user principal name, of which the part before the @ counts, and other names to keep out
    of it. No sentence holds anything of the password or of the names.
    """
    found = []
    if len(password) < LEAST_CHARACTERS:
        found.append(TOO_SHORT)
    if len(password) > MOST_CHARACTERS:
        found.append(TOO_LONG)
    if sum(not kind.isdisjoint(password) for kind in _KINDS) < KINDS_NEEDED:
        found.append(TOO_FEW_KINDS)
    if not _ALLOWED.issuperset(password):
        found.append(NOT_ALLOWED)
    if password.strip() != password:
        found.append(BLANK_AT_THE_ENDS)
    if _holds_a_name(password, user_names):
        found.append(HOLDS_THE_NAME)
    return found


def generate(user_names: Iterable[str] = ()) -> Secret:
    """A password by chance that holds all four kinds and keeps the policy for a user of these names."""
    alphabet, names = "".join(GENERATED_KINDS), tuple(user_names)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(GENERATED_CHARACTERS))
        of_every_kind = not any(set(kind).isdisjoint(password) for kind in GENERATED_KINDS)
        if of_every_kind and not violations(password, names):
            return Secret(password)


def _holds_a_name(password: str, user_names: Iterable[str]) -> bool:
    folded = password.casefold()
    names = (name.partition("@")[0].strip().casefold() for name in user_names)
    return any(len(name) >= SHORTEST_NAME and name in folded for name in names)
