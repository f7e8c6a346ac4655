"""Mails with a new password, or about one: what is told to whom, and what became of it.

A mail goes out after Microsoft took the change, and its failure never undoes the change: it is told in the
answer as a `Delivery`. `services.mailer_smtp` sends; `LogMailer` is the plain twin where no mail is configured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import structlog

from services.log_text import hashed
from services.secret import Secret

NOT_CONFIGURED: Final = (
    "Mail is not configured, so nothing was sent. "
    "Whoever runs the gateway can set GATEWAY_SMTP_URL and GATEWAY_MAIL_FROM."
)

log = structlog.get_logger(__name__)


class DeliveryKind(Enum):
    PASSWORD = "PASSWORD"
    """The new password itself."""
    NOTICE = "NOTICE"
    """That the password was reset, without the password."""


class DeliveryStatus(Enum):
    SENT = "SENT"
    """The mail server took it."""
    QUEUED = "QUEUED"
    """The mail server did not take it yet; the gateway tries again for a while."""
    FAILED = "FAILED"
    NOT_SENT_DRY_RUN = "NOT_SENT_DRY_RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail to one address, about one user. A notice holds no password, the other kind always does."""

    to: str
    kind: DeliveryKind
    tenant_name: str
    display_name: str
    user_principal_name: str
    password: Secret | None = None
    must_change: bool
    """Whether the user chooses another password at the next sign-in."""
    created: bool
    """Whether the account is new; else its password was reset."""
    unconfirmed: bool = False
    """Whether Microsoft did not say that the password was set; the mail says so."""

    def __post_init__(self) -> None:
        if (self.password is not None) != (self.kind is DeliveryKind.PASSWORD):
            raise ValueError("A mail of the kind PASSWORD holds the password, a NOTICE does not.")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one mail; `message` says why it is not sent, for a person to read."""

    to: str
    kind: DeliveryKind
    status: DeliveryStatus
    message: str | None = None


class Mailer(Protocol):
    """Sends mails. A failure is an answer, never an exception."""

    @property
    def configured(self) -> bool:
        """Whether mail can be sent at all; a dry run tells it beforehand."""

    @property
    def waiting(self) -> int:
        """How many mails are under way or waiting for another try."""

    async def send(self, messages: Sequence[Message]) -> list[Delivery]:
        """Gives one delivery a message, in order, within ten seconds."""

    async def close(self) -> None:
        """Tries what still waits once more, within a limit; afterwards nothing is sent."""


class LogMailer:
    """Mail is not configured: sends nothing, says so, and logs that there was something to send."""

    configured: Final = False
    waiting: Final = 0

    async def send(self, messages: Sequence[Message]) -> list[Delivery]:
        for message in messages:
            log.warning("mail_not_configured", to=hashed(message.to), kind=message.kind.value)
        return [Delivery(message.to, message.kind, DeliveryStatus.FAILED, NOT_CONFIGURED) for message in messages]

    async def close(self) -> None:
        pass


class MailFailure(Exception):
    """A mail was not taken. `message` is for people and ours alone: a server's text may repeat the mail.

    `reason` is a word for logs, `again` says whether a later try may succeed, `smtp_status` is the number that
    the server gave, if it gave one.
    """

    def __init__(self, reason: str, message: str, *, again: bool = False, smtp_status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.again = again
        self.smtp_status = smtp_status


def connect_mailer(url: Secret | None, sender: str | None) -> Mailer:
    """Gives the mailer for `smtp://` or `smtps://`, or the plain twin where none is set. Nothing is opened yet."""
    if url is None or sender is None:
        return LogMailer()
    from services.mailer_smtp import SmtpMailer  # brings templates and mail protocol, in vain without mail

    return SmtpMailer(url, sender)
