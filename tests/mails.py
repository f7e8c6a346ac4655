"""Messages as the services give them, and a way to send them to a server of a test."""

from __future__ import annotations

import ssl
from dataclasses import replace

from services.mailer import Delivery, DeliveryKind, DeliveryStatus, Message
from services.mailer_smtp import SmtpMailer
from services.secret import Secret
from tests.smtp_server import HOST, MailServer

SENDER = "licenses@partner.example.com"
CANARY = "kX7#  <&>'\"=?-canary"
NEW_ACCOUNT = Message(
    to="boss@example.com",
    kind=DeliveryKind.PASSWORD,
    tenant_name="Contoso",
    display_name="Ada Lovelace",
    user_principal_name="ada@contoso.onmicrosoft.com",
    password=Secret(CANARY),
    must_change=True,
    created=True,
)
RESET = replace(NEW_ACCOUNT, created=False, must_change=False)
NOTICE = replace(NEW_ACCOUNT, kind=DeliveryKind.NOTICE, password=None, created=False)
SENT = Delivery("boss@example.com", DeliveryKind.PASSWORD, DeliveryStatus.SENT)


async def deliver(
    server: MailServer,
    *messages: Message,
    scheme: str = "smtp",
    host: str = HOST,
    user: str = "",
    sender: str = SENDER,
    tls: ssl.SSLContext | None = None,
) -> list[Delivery]:
    """Sends through a mailer made for it, and closes that."""
    mailer = SmtpMailer(Secret(f"{scheme}://{user}{host}:{server.port}"), sender, tls=tls)
    try:
        return await mailer.send(messages)
    finally:
        await mailer.close()
