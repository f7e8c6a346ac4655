"""A request's JSON, read without regard to the case of names.

Requests may be camelCase or PascalCase at every level, with explicit nulls (the .NET SDK sends them); unknown
members are ignored. Sources: learn.microsoft.com/partner-center/developer/assign-licenses-to-a-user and
…/set-user-roles-for-a-customer.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sandbox.refusals import invalid_input


class Members:
    """Members of one JSON object. An absent member and a null one are both None."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    @classmethod
    def parse(cls, content: bytes) -> Members:
        """Refuses (800002) what is not a JSON object; a byte order mark is allowed."""
        try:
            value = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise invalid_input("The body is not JSON.") from None
        if not isinstance(value, dict):
            raise invalid_input("The body is not a JSON object.")
        return cls(value)

    def value(self, name: str) -> object:
        return self._values.get(name.lower())

    def text(self, name: str) -> str | None:
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise invalid_input(f"{name} must be a text.")

    def integer(self, name: str) -> int | None:
        value = self.value(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit():
            return int(value)
        raise invalid_input(f"{name} must be an integer.")

    def flag(self, name: str) -> bool | None:
        value = self.value(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise invalid_input(f"{name} must be true or false.")

    def members(self, name: str) -> Members | None:
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, dict):
            return Members(value)
        raise invalid_input(f"{name} must be an object.")

    def items(self, name: str) -> list[object] | None:
        value = self.value(name)
        if value is None or isinstance(value, list):
            return value
        raise invalid_input(f"{name} must be an array.")

    def texts(self, name: str) -> list[str] | None:
        values = self.items(name)
        if values is None:
            return None
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) != len(values):
            raise invalid_input(f"{name} must hold texts.")
        return texts
