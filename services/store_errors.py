"""Why a change was refused before anything of it was sent: something that must be kept first was not to be had.

    UpstreamError
    ├── StoreUnavailable    idempotency keys cannot be kept now
    ├── AuditUnavailable    the audit record can be put nowhere
    └── LockTimeout         another change of the same thing is still running

To callers all three are `UPSTREAM_ERROR` with nothing written; asking again can help, so `sent` is False.
"""

from __future__ import annotations

from services.errors import UpstreamError


class StoreUnavailable(UpstreamError):
    """Redis, which is configured, does not answer, or takes nothing in."""

    def __init__(self, message: str = "Idempotency keys cannot be kept at the moment; nothing was changed.") -> None:
        super().__init__(message, sent=False)


class AuditUnavailable(UpstreamError):
    """The audit log cannot be written or read."""

    def __init__(self, message: str = "The audit log cannot be reached at the moment; nothing was changed.") -> None:
        super().__init__(message, sent=False)


class LockTimeout(UpstreamError):
    """Another change of the same thing did not end within the time that was left."""

    def __init__(self) -> None:
        super().__init__("Another change of the same thing is still running; nothing was changed.", sent=False)
