"""What Partner Center refuses, with status, code and text.

Source: learn.microsoft.com/partner-center/developer/error-codes. The texts of directory refusals are
Microsoft Graph's, since Partner Center passes user, role and license calls on to the directory; their code is
not published, 3000 ("Invalid property") stands in.
"""

from __future__ import annotations

from sandbox.wire import Answer, Json

INSUFFICIENT_PRIVILEGES = "Insufficient privileges to complete the operation."
DUPLICATE_UPN = "Another object with the same value for property userPrincipalName already exists."
DUPLICATE_IMMUTABLE_ID = "Another object with the same value for property onPremisesImmutableId already exists."
UNVERIFIED_DOMAIN = (
    "The domain portion of the userPrincipalName property is invalid. "
    "You must use one of the verified domain names in your organization."
)
WEAK_PASSWORD = (
    "The specified password does not comply with password complexity requirements. Please provide a different password."
)
INVALID_USAGE_LOCATION = "License assignment cannot be done for user with invalid usage location."
SYNCED_OBJECT = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects "
    "or objects currently undergoing migration."
)
MEMBER_EXISTS = "One or more added object references already exist for the following modified properties: 'members'."
ABSENT_LICENSE = "User does not have a corresponding license."
OUT_OF_LICENSES = "We are sorry, it looks like you have run out of licenses. Buy more licenses, and then try again."
UNEXPECTED = "Unexpected service error"


class Refusal(Exception):
    """A request that is answered with an error instead of being carried out."""

    def __init__(
        self,
        status: int,
        code: int,
        description: str,
        data: tuple[str, ...] = (),
        *,
        headers: dict[str, str] | None = None,
        source: str = "PartnerFD",
    ) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description
        self.data = data
        self.headers = headers or {}
        self.source = source

    def answer(self) -> Answer:
        body: Json = {
            "code": self.code,
            "description": self.description,
            "data": list(self.data),
            "source": self.source,
        }
        return Answer(self.status, body, dict(self.headers))


class GatewayRefusal(Refusal):
    """Refused by the gateway in front of the API: another shape, and no MS-* headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, status, message, headers=headers)

    def answer(self) -> Answer:
        body: Json = {"statusCode": self.status, "message": self.description}
        return Answer(self.status, body, dict(self.headers), traced=False)


def throttled(retry_after_seconds: int) -> GatewayRefusal:
    """Source: learn.microsoft.com/partner-center/developer/api-throttling-guidance"""
    text = f"Rate limit is exceeded. Try again in {retry_after_seconds} seconds."
    return GatewayRefusal(429, text, {"Retry-After": str(retry_after_seconds)})


def invalid_input(detail: str = "") -> Refusal:
    return Refusal(400, 800002, f"Invalid request input. {detail}" if detail else "Invalid request input")


def invalid_property(text: str = "Invalid property", status: int = 400) -> Refusal:
    return Refusal(status, 3000, text)


def unknown_enum(value: object) -> Refusal:
    return Refusal(400, 900126, f"Unable to parse enum: {value}")


def not_a_guid(name: str, code: int = 2000) -> Refusal:
    if code != 2000:
        return Refusal(400, code, "Invalid Customer ID")
    return Refusal(400, 2000, f"{name} must be a GUID.", source="PartnerApiServiceControllers")


def unknown_customer() -> Refusal:
    return Refusal(404, 60003, "Tenant not found")


def no_relationship(partner_id: str, customer_id: str) -> Refusal:
    text = f"The partner ID {partner_id} has no commerce relationship with the customer ID {customer_id}."
    return Refusal(403, 20002, text)


def unknown_user() -> Refusal:
    return Refusal(404, 60002, "User object ID isn't found")


def not_found() -> Refusal:
    return Refusal(404, 1000, "Not found")


def unknown_subscription(subscription_id: str) -> Refusal:
    return Refusal(404, 20003, f"Subscription with ID {subscription_id} not found.")


def insufficient_privileges() -> Refusal:
    return Refusal(403, 900308, INSUFFICIENT_PRIVILEGES)


def application_only() -> Refusal:
    return Refusal(403, 900329, "This resource does not support application-only authentication.")


def unauthorized(code: int = 400, text: str = "Access denied") -> Refusal:
    return Refusal(401, code, text, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def no_license_left(customer_id: str, sku_id: str) -> Refusal:
    """Source: learn.microsoft.com/partner-center/developer/assign-licenses-to-a-user"""
    detail = (
        f"LicenseQuotaExceededException : Subscription with Account {customer_id} and SKU {sku_id} "
        "does not have any available licenses left."
    )
    return Refusal(400, 60012, OUT_OF_LICENSES, (detail,))
