"""App+User access tokens from the partner's refresh token.

Partner Center gives users, licenses and roles to App+User tokens only; those come from a refresh token that
a person made once, with multifactor authentication. Each use gives a newer refresh token, which is kept:
the old one dies after 90 days without use.
Sources: learn.microsoft.com/partner-center/developer/enable-secure-app-model;
learn.microsoft.com/entra/identity-platform/refresh-tokens; .../reference-error-codes
"""

from __future__ import annotations

import asyncio
import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import httpx
import msgspec
import structlog

from services.errors import Misconfigured, SignInAgain, SignInError, SignInUnavailable, UpstreamError
from services.partner_center.network import httpx_timeouts
from services.partner_center.refresh_tokens import RefreshTokenStore
from services.partner_center.token_handover import HandedToken, TokenHandover
from services.partner_center.transport import CONNECT_SECONDS, map_exceptions
from services.partner_center.wire_errors import BYTE_ORDER_MARK
from services.secret import Secret

AUDIENCE = "https://api.partnercenter.microsoft.com"
"""What the token is for. Microsoft's name for Partner Center, also where the gateway talks to a stand-in."""
MICROSOFT_TOKEN_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
RENEW_BEFORE = timedelta(minutes=5)
ASSUMED_LIFETIME = timedelta(minutes=10)
PAUSE_AFTER_FAILURE = timedelta(seconds=10)
TOKEN_SECONDS = 20.0
MAX_BODY_BYTES = 1024 * 1024
LONGEST_DETAIL = 1000

MULTIFACTOR = frozenset({50072, 50074, 50076, 50078, 50079, 50158})
SIGN_IN_AGAIN = MULTIFACTOR | {50126, 50132, 50133, 50173, 53003, 70008, 70043, 700081, 700082, 700084}
CONSENT = frozenset({65001, 90094})
MISCONFIGURED = CONSENT | {
    *(28002, 50011, 70001, 70003, 70011, 90002, 500011, 650052, 700003, 700016, 700027, 900023, 900144),
    *(7000112, 7000215, 7000218, 7000222, 9002313),
}
UNAVAILABLE = frozenset({90033, 90006, 90055, 90056, 50196})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PartnerCredentials:
    """The partner's app, and the refresh token that a person made for it."""

    tenant_id: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret


@dataclass(frozen=True, slots=True)
class _AccessToken:
    value: str = field(repr=False)
    renew_at: datetime
    expires_at: datetime


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: int | float | str | None = None
    refresh_token: str | None = None


class _TokenRefusal(msgspec.Struct):
    error: str = ""
    error_description: str | None = None
    error_codes: list[int | str] | None = None
    suberror: str | None = None
    trace_id: str | None = None


