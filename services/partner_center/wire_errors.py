"""Reads Partner Center's refusals into our errors: by status and text, its own code only as a hint.

Its codes are not published for most of what Entra refuses (weak password, taken name), and one code means
several things (3000, 2000), so the words decide and the code helps where there are no words.
Sources: learn.microsoft.com/partner-center/developer/error-codes; Microsoft Graph's texts from
learn.microsoft.com/graph/errors and .../graph/api/resources/licenseassignmentstate
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

import msgspec

from services.errors import (
    AccessMissing,
    Conflict,
    Misconfigured,
    NotFound,
    Refused,
    RefusedReason,
    SignInAgain,
    TenantNotFound,
    Throttled,
    Timeout,
    UpstreamError,
)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DEFAULT_RETRY_AFTER_SECONDS = 2.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
LONGEST_DETAIL = 2000
DEEPEST_TEXT = 6

MFA_MISSING = 900421
AUDIENCE_RETIRED = 900420
TENANT_UNKNOWN = 60003
NO_RELATIONSHIP = frozenset({1002, 2032, 20002})

_REASONS: tuple[tuple[RefusedReason, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(words, re.IGNORECASE))
    for reason, words in (
        (
            RefusedReason.NO_LICENSE_LEFT,
            r"run out of licenses|any available licenses|LicenseQuotaExceeded|\bCountViolation\b"
            r"|not have enough licenses",
        ),
        (
            RefusedReason.USAGE_LOCATION,
            r"invalid usage ?location|usage ?location is (missing|required|not set|invalid)"
            r"|ProhibitedInUsageLocationViolation|not allowed in (the|this) usage location",
        ),
        (
            RefusedReason.LICENSE_CONFLICT,
            r"DependencyViolation|MutuallyExclusiveViolation|UniquenessViolation|mutually exclusive"
            r"|conflicting service plans|depends on the service plan|inherited from a group membership"
            r"|same license group|more than one license group",
        ),
        (
            RefusedReason.ALREADY_THERE,
            r"object references already exist|already (a )?(member|assigned|exists? in the role)",
        ),
        (
            RefusedReason.NAME_TAKEN,
            r"same value for property \W?(userPrincipalName|proxyAddresses|mailNickname)|\bObjectConflict\b",
        ),
        (
            RefusedReason.PASSWORD_POLICY,
            r"password complexity|password does not comply|specified password"
            r"|password .{0,40}(banned|too (weak|short))",
        ),
        (RefusedReason.DOMAIN, r"domain portion of the userPrincipalName|verified domain names"),
        (RefusedReason.DIRECTORY_SYNCED, r"on-premises mastered|Directory Sync objects"),
    )
)

_ROLE_MISSING = re.compile(
    r"insufficient privileges|Conditional Access|supplied role|app(lication)?-only|application credentials"
    r"|token issuance|locked for transactions",
    re.IGNORECASE,
)
_NOT_OURS = re.compile(r"relationship with|no \w* ?relationship|authorization failed|access denied", re.IGNORECASE)
_TENANT_ABSENT = re.compile(
    r"\b(?:tenant|customer)(?: (?:with )?(?:id )?\W?[0-9a-f-]{36}\W?)?(?: was| is| could)?"
    r"(?: not(?: be)? found| ?(?:is|was|could)n't (?:be )?found| does(?: not|n't) exist)",
    re.IGNORECASE,
)
_MFA = re.compile(r"\bMFA\b|multi-?factor", re.IGNORECASE)
_AUDIENCE = re.compile(r"audience in the token is invalid", re.IGNORECASE)
_PARTNER_TOKEN = re.compile(r"partner token is not allowed", re.IGNORECASE)
_TENANT_PATH = re.compile(r"/customers/[^/]+(/[^/]+)?/?", re.IGNORECASE)
"""A tenant or one of its lists. They exist where the tenant does, so their 404 means the tenant's."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a refusal's body says, whichever of its shapes it has; both empty where it says nothing."""

    code: int | None
    text: str


def read_fault(content: bytes) -> Fault:
    """Gives code and words of a refusal's body. Never raises: bodies may be empty, HTML or cut short."""
    try:
        body = msgspec.json.decode(content.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Fault(None, unescape(content.decode("utf-8", "replace"))[:LONGEST_DETAIL].strip())
    return Fault(_whole_number(_member(body, "code")), unescape(" | ".join(_texts(body)))[:LONGEST_DETAIL])


def is_mfa_missing(fault: Fault, reason_phrase: str) -> bool:
    """True where a 401 asks for multifactor authentication, which a new token from the same sign-in lacks.

    Until 2025 the words stood in the reason phrase of an empty answer.
    Source: learn.microsoft.com/partner-center/security/partner-security-requirements-mandating-mfa
    """
    return fault.code == MFA_MISSING or bool(_MFA.search(fault.text) or _MFA.search(reason_phrase))


def read_error(
    *,
    status: int,
    content: bytes,
    headers: Mapping[str, str],
    path: str,
    now: datetime,
    reason_phrase: str = "",
) -> UpstreamError:
    """Gives the error that an answer without success stands for. `path` is relative to /v1."""
    fault = read_fault(content)
    known: dict[str, Any] = {"status": status, "upstream_code": fault.code, "detail": fault.text}
    match status:
        case 401:
            return _read_unauthorized(fault, reason_phrase, known)
        case 403:
            return _read_forbidden(fault, path, known)
        case 404:
            if _is_tenant_absent(fault, path):
                return TenantNotFound("There is no such tenant, or it is no customer of the partner.", **known)
            return NotFound("Microsoft knows nothing by that id.", **known)
        case 408 | 504:
            return Timeout("Microsoft did not answer in time. Try again later.", **known)
        case 409:
            return Conflict(
                "Something stands in the way: a taken name, or a change that is still running.",
                reason=_reason(fault),
                **known,
            )
        case 429:
            return Throttled(read_retry_after(headers, now), detail=fault.text)
        case _ if status >= 500:
            return UpstreamError("Microsoft could not answer. Try again later.", **known)
        case _ if status >= 400:
            if _PARTNER_TOKEN.search(fault.text):
                return Misconfigured("Microsoft refuses the kind of token in use; it wants one of Entra.", **known)
            return Refused(reason=_reason(fault), **known)
        case _:
            return UpstreamError(f"Microsoft answered with status {status}, which is not expected.", **known)


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Gives the seconds to wait; two where the header is absent or absurd."""
    seconds = find_retry_after(headers, now)
    return DEFAULT_RETRY_AFTER_SECONDS if seconds is None else seconds


def find_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Gives the seconds to wait; None where the header is absent or absurd.

    A date counts from the answer's own `Date`, since only the difference of one clock means anything.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        until = _read_http_date(text)
        if until is None:
            return None
        seconds = (until - (_read_http_date(headers.get("Date", "")) or now)).total_seconds()
    return seconds if 0 <= seconds <= LONGEST_RETRY_AFTER_SECONDS else None


def _read_unauthorized(fault: Fault, reason_phrase: str, known: dict[str, Any]) -> UpstreamError:
    if is_mfa_missing(fault, reason_phrase):
        return SignInAgain(
            "Microsoft asks for multifactor authentication: sign in to the partner's app again, with it.",
            **known,
        )
    if fault.code == AUDIENCE_RETIRED or _AUDIENCE.search(fault.text):
        return Misconfigured("The access token is for a resource that Partner Center no longer accepts.", **known)
    return SignInAgain("Microsoft refuses a fresh access token: sign in to the partner's app again.", **known)


def _read_forbidden(fault: Fault, path: str, known: dict[str, Any]) -> UpstreamError:
    in_a_tenant = path.lower().startswith("/customers/")
    not_ours = _NOT_OURS.search(fault.text) or fault.code in NO_RELATIONSHIP
    if in_a_tenant and not_ours and not _ROLE_MISSING.search(fault.text):
        return TenantNotFound("There is no such tenant, or it is no customer of the partner.", **known)
    return AccessMissing("The partner may not do this: a relationship or a role is missing.", **known)


def _is_tenant_absent(fault: Fault, path: str) -> bool:
    if fault.code == TENANT_UNKNOWN or _TENANT_ABSENT.search(fault.text):
        return True
    return _TENANT_PATH.fullmatch(path.partition("?")[0]) is not None


def _reason(fault: Fault) -> RefusedReason:
    return next((reason for reason, words in _REASONS if words.search(fault.text)), RefusedReason.OTHER)


def _texts(body: object, depth: int = 0) -> Iterator[str]:
    """All words of a body, wherever they stand: `description`, `message`, `data`, Graph's nested `details`.

    `description` may itself be JSON (code 2007); as text its words are found all the same.
    """
    if depth > DEEPEST_TEXT:
        return
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict):
        for value in body.values():
            yield from _texts(value, depth + 1)
    elif isinstance(body, list):
        for value in body:
            yield from _texts(value, depth + 1)


def _member(body: object, name: str) -> object:
    if not isinstance(body, dict):
        return None
    return next((value for key, value in body.items() if key.lower() == name.lower()), None)


def _whole_number(value: object) -> int | None:
    """The code is documented as text and arrives as a number; Graph's is a word."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _read_http_date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
