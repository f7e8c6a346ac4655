"""The token endpoint's refusals, with the error body of Microsoft Entra.

Sources: learn.microsoft.com "Microsoft identity platform and OAuth 2.0 authorization code flow" (names of
`error`) and "Microsoft Entra authentication & authorization error codes" (AADSTS numbers and texts).
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sandbox.wire import Answer, Json

NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache", "Expires": "-1"}


class TokenRefusal(Exception):
    """A token request that is refused."""

    def __init__(self, error: str, number: int, text: str, *, status: int = 400, suberror: str = "") -> None:
        super().__init__(text)
        self.error = error
        self.number = number
        self.text = text
        self.status = status
        self.suberror = suberror

    def answer(self, now: datetime, correlation_id: str) -> Answer:
        timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        trace_id = str(uuid.uuid4())
        body: Json = {
            "error": self.error,
            "error_description": (
                f"AADSTS{self.number}: {self.text} Trace ID: {trace_id} "
                f"Correlation ID: {correlation_id} Timestamp: {timestamp}"
            ),
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }
        if self.suberror:
            body["suberror"] = self.suberror
        return Answer(self.status, body, dict(NO_STORE), traced=False)


def missing_field(name: str) -> TokenRefusal:
    text = f"The request body must contain the following parameter: '{name}'."
    return TokenRefusal("invalid_request", 900144, text)


def missing_secret() -> TokenRefusal:
    text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
    return TokenRefusal("invalid_client", 7000218, text, status=401)


def unknown_tenant(tenant: str) -> TokenRefusal:
    text = (
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing "
        "into the correct cloud."
    )
    return TokenRefusal("invalid_request", 90002, text)


def unknown_application(client_id: str, tenant: str) -> TokenRefusal:
    text = f"Application with identifier '{client_id}' was not found in the directory '{tenant}'."
    return TokenRefusal("unauthorized_client", 700016, text)


def wrong_secret(client_id: str) -> TokenRefusal:
    text = (
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
        f"value, not the client secret ID, for a secret added to app '{client_id}'."
    )
    return TokenRefusal("invalid_client", 7000215, text, status=401)


def unknown_certificate() -> TokenRefusal:
    text = "The certificate with identifier used to sign the client assertion is not registered on application."
    return TokenRefusal("invalid_client", 700027, text, status=401)


def unsupported_grant(grant: str) -> TokenRefusal:
    text = f"The app requested an unsupported grant type '{grant}'."
    return TokenRefusal("unsupported_grant_type", 70003, text)


def invalid_scope(scope: str) -> TokenRefusal:
    text = f"The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
    return TokenRefusal("invalid_scope", 70011, text)


def unknown_resource(resource: str, tenant: str) -> TokenRefusal:
    text = f"The resource principal named {resource} was not found in the tenant named {tenant}."
    return TokenRefusal("invalid_resource", 500011, text)


def malformed_grant() -> TokenRefusal:
    return TokenRefusal("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")


def inactive_refresh_token(issued_at: datetime) -> TokenRefusal:
    text = (
        "The refresh token has expired due to inactivity. The token was issued on "
        f"{issued_at.strftime('%Y-%m-%dT%H:%M:%S.0000000Z')} and was inactive for 90.00:00:00."
    )
    return TokenRefusal("invalid_grant", 700082, text)


def ordered(status: int) -> TokenRefusal:
    """The refusal that a fault rule with this status stands for."""
    if status == 401:
        return wrong_secret("sandbox")
    if status == 429 or status >= 500:
        text = "The service is temporarily unavailable. Retry the request later."
        return TokenRefusal("temporarily_unavailable", 90033, text, status=status)
    text = "The provided grant has expired due to it being revoked, a fresh auth token is needed."
    return TokenRefusal("invalid_grant", 50173, text, status=status)
