"""One mail, one connection, one recipient: how a mail is handed to the mail server, and what went wrong.

A mail is handed over at most once: when the line breaks after the text was sent, nobody knows whether the
server took it, so it is not tried again.
Sources: RFC 5321 for codes and stages, RFC 3207 for STARTTLS, RFC 6531 for addresses outside ASCII.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.mailer import MailFailure
from services.secret import Secret

QUIT_SECONDS: Final = 1.0
_SIGN_IN_WANTED: Final = frozenset({530, 538})
_CUT_OFF: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""The line broke under the encryption: nothing is wrong with the encryption itself."""
_PORTS: Final = {"smtps": 465, "submission": 587, "smtp": 25}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail ready to go. `for_tls_only` is set when it holds a password."""

    sender: str
    to: str
    body: bytes = field(repr=False)
    for_tls_only: bool

    @property
    def beyond_ascii(self) -> bool:
        return not (self.sender.isascii() and self.to.isascii())


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, and as whom. `own_name` is what the gateway calls itself."""

    host: str
    port: int
    encrypted: bool
    own_name: str
    tls: ssl.SSLContext = field(repr=False)
    user: str | None = None
    password: Secret | None = None

    @classmethod
    def at(cls, url: Secret, *, own_name: str, tls: ssl.SSLContext) -> SmtpServer:
        """Reads `smtp://` or `smtps://user:password@host:port`, checked before. Without a port: 465 for smtps, 25
        for smtp, but 587 with a user, where mail programs hand over; a server on this machine listens on 25."""
        parts = urlsplit(url.reveal())
        host, encrypted = parts.hostname or "localhost", parts.scheme == "smtps"
        user = unquote(parts.username) if parts.username else None
        usual = "smtps" if encrypted else "submission" if user and not _is_loopback(host) else "smtp"
        return cls(
            host=host,
            port=parts.port or _PORTS[usual],
            encrypted=encrypted,
            own_name=own_name,
            tls=tls,
            user=user,
            password=Secret(unquote(parts.password or "")) if user else None,
        )

    async def take(self, envelope: Envelope, *, within_seconds: float) -> None:
        """Hands the mail over; MailFailure if the server did not take it, or is not known to have."""
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            use_tls=self.encrypted,
            start_tls=False,  # `_greet` does it, and knows what may go without
            tls_context=self.tls,
            timeout=within_seconds,
            local_hostname=self.own_name,
        )
        text_sent = False
        try:
            async with asyncio.timeout(within_seconds):
                await client.connect()
                await self._greet(client, envelope)
                if self.user is not None and self.password is not None:
                    await client.login(self.user, self.password.reveal())
                encoding, options = "ascii", list[str]()
                if envelope.beyond_ascii:
                    encoding, options = "utf-8", ["SMTPUTF8", "BODY=8BITMIME"]
                await client.mail(envelope.sender, options=options, encoding=encoding)
                await client.rcpt(envelope.to, encoding=encoding)
                text_sent = True
                await client.data(envelope.body)
            with suppress(aiosmtplib.SMTPException, OSError):  # it has the mail: how we part is all the same
                await client.quit(timeout=QUIT_SECONDS)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # Without the cause: its text is the server's, and may repeat the mail.
            raise explain(error, text_sent=text_sent) from None
        finally:
            client.close()

    async def _greet(self, client: aiosmtplib.SMTP, envelope: Envelope) -> None:
        """Turns encryption on where it is offered; passwords go without it to this machine only."""
        await client.ehlo()
        if not self.encrypted:
            if client.supports_extension("starttls"):
                await client.starttls()
                await client.ehlo()
            elif (self.user is not None or envelope.for_tls_only) and not _is_loopback(self.host):
                raise MailFailure(
                    "no_encryption",
                    "Not sent: the mail server offers no encryption, and a password must not go over an open line. "
                    "Whoever runs the gateway can name another server in GATEWAY_SMTP_URL, or use smtps://.",
                )
        if envelope.beyond_ascii and not client.supports_extension("smtputf8"):
            raise MailFailure(
                "address",
                "Not sent: the mail server takes only addresses of unaccented Latin letters. Use another address.",
            )


def explain(error: Exception, *, text_sent: bool) -> MailFailure:
    """What went wrong, in our own words."""
    if isinstance(error, aiosmtplib.SMTPResponseException) and 400 <= error.code < 600:
        return _refusal(error)
    if text_sent:
        return MailFailure(
            "unconfirmed",
            "The mail server did not confirm the mail, so it may or may not arrive. Ask whoever waits for it; "
            "if it is not there, reset the password.",
        )
    if any(isinstance(each, ssl.SSLError) and not isinstance(each, _CUT_OFF) for each in (error, error.__cause__)):
        return MailFailure(
            "encryption",
            "Not sent: the mail server's certificate or encryption cannot be trusted. "
            "Whoever runs the gateway has to mend it, or the host in GATEWAY_SMTP_URL.",
        )
    if isinstance(error, OSError | aiosmtplib.SMTPResponseException):  # timeouts and lost lines are OSErrors too
        return MailFailure("unreachable", "The mail server cannot be reached.", again=True)
    return MailFailure(
        "protocol",
        "Not sent: the mail server cannot do what GATEWAY_SMTP_URL asks for, such as signing in. "
        "Whoever runs the gateway has to mend it.",
    )


def _refusal(error: aiosmtplib.SMTPResponseException) -> MailFailure:
    number = f"(SMTP {error.code})"
    if error.code < 500:
        text = f"The mail server does not take mail at the moment {number}."
        return MailFailure("busy", text, again=True, smtp_status=error.code)
    if error.code in _SIGN_IN_WANTED or isinstance(error, aiosmtplib.SMTPAuthenticationError):
        reason, text = (
            "sign_in",
            f"the mail server refuses the gateway's user or password, or wants one {number}. "
            "Whoever runs the gateway has to mend GATEWAY_SMTP_URL.",
        )
    elif isinstance(error, aiosmtplib.SMTPRecipientRefused):
        reason, text = "recipient", f"the mail server refuses this address {number}. Check it, or use another."
    elif isinstance(error, aiosmtplib.SMTPSenderRefused):
        reason, text = (
            "sender",
            f"the mail server refuses the gateway as the sender {number}. "
            "Whoever runs the gateway has to mend GATEWAY_MAIL_FROM.",
        )
    else:
        reason, text = (
            "refused",
            f"the mail server refuses the mail {number}. Whoever runs the mail server can say why.",
        )
    return MailFailure(reason, f"Not sent: {text}", smtp_status=error.code)


def _is_loopback(host: str) -> bool:
    """Whether the name stands for this machine and cannot be anything else."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