class TokenSource:
    """Gives the access token in force, and renews it shortly before its end: one renewal at a time.

    `now` is the clock that tokens expire by; the sandbox's can be moved on. A token URL without `/v2.0/`
    is asked in the words of v1, `resource` instead of `scope`.
    """

    def __init__(
        self,
        http: httpx.AsyncBaseTransport,
        credentials: PartnerCredentials,
        *,
        store: RefreshTokenStore,
        now: Callable[[], datetime],
        token_url: str = MICROSOFT_TOKEN_URL,
        audience: str = AUDIENCE,
        connect_seconds: float = CONNECT_SECONDS,
        timeout_seconds: float = TOKEN_SECONDS,
        handover: TokenHandover | None = None,
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._store = store
        self._now = now
        self._url = token_url.replace("{tenant}", quote(credentials.tenant_id, safe=""))
        self._audience = audience
        self._connect_seconds = connect_seconds
        self._timeout_seconds = timeout_seconds
        self._handover = handover
        self._newest_refresh_token: str | None = None
        self._current: _AccessToken | None = None
        self._renewal: asyncio.Task[_AccessToken] | None = None

    async def get(self) -> str:
        """Gives an access token, or raises a `SignInError` that says what to do."""
        at_hand = self.at_hand()
        if at_hand is not None:
            return at_hand
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._renewed)
        # Shielded: who gives up waiting must not end the renewal that others wait for.
        return (await asyncio.shield(self._renewal)).value

    def at_hand(self) -> str | None:
        """Gives the access token, unless it has to be waited for."""
        current = self._current
        return current.value if current is not None and self._now() < current.renew_at else None

    def invalidate(self, token: str) -> None:
        """Forgets a token that Partner Center refused; nothing where a newer one is already in force."""
        if self._current is not None and self._current.value == token:
            self._current = None
            if self._handover is not None:
                self._handover.refuse(token)

    def _renewed(self, renewal: asyncio.Task[_AccessToken]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # read here, since all who waited may be gone

    async def _renew(self) -> _AccessToken:
        try:
            token = await (self._redeem() if self._handover is None else self._get_handed(self._handover))
        except SignInError as error:
            log.warning("token_renewal_failed", kind=type(error).__name__, detail=error.detail)
            token = self._still_valid(error)
        self._current = token
        return token

    async def _get_handed(self, handover: TokenHandover) -> _AccessToken:
        """Gives the token that a replica hands over, else redeems, and hands over what comes of it."""

        async def redeem() -> HandedToken:
            token = await self._redeem()
            return HandedToken(token.value, token.renew_at, token.expires_at, self._newest_refresh_token)

        handed = await handover.get(redeem)
        if handed.refresh_token and handed.refresh_token != self._newest_refresh_token:
            await self._save(handed.refresh_token)
        return _AccessToken(handed.value, handed.renew_at, handed.expires_at)

    def _still_valid(self, error: SignInError) -> _AccessToken:
        """The old token serves to its end, and the endpoint is left alone for a while."""
        now = self._now()
        if self._current is None or self._current.expires_at <= now:
            raise error
        pause_until = min(now + PAUSE_AFTER_FAILURE, self._current.expires_at)
        return _AccessToken(self._current.value, pause_until, self._current.expires_at)

    async def _redeem(self) -> _AccessToken:
        """Redeems the kept refresh token; once it is refused, the configured one, if that is another.

        The configured one is the newer where a person signed in again and put it into the settings.
        """
        configured = self._credentials.refresh_token.reveal()
        kept = await self._load() or configured
        try:
            token, newest = await self._redeem_one(kept)
        except _GrantRefused as refused:
            if kept == configured:
                raise refused.error from refused
            log.warning("kept_refresh_token_refused", detail=refused.error.detail)
            try:
                token, newest = await self._redeem_one(configured)
            except _GrantRefused as refused_too:
                raise refused_too.error from refused_too
        if newest != kept:
            await self._save(newest)
        return token

    async def _redeem_one(self, refresh_token: str) -> tuple[_AccessToken, str]:
        """Gives the access token, and the newest refresh token: v1 does not always send another."""
        asked_at = self._now()
        status, content = await self._post(refresh_token)
        if status != 200:
            raise self._read_refusal(status, content, refresh_token)
        try:
            answer = msgspec.json.decode(content, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unavailable("The token endpoint gave no access token.", status) from error
        if not re.fullmatch(r"[\x21-\x7e]+", answer.access_token):
            raise _unavailable("The token endpoint gave an access token that no header can carry.", status)
        lifetime = _lifetime(answer, asked_at)
        token = _AccessToken(
            value=answer.access_token,
            renew_at=asked_at + lifetime - min(RENEW_BEFORE, lifetime / 2),
            expires_at=asked_at + lifetime,
        )
        return token, answer.refresh_token or refresh_token

    async def _post(self, refresh_token: str) -> tuple[int, bytes]:
        form = {
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret.reveal(),
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        if "/v2.0/" in urlsplit(self._url).path:
            form["scope"] = f"{self._audience}/.default offline_access"
        else:
            form["resource"] = self._audience
        try:
            with map_exceptions():
                request = httpx.Request(
                    "POST",
                    self._url,
                    content=urlencode(form).encode(),
                    headers={
                        "Content-Type": "application/x-www-form-urlencoded",
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip",
                    },
                    extensions=httpx_timeouts(self._timeout_seconds, self._connect_seconds),
                )
                async with asyncio.timeout(self._timeout_seconds):
                    response = await self._http.handle_async_request(request)
                    try:
                        content = b""
                        async for piece in response.aiter_bytes():
                            content += piece
                            if len(content) > MAX_BODY_BYTES:
                                raise _unavailable("The token endpoint's answer is too large.", response.status_code)
                    finally:
                        await response.aclose()
        except SignInError:
            raise
        except UpstreamError as error:
            raise _unavailable("The token endpoint did not answer. Try again later.", None, error.detail) from error
        return response.status_code, content.removeprefix(BYTE_ORDER_MARK)

    def _read_refusal(self, status: int, content: bytes, refresh_token: str) -> Exception:
        try:
            refusal = msgspec.json.decode(content, type=_TokenRefusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _unavailable("The token endpoint gave an answer that cannot be read.", status)
        number = _number(refusal)
        detail = self._without_secrets(
            f"{refusal.error} {refusal.suberror or ''} {refusal.error_description or ''}", refresh_token
        )
        error = _sign_in_error(status, refusal.error, number, detail)
        if refusal.error in {"invalid_grant", "interaction_required"} and not isinstance(error, SignInUnavailable):
            return _GrantRefused(error)
        return error

    def _without_secrets(self, text: str, refresh_token: str) -> str:
        credentials = self._credentials
        for secret in (refresh_token, credentials.client_secret.reveal(), credentials.refresh_token.reveal()):
            for written in {secret, quote(secret, safe=""), quote_plus(secret)} - {""}:
                text = text.replace(written, "***")
        return " ".join(text.split())[:LONGEST_DETAIL]

    async def _load(self) -> str | None:
        try:
            return await asyncio.to_thread(self._store.load) or self._newest_refresh_token
        except (OSError, UnicodeDecodeError) as error:
            log.warning("refresh_token_not_loaded", kind=type(error).__name__)
            return self._newest_refresh_token

    async def _save(self, token: str) -> None:
        """Keeps the token. A full disk costs a sign-in after the next restart at worst, not this request."""
        self._newest_refresh_token = token
        try:
            await asyncio.to_thread(self._store.save, token)
        except OSError as error:
            log.error("refresh_token_not_saved", kind=type(error).__name__)


class _GrantRefused(Exception):
    """The refresh token was refused; another one may be taken. Carries what to raise if there is none."""

    def __init__(self, error: SignInError) -> None:
        super().__init__()
        self.error = error


def _sign_in_error(status: int, error: str, number: int | None, detail: str) -> SignInError:
    """Number first (it is the most exact), then `error`, then status.

    Source: learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow, error codes for token
    endpoint errors
    """
    kind: type[SignInError]
    if number in UNAVAILABLE or error in {"temporarily_unavailable", "server_error"} or status == 429 or status >= 500:
        kind, message = SignInUnavailable, "Microsoft gives no access tokens at the moment. Try again later."
    elif number in MULTIFACTOR:
        kind, message = SignInAgain, "Microsoft asks for multifactor authentication: sign in again, with it."
    elif number == 53003:
        kind, message = (
            SignInAgain,
            "A Conditional Access policy blocks the sign-in: meet it, or have it changed.",
        )
    elif number in CONSENT or error == "consent_required":
        kind, message = (
            Misconfigured,
            "The app has no consent in the partner's tenant: give it, then sign in again.",
        )
    elif number in {7000215, 7000222}:
        kind, message = (
            Misconfigured,
            "The client secret is wrong or expired: make a new one and configure it.",
        )
    elif number in MISCONFIGURED:
        kind, message = (
            Misconfigured,
            "Microsoft does not accept the client, tenant, scope or refresh token as configured.",
        )
    elif number in SIGN_IN_AGAIN or error in {"invalid_grant", "interaction_required", "login_required"}:
        kind, message = (
            SignInAgain,
            "The refresh token is expired or revoked: sign in again and configure the new one.",
        )
    else:
        kind, message = (
            Misconfigured,
            "Microsoft does not accept the token request: check client, secret and tenant.",
        )
    return kind(message, status=status, upstream_code=number, detail=detail, sent=False)


def _unavailable(message: str, status: int | None, detail: str = "") -> SignInUnavailable:
    return SignInUnavailable(message, status=status, detail=detail, sent=False)


def _number(refusal: _TokenRefusal) -> int | None:
    """The AADSTS number, from the list or the description. Where v1 lists two, a known one wins."""
    numbers = [int(number) for number in refusal.error_codes or () if str(number).isdecimal()]
    numbers += [int(number) for number in re.findall(r"AADSTS(\d{4,9})", refusal.error_description or "")]
    known = UNAVAILABLE | SIGN_IN_AGAIN | MISCONFIGURED
    return next((number for number in numbers if number in known), numbers[0] if numbers else None)


def _lifetime(answer: _TokenAnswer, asked_at: datetime) -> timedelta:
    """From `expires_in` (text in v1), else the token's own `exp`, else a guess on the short side."""
    with suppress(TypeError, ValueError, OverflowError):
        return max(timedelta(seconds=float(answer.expires_in)), timedelta())  # type: ignore[arg-type]
    with suppress(IndexError, ValueError, TypeError, OverflowError, binascii.Error, msgspec.DecodeError):
        part = answer.access_token.split(".")[1]
        claims = msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, object])
        return max(timedelta(seconds=float(claims["exp"]) - asked_at.timestamp()), timedelta())  # type: ignore[arg-type]
    return ASSUMED_LIFETIME
