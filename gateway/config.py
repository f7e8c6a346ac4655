"""The settings of the gateway: the only place that reads the environment.

A field `name` of `Settings` is read from the variable `GATEWAY_NAME`, and a secret from the file that
`GATEWAY_NAME_FILE` names as well. What each means stands in docs/configuration.md; a test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from dotenv import dotenv_values

from gateway import setting_values as values
from gateway.setting_values import Reader
from services.secret import Secret

PREFIX = "GATEWAY_"
_LARGEST_SECRET_BYTES = 64 * 1024
_KUBERNETES = re.compile(r"GATEWAY_(SERVICE_(HOST|PORT(_\w+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)")
"""What Kubernetes sets in every container beside a service named `gateway`: not meant for us.
Source: kubernetes.io/docs/concepts/services-networking/service/#environment-variables"""


_FIGURES = "PROMETHEUS_MULTIPROC_DIR"
"""The name is prometheus_client's, which reads it when it is imported."""


class ConfigError(Exception):
    """A setting cannot be used. The message names the variable and never holds its value."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(f"{variable} {message}")
        self.variable = variable


class MissingSettings(ConfigError):
    """Settings without which nothing can be served; `names` are the variables, in order."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(", ".join(self.names), "must be set." if len(self.names) == 1 else "must all be set.")


