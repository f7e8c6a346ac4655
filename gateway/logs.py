"""What the gateway writes to its log: one event a line on stderr, as JSON or for reading.

Secrets are kept out twice: by name here, and by not handing them over in the first place. Libraries speak
from WARNING on only: below that, httpcore and websockets print headers, httpx and uvicorn whole URLs.
`strawberry.execution` says nothing at all, since its errors hold lines of the caller's document.

`structlog.contextvars.bind_contextvars(request_id=…)` puts the id on every line of the running request.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any, Literal, TextIO
from urllib.parse import urlsplit

import structlog
from structlog.typing import Processor

from services.secret import MASK

OURS = ("gateway", "schema", "resolvers", "loaders", "services", "sandbox")
_MASKED = frozenset({"authorization", "cookie", "password", "value", "secret", "token", "assertion", "code"})
"""Masked as a whole name and as the last word of one, such as `refresh_token`; but `code` as a whole only: an
error's own is written as `error_code` or `upstream_code`."""


def configure_logging(level: str, form: Literal["json", "console"] | None = None, stream: TextIO | None = None) -> None:
    """Sets up every logger of this process. Without a form: console on a terminal, else JSON."""
    stream = stream or sys.stderr
    console = form == "console" or (form is None and stream.isatty())
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    rendering: list[Processor] = []
    if console:
        # The plain form: the others print the variables of every frame.
        plain = structlog.dev.plain_traceback
        rendering.append(structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain))
    else:
        rendering += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(stream)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[without_meta, *rendering])
    )
    structlog.configure(
        processors=[*common, *rendering],
        logger_factory=lambda *names: _Lines(handler, *names),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)
    silent = logging.getLogger("strawberry.execution")
    silent.handlers, silent.propagate = [logging.NullHandler()], False
    logging.captureWarnings(True)


class _Lines:
    """Writes finished lines through a handler, in turn with those of libraries. The detour over records of
    `logging` would cost as much as the rest of a small request."""

    def __init__(self, handler: logging.StreamHandler[TextIO], name: str = "gateway") -> None:
        self._handler = handler
        self.name = name

    def msg(self, line: str) -> None:
        handler = self._handler
        with handler.lock or nullcontext():
            try:
                handler.stream.write(line + handler.terminator)
                handler.stream.flush()
            except (OSError, ValueError):  # nobody reads the log any more: that stops no request
                return

    debug = info = warning = error = critical = msg


def mask_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Masks what is named like a secret, and user and password in addresses, at any depth."""
    for name, value in event.items():
        event[name] = _masked(name, value)
    return event


def _masked(name: str, value: Any) -> Any:  # Any: whatever is logged
    plain = name.lower().replace("-", "_")
    last = plain.rpartition("_")[2]
    if plain in _MASKED or (last in _MASKED and last != "code"):
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    if last == "url" and isinstance(value, str):
        return _without_user(value)
    return value


def _without_user(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
