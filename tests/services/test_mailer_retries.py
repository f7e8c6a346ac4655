"""Mails that are not taken at once: what is told, what is tried again, and when it ends."""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import replace
from urllib.parse import quote

import aiosmtplib
import pytest
from structlog.testing import capture_logs

from services.log_text import hashed
from services.mailer import DeliveryStatus
from services.mailer_smtp import NOT_MADE, STOPPING, TOO_MANY_WAIT, TRIES_GO_ON, MailLimits, SmtpMailer
from services.secret import Secret
from services.smtp import explain
from tests.mails import NEW_ACCOUNT, NOTICE, SENDER, SENT, deliver
from tests.smtp_server import HOST, USER, mail_server, make_certificate, refused_port, silent_server

QUICK = MailLimits(retry_after_seconds=(0.05, 0.05, 0.05), answer_seconds=30, try_seconds=30, close_seconds=30)
PATIENT = replace(QUICK, retry_after_seconds=(60.0, 60.0, 60.0))
UNREACHABLE = "The mail server cannot be reached."
UNANSWERED = f"The mail server has not answered yet. {TRIES_GO_ON}"
UNCONFIRMED = (
    "The mail server did not confirm the mail, so it may or may not arrive. Ask whoever waits for it; "
    "if it is not there, reset the password."
)


def failed(text):
    return replace(SENT, status=DeliveryStatus.FAILED, message=text)


def queued(text):
    return replace(SENT, status=DeliveryStatus.QUEUED, message=text)


def mailer_for(port, limits=QUICK, user=""):
    return SmtpMailer(Secret(f"smtp://{user}{HOST}:{port}"), SENDER, limits=limits)


async def until_nothing_waits(mailer):
    async with asyncio.timeout(60):
        while mailer.waiting:  # noqa: ASYNC110  # what is asked is the gauge itself
            await asyncio.sleep(0.01)


def without_id(lines):
    return [{name: value for name, value in line.items() if name != "message_id"} for line in lines]


LINE = {"to": hashed("boss@example.com"), "kind": "PASSWORD"}


def test_the_sentences_about_waiting_say_what_comes_of_it():
    assert (TRIES_GO_ON, STOPPING, TOO_MANY_WAIT, NOT_MADE) == (
        "The gateway tries again for about ten minutes; a mail that has not come by then will not come.",
        "The gateway was stopped before the mail server took the mail.",
        "Not sent: too many mails are waiting for the mail server. Try again later.",
        "Not sent: the mail could not be made. The gateway's log says more.",
    )


def test_the_limits_are_those_that_are_promised():
    assert MailLimits() == MailLimits(
        answer_seconds=9.0,
        try_seconds=60.0,
        retry_after_seconds=(30.0, 120.0, 300.0),
        close_seconds=10.0,
        most_waiting=1000,
        first_connections=8,
        later_connections=2,
    )


@pytest.mark.parametrize("stage", ["refuse_sender", "refuse_recipient", "refuse_text"])
async def test_a_server_that_is_busy_gets_the_same_mail_again(stage):
    with mail_server() as server, capture_logs() as lines:
        setattr(server, stage, ["451 later, please", "451 not yet"])
        mailer = mailer_for(server.port)
        answer = await mailer.send([NEW_ACCOUNT])
        await until_nothing_waits(mailer)
        await mailer.close()

    text = f"The mail server does not take mail at the moment (SMTP 451). {TRIES_GO_ON}"
    assert answer == [queued(text)]
    assert [taken.recipients for taken in server.taken] == [["boss@example.com"]]
    assert {line["message_id"] for line in lines} == {server.taken[0].mail["Message-ID"]}
    why = {"reason": "busy", "smtp_status": 451, "seconds": 0.05}
    assert without_id(lines) == [
        {"event": "mail_waits", "log_level": "warning", **LINE, **why, "tries": 1},
        {"event": "mail_waits", "log_level": "warning", **LINE, **why, "tries": 2},
        {"event": "mail_sent", "log_level": "info", **LINE, "tries": 3},
    ]


