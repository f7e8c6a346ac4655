"""Refusals of Partner Center become our errors by status and text."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

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
from services.partner_center.wire_errors import read_error, read_fault
from tests.services.partner_center.scripted import NOW

USER_PATH = "/customers/t/users/u"


def fault(code: object, description: str, data: list[str] | None = None) -> bytes:
    return json.dumps({"code": code, "description": description, "data": data or [], "source": "PartnerFD"}).encode()


def gateway(status: int, message: str) -> bytes:
    return json.dumps({"statusCode": status, "message": message}).encode()


def read(status: int, content: bytes = b"", path: str = USER_PATH, **headers: str) -> UpstreamError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_error(status=status, content=content, headers=named, path=path, now=NOW)


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (fault(60002, "User object ID isn't found"), 60002, "User object ID isn't found | PartnerFD"),
        (fault("60002", "as text"), 60002, "60002 | as text | PartnerFD"),
        (gateway(404, "Resource not found"), None, "Resource not found"),
        (b"\xef\xbb\xbf" + gateway(404, "marked"), None, "marked"),
        (fault(2007, '{"IsValid": false}', ["why"]), 2007, '{"IsValid": false} | why | PartnerFD'),
        (fault(3000, "O&#39;Hara &amp; Co"), 3000, "O'Hara & Co | PartnerFD"),
        (b"", None, ""),
        (b"<h1>Bad Gateway</h1>", None, "<h1>Bad Gateway</h1>"),
        (b"\xff\xfe\x00", None, "\ufffd\ufffd\x00"),
        (b'"text"', None, "text"),
        (b"[[[[[[[[[[1]]]]]]]]]]", None, ""),
        (b'{"error": {"code": "Request_BadRequest", "message": "No."}}', None, "Request_BadRequest | No."),
    ],
)
def test_code_and_words_are_found_in_every_shape_of_a_refusal(content, code, text):
    found = read_fault(content)

    assert (found.code, found.text) == (code, text)


@pytest.mark.parametrize(
    ("status", "content", "path", "kind"),
    [
        (404, fault(60003, "Tenant not found"), USER_PATH, TenantNotFound),
        (404, fault(60003, ""), USER_PATH, TenantNotFound),
        (404, fault(1000, "Customer was not found"), USER_PATH, TenantNotFound),
        (404, fault(1000, "Not found"), "/customers/t", TenantNotFound),
        (404, b"", "/customers/t/users?size=500", TenantNotFound),
        (404, fault(60002, "User object ID isn't found"), USER_PATH, NotFound),
        (404, fault(1000, "The customer user was not found"), USER_PATH, NotFound),
        (404, gateway(404, "Resource not found"), USER_PATH, NotFound),
        (404, b"<html>", "/offers/x", NotFound),
        (403, fault(20002, "The partner ID 1 has no commerce relationship with the customer ID 2."), USER_PATH,
         TenantNotFound),
        (403, fault(9, "Reseller CAID 1 does not have a reseller relationship with customer CAID 2"), USER_PATH,
         TenantNotFound),
        (403, fault(1002, "Authorization Failed"), "/customers/t", TenantNotFound),
        (403, fault(2032, "Access denied"), USER_PATH, TenantNotFound),
        (403, fault("2032", ""), USER_PATH, TenantNotFound),
        (403, fault(900308, "Insufficient privileges to complete the operation."), USER_PATH, AccessMissing),
        (403, fault(2032, "Insufficient privileges to complete the operation."), USER_PATH, AccessMissing),
        (403, fault(900309, "Access has been blocked by Conditional Access policies."), USER_PATH, AccessMissing),
        (403, fault(900150, "The supplied role doesn't have the rights"), USER_PATH, AccessMissing),
        (403, fault(900329, "This resource does not support application-only authentication."), USER_PATH,
         AccessMissing),
        (403, fault(90000, "Microsoft Entra returned an error during token issuance."), USER_PATH, AccessMissing),
        (403, b"", USER_PATH, AccessMissing),
        (403, fault(2032, "Access denied"), "/customers?size=500", AccessMissing),
        (401, fault(900421, "?"), USER_PATH, SignInAgain),
        (401, b"", USER_PATH, SignInAgain),
        (401, fault(900420, "The audience in the token is invalid"), USER_PATH, Misconfigured),
        (408, b"", USER_PATH, Timeout),
        (504, b"<html>", USER_PATH, Timeout),
        (409, fault(900278, "There is a pending operation"), USER_PATH, Conflict),
        (400, fault(2000, "Tenant Id must be a GUID."), USER_PATH, Refused),
        (405, b"", USER_PATH, Refused),
        (412, b"", USER_PATH, Refused),
        (417, b"", USER_PATH, Refused),
        (500, fault(800003, "Unexpected service error"), USER_PATH, UpstreamError),
        (501, fault(0, "Exception not defined"), USER_PATH, UpstreamError),
        (503, b"<html>", USER_PATH, UpstreamError),
        (302, b"", USER_PATH, UpstreamError),
    ],
)  # fmt: skip
def test_a_status_with_its_text_becomes_one_kind_of_error(status, content, path, kind):
    error = read(status, content, path)

    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("We are sorry, it looks like you have run out of licenses.", RefusedReason.NO_LICENSE_LEFT),
        (
            "LicenseQuotaExceededException : Subscription does not have any available licenses left.",
            RefusedReason.NO_LICENSE_LEFT,
        ),
        (
            "License assignment cannot be done for user with invalid usage location.",
            RefusedReason.USAGE_LOCATION,
        ),
        ("MutuallyExclusiveViolation", RefusedReason.LICENSE_CONFLICT),
        ("License assignment failed: DependencyViolation", RefusedReason.LICENSE_CONFLICT),
        (
            "User license is inherited from a group membership and it cannot be removed directly from the user.",
            RefusedReason.LICENSE_CONFLICT,
        ),
        (
            "Another object with the same value for property userPrincipalName already exists.",
            RefusedReason.NAME_TAKEN,
        ),
        (
            "The specified password does not comply with password complexity requirements. "
            "Please provide a different password.",
            RefusedReason.PASSWORD_POLICY,
        ),
        (
            "Unable to update the specified properties for on-premises mastered Directory Sync objects or "
            "objects currently undergoing migration.",
            RefusedReason.DIRECTORY_SYNCED,
        ),
        (
            "One or more added object references already exist for the following modified properties: 'members'.",
            RefusedReason.ALREADY_THERE,
        ),
        ("One or more properties contains invalid values.", RefusedReason.OTHER),
        ("", RefusedReason.OTHER),
    ],
)
def test_the_reason_is_read_from_the_words_whatever_the_code(status, text, reason):
    by_description = read(status, fault(3000, text))
    by_data = read(status, fault(800002, "Invalid request input", [text]))

    assert isinstance(by_description, Refused | Conflict)
    assert isinstance(by_data, Refused | Conflict)
    assert (by_description.reason, by_data.reason) == (reason, reason)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "57"}, 57),
        ({"Retry_After": "0"}, 0),
        ({"Retry_After": "300"}, 300),
        ({"Retry_After": "301"}, 2),
        ({"Retry_After": "-1"}, 2),
        ({"Retry_After": "nan"}, 2),
        ({"Retry_After": "soon"}, 2),
        ({}, 2),
        ({"Retry_After": "Mon, 04 May 2026 12:00:30 GMT"}, 30),
        ({"Retry_After": "Mon, 04 May 2026 12:00:30 GMT", "Date": "Mon, 04 May 2026 12:00:10 GMT"}, 20),
        ({"Retry_After": "Mon, 04 May 2026 11:59:00 GMT"}, 2),
        ({"Retry_After": "Mon, 04 May 2026 13:00:00 GMT"}, 2),
    ],
)
def test_a_throttled_call_says_how_long_to_wait(headers, seconds):
    error = read(429, gateway(429, "Rate limit is exceeded."), **headers)

    assert isinstance(error, Throttled)
    assert timedelta(seconds=error.retry_after_seconds) == timedelta(seconds=seconds)


def test_words_of_partner_center_stay_in_the_detail():
    error = read(400, fault(3000, "Internal name PartnerFD-7"))

    assert "PartnerFD" not in error.message
    assert error.detail == "Internal name PartnerFD-7 | PartnerFD"
    assert error.upstream_code == 3000
