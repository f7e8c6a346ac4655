"""A message as the mail that goes out: headers, a plain part and an HTML part, from the templates beside.

The texts speak of the user by name, since the mail may go to whoever looks after them. They load nothing and
link to nothing but the place to sign in.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from typing import Final

from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.mailer import DeliveryKind, MailFailure, Message

PRODUCT: Final = "Microsoft 365"
SIGN_IN_URL: Final = "https://www.office.com"

_ENCODED_WORD: Final = "=?"
"""Begins a coded text in a header (RFC 2047). Python decodes one even where it stands in a name, and writes what
it held, line breaks included, as it is: such a name could add headers."""
_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls, half characters, line and paragraph separators: they end a header line, or feign another one."""


def compose(message: Message, *, sender: str, to: str, message_id: str, at: datetime) -> EmailMessage:
    """Builds the mail; MailFailure if a name in it cannot stand in a line of text.

    Every try gives the same `message_id` and `at`, so that a mail server can tell a repeat.
    """
    names = {
        "tenant's name": message.tenant_name,
        "user's display name": message.display_name,
        "user's sign-in name": message.user_principal_name,
    }
    for name, text in names.items():
        if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
            raise MailFailure("unprintable", f"Not sent: the {name} holds a line break or another control character.")
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = _subject(message)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"  # keeps away absence notes, RFC 3834
    # Readable by the oldest server: lines of 7-bit text.
    mail.set_content(_render(message, "txt"), cte="quoted-printable")
    mail.add_alternative(_render(message, "html"), subtype="html", cte="quoted-printable")
    return mail


def mailable(address: str) -> str:
    """An address as it travels, its domain in ASCII; MailFailure if it is not one bare address.

    It stays outside ASCII only where the part before the @ does.
    """
    try:
        checked = validate_email(address, check_deliverability=False, globally_deliverable=False)
        if _ENCODED_WORD in address:
            raise EmailNotValidError
    except EmailNotValidError:
        raise MailFailure("address", "Not sent: this is not an e-mail address.") from None
    return checked.ascii_email or checked.normalized


def _subject(message: Message) -> str:
    tenant = message.tenant_name.replace(_ENCODED_WORD, "= ?")
    if message.kind is DeliveryKind.NOTICE:
        return f"{PRODUCT} password reset at {tenant}"
    return f"New {PRODUCT} {'account' if message.created else 'password'} at {tenant}"


def _render(message: Message, form: str) -> str:
    template = _templates().get_template(f"{message.kind.value.lower()}.{form}.j2")
    # A notice's template gets no password, so that it cannot show one.
    password = {"password": message.password.reveal()} if message.password is not None else {}
    return template.render(
        product=PRODUCT,
        sign_in_url=SIGN_IN_URL,
        subject=_subject(message),
        tenant_name=message.tenant_name,
        display_name=message.display_name,
        user_principal_name=message.user_principal_name,
        must_change=message.must_change,
        created=message.created,
        unconfirmed=message.unconfirmed,
        **password,
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("services", "mail_templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
