"""A text that nothing prints: passwords, client secrets, refresh tokens, URLs that hold a password."""

from __future__ import annotations

from hmac import compare_digest

MASK = "********"


class Secret:
    """Masked in `repr`, `str`, every format, JSON and pickle; `reveal()` is the only way to the text.

    A copy of a pickled secret holds the mask and not the text: a secret does not travel to another process.
    JSON encoders refuse the type, and those that fall back to `str` write the mask.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        return self.__text

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, specification: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self.__text.encode(), other.__text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (MASK,)
