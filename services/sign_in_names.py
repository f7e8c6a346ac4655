"""Sign-in names of new people: what they can be made of, who has one already, and which are free."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import count, islice

from services.models import User, UserStatus
from services.outcomes import Field, Problem, ProblemCode

LONGEST_USERNAME = 64
_USERNAME = re.compile(r"[A-Za-z0-9!#^~'_-]+(?:\.[A-Za-z0-9!#^~'_-]+)*")
"""What a sign-in name can be made of before the @: no dot at either end, nor two in a row.
Source: learn.microsoft.com/entra/identity/authentication/concept-sspr-policy (userPrincipalName policies)"""
SUGGESTIONS = 3
USERNAME: Field = ("input", "username")
DOMAIN: Field = ("input", "domain")


def username_problems(username: str) -> list[Problem]:
    """What is wrong with the part before the @."""
    if _USERNAME.fullmatch(username) and len(username) <= LONGEST_USERNAME:
        return []
    message = (
        f"A username has 1 to {LONGEST_USERNAME} letters, digits or any of . - _ ! # ^ ~ ', "
        "and no dot at its ends or beside another."
    )
    return [Problem(code=ProblemCode.INVALID, message=message, field=USERNAME)]


def domain_problems(domain: str, domains: Collection[str]) -> list[Problem]:
    """What is wrong with the part after the @."""
    if domain.lower() in {one.lower() for one in domains}:
        return []
    message = f"{domain} is no domain of the tenant. It has: {', '.join(sorted(one.lower() for one in domains))}."
    return [Problem(code=ProblemCode.INVALID, message=message, field=DOMAIN)]


def name_taken_problems(username: str, domain: str, everyone: Sequence[User]) -> list[Problem]:
    """The holder of the name, active or deleted, and names that are free."""
    name = f"{username}@{domain}".casefold()
    holder = next((user for user in everyone if user.user_principal_name.casefold() == name), None)
    if holder is None:
        return []
    deleted = ", who is deleted and can be restored," if holder.status is UserStatus.DELETED else ""
    message = f"{holder.display_name}{deleted} has the sign-in name {username}@{domain.lower()}."
    return [
        Problem(
            code=ProblemCode.NAME_TAKEN,
            message=message,
            field=USERNAME,
            holder=holder,
            suggestions=free_usernames(username, domain, everyone),
        )
    ]


def free_usernames(username: str, domain: str, everyone: Sequence[User]) -> tuple[str, ...]:
    """The username with the first numbers that nobody has."""
    taken = {user.user_principal_name.casefold() for user in everyone}
    numbers = (str(number) for number in count(2))
    names = (f"{username[: LONGEST_USERNAME - len(number)].rstrip('.')}{number}" for number in numbers)
    return tuple(islice((name for name in names if f"{name}@{domain}".casefold() not in taken), SUGGESTIONS))
