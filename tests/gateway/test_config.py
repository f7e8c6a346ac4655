"""Settings: what is read, what is refused, and that a refusal never repeats a value."""

import copy
import json
import pickle
import re
from dataclasses import asdict, fields
from pathlib import Path

import msgspec
import pytest

from gateway.config import ConfigError, MissingSettings, Settings, read_environment, variable_of, variables
from services.secret import Secret

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry-Pa$$"
REQUIRED = {
    "GATEWAY_PARTNER_CENTER_TENANT_ID": "11111111-1111-4111-8111-111111111111",
    "GATEWAY_PARTNER_CENTER_CLIENT_ID": "22222222-2222-4222-8222-222222222222",
    "GATEWAY_PARTNER_CENTER_CLIENT_SECRET": CANARY,
    "GATEWAY_PARTNER_CENTER_REFRESH_TOKEN": CANARY,
    "GATEWAY_AUTH_ISSUER": "https://issuer.example/",
    "GATEWAY_AUTH_AUDIENCE": "gateway",
    "GATEWAY_AUTH_JWKS_URL": "https://issuer.example/keys",
}


def read(**changes: str) -> Settings:
    environ = REQUIRED | {f"GATEWAY_{name.upper()}": text for name, text in changes.items()}
    return Settings.from_env(environ, sandbox=False)


def refusal(**changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(**changes)
    return str(caught.value)


def test_what_is_required_is_enough_and_the_rest_has_defaults():
    settings = read()

    assert settings.partner_center_url == "https://api.partnercenter.microsoft.com"
    assert settings.partner_center_token_url == "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    assert settings.partner_center_client_secret.reveal() == CANARY
    assert (settings.partner_center_max_in_flight, settings.partner_center_max_in_flight_per_tenant) == (32, 8)
    assert settings.partner_center_connect_timeout_seconds == 3.0
    assert settings.partner_center_read_timeout_seconds == 20.0
    assert settings.partner_center_write_timeout_seconds == 60.0
    assert settings.redis_url is None
    assert settings.cache_bytes == 67_108_864
    assert settings.auth_token_types == ("at+jwt",)
    assert (settings.graphiql, settings.introspection) == (False, False)
    assert (settings.max_page_size, settings.max_cost_nodes, settings.max_cost_calls) == (500, 10_000, 5_000)
    assert (settings.log_level, settings.log_format) == ("info", None)


def test_every_missing_setting_is_named_in_order():
    with pytest.raises(MissingSettings) as caught:
        Settings.from_env({"GATEWAY_AUTH_AUDIENCE": "gateway"}, sandbox=False)

    assert caught.value.names == tuple(name for name in REQUIRED if name != "GATEWAY_AUTH_AUDIENCE")


def test_an_empty_value_counts_as_not_set():
    assert read(redis_url="", max_page_size=" ").max_page_size == 500
    with pytest.raises(MissingSettings) as caught:
        read(auth_issuer="")
    assert str(caught.value) == "GATEWAY_AUTH_ISSUER must be set."


def test_in_sandbox_mode_nothing_is_required_and_the_page_and_introspection_are_on():
    settings = Settings.from_env({}, sandbox=True)
    assert (settings.graphiql, settings.introspection) == (True, True)

    settings = Settings.from_env({"GATEWAY_GRAPHIQL": "off", "GATEWAY_INTROSPECTION": "No"}, sandbox=True)
    assert (settings.graphiql, settings.introspection) == (False, False)


def test_the_real_partner_center_and_a_sandbox_are_not_mixed_up():
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"GATEWAY_PARTNER_CENTER_CLIENT_SECRET": CANARY, "GATEWAY_LOG_LEVEL": "debug"}, sandbox=True)

    assert str(caught.value) == (
        "GATEWAY_PARTNER_CENTER_CLIENT_SECRET cannot be used with --sandbox, which brings its own Partner Center and "
        "issuer. Unset them, or leave out --sandbox."
    )


def test_a_default_that_is_written_out_does_not_disturb_a_sandbox():
    environ = {"GATEWAY_PARTNER_CENTER_URL": "https://api.partnercenter.microsoft.com"}

    assert Settings.from_env(environ, sandbox=True).graphiql is True


