"""The program, run as people run it: what it says, where it says it, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
from base64 import urlsafe_b64decode
from datetime import UTC, datetime

import httpx
import pytest

from gateway.authentication import build_authenticator
from gateway.config import Settings
from sandbox.settings import connection_settings
from services.authorization import Permission, ViewerKind
from tests.program import ROOT, run, running

TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
VIEWER = {"query": "{ viewer { name kind } }"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def taken_message(port: int, option: str) -> str:
    return f"gateway: Port {port} on 127.0.0.1 is taken by another program. Choose another with {option}.\n"


# ── help ─────────────────────────────────────────────────────────────────────────────────────────


def test_help_has_a_line_for_each_command_and_examples_at_the_end():
    answer = run("--help")

    assert (answer.returncode, answer.stderr) == (0, "")
    block = answer.stdout.partition("commands:\n  <command>\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in block.splitlines()] == ["serve", "sandbox", "schema", "token", "check"]
    assert answer.stdout.index("commands:") < answer.stdout.index("examples:\n  gateway serve --sandbox")
    assert max(map(len, answer.stdout.splitlines())) <= 100


AT_ONCE = {"GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}
"""Nobody has to notice first that a gateway of a test stops."""


@pytest.mark.parametrize("arguments", [[], ["sevre"], ["serve", "--port", "65536"], ["serve", "--workers", "0"]])
def test_what_is_no_command_ends_with_2_and_says_how_it_is_used(arguments):
    answer = run(*arguments)

    assert answer.returncode == 2
    assert answer.stderr.startswith("usage: gateway ")
    assert answer.stdout == ""


# ── serve ────────────────────────────────────────────────────────────────────────────────────────


def test_serve_without_settings_names_each_and_the_sandbox_and_opens_no_port(tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):  # were it tried, the message would be about the port
        answer = run("serve", "--port", str(port), folder=tmp_path, settings={"GATEWAY_AUTH_AUDIENCE": "gateway"})

    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == (
        "gateway: these settings are missing:\n"
        "  GATEWAY_PARTNER_CENTER_TENANT_ID\n"
        "  GATEWAY_PARTNER_CENTER_CLIENT_ID\n"
        "  GATEWAY_PARTNER_CENTER_CLIENT_SECRET\n"
        "  GATEWAY_PARTNER_CENTER_REFRESH_TOKEN\n"
        "  GATEWAY_AUTH_ISSUER\n"
        "  GATEWAY_AUTH_JWKS_URL\n"
        "Set them in the environment or in a file .env (see docs/configuration.md),\n"
        "or try the gateway without an account: gateway serve --sandbox\n"
    )


def test_a_file_with_settings_is_read_and_a_wrong_one_is_named(tmp_path):
    (tmp_path / ".env").write_text("GATEWAY_LOG_LEVEL=loud\n")

    answer = run("serve", "--sandbox", folder=tmp_path)

    assert answer.returncode == 2
    assert answer.stderr == "gateway: GATEWAY_LOG_LEVEL must be one of debug, info, warning, error.\n"


def test_a_sandbox_beside_the_real_partner_center_is_refused(sandbox_settings):
    answer = run("serve", "--sandbox", settings={"GATEWAY_PARTNER_CENTER_REFRESH_TOKEN": "c4n4ry"})

    assert answer.returncode == 2
    assert answer.stderr == (
        "gateway: GATEWAY_PARTNER_CENTER_REFRESH_TOKEN cannot be used with --sandbox, which brings its own Partner "
        "Center and issuer. Unset them, or leave out --sandbox.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--sandbox", "--workers", "2"],
            "gateway serve: error: --workers: a sandbox lives in one process, so --sandbox takes one worker only",
        ),
        (["--sandbox-port", "1234"], "gateway serve: error: --sandbox-port is for --sandbox only"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, message):
    answer = run("serve", *arguments)

    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_gateway_with_its_sandbox_says_both_addresses_answers_and_ends_cleanly(number):
    with running("serve", "--sandbox", "--port", "0", "--sandbox-port", "0", lines=2) as gateway:
        graphiql = re.fullmatch(r"GraphiQL   (http://127\.0\.0\.1:\d+)/graphql", gateway.lines[0])
        sandbox = re.fullmatch(r"Sandbox    (http://127\.0\.0\.1:\d+)", gateway.lines[1])
        assert graphiql
        assert sandbox
        answer = httpx.post(f"{graphiql[1]}/graphql", json=VIEWER, timeout=60)
        clock = httpx.get(f"{sandbox[1]}/sandbox/clock", timeout=60)

        assert answer.json()["data"] == {"viewer": {"name": "Demo partner", "kind": "PARTNER"}}
        assert "server" not in answer.headers
        assert clock.status_code == 200
        assert gateway.stop(number) == 0
        assert "Traceback" not in gateway.log()


def test_a_taken_port_is_named_and_nothing_is_said_to_listen():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("serve", "--sandbox", "--port", str(port), "--sandbox-port", "0")

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == taken_message(port, "--port")


def test_a_port_that_was_asked_for_the_sandbox_and_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("serve", "--sandbox", "--port", "0", "--sandbox-port", str(port))

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == taken_message(port, "--sandbox-port")


def test_an_address_of_another_machine_is_named():
    answer = run("serve", "--sandbox", "--host", "203.0.113.1")

    assert answer.returncode == 1
    assert answer.stderr == "gateway: 203.0.113.1 is no address of this machine. Choose another with --host.\n"


def test_a_gateway_over_a_sandbox_elsewhere_asks_for_tokens_and_takes_those_of_gateway_token(sandbox_settings):
    token = run("token", "--kind", "direct-customer", "--tenant-id", TENANT).stdout.strip()
    with running("serve", "--port", "0", lines=1, settings=sandbox_settings | AT_ONCE) as gateway:
        url = re.fullmatch(r"GraphQL    (http://127\.0\.0\.1:\d+/graphql)", gateway.lines[0])
        assert url
        without = httpx.post(url[1], json=VIEWER, timeout=60)
        known = httpx.post(url[1], json=VIEWER, headers={"Authorization": f"Bearer {token}"}, timeout=60)

        assert (without.status_code, without.headers["www-authenticate"]) == (401, "Bearer")
        assert known.json()["data"] == {"viewer": {"name": "Demo direct customer", "kind": "DIRECT_CUSTOMER"}}
        assert gateway.stop(signal.SIGTERM) == 0


def test_several_workers_share_a_port_and_end_together(sandbox_settings):
    token = run("token", "--kind", "partner").stdout.strip()
    with running("serve", "--port", "0", "--workers", "2", lines=1, settings=sandbox_settings | AT_ONCE) as gateway:
        url = gateway.lines[0].split()[1]
        headers = {"Authorization": f"Bearer {token}"}
        answers = [httpx.post(url, json=VIEWER, headers=headers, timeout=60) for _ in range(8)]

        assert {answer.json()["data"]["viewer"]["name"] for answer in answers} == {"Demo partner"}
        assert gateway.stop(signal.SIGTERM) == 0
        assert all(json.loads(line)["level"] == "info" for line in gateway.log().splitlines())


# ── sandbox ──────────────────────────────────────────────────────────────────────────────────────


def test_the_sandbox_prints_the_settings_that_reach_it_and_ends_cleanly():
    with running("sandbox", "--port", "0", lines=9) as sandbox:
        settings = dict(line.split("=", 1) for line in sandbox.lines)
        url = settings["GATEWAY_PARTNER_CENTER_URL"]

        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert settings == connection_settings(url)
        assert Settings.from_env(settings, sandbox=False).partner_center_url == url
        assert httpx.get(settings["GATEWAY_AUTH_JWKS_URL"], timeout=60).status_code == 200
        assert sandbox.stop(signal.SIGTERM) == 0


def test_a_taken_port_of_the_sandbox_alone_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("sandbox", "--port", str(port))

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == taken_message(port, "--port")


# ── schema ───────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_is_printed_as_it_is_committed():
    answer = run("schema")

    assert answer.returncode == 0
    assert answer.stdout.encode() == (ROOT / "schema.graphql").read_bytes()
    assert "\r" not in answer.stdout


# ── token ────────────────────────────────────────────────────────────────────────────────────────


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    claims: dict[str, object] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_a_printed_token_is_taken_in_sandbox_mode_with_all_that_was_asked_for():
    answer = run("token", "--kind", "reseller", "--reseller-id", TENANT.upper(), "--permissions", "READ,WRITE_USERS")
    settings = Settings.from_env({}, sandbox=True).with_sandbox(connection_settings("http://127.0.0.1:1"))
    authenticator = build_authenticator(settings, now=lambda: datetime.now(UTC), sandbox=True)

    caller = await authenticator.authenticate([(b"authorization", b"Bearer " + answer.stdout.strip().encode())])

    assert (answer.returncode, answer.stderr) == (0, "")
    assert (caller.kind, caller.reseller_id, caller.name) == (ViewerKind.RESELLER, TENANT, "Demo reseller")
    assert caller.permissions == frozenset({Permission.READ, Permission.WRITE_USERS})


def test_a_token_carries_every_permission_unless_told_otherwise_and_may_have_ended():
    partner = claims_of(run("token", "--kind", "partner", "--expires-in", "-60").stdout)
    assert partner["permissions"] == [each.value for each in Permission]
    assert isinstance(partner["exp"], int)
    assert partner["exp"] < datetime.now(UTC).timestamp() - 50

    narrowed = claims_of(run("token", "--kind", "partner", "--tenant-id", TENANT, "--permissions", "").stdout)
    assert narrowed["tenant_ids"] == [TENANT]
    assert narrowed["permissions"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "reseller"], "--kind reseller needs --reseller-id, the reseller's Microsoft tenant id"),
        (["--kind", "direct-customer"], "--kind direct-customer needs --tenant-id, at least once"),
        (
            ["--kind", "partner", "--tenant-id", "contoso"],
            "argument --tenant-id: 'contoso' is no GUID, such as 11111111-2222-3333-4444-555555555555",
        ),
        (
            ["--kind", "partner", "--permissions", "READ,FLY"],
            "argument --permissions: 'FLY' is none of READ, WRITE_USERS, WRITE_LICENSES, WRITE_ROLES, "
            "RESET_PASSWORDS, DELETE_USERS, MANAGE_ADMINS, READ_AUDIT",
        ),
        (["--kind", "admin"], "argument --kind: 'admin' is none of partner, reseller, direct-customer"),
    ],
)
def test_a_token_that_would_be_of_no_use_is_a_usage_error(arguments, message):
    answer = run("token", *arguments)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.splitlines()[-1] == f"gateway token: error: {message}"
