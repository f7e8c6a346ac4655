"""Mails: whom they reach, over which lines, and what is told. The mail servers are real ones on loopback."""

from __future__ import annotations

import logging
from dataclasses import replace
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from services.log_text import hashed
from services.mailer import (
    Delivery,
    DeliveryKind,
    DeliveryStatus,
    LogMailer,
    connect_mailer,
)
from services.mailer_smtp import SmtpMailer
from services.secret import Secret
from tests.mails import CANARY, NEW_ACCOUNT, NOTICE, SENDER, SENT, deliver
from tests.smtp_server import PASSWORD, USER, mail_server, make_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


async def test_each_address_gets_a_mail_of_its_own():
    """Nobody sees who else got it; deliveries are in the order of the messages."""
    addresses = [f"person{number}@example.com" for number in range(5)]
    with mail_server() as server:
        answer = await deliver(server, *[replace(NEW_ACCOUNT, to=address) for address in addresses])

    assert answer == [replace(SENT, to=address) for address in addresses]
    assert sorted(taken.recipients for taken in server.taken) == [[address] for address in addresses]
    assert [taken.mail["To"] for taken in server.taken] == [taken.recipients[0] for taken in server.taken]
    assert {taken.sender for taken in server.taken} == {SENDER}
    assert len({taken.mail["Message-ID"] for taken in server.taken}) == 5


async def test_no_messages_need_no_server():
    mailer = SmtpMailer(Secret("smtp://127.0.0.1:1"), SENDER)

    assert await mailer.send([]) == []
    await mailer.close()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "boss",
        "boss@",
        "@example.com",
        "boss@example.com\r\nRCPT TO:<eve@example.com>",
        "boss@example.com\n",
        "boss@example.com, eve@example.com",
        "Boss <boss@example.com>",
        "<boss@example.com>",
        '"boss"@example.com',
        "boss@example.com SIZE=1",
        "=?utf-8?q?=0D=0ABcc=3A_eve?=@example.com",
        "x" * 243 + "@example.com",
        "\ud800@example.com",
    ],
)
async def test_what_is_not_one_bare_address_is_refused_unsent(address):
    with mail_server() as server:
        answer = await deliver(server, replace(NEW_ACCOUNT, to=address))

    text = "Not sent: this is not an e-mail address."
    assert answer == [Delivery(address, DeliveryKind.PASSWORD, DeliveryStatus.FAILED, text)]
    assert (server.asked, server.taken) == ([], [])


async def test_a_long_address_stays_whole():
    address = "a" * 60 + "@" + ".".join(["b" * 60] * 2) + ".example.com"
    with mail_server() as server:
        assert await deliver(server, replace(NEW_ACCOUNT, to=address)) == [replace(SENT, to=address)]

    assert server.taken[0].recipients == [server.taken[0].mail["To"]] == [address]


async def test_a_domain_outside_ascii_travels_in_ascii():
    with mail_server(enable_SMTPUTF8=False) as server:
        answer = await deliver(server, replace(NEW_ACCOUNT, to="boss@müller.example"), sender="wir@grün.example")

    assert answer == [replace(SENT, to="boss@müller.example")]
    (taken,) = server.taken
    assert (taken.sender, taken.recipients) == ("wir@xn--grn-ioa.example", ["boss@xn--mller-kva.example"])
    assert taken.greeted_as == "xn--grn-ioa.example"


async def test_a_name_outside_ascii_needs_a_server_that_takes_it():
    message = replace(NEW_ACCOUNT, to="zoë@example.com")
    with mail_server() as server:
        assert await deliver(server, message) == [replace(SENT, to="zoë@example.com")]
        assert server.taken[0].recipients == [server.taken[0].mail["To"]] == ["zoë@example.com"]
        assert server.taken[0].options[-2:] == ["SMTPUTF8", "BODY=8BITMIME"]
    with mail_server(enable_SMTPUTF8=False) as server:
        answer = await deliver(server, message)

    text = "Not sent: the mail server takes only addresses of unaccented Latin letters. Use another address."
    assert answer == [replace(SENT, to="zoë@example.com", status=DeliveryStatus.FAILED, message=text)]
    assert server.asked == []


async def test_the_gateway_greets_with_its_senders_domain():
    """Some servers turn away who calls itself localhost."""
    with mail_server() as server:
        await deliver(server, NEW_ACCOUNT)

    assert server.taken[0].greeted_as == "partner.example.com"


async def test_encryption_is_turned_on_where_it_is_offered(certificate):
    ours, trusting = certificate
    user = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
    with mail_server(starttls=ours, sign_in=True) as server:
        assert await deliver(server, NEW_ACCOUNT, user=user, tls=trusting) == [SENT]
        assert await deliver(server, NEW_ACCOUNT, tls=trusting) == [SENT]

    assert [(taken.encrypted, taken.signed_in) for taken in server.taken] == [(True, True), (True, False)]


async def test_smtps_is_encrypted_from_the_start(certificate):
    ours, trusting = certificate
    user = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
    with mail_server(smtps=ours, sign_in=True) as server:
        assert await deliver(server, NEW_ACCOUNT, scheme="smtps", user=user, tls=trusting) == [SENT]

    assert [(taken.encrypted, taken.signed_in) for taken in server.taken] == [(True, True)]


