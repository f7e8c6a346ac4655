"""Mails of changes, against a real mail server: whom they reach, what they say, and what their failure means."""

from __future__ import annotations

import re

import pytest

from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.gateway_client import running_gateway
from tests.smtp_server import mail_server, refused_port
from tests.upstream import Upstream

FIELDS = "user { id } temporaryPassword delivery { to kind status message } userErrors { code }"
CREATE = f"mutation ($input: CreateUserInput!) {{ createUser(input: $input) {{ {FIELDS} }} }}"
RESET = f"mutation ($input: ResetUserPasswordInput!) {{ resetUserPassword(input: $input) {{ {FIELDS} }} }}"
ADELE = f"adele.vance@{CONTOSO_DOMAIN}"
SENDER = "gateway@partner.example.com"


def settings(port):
    return {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{port}", "GATEWAY_MAIL_FROM": SENDER}


async def create(gateway, **changes):
    given = {
        "tenantId": encode_id("Tenant", CONTOSO_ID),
        "username": "zoe",
        "domain": CONTOSO_DOMAIN,
        "displayName": "Zoë <b>Ångström</b> & 山田",
        "usageLocation": "SE",
        "password": {},
        "sendPasswordTo": ["boss@example.com"],
    }
    return (await gateway.data(CREATE, {"input": given | changes}))["createUser"]


async def reset(gateway, upn=ADELE, **changes):
    given = {"id": encode_id("User", CONTOSO_ID, stable_id("user", upn)), "password": {}}
    return (await gateway.data(RESET, {"input": given | changes}))["resetUserPassword"]


async def test_a_new_users_mail_says_who_where_and_with_which_password(sandbox):
    with mail_server() as mails:
        async with running_gateway(sandbox, **settings(mails.port)) as gateway:
            payload = await create(gateway)

    (taken,) = mails.taken
    mail, password = taken.mail, payload["temporaryPassword"]
    assert (taken.sender, taken.recipients, mail["From"], mail["To"]) == (
        SENDER,
        ["boss@example.com"],
        SENDER,
        "boss@example.com",
    )
    assert mail["Subject"] == "New Microsoft 365 account at Contoso"
    assert mail["Cc"] is mail["Bcc"] is mail["Reply-To"] is None
    assert taken.part("plain") == (
        "A Microsoft 365 account was created for Zoë <b>Ångström</b> & 山田 at Contoso.\n"
        "\n"
        f"Sign-in name: zoe@{CONTOSO_DOMAIN}\n"
        f"Password:     {password}\n"
        "\n"
        "Sign in at https://www.office.com\n"
        "A new password has to be chosen at the next sign-in.\n"
        "\n"
        "Pass this mail on to nobody else, and delete it after signing in.\n"
    )
    html = taken.part("html")
    assert "Zoë &lt;b&gt;Ångström&lt;/b&gt; &amp; 山田" in html
    assert f"zoe@{CONTOSO_DOMAIN}" in html
    assert set(re.findall(r'(?:src|href|url|action)\s*[=(]\s*"?([^"\s>)]*)', html)) == {"https://www.office.com"}
    assert not re.search(r"<(?:img|script|link|iframe|object)\b", html)


async def test_a_reset_says_so_and_whether_the_password_is_to_be_changed(sandbox):
    with mail_server() as mails:
        async with running_gateway(sandbox, **settings(mails.port)) as gateway:
            await reset(
                gateway,
                password={"value": "Kp7#vWtqzR", "forceChangeAtNextSignIn": False},
                sendPasswordTo=["boss@example.com"],
            )

    (taken,) = mails.taken
    assert taken.mail["Subject"] == "New Microsoft 365 password at Contoso"
    assert taken.part("plain").startswith("The Microsoft 365 password of Adele Vance at Contoso was reset.\n")
    assert "Password:     Kp7#vWtqzR\n" in taken.part("plain")
    assert "The password need not be changed at the next sign-in.\n" in taken.part("plain")


async def test_an_address_that_is_refused_fails_alone_and_undoes_nothing(sandbox):
    with mail_server() as mails:
        mails.refuse_recipient = ["550 No such mailbox"]
        async with running_gateway(sandbox, **settings(mails.port)) as gateway:
            first = await create(gateway)
            second = await create(gateway, username="zoe2")

    (delivery,) = first["delivery"]
    assert (delivery["to"], delivery["status"]) == ("boss@example.com", "FAILED")
    assert "550" not in delivery["message"] or "mailbox" not in delivery["message"]
    assert first["userErrors"] == []
    assert first["user"] is not None
    assert [one["status"] for one in second["delivery"]] == ["SENT"]
    assert len(mails.taken) == 1


async def test_a_server_that_is_away_leaves_the_mail_queued(sandbox):
    async with running_gateway(sandbox, **settings(refused_port())) as gateway:
        payload = await reset(gateway, sendPasswordTo=["a@example.com", "b@example.com"])

    assert [(one["to"], one["kind"], one["status"]) for one in payload["delivery"]] == [
        ("a@example.com", "PASSWORD", "QUEUED"),
        ("b@example.com", "PASSWORD", "QUEUED"),
    ]
    assert all("tries again for about ten minutes" in one["message"] for one in payload["delivery"])
    assert payload["userErrors"] == []
    user = sandbox.world.customers[CONTOSO_ID].users[stable_id("user", ADELE)]
    assert user.password == payload["temporaryPassword"]


async def test_without_mail_the_change_goes_through_and_says_so(gateway):
    payload = await reset(gateway)

    assert payload["delivery"] == [
        {
            "to": ADELE,
            "kind": "NOTICE",
            "status": "FAILED",
            "message": "Mail is not configured, so nothing was sent. "
            "Whoever runs the gateway can set GATEWAY_SMTP_URL and GATEWAY_MAIL_FROM.",
        }
    ]
    assert payload["userErrors"] == []


async def test_a_guests_sign_in_name_is_an_address_too(sandbox):
    guest = f"mara.lindt_fabrikam.com#EXT#@{CONTOSO_DOMAIN}"
    with mail_server() as mails:
        async with running_gateway(sandbox, **settings(mails.port)) as gateway:
            payload = await reset(gateway, guest)

    assert [(one["to"], one["status"]) for one in payload["delivery"]] == [(guest, "SENT")]
    assert mails.taken[0].recipients == [guest]


@pytest.mark.parametrize(
    ("script", "changes", "code"),
    [
        ([], {"password": {"value": "weak"}}, "PASSWORD_POLICY"),
        ([], {"dryRun": True}, None),
        (["400"], {}, "UPSTREAM_ERROR"),
        (["403"], {}, "TENANT_ACCESS_MISSING"),
        (["429:250"], {}, "THROTTLED"),
        (["refused"] * 3, {}, "UPSTREAM_ERROR"),
    ],
)
async def test_nothing_is_mailed_unless_microsoft_took_the_change(sandbox, script, changes, code):
    with mail_server() as mails:
        for ask in (create, reset):
            async with running_gateway(sandbox, Upstream(sandbox, *script), **settings(mails.port)) as gateway:
                payload = await ask(gateway, **changes)
            assert [error["code"] for error in payload["userErrors"]] == ([code] if code else [])
            assert {one["status"] for one in payload["delivery"]} <= {"NOT_SENT_DRY_RUN"}

    assert mails.asked == []


@pytest.mark.parametrize(
    "address", ["a@example.com\r\nBcc: b@example.com", "A <a@example.com>", "a@example.com,b@example.com", "a", "@b"]
)
async def test_what_is_not_one_bare_address_is_never_taken(sandbox, address):
    with mail_server() as mails:
        async with running_gateway(sandbox, **settings(mails.port)) as gateway:
            given = {"id": encode_id("User", CONTOSO_ID, stable_id("user", ADELE)), "password": {}}
            answer = await gateway.ask(RESET, {"input": given | {"sendPasswordTo": [address]}})
            assert gateway.calls() == []

    assert [error["message"] for error in answer["errors"]] == [
        "Variable '$input' has invalid value at .sendPasswordTo[0]: "
        "Expected one e-mail address, such as ada@example.com."
    ]
    assert mails.asked == []