async def test_a_mail_is_given_up_after_its_fourth_try():
    with mail_server() as server, capture_logs() as lines:
        server.refuse_recipient = ["450 later"] * 9
        mailer = mailer_for(server.port)
        await mailer.send([NEW_ACCOUNT])
        await until_nothing_waits(mailer)
        await mailer.close()

    assert server.asked == ["boss@example.com"] * 4
    assert without_id(lines)[-1] == {
        "event": "mail_failed",
        "log_level": "warning",
        **LINE,
        "reason": "busy",
        "smtp_status": 450,
        "tries": 4,
    }
    assert [line["event"] for line in lines] == ["mail_waits"] * 3 + ["mail_failed"]


SIGN_IN = (
    "Not sent: the mail server refuses the gateway's user or password, or wants one (SMTP {}). "
    "Whoever runs the gateway has to mend GATEWAY_SMTP_URL."
)


@pytest.mark.parametrize(
    ("stage", "answer", "text"),
    [
        (
            "refuse_recipient",
            "550 5.1.1 no such user",
            "Not sent: the mail server refuses this address (SMTP 550). Check it, or use another.",
        ),
        (
            "refuse_sender",
            "553 not yours",
            "Not sent: the mail server refuses the gateway as the sender (SMTP 553). "
            "Whoever runs the gateway has to mend GATEWAY_MAIL_FROM.",
        ),
        ("refuse_sender", "530 5.7.0 must issue a STARTTLS command first", SIGN_IN.format(530)),
        (
            "refuse_text",
            "554 looks like spam",
            "Not sent: the mail server refuses the mail (SMTP 554). Whoever runs the mail server can say why.",
        ),
    ],
)
async def test_a_refusal_is_final(stage, answer, text):
    """It is told in our words, since the server's may repeat the mail; and there is no second try."""
    with mail_server() as server:
        setattr(server, stage, [answer])
        mailer = mailer_for(server.port)
        assert await mailer.send([NEW_ACCOUNT]) == [failed(text)]
        assert mailer.waiting == 0
        await mailer.close()

    assert server.taken == []


async def test_a_wrong_password_of_the_gateway_is_final():
    with mail_server(sign_in=True) as server:
        mailer = mailer_for(server.port, user=f"{quote(USER, safe='')}:wrong@")
        assert await mailer.send([NEW_ACCOUNT]) == [failed(SIGN_IN.format(535))]
        await mailer.close()

    assert server.asked == []


async def test_a_server_that_cannot_be_signed_in_to_is_told_from_one_that_is_away():
    with mail_server() as server:
        answer = await deliver(server, NEW_ACCOUNT, user="gateway:password@")

    text = (
        "Not sent: the mail server cannot do what GATEWAY_SMTP_URL asks for, such as signing in. "
        "Whoever runs the gateway has to mend it."
    )
    assert answer == [failed(text)]


async def test_one_refused_address_keeps_no_other_mail_back():
    messages = [replace(NEW_ACCOUNT, to=to) for to in ("first@example.com", "nobody", "third@example.com")]
    with mail_server() as server:
        answer = await deliver(server, *messages)

    assert [(each.to, each.status.value) for each in answer] == [
        ("first@example.com", "SENT"),
        ("nobody", "FAILED"),
        ("third@example.com", "SENT"),
    ]


async def test_a_server_that_is_away_is_tried_again():
    with capture_logs() as lines:
        mailer = mailer_for(refused_port())
        assert await mailer.send([NEW_ACCOUNT]) == [queued(f"{UNREACHABLE} {TRIES_GO_ON}")]
        await until_nothing_waits(mailer)
        await mailer.close()

    assert [(line["event"], line["reason"], line["smtp_status"], line["tries"]) for line in lines] == [
        ("mail_waits", "unreachable", None, 1),
        ("mail_waits", "unreachable", None, 2),
        ("mail_waits", "unreachable", None, 3),
        ("mail_failed", "unreachable", None, 4),
    ]