_NOT_SET = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Durations are seconds and say so; required texts are empty in a sandbox
    until `with_sandbox` fills them in."""

    partner_center_url: Annotated[str, values.base_url(without=("/v1",))] = "https://api.partnercenter.microsoft.com"
    partner_center_token_url: Annotated[str, values.web_url()] = (
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    )
    partner_center_tenant_id: Annotated[str, values.directory_name()] = ""
    partner_center_client_id: Annotated[str, values.plain_text()] = ""
    partner_center_client_secret: Annotated[Secret, values.secret()] = _NOT_SET
    partner_center_refresh_token: Annotated[Secret, values.secret()] = _NOT_SET
    partner_center_refresh_token_store: Annotated[Path | None, values.file_to_write()] = None
    partner_center_connect_timeout_seconds: Annotated[float, values.seconds(0.1, 60)] = 3.0
    partner_center_read_timeout_seconds: Annotated[float, values.seconds(0.5, 300)] = 20.0
    partner_center_write_timeout_seconds: Annotated[float, values.seconds(0.5, 300)] = 60.0
    partner_center_max_in_flight: Annotated[int, values.whole_number(1, 1000)] = 32
    partner_center_max_in_flight_per_tenant: Annotated[int, values.whole_number(1, 1000)] = 8

    redis_url: Annotated[Secret | None, values.redis_url()] = None
    redis_connect_timeout_seconds: Annotated[float, values.seconds(0.01, 10)] = 0.2
    redis_operation_timeout_seconds: Annotated[float, values.seconds(0.005, 5)] = 0.05
    cache_bytes: Annotated[int, values.whole_number(0, 16 * 1024**3)] = 64 * 1024 * 1024
    answer_bytes: Annotated[int, values.whole_number(0, 16 * 1024**3)] = 32 * 1024 * 1024

    auth_issuer: Annotated[str, values.web_url()] = ""
    auth_audience: Annotated[str, values.plain_text()] = ""
    auth_jwks_url: Annotated[str, values.web_url()] = ""
    auth_token_types: Annotated[tuple[str, ...], values.some_of("at+jwt", "JWT")] = ("at+jwt",)
    auth_claim_name: Annotated[str, values.claim_name()] = "name"
    auth_claim_kind: Annotated[str, values.claim_name()] = "kind"
    auth_claim_reseller_id: Annotated[str, values.claim_name()] = "reseller_id"
    auth_claim_tenant_ids: Annotated[str, values.claim_name()] = "tenant_ids"
    auth_claim_permissions: Annotated[str, values.claim_name()] = "permissions"

    smtp_url: Annotated[Secret | None, values.smtp_url()] = None
    mail_from: Annotated[str | None, values.mail_address()] = None

    graphiql: Annotated[bool, values.boolean()] = False
    introspection: Annotated[bool, values.boolean()] = False
    fast_execution: Annotated[bool, values.boolean()] = True
    max_page_size: Annotated[int, values.whole_number(1, 10_000)] = 500
    max_cost_nodes: Annotated[int, values.whole_number(1, 10_000_000)] = 10_000
    max_cost_calls: Annotated[int, values.whole_number(1, 1_000_000)] = 5_000
    max_query_bytes: Annotated[int, values.whole_number(256, 16 * 1024**2)] = 64 * 1024
    max_tokens: Annotated[int, values.whole_number(10, 1_000_000)] = 2_000
    max_operations: Annotated[int, values.whole_number(1, 1_000)] = 10
    max_variables: Annotated[int, values.whole_number(0, 10_000)] = 100
    max_fragments: Annotated[int, values.whole_number(0, 10_000)] = 50
    max_depth: Annotated[int, values.whole_number(1, 100)] = 15
    max_levels: Annotated[int, values.whole_number(1, 150)] = 40
    max_aliases: Annotated[int, values.whole_number(0, 10_000)] = 20
    max_mutation_fields: Annotated[int, values.whole_number(1, 1_000)] = 5
    max_fields: Annotated[int, values.whole_number(1, 1_000_000)] = 2_000
    max_repeats: Annotated[int, values.whole_number(1, 10_000)] = 20
    max_directives: Annotated[int, values.whole_number(0, 10_000)] = 50
    max_directives_per_node: Annotated[int, values.whole_number(0, 1_000)] = 5
    max_list_items: Annotated[int, values.whole_number(1, 100_000)] = 100
    max_text_characters: Annotated[int, values.whole_number(1, 1_000_000)] = 256
    max_id_characters: Annotated[int, values.whole_number(36, 1_000_000)] = 512
    max_validation_errors: Annotated[int, values.whole_number(1, 1_000)] = 10
    max_remembered_documents: Annotated[int, values.whole_number(0, 100_000)] = 256
    max_remembered_document_bytes: Annotated[int, values.whole_number(0, 1024**2)] = 8 * 1024
    query_timeout_seconds: Annotated[float, values.seconds(0.1, 600)] = 30.0
    mutation_timeout_seconds: Annotated[float, values.seconds(1, 600)] = 90.0
    export_timeout_seconds: Annotated[float, values.seconds(0.1, 3600)] = 120.0

    max_body_bytes: Annotated[int, values.whole_number(1024, 64 * 1024**2)] = 1024**2
    max_json_depth: Annotated[int, values.whole_number(4, 256)] = 32
    max_url_bytes: Annotated[int, values.whole_number(256, 64 * 1024)] = 8 * 1024
    max_header_lines: Annotated[int, values.whole_number(10, 1_000)] = 100
    max_header_bytes: Annotated[int, values.whole_number(1024, 1024**2)] = 32 * 1024
    head_timeout_seconds: Annotated[float, values.seconds(0.1, 300)] = 10.0
    body_timeout_seconds: Annotated[float, values.seconds(0.1, 300)] = 10.0
    keep_alive_seconds: Annotated[float, values.seconds(1, 600)] = 5.0
    websocket_message_bytes: Annotated[int, values.whole_number(1024, 16 * 1024**2)] = 64 * 1024
    websocket_init_timeout_seconds: Annotated[float, values.seconds(0.1, 300)] = 10.0
    max_socket_operations: Annotated[int, values.whole_number(1, 1_000)] = 20
    max_caller_sockets: Annotated[int, values.whole_number(1, 10_000)] = 10

    max_running: Annotated[int, values.whole_number(1, 100_000)] = 200
    max_waiting: Annotated[int, values.whole_number(0, 100_000)] = 200
    max_wait_seconds: Annotated[float, values.seconds(0, 60)] = 2.0
    max_caller_running: Annotated[int, values.whole_number(1, 100_000)] = 20
    max_caller_wait_seconds: Annotated[float, values.seconds(0, 60)] = 2.0

    drain_accept_seconds: Annotated[float, values.seconds(0, 300)] = 5.0
    drain_query_seconds: Annotated[float, values.seconds(0, 600)] = 20.0
    drain_write_seconds: Annotated[float, values.seconds(0, 600)] = 60.0
    audit_journal: Annotated[Path | None, values.file_to_write()] = None

    job_lease_seconds: Annotated[float, values.seconds(0.5, 600)] = 60.0
    lock_lease_seconds: Annotated[float, values.seconds(0.5, 600)] = 30.0
    job_look_seconds: Annotated[float, values.seconds(0.05, 30)] = 1.0
    job_event_seconds: Annotated[float, values.seconds(0.05, 30)] = 0.5
    max_job_users: Annotated[int, values.whole_number(1, 5_000)] = 5_000
    max_caller_jobs_running: Annotated[int, values.whole_number(1, 100)] = 5
    max_caller_jobs_queued: Annotated[int, values.whole_number(1, 1_000)] = 20
    subscriber_timeout_seconds: Annotated[float, values.seconds(0.1, 300)] = 10.0

    cors_origins: Annotated[tuple[str, ...], values.origins()] = ()
    trusted_documents: Annotated[Path | None, values.file_to_read()] = None
    trusted_documents_max_age_seconds: Annotated[int, values.whole_number(0, 3600)] = 0

    log_level: Annotated[str, values.one_of("debug", "info", "warning", "error")] = "info"
    log_format: Annotated[Literal["json", "console"] | None, values.one_of("json", "console")] = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, sandbox: bool) -> Settings:
        """Reads the settings. With `sandbox`, GraphiQL and introspection are on unless switched off, and
        settings of the real Partner Center are refused: the two must not be taken for one another."""
        _refuse_unknown(environ)
        texts = {name: text for name in _READERS if (text := _text_of(name, environ))}
        if sandbox:
            _refuse_real(texts)
        else:
            missing = [variable_of(name) for name in _REQUIRED if name not in texts]
            if missing:
                raise MissingSettings(missing)
        defaults: dict[str, Any] = _IN_A_SANDBOX if sandbox else {}
        settings = cls(**(defaults | {name: _read(name, text) for name, text in texts.items()}))
        if settings.smtp_url and settings.mail_from is None:
            raise ConfigError("GATEWAY_MAIL_FROM", "must be set beside GATEWAY_SMTP_URL: every mail needs its sender.")
        return settings

    def with_sandbox(self, connection: Mapping[str, str]) -> Settings:
        """These settings, aimed at a sandbox by the `GATEWAY_…` settings that it gives."""
        names = {variable_of(name): name for name in _READERS}
        read: dict[str, Any] = {names[key]: _read(names[key], text) for key, text in connection.items()}
        return replace(self, **read)


_HINTS = get_type_hints(Settings, include_extras=True)
_READERS: dict[str, Reader] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}
_SECRETS = frozenset(name for name, hint in _HINTS.items() if Secret in (hint.__origin__, *get_args(hint.__origin__)))
_REQUIRED = (
    "partner_center_tenant_id",
    "partner_center_client_id",
    "partner_center_client_secret",
    "partner_center_refresh_token",
    "auth_issuer",
    "auth_audience",
    "auth_jwks_url",
)
_REAL = (*_REQUIRED, "partner_center_url", "partner_center_token_url", "partner_center_refresh_token_store")
"""What says where the real Partner Center and its callers are; none of it has a place beside a sandbox."""

_IN_A_SANDBOX: dict[str, Any] = {
    "graphiql": True,
    "introspection": True,
    # Nobody has to notice first, nothing real is lost, and whoever presses Ctrl-C wants the prompt back.
    "drain_accept_seconds": 0.0,
    "drain_query_seconds": 3.0,
    "drain_write_seconds": 3.0,
}
"""Defaults there, where they are others."""


def variable_of(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def variables() -> list[str]:
    """Every variable that means something, `…_FILE` ones included, in the order of the fields."""
    return [
        variable
        for name in _READERS
        for variable in ([variable_of(name), f"{variable_of(name)}_FILE"] if name in _SECRETS else [variable_of(name)])
    ]


def load_settings(*, sandbox: bool) -> Settings:
    """The settings of this process, from its environment and the `.env` of its working directory."""
    return Settings.from_env(read_environment(os.environ, Path.cwd()), sandbox=sandbox)


def share_figures(folder: str) -> None:
    """Has the processes that are started from now on add up their figures: see `gateway.metrics`."""
    os.environ[_FIGURES] = folder


def figures_are_shared() -> bool:
    """Whether this process is one of several workers that add up their figures."""
    return _FIGURES in os.environ


def read_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment over what the folder's `.env` says, where `$` is taken as it stands: secrets hold it.

    A secret that the environment gives hides the file that `.env` names for it, and the other way round.
    """
    try:
        written = dotenv_values(folder / ".env", interpolate=False)
    except (OSError, UnicodeDecodeError) as failure:
        raise ConfigError(".env", "cannot be read as a UTF-8 text file.") from failure
    hidden = {name.removesuffix("_FILE") for name in environ if environ[name]}
    ours = {
        name: text
        for name, text in written.items()
        if name.startswith(PREFIX) and text is not None and name.removesuffix("_FILE") not in hidden
    }
    return ours | dict(environ)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = variables()
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in known or _KUBERNETES.fullmatch(name):
            continue
        if name == "GATEWAY_PORT" and text.startswith("tcp://"):  # Kubernetes too
            continue
        near = get_close_matches(name[len(PREFIX) :], [each[len(PREFIX) :] for each in known], n=1, cutoff=0.7)
        raise ConfigError(name, "is no setting." + (f" Did you mean {PREFIX}{near[0]}?" if near else ""))