def test_settings_are_aimed_at_a_sandbox_by_what_it_says_of_itself():
    settings = Settings.from_env({"GATEWAY_MAX_PAGE_SIZE": "7"}, sandbox=True)

    aimed = settings.with_sandbox(REQUIRED | {"GATEWAY_PARTNER_CENTER_URL": "http://127.0.0.1:8010"})

    assert aimed.partner_center_url == "http://127.0.0.1:8010"
    assert aimed.partner_center_refresh_token == Secret(CANARY)
    assert aimed.max_page_size == 7


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("ON", True), ("yes", True), ("0", False)])
def test_booleans_have_four_spellings(text, value):
    assert read(graphiql=text).graphiql is value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graphiql": CANARY}, "GATEWAY_GRAPHIQL must be true or false (also 1/0, on/off, yes/no)."),
        ({"max_page_size": "0"}, "GATEWAY_MAX_PAGE_SIZE must be a whole number between 1 and 10000."),
        ({"max_page_size": "5.0"}, "GATEWAY_MAX_PAGE_SIZE must be a whole number between 1 and 10000."),
        ({"max_page_size": "9" * 5000}, "GATEWAY_MAX_PAGE_SIZE must be a whole number between 1 and 10000."),
        (
            {"partner_center_read_timeout_seconds": "nan"},
            "GATEWAY_PARTNER_CENTER_READ_TIMEOUT_SECONDS must be a number of seconds between 0.5 and 300.",
        ),
        (
            {"partner_center_read_timeout_seconds": "inf"},
            "GATEWAY_PARTNER_CENTER_READ_TIMEOUT_SECONDS must be a number of seconds between 0.5 and 300.",
        ),
        ({"log_level": CANARY}, "GATEWAY_LOG_LEVEL must be one of debug, info, warning, error."),
        (
            {"partner_center_tenant_id": f"not a tenant {CANARY}"},
            "GATEWAY_PARTNER_CENTER_TENANT_ID must be a tenant id (GUID) or a domain of the tenant.",
        ),
        (
            {"auth_token_types": "JWT,id"},
            "GATEWAY_AUTH_TOKEN_TYPES must be one or more of at+jwt, JWT, separated by commas.",
        ),
        (
            {"mail_from": f"Gateway <{CANARY}@b.example>"},
            "GATEWAY_MAIL_FROM must be a plain e-mail address, without a display name.",
        ),
        (
            {"smtp_url": f"mail.example:{CANARY}"},
            "GATEWAY_SMTP_URL must be smtp:// or smtps://, as in smtps://user:password@host:465.",
        ),
        (
            {"smtp_url": "smtp://mail.example"},
            "GATEWAY_MAIL_FROM must be set beside GATEWAY_SMTP_URL: every mail needs its sender.",
        ),
        (
            {"cors_origins": "https://a.example,*"},
            "GATEWAY_CORS_ORIGINS must be exact origins in lower case, separated by commas, such as "
            "https://portal.example.com.",
        ),
        ({"trusted_documents": f"/{CANARY}"}, "GATEWAY_TRUSTED_DOCUMENTS must be the path of a file that can be read."),
        (
            {"partner_center_refresh_token_store": f"/{CANARY}/token"},
            "GATEWAY_PARTNER_CENTER_REFRESH_TOKEN_STORE must be the path of a file, in a folder that exists.",
        ),
        (
            {"redis_url": f"redis://:{CANARY}@host:port"},
            "GATEWAY_REDIS_URL must be an address of Redis: redis://, rediss://, unix://, "
            "redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/service.",
        ),
        ({"redis_ulr": CANARY}, "GATEWAY_REDIS_ULR is no setting. Did you mean GATEWAY_REDIS_URL?"),
        ({"xyzzy": CANARY}, "GATEWAY_XYZZY is no setting."),
        ({"port": "8000"}, "GATEWAY_PORT is no setting."),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_variable_and_never_repeated(changes, message):
    text = refusal(**changes)

    assert text == message
    assert CANARY not in text


@pytest.mark.parametrize("name", ["partner_center_url", "partner_center_token_url", "auth_issuer", "auth_jwks_url"])
def test_plain_http_is_for_loopback_addresses_only(name):
    for url in ("http://localhost:1/x", "http://127.8.9.1/x", "http://[::1]:8010/x", "https://host.example/x"):
        assert getattr(read(**{name: url}), name) == url
    for url in (
        "http://host.example/x",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example/",
        "https://user:pw@host.example/",
        "https://",
        "ftp://localhost/",
        "https://host.example:port/",
        "https://host.example/a\tb",
        "https://host.example/?q",
    ):
        assert refusal(**{name: url}).endswith("http:// is for loopback addresses only.")


def test_the_base_url_stands_without_slash_and_version():
    assert read(partner_center_url="https://pc.example/").partner_center_url == "https://pc.example"
    assert refusal(partner_center_url="https://pc.example/v1/") == (
        "GATEWAY_PARTNER_CENTER_URL must be an https:// URL without user, query and fragment, without /v1 at its end; "
        "http:// is for loopback addresses only."
    )


def test_the_issuer_is_kept_to_the_letter():
    assert read(auth_issuer="https://Issuer.example/").auth_issuer == "https://Issuer.example/"


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "rediss://user:pw@host:6380/1",
        "unix:///run/redis.sock",
        "redis+cluster://a:1,b:2",
        "rediss+sentinel://:pw@a:1,b:2/main",
    ],
)
def test_every_form_of_a_redis_address_is_taken(url):
    assert read(redis_url=url).redis_url == Secret(url)