@pytest.mark.parametrize("greeting", [b"", b"220 mx.test ESMTP\r\n", b"220-mx.test\r\n"])
async def test_whoever_sends_does_not_wait_for_a_server_that_hangs(greeting):
    limits = replace(QUICK, answer_seconds=0.2, close_seconds=0.1)
    with silent_server(greeting) as port, capture_logs() as lines:
        mailer = mailer_for(port, limits)
        async with asyncio.timeout(20):  # a try goes on for thirty
            answer = await mailer.send([NEW_ACCOUNT, NEW_ACCOUNT])
        assert mailer.waiting == 2
        await mailer.close()
        assert mailer.waiting == 0

    assert answer == [queued(UNANSWERED)] * 2
    assert [(line["event"], line["reason"], line["tries"]) for line in lines] == [("mail_failed", "stopping", 1)] * 2


async def test_a_try_that_hangs_ends_and_is_followed_by_another():
    with silent_server(b"220 mx.test ESMTP\r\n") as port:
        mailer = mailer_for(port, replace(QUICK, try_seconds=0.1))
        assert await mailer.send([NEW_ACCOUNT]) == [queued(f"{UNREACHABLE} {TRIES_GO_ON}")]
        await mailer.close()


@pytest.mark.parametrize("answer", [b"554 go away\r\n", b"421 too many connections\r\n", b"hello\r\n"])
async def test_a_server_that_turns_away_at_the_greeting_is_believed(answer):
    """5xx is final, 4xx and what is no answer at all are not."""
    with silent_server(answer) as port:
        mailer = mailer_for(port, PATIENT)
        (delivery,) = await mailer.send([NEW_ACCOUNT])
        await mailer.close()

    assert (
        delivery
        == {
            b"554 go away\r\n": failed(
                "Not sent: the mail server refuses the mail (SMTP 554). Whoever runs the mail server can say why."
            ),
            b"421 too many connections\r\n": queued(
                f"The mail server does not take mail at the moment (SMTP 421). {TRIES_GO_ON}"
            ),
            b"hello\r\n": queued(f"{UNREACHABLE} {TRIES_GO_ON}"),
        }[answer]
    )


async def test_a_mail_that_may_have_been_taken_is_not_sent_again():
    """The line breaks between the text and its confirmation: a second try could deliver the password twice."""
    with mail_server() as server:
        server.on_text = lambda line: line.abort()
        mailer = mailer_for(server.port)
        assert await mailer.send([NEW_ACCOUNT]) == [failed(UNCONFIRMED)]
        assert mailer.waiting == 0
        await mailer.close()

    assert server.asked == ["boss@example.com"]


async def test_a_confirmation_that_does_not_come_is_not_waited_for_for_ever():
    given_up = threading.Event()

    def wait(_: object) -> None:
        given_up.wait(60)

    with mail_server() as server:
        server.on_text = wait
        mailer = mailer_for(server.port, replace(QUICK, try_seconds=2))
        assert await mailer.send([NEW_ACCOUNT]) == [failed(UNCONFIRMED)]
        given_up.set()
        await mailer.close()

    assert server.asked == ["boss@example.com"]


async def test_no_more_mails_wait_than_the_bound_allows():
    with capture_logs() as lines:
        mailer = mailer_for(refused_port(), replace(PATIENT, most_waiting=2))
        first = await mailer.send([NEW_ACCOUNT])
        both = await mailer.send([NEW_ACCOUNT, NEW_ACCOUNT])
        await mailer.close()

    waits = queued(f"{UNREACHABLE} {TRIES_GO_ON}")
    assert (first, both) == ([waits], [waits, failed(TOO_MANY_WAIT)])
    assert [line["event"] for line in lines if line.get("reason") == "full"] == ["mail_failed"]


async def test_closing_gives_a_waiting_mail_its_last_try_at_once():
    with mail_server() as server:
        server.refuse_text = ["451 later"]
        mailer = mailer_for(server.port, PATIENT)
        (delivery,) = await mailer.send([NEW_ACCOUNT])
        assert delivery.status is DeliveryStatus.QUEUED
        await mailer.close()

    assert [taken.recipients for taken in server.taken] == [["boss@example.com"]]