def _refuse_real(texts: Mapping[str, str]) -> None:
    defaults = {each.name: each.default for each in fields(Settings)}
    real = [variable_of(name) for name in _REAL if name in texts and texts[name] != defaults[name]]
    if real:
        raise ConfigError(
            ", ".join(real),
            "cannot be used with --sandbox, which brings its own Partner Center and issuer. "
            "Unset them, or leave out --sandbox.",
        )


def _text_of(name: str, environ: Mapping[str, str]) -> str:
    variable = variable_of(name)
    text = environ.get(variable, "").strip()
    if name not in _SECRETS:
        return text
    path = environ.get(f"{variable}_FILE", "").strip()
    if text and path:
        raise ConfigError(variable, f"and {variable}_FILE are both set: leave one out.")
    return _text_in(f"{variable}_FILE", Path(path).expanduser()) if path else text


def _text_in(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_SECRET_BYTES + 1)
        text = raw.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise ConfigError(variable, "must name a UTF-8 text file that can be read.") from failure
    if not text or len(raw) > _LARGEST_SECRET_BYTES:
        raise ConfigError(variable, "must name a file that is neither empty nor larger than 64 KiB.")
    return text


def _read(name: str, text: str) -> object:
    reader = _READERS[name]
    try:
        return reader.read(text)
    except (ValueError, msgspec.ValidationError):
        # Without the cause: its text may hold the value.
        raise ConfigError(variable_of(name), f"must be {reader.expected}.") from None
