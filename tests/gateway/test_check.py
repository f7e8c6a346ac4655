"""`gateway check`: a line for each thing that is asked, and the one setting that mends what is wrong."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import quote

import pytest
from redis import Redis

from tests.program import run
from tests.smtp_server import PASSWORD, USER, mail_server, refused_port, silent_server

CANARY = "c4n4ry"
SIGNED_IN = "ok    Sign-in          answered in N ms with an access token"
ASKED = "ok    Partner Center   answered in N ms, 1 customer"
NOT_ASKED = "-     Partner Center   not asked: there is no access token"
NO_REDIS = "-     Redis            not configured: each process keeps its own cache"
NO_MAIL = "-     Mail server      not configured: no mail is sent"
KEYS = "ok    Issuer's keys    answered in N ms, 1 key"


def check(settings: dict[str, str], **changes: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with these settings changed; nothing may print the canary or write to the log."""
    answer = run("check", settings=settings | {f"GATEWAY_{name.upper()}": text for name, text in changes.items()})
    assert CANARY not in answer.stdout + answer.stderr
    assert answer.stderr == ""
    return answer


def lines(answer: subprocess.CompletedProcess[str]) -> list[str]:
    return re.sub(r"\d+ ms", "N ms", answer.stdout).splitlines()


def test_a_gateway_that_would_work_gets_a_line_for_each_part_and_0(sandbox_settings):
    answer = check(sandbox_settings)

    assert lines(answer) == [SIGNED_IN, ASKED, NO_REDIS, NO_MAIL, KEYS]
    assert answer.returncode == 0


def test_redis_and_the_mail_server_are_asked_where_they_are_configured(sandbox_settings, redis_url):
    with mail_server(sign_in=True) as server:
        smtp_url = f"smtp://{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}"
        answer = check(sandbox_settings, redis_url=redis_url, smtp_url=smtp_url, mail_from="a@example.com")

        assert lines(answer) == [
            SIGNED_IN,
            ASKED,
            "ok    Redis            answered in N ms",
            "ok    Mail server      answered in N ms, signed in",
            KEYS,
        ]
        assert answer.returncode == 0
        assert server.taken == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"client_secret": CANARY},
            "FAIL  Sign-in          The client secret is wrong (AADSTS7000215). "
            "Set GATEWAY_PARTNER_CENTER_CLIENT_SECRET.",
        ),
        (
            {"client_id": "99999999-9999-4999-8999-999999999999"},
            "FAIL  Sign-in          The tenant has no such client (AADSTS700016). "
            "Set GATEWAY_PARTNER_CENTER_CLIENT_ID.",
        ),
        (
            {"tenant_id": "nobody.onmicrosoft.com"},
            "FAIL  Sign-in          There is no such tenant (AADSTS90002). Set GATEWAY_PARTNER_CENTER_TENANT_ID.",
        ),
        (
            {"refresh_token": CANARY},
            "FAIL  Sign-in          The refresh token is not readable (AADSTS9002313). "
            "Set GATEWAY_PARTNER_CENTER_REFRESH_TOKEN.",
        ),
    ],
    ids=["secret", "client", "tenant", "refresh token"],
)
def test_a_wrong_credential_is_one_failure_that_names_its_setting(sandbox_settings, changes, line):
    answer = check(sandbox_settings, **{f"partner_center_{name}": text for name, text in changes.items()})

    assert lines(answer) == [line, NOT_ASKED, NO_REDIS, NO_MAIL, KEYS]
    assert answer.returncode == 1


