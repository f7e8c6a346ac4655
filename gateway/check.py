"""`gateway check`: whether everything that the settings name answers, one line each.

Each line names one thing that is wrong and what to do about it; what could not be asked because of it is
said to be not asked. Only reads are made. Neither secrets nor texts of others are printed.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import TextIO
from urllib.parse import urlsplit

import aiosmtplib
import httpx
from redis.exceptions import AuthenticationError

from gateway.config import Settings
from gateway.issuer_keys import KeysUnavailable, fetch_key_set
from gateway.setting_values import is_loopback
from services.cache import CacheUnavailable, connect_cache
from services.errors import SignInAgain, SignInError, UpstreamError
from services.partner_center.refresh_tokens import FileRefreshTokens, MemoryRefreshTokens
from services.partner_center.tokens import PartnerCredentials, TokenSource
from services.partner_center.transport import Transport
from services.secret import Secret
from services.smtp import SmtpServer, explain

MAIL_SECONDS = 10.0
SIGN_IN_ADVICE = {
    7000215: ("The client secret is wrong", "CLIENT_SECRET"),
    7000222: ("The client secret has expired", "CLIENT_SECRET"),
    700016: ("The tenant has no such client", "CLIENT_ID"),
    7000112: ("The client is disabled", "CLIENT_ID"),
    90002: ("There is no such tenant", "TENANT_ID"),
    900023: ("There is no such tenant", "TENANT_ID"),
    9002313: ("The refresh token is not readable", "REFRESH_TOKEN"),
}
"""What Microsoft's numbers say, and the setting that mends it.
Source: learn.microsoft.com/entra/identity-platform/reference-error-codes"""


MAIL_ADVICE = {
    "unreachable": "It cannot be reached",
    "encryption": "Its certificate or encryption cannot be trusted",
    "sign_in": "It refuses the user or the password",
    "protocol": "It cannot do what the address asks for, such as encryption or signing in",
    "busy": "It is busy",
}


class Outcome(Enum):
    OK = "ok"
    FAILED = "FAIL"
    NOT_ASKED = "-"


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    outcome: Outcome
    text: str

    def __str__(self) -> str:
        return f"{self.outcome.value:<5} {self.name:<16} {self.text}"


async def check(settings: Settings, out: TextIO) -> bool:
    """Writes each line as soon as it is known, and gives whether nothing failed."""
    whole = True
    # One after the other: side by side they would hold each other up, and Redis is given a quarter of a second.
    for part in (check_partner_center, check_redis, check_mail, check_issuer):
        for line in await part(settings):
            print(line, file=out, flush=True)
            whole = whole and line.outcome is not Outcome.FAILED
    return whole


async def check_partner_center(settings: Settings) -> list[Line]:
    """Gets an access token, then asks for one customer with it."""
    store = settings.partner_center_refresh_token_store
    async with httpx.AsyncHTTPTransport() as http:
        tokens = TokenSource(
            http,
            PartnerCredentials(
                tenant_id=settings.partner_center_tenant_id,
                client_id=settings.partner_center_client_id,
                client_secret=settings.partner_center_client_secret,
                refresh_token=settings.partner_center_refresh_token,
            ),
            # The answer may hold a newer refresh token, which is kept where the gateway keeps it.
            store=FileRefreshTokens(store) if store else MemoryRefreshTokens(),
            now=lambda: datetime.now(UTC),
            token_url=settings.partner_center_token_url,
            connect_seconds=settings.partner_center_connect_timeout_seconds,
        )
        transport = Transport(
            http,
            tokens,
            base_url=settings.partner_center_url,
            connect_seconds=settings.partner_center_connect_timeout_seconds,
            read_seconds=settings.partner_center_read_timeout_seconds,
        )
        sign_in = await _line(
            "Sign-in", lambda: _sign_in(tokens), SignInError, partial(_sign_in_failure, settings=settings)
        )
        if sign_in.outcome is Outcome.FAILED:
            return [sign_in, Line("Partner Center", Outcome.NOT_ASKED, "not asked: there is no access token")]
        asked = await _line(
            "Partner Center",
            lambda: _ask(transport),
            UpstreamError,
            partial(_partner_center_failure, settings=settings),
        )
    return [sign_in, asked]


async def check_redis(settings: Settings) -> list[Line]:
    url = settings.redis_url
    if url is None:
        return [Line("Redis", Outcome.NOT_ASKED, "not configured: each process keeps its own cache")]
    return [await _line("Redis", lambda: _ping(url), CacheUnavailable, _redis_failure)]


async def check_mail(settings: Settings) -> list[Line]:
    url = settings.smtp_url
    if url is None:
        return [Line("Mail server", Outcome.NOT_ASKED, "not configured: no mail is sent")]
    return [
        await _line("Mail server", lambda: _greet(url), (aiosmtplib.SMTPException, OSError, ValueError), _mail_failure)
    ]


async def check_issuer(settings: Settings) -> list[Line]:
    return [await _line("Issuer's keys", lambda: _fetch_keys(settings.auth_jwks_url), KeysUnavailable, _issuer_failure)]


async def _line(
    name: str,
    ask: Callable[[], Awaitable[str]],
    expected: type[Exception] | tuple[type[Exception], ...],
    failure: Callable[[Exception], str],
) -> Line:
    started = time.perf_counter()
    try:
        text = await ask()
    except expected as error:
        return Line(name, Outcome.FAILED, failure(error))
    return Line(name, Outcome.OK, f"answered in {(time.perf_counter() - started) * 1000:.0f} ms{text}")


async def _sign_in(tokens: TokenSource) -> str:
    await tokens.get()
    return " with an access token"


def _sign_in_failure(error: Exception, settings: Settings) -> str:
    assert isinstance(error, SignInError)
    number = error.upstream_code
    known = f" (AADSTS{number})" if number else ""
    if number in SIGN_IN_ADVICE:
        text, setting = SIGN_IN_ADVICE[number]
        return f"{text}{known}. Set GATEWAY_PARTNER_CENTER_{setting}."
    if error.status is None:
        host = urlsplit(settings.partner_center_token_url).netloc
        return f"{host} does not answer ({error.detail}). See GATEWAY_PARTNER_CENTER_TOKEN_URL."
    advice = " Set GATEWAY_PARTNER_CENTER_REFRESH_TOKEN." if isinstance(error, SignInAgain) else ""
    return f"{error.message}{known}{advice}"


async def _ask(transport: Transport) -> str:
    answer = await transport.request("GET", "/customers", tenant_id=None, params={"size": "1"})
    content = answer.json()
    items = content.get("items") if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise UpstreamError("The answer is not Partner Center's.")
    return ", 1 customer" if items else ", no customer"


def _partner_center_failure(error: Exception, settings: Settings) -> str:
    assert isinstance(error, UpstreamError)
    if not error.sent:
        host = urlsplit(settings.partner_center_url).netloc
        return f"{host} cannot be reached ({error.detail}). See GATEWAY_PARTNER_CENTER_URL."
    numbers = [f"status {error.status}"] if error.status else []
    numbers += [f"code {error.upstream_code}"] if error.upstream_code else []
    return error.message + (f" ({', '.join(numbers)})" if numbers else "")


async def _ping(url: Secret) -> str:
    cache = connect_cache(url.reveal(), "check")
    try:
        await cache.ping()
    finally:
        with suppress(Exception):  # the answer is known already
            await cache.close()
    return ""


def _redis_failure(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, AuthenticationError):
        cause = cause.__cause__ or cause.__context__  # redis wraps it in a plain ConnectionError
    if cause is not None:
        return "It refuses the user or the password. See GATEWAY_REDIS_URL."
    return f"{error} Start it, or see GATEWAY_REDIS_URL."


async def _greet(url: Secret) -> str:
    server = SmtpServer.at(url, own_name="localhost", tls=ssl.create_default_context())
    # A password goes over an open line to this machine only, so elsewhere encryption is no matter of offer.
    must_encrypt = server.user is not None and not server.encrypted and not is_loopback(server.host)
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.user,
        password=server.password.reveal() if server.password else None,
        use_tls=server.encrypted,
        start_tls=False if server.encrypted else True if must_encrypt else None,
        tls_context=server.tls,
        timeout=MAIL_SECONDS,
        local_hostname=server.own_name,
    )
    try:
        await client.connect()  # greets, turns encryption on where it is offered, and signs in with a user
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit()
    finally:
        client.close()
    return ", signed in" if server.user else ""


def _mail_failure(error: Exception) -> str:
    failure = explain(error, text_sent=False)
    text = MAIL_ADVICE.get(failure.reason, "It refuses the greeting")
    return f"{text}{f' (SMTP {failure.smtp_status})' if failure.smtp_status else ''}. See GATEWAY_SMTP_URL."


async def _fetch_keys(url: str) -> str:
    count = len(await fetch_key_set(url))
    if not count:
        raise KeysUnavailable("the issuer publishes no key that can be used")
    return f", {count} {'key' if count == 1 else 'keys'}"


def _issuer_failure(error: Exception) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}. See GATEWAY_AUTH_JWKS_URL."