async def test_closing_gives_up_what_the_last_try_does_not_deliver():
    with capture_logs() as lines:
        mailer = mailer_for(refused_port(), PATIENT)
        await mailer.send([NEW_ACCOUNT])
        await mailer.close()
        await mailer.close()

    assert [(line["event"], line["tries"]) for line in lines] == [("mail_waits", 1), ("mail_failed", 2)]


async def test_nothing_is_sent_once_the_mailer_is_closed():
    with mail_server() as server:
        mailer = mailer_for(server.port)
        await mailer.close()
        assert await mailer.send([NEW_ACCOUNT]) == [failed(STOPPING)]

    assert server.asked == []


async def test_a_caller_who_goes_away_does_not_stop_the_mail():
    with mail_server() as server:
        mailer = mailer_for(server.port)
        sending = asyncio.create_task(mailer.send([NEW_ACCOUNT]))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until_nothing_waits(mailer)
        await mailer.close()

    assert [taken.recipients for taken in server.taken] == [["boss@example.com"]]


async def test_a_mail_that_cannot_be_made_is_a_failure_like_any_other():
    """The change that it tells of is made, so nothing is raised; the log names the error, not what was in it."""
    with mail_server() as server, capture_logs() as lines:
        message = replace(NEW_ACCOUNT, password=Secret("canary\ud800"))
        assert await deliver(server, message, NOTICE) == [
            failed(NOT_MADE),
            replace(SENT, kind=NOTICE.kind),
        ]

    broken = [line for line in without_id(lines) if line["event"] == "mail_broke"]
    assert broken == [
        {"event": "mail_broke", "log_level": "error", **LINE, "error": "UnicodeEncodeError"},
    ]
    assert "canary" not in repr(lines)


async def test_only_so_many_connections_are_open_at_once(tmp_path):
    """First tries share eight; the rest wait their turn."""
    ours, trusting = make_certificate(tmp_path)
    with mail_server(smtps=ours) as server:
        answer = await deliver(server, *[NEW_ACCOUNT] * 40, scheme="smtps", tls=trusting)

    assert answer == [SENT] * 40
    assert server.most_open_at_once <= 8


async def test_mails_that_were_put_off_do_not_run_over_the_server():
    """Later tries go one by one here, two by two outside of tests, on lines of their own."""
    with mail_server() as server:
        server.refuse_sender = ["451 later"] * 12
        mailer = mailer_for(server.port, replace(PATIENT, later_connections=1, close_seconds=60))
        answer = await mailer.send([NEW_ACCOUNT] * 12)
        await mailer.close()

    assert [each.status for each in answer] == [DeliveryStatus.QUEUED] * 12
    assert len(server.taken) == 12
    assert server.most_open_at_once == 1


@pytest.mark.parametrize(
    ("error", "text_sent", "reason", "again"),
    [
        (ssl.SSLEOFError(), False, "unreachable", True),
        (ssl.SSLZeroReturnError(), False, "unreachable", True),
        (ssl.SSLCertVerificationError(), False, "encryption", False),
        (ssl.SSLError(), True, "unconfirmed", False),
        (OSError(), False, "unreachable", True),
        (OSError(), True, "unconfirmed", False),
        (TimeoutError(), False, "unreachable", True),
        (TimeoutError(), True, "unconfirmed", False),
        (aiosmtplib.SMTPDataError(251, "maybe"), True, "unconfirmed", False),
        (aiosmtplib.SMTPDataError(452, "full"), True, "busy", True),
        (aiosmtplib.SMTPDataError(552, "too large"), True, "refused", False),
        (aiosmtplib.SMTPAuthenticationError(454, "later"), False, "busy", True),
        (aiosmtplib.SMTPAuthenticationError(538, "encrypt"), False, "sign_in", False),
        (aiosmtplib.SMTPResponseException(-1, "?"), False, "unreachable", True),
        (aiosmtplib.SMTPNotSupported("no"), False, "protocol", False),
        (ValueError(), False, "protocol", False),
    ],
)
def test_what_may_be_tried_again_is_told_from_what_may_not(error, text_sent, reason, again):
    failure = explain(error, text_sent=text_sent)

    assert (failure.reason, failure.again) == (reason, again)
