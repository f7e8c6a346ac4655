"""Faults that are ordered through `POST /sandbox/faults`: statuses, delays, dropped connections.

The first rule that matches a request acts, after `skip` matches and `times` times; a rule that is still
skipping, used up, or passed over by `probability` lets the next one look.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

Reader = Callable[[object], object]


class InvalidRule(ValueError):
    """A rule that cannot be used; the text begins with the member at fault."""


@dataclass(slots=True, kw_only=True)
class FaultRule:
    method: str | None = None
    path: re.Pattern[str] | None = None
    """Searched in path and query."""
    status: int | None = None
    retry_after: int | None = None
    delay_ms: float = 0
    reset: bool = False
    """Drop the connection before anything is applied."""
    lost_answer: bool = False
    """Apply the request, then drop the connection."""
    truncate: bool = False
    """Send half of the body, then drop the connection."""
    skip: int = 0
    times: int | None = None
    probability: float = 1.0
    matched: int = 0
    acted: int = 0

    def fits(self, method: str, target: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        return (
            self.path is None or self.path.search(target) is not None or self.path.search(unquote(target)) is not None
        )

    def as_dict(self) -> dict[str, object]:
        members: dict[str, object] = {
            "method": self.method,
            "path": self.path.pattern if self.path else None,
            "status": self.status,
            "retry_after": self.retry_after,
            "delay_ms": self.delay_ms or None,
            "reset": self.reset or None,
            "lost_answer": self.lost_answer or None,
            "truncate": self.truncate or None,
            "skip": self.skip or None,
            "times": self.times,
            "probability": self.probability if self.probability < 1 else None,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(slots=True)
class Faults:
    rules: list[FaultRule] = field(default_factory=list)

    def next_for(self, method: str, target: str) -> FaultRule | None:
        """The rule that acts on this request, counted as used."""
        for rule in self.rules:
            if not rule.fits(method, target):
                continue
            rule.matched += 1
            if rule.matched <= rule.skip or (rule.times is not None and rule.acted >= rule.times):
                continue
            if rule.probability < 1 and random.random() >= rule.probability:
                continue
            rule.acted += 1
            return rule
        return None


def read_rules(value: object) -> list[FaultRule]:
    """The rules of a request's `rules` member; InvalidRule names what is wrong."""
    if not isinstance(value, list):
        raise InvalidRule("rules: must be an array")
    return [_read_rule(f"rules[{index}]", rule) for index, rule in enumerate(value)]


def _read_rule(where: str, value: object) -> FaultRule:
    if not isinstance(value, dict):
        raise InvalidRule(f"{where}: must be an object")
    rule = FaultRule()
    for name, member in value.items():
        if name not in _READERS:
            raise InvalidRule(f"{where}.{name}: no such member")
        if member is not None:
            try:
                setattr(rule, name, _READERS[name](member))
            except ValueError as error:
                raise InvalidRule(f"{where}.{name}: {error}") from None
    if rule.reset and (rule.lost_answer or rule.truncate or rule.status):
        raise InvalidRule(f"{where}.reset: cannot be joined with status, lost_answer or truncate")
    if rule.lost_answer and (rule.truncate or rule.status):
        raise InvalidRule(f"{where}.lost_answer: cannot be joined with status or truncate")
    if not (rule.status or rule.delay_ms or rule.reset or rule.lost_answer or rule.truncate):
        raise InvalidRule(f"{where}: needs status, delay_ms, reset, lost_answer or truncate")
    return rule


def _method(value: object) -> str:
    if not isinstance(value, str) or not value.isalpha():
        raise ValueError("must be the name of an HTTP method")
    return value.upper()


def _pattern(value: object) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise ValueError("must be a regular expression")
    try:
        return re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None


def _whole(least: int, most: int) -> Reader:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return read


def _number(least: float, most: float) -> Reader:
    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return value

    return read


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_MOST = 1_000_000_000
_READERS: Mapping[str, Reader] = {
    "method": _method,
    "path": _pattern,
    "status": _whole(400, 599),
    "retry_after": _whole(0, 86_400),
    "delay_ms": _number(0, 600_000),
    "reset": _flag,
    "lost_answer": _flag,
    "truncate": _flag,
    "skip": _whole(0, _MOST),
    "times": _whole(0, _MOST),
    "probability": _number(0, 1),
}
