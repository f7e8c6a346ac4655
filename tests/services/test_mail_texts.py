"""What mails say, word for word, as they arrive at a real mail server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from services.mailer import Delivery, DeliveryKind, DeliveryStatus
from tests.mails import CANARY, NEW_ACCOUNT, NOTICE, RESET, SENDER, SENT, deliver
from tests.smtp_server import mail_server


async def test_a_mail_about_a_new_account_says_how_to_sign_in():
    with mail_server() as server:
        assert await deliver(server, NEW_ACCOUNT) == [SENT]

    (taken,) = server.taken
    assert taken.part("plain") == (
        "A Microsoft 365 account was created for Ada Lovelace at Contoso.\n"
        "\n"
        "Sign-in name: ada@contoso.onmicrosoft.com\n"
        f"Password:     {CANARY}\n"
        "\n"
        "Sign in at https://www.office.com\n"
        "A new password has to be chosen at the next sign-in.\n"
        "\n"
        "Pass this mail on to nobody else, and delete it after signing in.\n"
    )
    assert taken.part("html") == (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n'
        "<head>\n"
        '<meta charset="utf-8">\n'
        "<title>New Microsoft 365 account at Contoso</title>\n"
        "</head>\n"
        '<body style="font-family: sans-serif; line-height: 1.5">\n'
        "<p>A Microsoft 365 account was created for <strong>Ada Lovelace</strong> at Contoso.</p>\n"
        "<p>Sign-in name:</p>\n"
        '<pre style="font-size: 1.2em">ada@contoso.onmicrosoft.com</pre>\n'
        "<p>Password:</p>\n"
        '<pre style="font-size: 1.2em">kX7#  &lt;&amp;&gt;&#39;&#34;=?-canary</pre>\n'
        '<p>Sign in at <a href="https://www.office.com">https://www.office.com</a>.\n'
        "A new password has to be chosen at the next sign-in.</p>\n"
        "<p>Pass this mail on to nobody else, and delete it after signing in.</p>\n"
        "</body>\n"
        "</html>\n"
    )


async def test_a_mail_about_a_reset_says_so_and_whether_the_password_stays():
    with mail_server() as server:
        assert await deliver(server, RESET) == [SENT]

    (taken,) = server.taken
    assert taken.mail["Subject"] == "New Microsoft 365 password at Contoso"
    assert taken.part("plain") == (
        "The Microsoft 365 password of Ada Lovelace at Contoso was reset.\n"
        "\n"
        "Sign-in name: ada@contoso.onmicrosoft.com\n"
        f"Password:     {CANARY}\n"
        "\n"
        "Sign in at https://www.office.com\n"
        "The password need not be changed at the next sign-in.\n"
        "\n"
        "Pass this mail on to nobody else, and delete it after signing in.\n"
    )
    assert "<p>The Microsoft 365 password of <strong>Ada Lovelace</strong> at Contoso was reset.</p>\n" in taken.part(
        "html"
    )
    assert "The password need not be changed at the next sign-in.</p>\n" in taken.part("html")


async def test_a_notice_tells_of_the_reset_without_the_password():
    with mail_server() as server:
        answer = await deliver(server, NOTICE, replace(NOTICE, must_change=False))

    assert answer == [replace(SENT, kind=DeliveryKind.NOTICE)] * 2
    first, second = sorted(server.taken, key=lambda taken: -len(taken.raw))
    assert first.mail["Subject"] == second.mail["Subject"] == "Microsoft 365 password reset at Contoso"
    assert first.part("plain") == (
        "The Microsoft 365 password of Ada Lovelace at Contoso was reset.\n"
        "\n"
        "Sign-in name: ada@contoso.onmicrosoft.com\n"
        "\n"
        "The new password is not in this mail. Whoever reset it passes it on.\n"
        "Sign in at https://www.office.com\n"
        "A new password has to be chosen at the next sign-in.\n"
        "\n"
        "If nobody asked for this, tell the administrator of Contoso at once.\n"
    )
    changed = "A new password has to be chosen at the next sign-in.\n"
    assert second.part("plain") == first.part("plain").replace(changed, "")
    assert first.part("html") == (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n'
        "<head>\n"
        '<meta charset="utf-8">\n'
        "<title>Microsoft 365 password reset at Contoso</title>\n"
        "</head>\n"
        '<body style="font-family: sans-serif; line-height: 1.5">\n'
        "<p>The Microsoft 365 password of <strong>Ada Lovelace</strong> at Contoso was reset.</p>\n"
        "<p>Sign-in name:</p>\n"
        '<pre style="font-size: 1.2em">ada@contoso.onmicrosoft.com</pre>\n'
        "<p>The new password is not in this mail. Whoever reset it passes it on.</p>\n"
        '<p>Sign in at <a href="https://www.office.com">https://www.office.com</a>.\n'
        "A new password has to be chosen at the next sign-in.\n"
        "</p>\n"
        "<p>If nobody asked for this, tell the administrator of Contoso at once.</p>\n"
        "</body>\n"
        "</html>\n"
    )
    assert second.part("html") == first.part("html").replace(changed, "")


async def test_a_mail_has_exactly_these_headers():
    """Who, whom, what and when, that a program sent it, and no password."""
    with mail_server() as server:
        await deliver(server, NEW_ACCOUNT)

    mail = server.taken[0].mail
    headers = {name: value for name, value in mail.items() if name != "Content-Type"}
    at = parsedate_to_datetime(headers.pop("Date"))
    message_id = headers.pop("Message-ID")
    assert headers == {
        "From": SENDER,
        "To": "boss@example.com",
        "Subject": "New Microsoft 365 account at Contoso",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert message_id.startswith("<")
    assert message_id.endswith("@partner.example.com>")
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


async def test_nothing_in_a_mail_is_loaded_or_followed_but_the_place_to_sign_in():
    with mail_server() as server:
        await deliver(server, NEW_ACCOUNT, RESET, NOTICE)

    for taken in server.taken:
        page = taken.part("html")
        assert page.count("href=") == page.count("://www.office.com") - 1 == 1
        assert [word for word in ("src=", "url(", "<img", "<script", "<link", "<style") if word in page] == []


async def test_names_are_text_in_both_parts():
    """Apostrophes, other scripts and HTML arrive as they are: escaped in the page, plain in the text."""
    message = replace(
        NEW_ACCOUNT,
        tenant_name="Müller & Söhne <b>GmbH</b>",
        display_name="Zoë O'Neil <script>alert('x')</script> Ωμέγα 🔑",
        user_principal_name="zoë.o'neil@contoso.com",
    )
    with mail_server() as server:
        assert await deliver(server, message) == [SENT]

    (taken,) = server.taken
    assert taken.raw.isascii()
    assert max(len(line) for line in taken.raw.splitlines()) <= 78
    assert taken.mail["Subject"] == "New Microsoft 365 account at Müller & Söhne <b>GmbH</b>"
    assert taken.part("plain").splitlines()[:3] == [
        "A Microsoft 365 account was created for Zoë O'Neil <script>alert('x')</script> Ωμέγα 🔑 "
        "at Müller & Söhne <b>GmbH</b>.",
        "",
        "Sign-in name: zoë.o'neil@contoso.com",
    ]
    page = taken.part("html")
    assert (
        "<strong>Zoë O&#39;Neil &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; Ωμέγα 🔑</strong> "
        "at Müller &amp; Söhne &lt;b&gt;GmbH&lt;/b&gt;.</p>" in page
    )
    assert ">zoë.o&#39;neil@contoso.com</pre>" in page
    assert "<script" not in page


@pytest.mark.parametrize("character", ["\n", "\r", "\r\n", "\t", "\x00", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("tenant_name", "tenant's name"),
        ("display_name", "user's display name"),
        ("user_principal_name", "user's sign-in name"),
    ],
)
async def test_a_name_that_ends_its_line_is_refused(name, called, character):
    changed: dict[str, Any] = {name: f"Contoso{character}Bcc: eve@example.com"}
    message = replace(NOTICE, **changed)
    with mail_server() as server:
        answer = await deliver(server, message)

    text = f"Not sent: the {called} holds a line break or another control character."
    assert answer == [Delivery("boss@example.com", DeliveryKind.NOTICE, DeliveryStatus.FAILED, text)]
    assert server.asked == []


@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?q?Contoso=0D=0ABcc:_eve@example.com?=",
        "a =?utf-8?q?=0D=0ABcc=3A_eve@example.com=0D=0A?= b",
        "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?=",
        "==?utf-8?q?=0ABcc:_eve@example.com?=",
    ],
)
async def test_a_name_that_hides_a_line_break_in_a_coded_word_adds_no_header(name):
    """Python would decode it, and write the line break that it held into the headers."""
    with mail_server() as server:
        assert await deliver(server, replace(NEW_ACCOUNT, tenant_name=name)) == [SENT]

    (taken,) = server.taken
    assert taken.mail["Bcc"] is None
    subject = taken.mail["Subject"].strip()  # folded before its first word, which this Python's reader keeps
    assert subject == f"New Microsoft 365 account at {name.replace('=?', '= ?')}"
    assert f" at {name}.\n" in taken.part("plain")
