"""Rows for the samples of tokens and errors, and of what the client has no method for."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import httpx

from services.errors import Misconfigured, NotFound, Refused, RefusedReason, SignInAgain, Throttled
from tests.services.partner_center.sample_rows import NEW_USER, TENANT, USER, Holds, Raises, Row, call, get
from tests.services.partner_center.scripted import Wired


async def token_and_its_end(wired: Wired) -> tuple[str, str | None, int]:
    """Gives the token, the kept refresh token, and the seconds after which a new one is asked for."""
    wired.upstream.token_replies = list(wired.upstream.replies)
    token = await wired.tokens.get()
    for seconds in range(0, 7200, 50):
        wired.clock.advance(seconds=50)
        await wired.tokens.get()
        if len(wired.upstream.token_requests) > 1:
            return token, wired.store.load(), seconds + 50
    raise AssertionError("The token never ends.")


async def token_of_claims(wired: Wired) -> int:
    """The sample holds the claims of a token: it is given out as one, without a lifetime beside it."""
    claims = wired.upstream.replies[0].content  # type: ignore[union-attr]
    token = "e30." + urlsafe_b64encode(claims).rstrip(b"=").decode() + ".signature"
    wired.clock.now = datetime.fromtimestamp(1549088552, UTC)
    wired.upstream.replies[0] = httpx.Response(200, json={"token_type": "Bearer", "access_token": token})
    given, _, seconds = await token_and_its_end(wired)
    assert given == token
    return seconds


async def sign_in(wired: Wired) -> str:
    wired.upstream.token_replies = list(wired.upstream.replies)
    return await wired.tokens.get()


PASSED_ON: dict[str, Row] = {
    "error-400-2000-not-a-guid.json": Row(
        lambda wired: wired.client.get_user(USER), Raises(Refused, 400, 2000, RefusedReason.OTHER)
    ),
    "error-401-mfa-required-2019.json": Row(lambda wired: wired.client.get_user(USER), Raises(SignInAgain, 401)),
    "error-404-3000-not-found.json": Row(lambda wired: wired.client.get_user(USER), Raises(NotFound, 404, 3000)),
    "error-429-throttled.json": Row(
        lambda wired: wired.client.get_user(USER), Raises(Throttled, 429, retry_after_seconds=57)
    ),
    "token-v1-refresh-token.json": Row(token_and_its_end, ("AccessTokenValue", None, 3300)),
    "token-v2-refresh-token.json": Row(
        token_and_its_end,
        (
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsIng1dCI6Ik5HVEZ2ZEstZnl0aEV1Q...",
            "AwABAAAAvPM1KaPlrEqdFSBzjqfTGAMxZGUTdM0t4B4...",
            3300,
        ),
    ),
    "token-v2-client-credentials.json": Row(
        token_and_its_end, ("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsIng1dCI6Ik1uQ19WWmNBVGZNNXBP...", None, 3300)
    ),
    "access-token-claims-app-user.json": Row(token_of_claims, 3600),
    "token-error-invalid-scope.json": Row(sign_in, Raises(Misconfigured, 400, 70011)),
    "token-error-interaction-required-50076.json": Row(sign_in, Raises(SignInAgain, 400, 50076)),
    "customer-company-profile.json": get(
        "/customers/x/profiles/company",
        {("companyName",): "DT Demo CSP Customer 005", ("address", "country"): "US"},
    ),
    "customer-billing-profile.json": get(
        "/customers/x/profiles/billing", {("defaultAddress", "country"): "US", ("culture",): "en-US"}
    ),
    "customer-billing-profile-update.json": Row(
        call("PUT", "/customers/x/profiles/billing", {}), Holds({("companyName",): "companyName"})
    ),
    "customer-organization.json": get("/customers/x/organization", {(0, "countryLetterCode"): "US"}),
    "customer-create.json": Row(
        call("POST", "/customers", {}), Holds({("id",): "dfd8cc0a-c592-468c-8461-869a38d24738"})
    ),
    "customer-remove-relationship.json": Row(
        call("PATCH", "/customers/x", {}), Holds({("RelationshipToPartner",): "none", ("Id",): None})
    ),
    "customer-validation-status.json": get("/customers/x/validationStatus?type=account", {("status",): "Allowed"}),
    "customer-relationships.json": get("/customers/x/relationships", {("items", 0, "mpnId"): "4847383"}),
    "relationships-indirect-resellers.json": get("/relationships", {("items", 1, "location"): "BR"}),
    "domain-head-in-use.json": Row(call("HEAD", "/domains/contoso.onmicrosoft.com"), None),
    "domain-head-available.json": Row(call("HEAD", "/domains/contoso.onmicrosoft.com"), Raises(NotFound, 404)),
    "entitlements-reservation-recorded.json": get(
        "/customers/x/entitlements", {("items", 0, "entitlementType"): "virtual_machine_reserved_instance"}
    ),
    "managed-services-recorded.json": get("/customers/x/managedservices", {("items", 0, "groupName"): "Office"}),
    "auditrecords-filter-customer.json": get("/auditrecords", {("items", 0, "operationType"): "create_order"}),
    "graph-user-assignlicense.json": Row(
        call("POST", "/me/assignLicense", {}),
        Holds({("assignedLicenses", 0, "disabledPlans"): ["11b0131d-43c8-4bbb-b2c8-e80f9a50834a"]}),
    ),
    "graph-user-create.json": Row(call("POST", "/users", {}), Holds({("displayName",): "Adele Vance"})),
    "graph-user-update.json": Row(call("PATCH", "/users/x", {}), None),
    "graph-user-set-password.json": Row(call("PATCH", "/users/x", {}), None),
    "graph-user-delete.json": Row(call("DELETE", "/users/x"), None),
    "graph-deleteditems-restore.json": Row(
        call("POST", "/directory/deletedItems/x/restore"), Holds({("displayName",): "SampleGroup"})
    ),
    "graph-directoryroles-list.json": get(
        "/directoryRoles", {("value", 0, "roleTemplateId"): "62e90394-69f5-4237-9190-012177145e10"}
    ),
    "graph-directoryrole-add-member.json": Row(call("POST", "/directoryRoles/x/members/$ref", {}), None),
    "graph-user-licensedetails.json": get("/me/licenseDetails", {("value", 0, "skuId"): "skuId-value"}),
    "graph-domains-list.json": get("/domains", {("value", 0, "id"): "contoso.com"}),
    "graph-subscribedskus.json": get("/subscribedSkus", {("value", 0, "consumedUnits"): 14}),
    "graph-directory-subscriptions.json": get(
        "/directory/subscriptions",
        {("value", 0, "commerceSubscriptionId"): "f9c1ea2d-2c6e-4717-8c3b-7130812d70ba"},
    ),
    "graph-batch.json": Row(
        call("POST", "/$batch", {}), Holds({("responses", 1, "body", "error", "code"): "Forbidden"})
    ),
    "graph-error-duplicate-upn.json": Row(
        lambda wired: wired.client.create_user(TENANT, NEW_USER),
        Raises(Refused, 400, None, RefusedReason.NAME_TAKEN),
    ),
}