def test_an_unreachable_host_is_named_with_its_setting(sandbox_settings):
    port = refused_port()
    url = f"http://127.0.0.1:{port}"

    assert lines(check(sandbox_settings, partner_center_token_url=f"{url}/token")) == [
        f"FAIL  Sign-in          127.0.0.1:{port} does not answer (ConnectError). "
        "See GATEWAY_PARTNER_CENTER_TOKEN_URL.",
        NOT_ASKED,
        NO_REDIS,
        NO_MAIL,
        KEYS,
    ]
    assert lines(check(sandbox_settings, partner_center_url=url)) == [
        SIGNED_IN,
        f"FAIL  Partner Center   127.0.0.1:{port} cannot be reached (ConnectError). See GATEWAY_PARTNER_CENTER_URL.",
        NO_REDIS,
        NO_MAIL,
        KEYS,
    ]
    assert lines(check(sandbox_settings, auth_jwks_url=url)) == [
        SIGNED_IN,
        ASKED,
        NO_REDIS,
        NO_MAIL,
        "FAIL  Issuer's keys    The issuer cannot be reached (ClientConnectorError). See GATEWAY_AUTH_JWKS_URL.",
    ]


def test_an_issuer_without_a_usable_key_is_told(sandbox_settings, issuer):
    issuer.body = b'{"keys": []}'

    answer = check(sandbox_settings, auth_jwks_url=issuer.url)

    assert lines(answer)[4] == (
        "FAIL  Issuer's keys    The issuer publishes no key that can be used. See GATEWAY_AUTH_JWKS_URL."
    )
    assert answer.returncode == 1


def test_a_dead_redis_and_one_that_refuses_the_password_are_told_apart(sandbox_settings, redis_url):
    dead = check(sandbox_settings, redis_url=f"redis://:{CANARY}@127.0.0.1:{refused_port()}/0")
    assert lines(dead)[2] == (
        "FAIL  Redis            Redis does not answer (ConnectionError). Start it, or see GATEWAY_REDIS_URL."
    )
    assert dead.returncode == 1

    with Redis.from_url(redis_url) as client:
        client.acl_setuser("gateway", enabled=True, passwords=["+right"], commands=["+ping"])
        refused = check(sandbox_settings, redis_url=redis_url.replace("unix://", f"unix://gateway:{CANARY}@"))
        client.acl_deluser("gateway")
    assert lines(refused)[2] == ("FAIL  Redis            It refuses the user or the password. See GATEWAY_REDIS_URL.")


def test_a_mail_server_that_is_dead_or_silent_or_refuses_the_password_is_told(sandbox_settings):
    def line(port: int) -> str:
        url = f"smtp://someone:{CANARY}@127.0.0.1:{port}"
        answer = check(sandbox_settings, smtp_url=url, mail_from="a@example.com")
        assert answer.returncode == 1
        return lines(answer)[3]

    assert line(refused_port()) == "FAIL  Mail server      It cannot be reached. See GATEWAY_SMTP_URL."
    with mail_server(sign_in=True) as server:
        assert line(server.port) == (
            "FAIL  Mail server      It refuses the user or the password (SMTP 535). See GATEWAY_SMTP_URL."
        )
    with mail_server() as server:
        assert line(server.port) == (
            "FAIL  Mail server      It cannot do what the address asks for, such as encryption or signing in. "
            "See GATEWAY_SMTP_URL."
        )
    with silent_server(b"554 go away\r\n") as port:
        assert line(port) == "FAIL  Mail server      It refuses the greeting (SMTP 554). See GATEWAY_SMTP_URL."


def test_the_newest_refresh_token_is_kept_where_the_gateway_keeps_it(sandbox_settings, tmp_path):
    store = tmp_path / "refresh-token"

    answer = check(sandbox_settings, partner_center_refresh_token_store=str(store))

    assert answer.returncode == 0
    assert store.stat().st_mode & 0o777 == 0o600
    assert store.read_text() not in ("", sandbox_settings["GATEWAY_PARTNER_CENTER_REFRESH_TOKEN"])


def test_without_settings_the_missing_ones_are_named(tmp_path):
    answer = run("check", folder=tmp_path)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("gateway: these settings are missing:\n  GATEWAY_PARTNER_CENTER_TENANT_ID\n")