@pytest.mark.parametrize(
    "url", ["http://host", "redis://", "unix://", "redis://a,b", "redis+sentinel://a:1", "redis://a:99999"]
)
def test_what_is_no_redis_address_is_refused(url):
    assert refusal(redis_url=url).startswith("GATEWAY_REDIS_URL must be an address of Redis")


def test_lists_are_separated_by_commas():
    settings = read(cors_origins="https://a.example, http://localhost:3000", auth_token_types="at+jwt, JWT")

    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert settings.auth_token_types == ("at+jwt", "JWT")


def test_a_secret_comes_from_a_file_without_the_white_space_around_it(tmp_path):
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbf" + f" {CANARY}\r\n".encode())

    settings = read(partner_center_client_secret="", partner_center_client_secret_file=str(tmp_path / "secret"))

    assert settings.partner_center_client_secret.reveal() == CANARY


def test_a_file_that_gives_no_secret_is_refused_by_its_variable(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_text("x" * 65_537)

    def of(name: str) -> str:
        return refusal(redis_url_file=str(tmp_path / name))

    assert of("none") == "GATEWAY_REDIS_URL_FILE must name a UTF-8 text file that can be read."
    assert of("binary") == "GATEWAY_REDIS_URL_FILE must name a UTF-8 text file that can be read."
    assert of("empty") == "GATEWAY_REDIS_URL_FILE must name a file that is neither empty nor larger than 64 KiB."
    assert of("large") == "GATEWAY_REDIS_URL_FILE must name a file that is neither empty nor larger than 64 KiB."


def test_a_secret_and_its_file_together_are_refused():
    assert refusal(redis_url="redis://a", redis_url_file="/x") == (
        "GATEWAY_REDIS_URL and GATEWAY_REDIS_URL_FILE are both set: leave one out."
    )


def test_only_secrets_have_a_file():
    assert refusal(auth_issuer_file="/x") == (
        "GATEWAY_AUTH_ISSUER_FILE is no setting. Did you mean GATEWAY_AUTH_ISSUER?"
    )


def test_what_kubernetes_sets_beside_a_service_named_gateway_is_passed_over():
    settings = read(
        service_host="10.0.0.1",
        service_port="80",
        service_port_http="80",
        port="tcp://10.0.0.1:80",
        port_80_tcp="tcp://10.0.0.1:80",
        port_80_tcp_addr="10.0.0.1",
    )

    assert settings == read()


def test_the_environment_wins_over_the_file_and_a_dollar_is_a_dollar(tmp_path):
    (tmp_path / ".env").write_text(
        f"GATEWAY_LOG_LEVEL=debug\nexport GATEWAY_MAX_PAGE_SIZE=9\nGATEWAY_REDIS_URL_FILE=/x\nOTHER=1\n"
        f"GATEWAY_PARTNER_CENTER_CLIENT_SECRET='{CANARY}${{HOME}}'\n"
    )

    environ = read_environment({"GATEWAY_LOG_LEVEL": "error", "GATEWAY_REDIS_URL": "redis://a", "HOME": "/h"}, tmp_path)

    assert environ == {
        "GATEWAY_LOG_LEVEL": "error",
        "GATEWAY_MAX_PAGE_SIZE": "9",
        "GATEWAY_REDIS_URL": "redis://a",
        "GATEWAY_PARTNER_CENTER_CLIENT_SECRET": f"{CANARY}${{HOME}}",
        "HOME": "/h",
    }


def test_no_file_is_no_trouble(tmp_path):
    assert read_environment({"A": "b"}, tmp_path) == {"A": "b"}


def test_secrets_are_masked_in_every_text_form():
    settings = read(redis_url=f"redis://:{CANARY}@host")
    secret = settings.partner_center_client_secret

    for text in (
        repr(settings),
        str(asdict(settings)),
        f"{secret} {secret!r} {secret!s} {secret:>20}",
        "%s %r" % (secret, secret),  # noqa: UP031  # this form is what is tested
        json.dumps({"secret": secret}, default=str),
        repr(pickle.dumps(secret)),
        repr(copy.deepcopy(secret)),
    ):
        assert "c4n4ry" not in text
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert copy.deepcopy(secret).reveal() == CANARY
    assert (Secret("a") == Secret("a"), Secret("a") == Secret("b"), Secret("a") == "a") == (True, False, False)


def documented(text: str) -> set[str]:
    return set(re.findall(r"^\| `(GATEWAY_[A-Z_]+)` \|", text, re.MULTILINE))


def test_every_setting_is_documented_and_nothing_else():
    assert documented((ROOT / "docs/configuration.md").read_text("utf-8")) == set(variables())


def test_the_example_file_holds_every_setting_and_nothing_else():
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    names = {found[1] for line in lines if (found := re.match(r"(?:# )?(GATEWAY_[A-Z_]+)=", line))}

    assert names == {variable_of(each.name) for each in fields(Settings)}
