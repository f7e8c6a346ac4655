"""The errors of the gateway, and what each means to whoever asked.

    GatewayError                    has a stable `code` and a message of our own
    ├── BadInput                    BAD_INPUT        an argument cannot be used; names it
    │   └── PageSizeTooLarge        PAGE_SIZE_LIMIT
    ├── NotPermitted                NOT_PERMITTED
    └── UpstreamError               UPSTREAM_ERROR   Partner Center did not answer, or not usefully
        ├── Timeout                 TIMEOUT          no answer within the time allowed
        ├── Throttled               THROTTLED        carries the seconds to wait
        ├── AccessMissing           ACCESS_MISSING   the partner may not do this in that tenant
        ├── NotFound                NOT_FOUND        there is no such thing
        ├── Conflict                UPSTREAM_ERROR   409: taken, or an operation is under way
        ├── Refused                 UPSTREAM_ERROR   any other 4xx; `reason` says which kind, where known
        └── SignInError             UPSTREAM_ERROR   no access token was to be had
            ├── SignInAgain                          the refresh token is spent: a person must sign in
            ├── Misconfigured                        client, secret, tenant or resource is wrong
            └── SignInUnavailable                    the token endpoint failed: try later

Messages are for callers: what is wrong, with which thing, what to do. Text of Partner Center is never
passed on; it stays in `detail`, which only logs read.
"""

from __future__ import annotations

from enum import Enum


class GatewayError(Exception):
    """Base of everything the gateway raises on purpose."""

    code = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def extensions(self) -> dict[str, object]:
        """What a top-level GraphQL error carries beside its message."""
        return {"code": self.code}


class BadInput(GatewayError):
    """An argument cannot be used."""

    code = "BAD_INPUT"


class PageSizeTooLarge(BadInput):
    """More items were asked for at once than the gateway gives."""

    code = "PAGE_SIZE_LIMIT"

    def __init__(self, asked: int, limit: int) -> None:
        super().__init__(f"first: {asked} is not between 0 and {limit}. Ask for a smaller page and follow endCursor.")


class NotPermitted(GatewayError):
    """The caller lacks a permission."""

    code = "NOT_PERMITTED"


class UpstreamError(GatewayError):
    """Partner Center did not give a usable answer.

    `status` is the HTTP status (None where no answer came), `upstream_code` Partner Center's own number,
    `detail` its text: both for logs only. `sent` is False when the request certainly never left.
    """

    code = "UPSTREAM_ERROR"

    def __init__(
        self,
        message: str = "Microsoft did not give a usable answer.",
        *,
        status: int | None = None,
        upstream_code: int | None = None,
        detail: str = "",
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.upstream_code = upstream_code
        self.detail = detail
        self.sent = sent


class Timeout(UpstreamError):
    """No answer came within the time allowed."""

    code = "TIMEOUT"


class Throttled(UpstreamError):
    """Partner Center asks to slow down."""

    code = "THROTTLED"

    def __init__(self, retry_after_seconds: float, *, detail: str = "") -> None:
        super().__init__(
            f"Microsoft asks to wait {retry_after_seconds:.0f} seconds before asking again.",
            status=429,
            detail=detail,
        )
        self.retry_after_seconds = retry_after_seconds

    def extensions(self) -> dict[str, object]:
        return {"code": self.code, "retryAfterSeconds": self.retry_after_seconds}


class AccessMissing(UpstreamError):
    """The partner may not do this in that tenant: no relationship, or a directory role is missing."""

    code = "ACCESS_MISSING"


class NotFound(UpstreamError):
    """There is no such thing."""

    code = "NOT_FOUND"


class TenantNotFound(NotFound):
    """There is no such tenant, or it is no customer of the partner: the two are one to callers."""


class RefusedReason(Enum):
    """Why Partner Center refused an input, read from status and text."""

    NO_LICENSE_LEFT = "NO_LICENSE_LEFT"
    USAGE_LOCATION = "USAGE_LOCATION"
    LICENSE_CONFLICT = "LICENSE_CONFLICT"
    NAME_TAKEN = "NAME_TAKEN"
    PASSWORD_POLICY = "PASSWORD_POLICY"
    DOMAIN = "DOMAIN"
    DIRECTORY_SYNCED = "DIRECTORY_SYNCED"
    ALREADY_THERE = "ALREADY_THERE"
    OTHER = "OTHER"


class Refused(UpstreamError):
    """Partner Center refused the input (400 and other 4xx)."""

    def __init__(
        self,
        message: str = "Microsoft refused the request.",
        *,
        reason: RefusedReason = RefusedReason.OTHER,
        status: int | None = None,
        upstream_code: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, status=status, upstream_code=upstream_code, detail=detail)
        self.reason = reason


class Conflict(UpstreamError):
    """Something stands in the way (409): a taken name, which `reason` says, or an operation still running."""

    def __init__(
        self,
        message: str = "Something stands in the way at Microsoft.",
        *,
        reason: RefusedReason = RefusedReason.OTHER,
        status: int | None = None,
        upstream_code: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, status=status, upstream_code=upstream_code, detail=detail)
        self.reason = reason


class SignInError(UpstreamError):
    """No access token was to be had, so nothing can be asked of Partner Center."""


class SignInAgain(SignInError):
    """The refresh token is expired or revoked, or more proof is asked for: a person must sign in again."""


class Misconfigured(SignInError):
    """Microsoft does not accept the client, its secret, the tenant, the scope or the resource."""


class SignInUnavailable(SignInError):
    """The token endpoint did not answer usefully; trying later can help."""
