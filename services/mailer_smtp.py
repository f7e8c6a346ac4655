"""Mails through a mail server, by SMTP.

Each mail is a task of its own: it tries, and tries again for about ten minutes while the server is away or
busy. Whoever sends waits for the first try, at most ten seconds; what comes later stands in the log. Waiting
mails live in this process alone, their password as a `Secret`, and a bound keeps them from piling up.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import Future, Semaphore, Task
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.policy import SMTP, SMTPUTF8
from email.utils import make_msgid
from typing import Final

import structlog

from services.log_text import hashed
from services.mail_texts import compose, mailable
from services.mailer import Delivery, DeliveryStatus, MailFailure, Message
from services.secret import Secret
from services.smtp import Envelope, SmtpServer

TRIES_GO_ON: Final = "The gateway tries again for about ten minutes; a mail that has not come by then will not come."
STOPPING: Final = "The gateway was stopped before the mail server took the mail."
TOO_MANY_WAIT: Final = "Not sent: too many mails are waiting for the mail server. Try again later."
NOT_MADE: Final = "Not sent: the mail could not be made. The gateway's log says more."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailLimits:
    answer_seconds: float = 9.0
    """How long whoever sends waits for the first try."""
    try_seconds: float = 60.0
    """How long one try may take: servers that look into a mail take their time to confirm it."""
    retry_after_seconds: tuple[float, ...] = (30.0, 120.0, 300.0)
    close_seconds: float = 10.0
    most_waiting: int = 1000
    first_connections: int = 8
    later_connections: int = 2
    """Few, so that a server that comes back is not run over, and new mails do not wait behind old ones."""


DEFAULT_LIMITS: Final = MailLimits()


@dataclass(frozen=True, slots=True)
class _Letter:
    message: Message
    message_id: str
    written_at: datetime
    answer: Future[Delivery] = field(repr=False)
    """What is known after the first try."""

    def tell(self, status: DeliveryStatus, text: str | None = None) -> None:
        if not self.answer.done():
            self.answer.set_result(Delivery(self.message.to, self.message.kind, status, text))


class SmtpMailer:
    """Sends mails through the server of a `smtp://` or `smtps://` URL. `tls` says whom to trust, by default
    those whom the machine trusts."""

    configured: Final = True

    def __init__(
        self,
        url: Secret,
        sender: str,
        *,
        tls: ssl.SSLContext | None = None,
        limits: MailLimits = DEFAULT_LIMITS,
    ) -> None:
        with suppress(MailFailure):  # a sender that is no address is the mail server's to refuse
            sender = mailable(sender)
        self._sender = sender
        # Some servers turn away who greets as localhost; the sender's domain always is a name they know.
        domain = sender.rpartition("@")[2]
        self._domain = domain if domain.isascii() else "localhost"
        self._server = SmtpServer.at(url, own_name=self._domain, tls=tls or ssl.create_default_context())
        self._limits = limits
        self._first, self._later = Semaphore(limits.first_connections), Semaphore(limits.later_connections)
        self._tasks: set[Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many mails are under way or waiting for another try."""
        return len(self._tasks)

    async def send(self, messages: Sequence[Message]) -> list[Delivery]:
        letters = [self._post(message) for message in messages]
        if letters:
            await asyncio.wait([letter.answer for letter in letters], timeout=self._limits.answer_seconds)
        for letter in letters:
            letter.tell(DeliveryStatus.QUEUED, f"The mail server has not answered yet. {TRIES_GO_ON}")
        return [letter.answer.result() for letter in letters]

    async def close(self) -> None:
        self._closing.set()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._limits.close_seconds)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _post(self, message: Message) -> _Letter:
        letter = _Letter(
            message,
            make_msgid(domain=self._domain),
            datetime.now(UTC),
            asyncio.get_running_loop().create_future(),
        )
        if self._closing.is_set() or len(self._tasks) >= self._limits.most_waiting:
            reason, text = ("stopping", STOPPING) if self._closing.is_set() else ("full", TOO_MANY_WAIT)
            self._fail(letter, MailFailure(reason, text), tries=0)
        else:
            task = asyncio.create_task(self._deliver(letter), name="mail")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return letter

    async def _deliver(self, letter: _Letter) -> None:
        """Tries until the mail is taken, or refused for good, or the tries are used up. Never raises."""
        tries = 0
        try:
            for pause in (*self._limits.retry_after_seconds, None):
                tries += 1
                failure = await self._try(letter, self._first if tries == 1 else self._later)
                if failure is None:
                    letter.tell(DeliveryStatus.SENT)
                    log.info("mail_sent", **_named(letter), tries=tries)
                    return
                if not failure.again or pause is None or self._closing.is_set():
                    self._fail(letter, failure, tries=tries)
                    return
                letter.tell(DeliveryStatus.QUEUED, f"{failure.message} {TRIES_GO_ON}")
                log.warning("mail_waits", **_named(letter), **_why(failure), tries=tries, seconds=pause)
                await self._pause(pause)
        except asyncio.CancelledError:
            self._fail(letter, MailFailure("stopping", STOPPING), tries=tries)
            raise

    async def _try(self, letter: _Letter, connections: Semaphore) -> MailFailure | None:
        try:
            envelope = self._envelope(letter)
            async with connections:
                await self._server.take(envelope, within_seconds=self._limits.try_seconds)
        except MailFailure as failure:
            return failure
        except Exception as error:  # whatever it is: the change that the mail tells of is made
            log.error("mail_broke", **_named(letter), error=type(error).__name__)
            return MailFailure("broken", NOT_MADE)
        return None

    def _envelope(self, letter: _Letter) -> Envelope:
        message = letter.message
        to = mailable(message.to)
        mail = compose(message, sender=self._sender, to=to, message_id=letter.message_id, at=letter.written_at)
        in_ascii = to.isascii() and self._sender.isascii()
        body = mail.as_bytes(policy=SMTP if in_ascii else SMTPUTF8)
        return Envelope(self._sender, to, body, for_tls_only=message.password is not None)

    async def _pause(self, seconds: float) -> None:
        """Waits; closing ends it, so that a mail gets its last try."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def _fail(self, letter: _Letter, failure: MailFailure, *, tries: int) -> None:
        letter.tell(DeliveryStatus.FAILED, failure.message)
        log.warning("mail_failed", **_named(letter), **_why(failure), tries=tries)


def _named(letter: _Letter) -> dict[str, str]:
    """What a log line names a mail by: never its address, never its text."""
    message = letter.message
    return {"to": hashed(message.to), "kind": message.kind.value, "message_id": letter.message_id}


def _why(failure: MailFailure) -> dict[str, object]:
    return {"reason": failure.reason, "smtp_status": failure.smtp_status}
