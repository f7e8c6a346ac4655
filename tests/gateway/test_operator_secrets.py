"""The operator's secrets and callers' tokens are nowhere but where they are needed: all that the program says at DEBUG
is searched, while all goes well and while everything it depends on refuses it. Passwords of users: test_secrets."""

from __future__ import annotations

import re
from signal import SIGTERM
from urllib.parse import quote

import httpx
import pytest
from redis import Redis

from gateway.config import Settings, variables
from sandbox.contoso import CONTOSO_DOMAIN
from sandbox.people import stable_id
from sandbox.settings import CLIENT_SECRET, REFRESH_TOKEN
from services.global_ids import encode_id
from tests.callers import bearer
from tests.canaries import find, redis_dump
from tests.gateway_client import CONTOSO
from tests.program import run, running
from tests.smtp_server import PASSWORD as SMTP_PASSWORD
from tests.smtp_server import USER, mail_server, refused_port

REDIS_PASSWORD = "c4n4ry/of:redis@home"
WRONG = "c4n4ry-that-is-wrong"
ANY_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}")
SECRETS = ("PARTNER_CENTER_CLIENT_SECRET", "PARTNER_CENTER_REFRESH_TOKEN", "REDIS_URL", "SMTP_URL")
RESET = "mutation ($input: ResetUserPasswordInput!) { resetUserPassword(input: $input) { delivery { status } } }"
ADELE = encode_id("User", CONTOSO, stable_id("user", f"adele.vance@{CONTOSO_DOMAIN}"))


def test_each_secret_may_come_from_a_file_and_nothing_else():
    assert {name for name in variables() if name.endswith("_FILE")} == {f"GATEWAY_{each}_FILE" for each in SECRETS}


def in_files(folder, settings):
    """The settings with each secret in a file of its own."""
    for secret in SECRETS:
        name = f"GATEWAY_{secret}"
        if name in settings:
            (folder / secret).write_text(settings.pop(name) + "\n")
            settings[f"{name}_FILE"] = str(folder / secret)
    return settings


@pytest.fixture
def guarded_redis(redis_url):
    """The address of a Redis that asks for a password."""
    with Redis.from_url(redis_url) as client:
        client.acl_setuser(
            "guarded", enabled=True, passwords=[f"+{REDIS_PASSWORD}"], commands=["+@all"], keys=["*"], channels=["*"]
        )
        yield redis_url.replace("unix://", f"unix://guarded:{quote(REDIS_PASSWORD, safe='')}@")
        client.acl_deluser("guarded")


def everything_said(settings, tokens):
    """Serves, is asked all sorts of things, and ends; gives what was said where."""
    said = {}
    settings = settings | {"GATEWAY_LOG_LEVEL": "debug", "GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}
    with running("serve", "--port", "0", lines=1, settings=settings) as program:
        url = program.lines[0].split()[-1].removesuffix("/graphql")
        with httpx.Client(base_url=url, timeout=30) as http:
            asked = [
                {"query": "{ viewer { name } tenants(first: 2) { nodes { name users(first: 2) { totalCount } } } }"},
                {
                    "query": RESET,
                    "variables": {"input": {"id": ADELE, "password": {}, "sendPasswordTo": ["a@b.example"]}},
                },
                {"query": "{ nothing }"},
                {"query": "{"},
            ]
            for number, token in enumerate(tokens):
                for place, body in enumerate(asked):
                    response = http.post("/graphql", json=body, headers={"Authorization": token})
                    said[f"answer {number} {place}"] = f"{response.headers} {response.text}"
            # A token where it does not belong.
            http.get("/graphql", params={"query": "{ __typename }", "access_token": tokens[0].split()[1]})
            http.post("/graphql", json=asked[0], headers={"Cookie": f"token={tokens[0].split()[1]}"})
            said["ready"] = http.get("/ready").text
            said["metrics"] = http.get("/metrics").text
        program.stop(SIGTERM)
        said["stdout"], said["log"] = "\n".join(program.lines), program.log()
    checked = run("check", settings=settings)
    return said | {"check": checked.stdout + checked.stderr}


def assert_nothing_is_told(said, tokens, *secrets):
    parts = [part for token in tokens for part in token.removeprefix("Bearer ").split(".")[1:]]
    assert find([*secrets, *(part for part in parts if len(part) > 12)], said) == []
    assert [place for place, text in said.items() if ANY_TOKEN.search(text)] == []
    assert "caller_refused" in said["log"]
    assert "partner_center_call" in said["log"], "the log is not at DEBUG"


def the_tokens():
    good = bearer(subject="ann")
    return [good, good[:-4] + "AAAA", bearer(kind="nobody", subject="bob"), f"Bearer {'c4n4ry' * 20}"]


def test_while_all_goes_well(sandbox_settings, guarded_redis, redis_url, tmp_path):
    tokens = the_tokens()
    with mail_server(sign_in=True) as mails:
        smtp_url = f"smtp://{quote(USER, safe='')}:{quote(SMTP_PASSWORD, safe='')}@127.0.0.1:{mails.port}"
        settings = sandbox_settings | {
            "GATEWAY_REDIS_URL": guarded_redis,
            "GATEWAY_SMTP_URL": smtp_url,
            "GATEWAY_MAIL_FROM": "gateway@example.com",
        }
        said = everything_said(in_files(tmp_path, settings), tokens)
        assert len(mails.taken) == 1
    with Redis.from_url(redis_url) as client:
        dump = redis_dump(client)

    assert '"totalCount":' in said["answer 0 0"]
    assert "FAIL" not in said["check"]
    assert_nothing_is_told(said, tokens, CLIENT_SECRET, REFRESH_TOKEN, REDIS_PASSWORD, SMTP_PASSWORD)
    assert find([CLIENT_SECRET, REDIS_PASSWORD, SMTP_PASSWORD], {"redis": dump}) == []


def test_while_everything_refuses(sandbox_settings, redis_url, tmp_path):
    tokens = the_tokens()
    settings = sandbox_settings | {
        "GATEWAY_PARTNER_CENTER_CLIENT_SECRET": WRONG,
        "GATEWAY_REDIS_URL": redis_url.replace("unix://", f"unix://guarded:{WRONG}@"),
        "GATEWAY_SMTP_URL": f"smtp://someone:{WRONG}@127.0.0.1:{refused_port()}",
        "GATEWAY_MAIL_FROM": "gateway@example.com",
    }
    said = everything_said(in_files(tmp_path, settings), tokens)

    assert said["check"].count("FAIL") == 3
    parts = [part for token in tokens for part in token.split(".")[1:]]
    assert find([WRONG, REFRESH_TOKEN, *parts], said) == []
    assert [place for place, text in said.items() if ANY_TOKEN.search(text)] == []


def test_settings_show_no_secret(sandbox_settings, tmp_path):
    settings = dict(sandbox_settings) | {
        "GATEWAY_REDIS_URL": f"redis://:{WRONG}@redis.example",
        "GATEWAY_SMTP_URL": f"smtps://user:{WRONG}@mail.example",
        "GATEWAY_MAIL_FROM": "gateway@example.com",
    }
    read = Settings.from_env(in_files(tmp_path, settings), sandbox=False)

    assert read.partner_center_client_secret.reveal() == CLIENT_SECRET
    assert find([CLIENT_SECRET, REFRESH_TOKEN, WRONG], {"repr": repr(read), "text": f"{read}"}) == []