UNTRUSTED = (
    "Not sent: the mail server's certificate or encryption cannot be trusted. "
    "Whoever runs the gateway has to mend it, or the host in GATEWAY_SMTP_URL."
)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("message", [NEW_ACCOUNT, NOTICE])
async def test_a_server_that_cannot_show_who_it_is_gets_nothing(certificate, scheme, message):
    """Neither with encryption from the start nor with encryption turned on."""
    ours, _ = certificate
    with mail_server(**{"smtps" if scheme == "smtps" else "starttls": ours}) as server:
        answer = await deliver(server, message, scheme=scheme)

    assert answer == [Delivery("boss@example.com", message.kind, DeliveryStatus.FAILED, UNTRUSTED)]
    assert (server.asked, server.taken) == ([], [])


async def test_a_certificate_for_another_host_is_not_trusted(certificate):
    ours, trusting = certificate
    with mail_server(smtps=ours) as server:
        answer = await deliver(server, NEW_ACCOUNT, scheme="smtps", host="localhost", tls=trusting)

    assert answer == [replace(SENT, status=DeliveryStatus.FAILED, message=UNTRUSTED)]


async def test_smtps_to_a_server_without_encryption_sends_nothing():
    with mail_server() as server:
        answer = await deliver(server, NEW_ACCOUNT, scheme="smtps")

    assert answer == [replace(SENT, status=DeliveryStatus.FAILED, message=UNTRUSTED)]
    assert server.asked == []


ELSEWHERE = "127.1"
"""Loopback in truth, but not by its name: the gateway takes it for another machine."""


async def test_no_password_goes_to_another_machine_over_an_open_line():
    """Neither the user's in the mail nor the gateway's own; a notice without signing in may go."""
    with mail_server(sign_in=True) as server:
        answers = [
            await deliver(server, NEW_ACCOUNT, host=ELSEWHERE),
            await deliver(server, NOTICE, host=ELSEWHERE, user="gateway:password@"),
            await deliver(server, NOTICE, host=ELSEWHERE),
        ]

    text = (
        "Not sent: the mail server offers no encryption, and a password must not go over an open line. "
        "Whoever runs the gateway can name another server in GATEWAY_SMTP_URL, or use smtps://."
    )
    notice = replace(SENT, kind=DeliveryKind.NOTICE)
    assert answers == [
        [replace(SENT, status=DeliveryStatus.FAILED, message=text)],
        [replace(notice, status=DeliveryStatus.FAILED, message=text)],
        [notice],
    ]
    assert [taken.mail["Subject"] for taken in server.taken] == ["Microsoft 365 password reset at Contoso"]


async def test_a_server_on_this_machine_may_be_signed_in_to_without_encryption():
    user = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
    with mail_server(sign_in=True) as server:
        assert await deliver(server, NEW_ACCOUNT, user=user) == [SENT]

    assert [(taken.encrypted, taken.signed_in) for taken in server.taken] == [(False, True)]


async def test_a_mailer_without_a_server_sends_nothing_and_says_so():
    messages = [NEW_ACCOUNT, replace(NOTICE, to="other@example.com")]
    with capture_logs() as lines:
        mailer = connect_mailer(None, None)
        answer = await mailer.send(messages)
        await mailer.close()

    text = (
        "Mail is not configured, so nothing was sent. "
        "Whoever runs the gateway can set GATEWAY_SMTP_URL and GATEWAY_MAIL_FROM."
    )
    assert isinstance(mailer, LogMailer)
    assert mailer.configured is False
    assert answer == [
        Delivery("boss@example.com", DeliveryKind.PASSWORD, DeliveryStatus.FAILED, text),
        Delivery("other@example.com", DeliveryKind.NOTICE, DeliveryStatus.FAILED, text),
    ]
    assert lines == [
        {"event": "mail_not_configured", "log_level": "warning", "to": hashed(each.to), "kind": each.kind.value}
        for each in messages
    ]


async def test_a_mailer_with_a_server_is_configured():
    mailer = connect_mailer(Secret("smtp://127.0.0.1:1"), SENDER)

    assert isinstance(mailer, SmtpMailer)
    assert mailer.configured is True
    await mailer.close()


async def test_neither_logs_nor_texts_hold_the_password_or_an_address(caplog):
    caplog.set_level(logging.DEBUG)
    with mail_server() as server, capture_logs() as lines:
        server.refuse_recipient = [f"550 no {CANARY} for boss@example.com"]
        answer = [*await deliver(server, NEW_ACCOUNT), *await deliver(server, NEW_ACCOUNT)]

    assert [each.status for each in answer] == [DeliveryStatus.FAILED, DeliveryStatus.SENT]
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    told = repr((lines, ours))
    assert [line["event"] for line in lines] == ["mail_failed", "mail_sent"]
    assert [word for word in ("canary", "boss", "ada@", "Lovelace") if word in told] == []
    assert "canary" not in repr((NEW_ACCOUNT, answer))
    assert {line["to"] for line in lines} == {hashed("boss@example.com")}


@pytest.mark.parametrize(("kind", "password"), [(DeliveryKind.PASSWORD, None), (DeliveryKind.NOTICE, Secret("x"))])
def test_only_a_mail_with_the_password_holds_one(kind, password):
    with pytest.raises(ValueError, match=r"^A mail of the kind PASSWORD holds the password, a NOTICE does not\.$"):
        replace(NEW_ACCOUNT, kind=kind, password=password)
