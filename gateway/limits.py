"""The limits on what a caller may send: their figures, and the refusal that names one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from services.errors import GatewayError

if TYPE_CHECKING:
    from gateway.config import Settings

LONGEST_ECHO = 100
"""Characters of a caller's own text that a message repeats."""


class LimitExceeded(GatewayError):
    """More was asked for than a limit allows. `field` names what weighs most, where something does."""

    def __init__(self, code: str, message: str, *, limit: int, asked: int, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.limit = limit
        self.asked = asked
        self.field = field

    def extensions(self) -> dict[str, object]:
        given: dict[str, object] = {"code": self.code, "limit": self.limit, "asked": self.asked}
        return given if self.field is None else given | {"field": self.field}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each is the setting of the same name, by default as in docs/configuration.md."""

    max_query_bytes: int = 64 * 1024
    max_tokens: int = 2_000
    max_operations: int = 10
    max_variables: int = 100
    max_fragments: int = 50
    max_depth: int = 15
    max_levels: int = 40
    max_aliases: int = 20
    max_mutation_fields: int = 5
    max_fields: int = 2_000
    max_repeats: int = 20
    max_directives: int = 50
    max_directives_per_node: int = 5
    max_page_size: int = 500
    max_cost_nodes: int = 10_000
    max_cost_calls: int = 5_000
    max_list_items: int = 100
    max_text_characters: int = 256
    max_id_characters: int = 512
    max_validation_errors: int = 10
    max_remembered_documents: int = 256
    max_remembered_document_bytes: int = 8 * 1024
    query_timeout_seconds: float = 30.0
    mutation_timeout_seconds: float = 90.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})


def cut(text: str) -> str:
    """A caller's own text, short enough to be repeated."""
    return text if len(text) <= LONGEST_ECHO else text[: LONGEST_ECHO - 1] + "…"
