"""Rows for the samples of customers, users and roles, and of paging."""

from __future__ import annotations

import json
from typing import Any

import httpx

from services.models import Customer, DirectoryRole, RoleRef, Tenant, User, UserRef, UserStatus
from tests.services.partner_center.sample_rows import NEW_USER, TENANT, USER, Row, instant
from tests.services.partner_center.scripted import NOW, Wired


def tenant(microsoft_id: str, name: str, domain: str) -> Tenant:
    return Tenant(microsoft_id, name, domain, NOW)


def user(microsoft_id: str, upn: str, display_name: str, **members: Any) -> User:
    return User(
        **{
            "tenant_id": TENANT,
            "microsoft_id": microsoft_id,
            "user_principal_name": upn,
            "display_name": display_name,
            "first_name": None,
            "last_name": None,
            "usage_location": None,
            "status": UserStatus.ACTIVE,
            "directory_synced": False,
            "federated": False,
            "deleted_at": None,
            "as_of": NOW,
            **members,
        }
    )


def role(microsoft_id: str, name: str) -> DirectoryRole:
    return DirectoryRole(TENANT, microsoft_id, name, privileged=True)


DANIEL = user(
    "a9ef48bb-8758-4590-a312-d4a47bfaded4",
    "Daniel@dtdemocspcustomer005.onmicrosoft.com",
    "Daniel Tsai",
    first_name="Daniel",
    last_name="Tsai",
    usage_location="US",
)
ADMIN = user(
    "6e668259-1f09-479d-bcb8-d9b03e826b8d",
    "admin@dtdemocspcustomer005.onmicrosoft.com",
    "DT Demo CSP Customer 005",
    first_name="Daniel",
    last_name="Tsai",
)
FERDINAND = user(
    "a45f1416-3300-4f65-9e8d-f123b397a4ea",
    "e83763f7f2204ac384cfcd49f79f2749@dtdemocspcustomer005.onmicrosoft.com",
    "Ferdinand",
    first_name="Ferdinand",
    last_name="Filibuster",
    usage_location="US",
)
HELPDESK = role("729827e3-9c14-49f7-bb1b-9608f156bbb8", "Helpdesk Administrator")
USER_ADMIN = role("fe930be7-5e62-47db-91af-98c3a49a38b1", "User Account Administrator")
GLOBAL_ADMIN = role("62e90394-69f5-4237-9190-012177145e10", "Company Administrator")
SERVICE_SUPPORT = DirectoryRole(
    TENANT, "f023fd81-a637-4b56-95fd-791ac0226033", "Service Support Administrator", privileged=False
)
HELPDESK_REF = RoleRef(TENANT, HELPDESK.microsoft_id)

INVOICES = (
    "/invoices/unbilled/lineitems?provider=onetime&invoicelineitemtype=billinglineitems&currencycode=usd"
    "&period=previous&size=2000"
)


async def first_page_then_the_following(wired: Wired) -> object:
    """The invoice listing's items were removed from the sample; its links are followed as they stand."""
    page = json.loads(wired.upstream.replies[0].content)  # type: ignore[union-attr]
    wired.upstream.replies = [
        httpx.Response(200, json={**page, "items": []}),
        httpx.Response(200, json={"totalCount": 1, "items": [{"id": HELPDESK.microsoft_id, "name": HELPDESK.name}]}),
    ]
    roles = await wired.client.list_roles(TENANT)
    return roles, wired.upstream.asked[1], wired.upstream.sent("MS-ContinuationToken")


PEOPLE: dict[str, Row] = {
    "customers-list.json": Row(
        lambda wired: wired.client.list_customers(),
        [
            tenant("b44bb1fb-c595-45b0-9e09-d657365580bf", "companyName", "domain"),
            tenant("45c44870-ef77-4fdd-b6fe-3dacb075cff2", "companyName", "domain"),
        ],
        ("GET", "/v1/customers?size=500"),
    ),
    "customers-filter-company-name.json": Row(
        lambda wired: wired.client.find_customers_by_domain("Cont"),
        [
            tenant("c5757d70-06f3-4f23-8367-5a9e55019f94", "Contoso190", "contoso190.onmicrosoft.com"),
            tenant("7b26b357-9ca3-48b8-a58e-4febe2662a5d", "Contoso", "ContosoCorpCo.onmicrosoft.com"),
            tenant("bfbd6ef0-311f-47ec-bbd7-0fcb7846661b", "Contoso", "contosocorpdemo.onmicrosoft.com"),
        ],
        (
            "GET",
            "/v1/customers?size=500&filter=%7B%22Field%22%3A%22Domain%22%2C%22Value%22%3A%22Cont%22%2C"
            "%22Operator%22%3A%22starts_with%22%7D",
        ),
    ),
    "customers-of-indirect-reseller.json": Row(
        lambda wired: wired.client.list_customers_of_reseller("484e548c-f5f3-4528-93a9-c16c6373cb59"),
        [
            tenant("53eb21cb-6b2d-4ee5-9e92-27dfc927e93c", "FourthCoffee137", "FourthCoffee137.onmicrosoft.com"),
            tenant(
                "3dfe847b-cad9-4fc1-86d3-cf16c2790087",
                "Wingtip Toys1254789149",
                "WingtipToys1254789149.onmicrosoft.com",
            ),
        ],
        (
            "GET",
            "/v1/customers?size=500&filter=%7B%22Field%22%3A%22IndirectReseller%22%2C%22Value%22%3A"
            "%22484e548c-f5f3-4528-93a9-c16c6373cb59%22%2C%22Operator%22%3A%22starts_with%22%7D",
        ),
    ),
    "customer-by-id.json": Row(
        lambda wired: wired.client.get_customer("eebd1b55-5360-4438-a11d-5c06918c3014"),
        Customer(
            tenant=tenant("eebd1b55-5360-4438-a11d-5c06918c3014", "1kl as kjk", "abcdefgh1234.ccsctp.net"),
            country="US",
            delegated_access=True,
        ),
        ("GET", "/v1/customers/eebd1b55-5360-4438-a11d-5c06918c3014"),
    ),
    "customer-custom-domains.json": Row(
        lambda wired: wired.client.list_domains(TENANT),
        ["contosco.onmicrosoft.com"],
        ("GET", f"/v1/customers/{TENANT}/customDomains"),
    ),
    "users-list.json": Row(
        lambda wired: wired.client.list_users(TENANT, UserStatus.ACTIVE),
        [DANIEL, ADMIN],
        ("GET", f"/v1/customers/{TENANT}/users?size=500"),
    ),
    "users-list-deleted.json": Row(
        lambda wired: wired.client.list_users(TENANT, UserStatus.DELETED),
        [
            user(
                FERDINAND.microsoft_id,
                FERDINAND.user_principal_name,
                "Ferdinand",
                first_name="Ferdinand",
                last_name="Filibuster",
                usage_location="US",
                status=UserStatus.DELETED,
                deleted_at=instant(2017, 1, 20, 0, 33, 34),
            )
        ],
        (
            "GET",
            f"/v1/customers/{TENANT}/users?size=500&filter=%7B%22Field%22%3A%22UserState%22%2C%22Value%22%3A"
            "%22Inactive%22%2C%22Operator%22%3A%22equals%22%7D",
        ),
    ),
    "user-by-id.json": Row(
        lambda wired: wired.client.get_user(USER),
        DANIEL,
        ("GET", f"/v1/customers/{TENANT}/users/{USER.user_id}"),
    ),
    "user-create.json": Row(
        lambda wired: wired.client.create_user(TENANT, NEW_USER),
        user(
            "4b10bf41-ab11-40e3-8c53-cd67849b50de",
            "userid@domain.onmicrosoft.com",
            "User name",
            first_name="First",
            last_name="Last",
            usage_location="country/region code",
        ),
        ("POST", f"/v1/customers/{TENANT}/users"),
    ),
    "user-update.json": Row(
        lambda wired: wired.client.update_user(USER, {"usage_location": "DE"}),
        user(
            "4b10bf41-ab11-40e3-8c53-cd67849b50de",
            "emailidchange@abcdefgh1234.ccsctp.net",
            "DisplayNameChange",
            first_name="FirstNameChange",
            last_name="LastNameChange",
            usage_location="new country/region code",
        ),
        ("PATCH", f"/v1/customers/{TENANT}/users/{USER.user_id}"),
    ),
    "user-delete.json": Row(
        lambda wired: wired.client.delete_user(USER),
        None,
        ("DELETE", f"/v1/customers/{TENANT}/users/{USER.user_id}"),
    ),
    "user-restore.json": Row(
        lambda wired: wired.client.restore_user(UserRef(TENANT, FERDINAND.microsoft_id)),
        FERDINAND,
        ("PATCH", f"/v1/customers/{TENANT}/users/{FERDINAND.microsoft_id}"),
    ),
    "user-reset-password.json": Row(
        lambda wired: wired.client.reset_password(USER, "Renew456*", force_change=True),
        user(
            "95794928-9abe-4548-8b43-50ffc20b9404",
            "aaaa4@abcdefgh1234.ccsctp.net",
            "aaaa4",
            first_name="aaaa4",
            last_name="aaaa4",
            usage_location="AX",
        ),
        ("PATCH", f"/v1/customers/{TENANT}/users/{USER.user_id}/resetpassword"),
    ),
    "directoryroles-list.json": Row(
        lambda wired: wired.client.list_roles(TENANT),
        [GLOBAL_ADMIN, HELPDESK, USER_ADMIN, SERVICE_SUPPORT],
        ("GET", f"/v1/customers/{TENANT}/directoryroles"),
    ),
    "user-directoryroles.json": Row(
        lambda wired: wired.client.list_user_roles(USER),
        [HELPDESK, USER_ADMIN],
        ("GET", f"/v1/customers/{TENANT}/users/{USER.user_id}/directoryroles"),
    ),
    "directoryrole-usermembers.json": Row(
        lambda wired: wired.client.list_role_members(HELPDESK_REF),
        ["705cd3c1-028f-41eb-9ffb-16ee8c5ae3af"],
        ("GET", f"/v1/customers/{TENANT}/directoryroles/{HELPDESK.microsoft_id}/usermembers"),
    ),
    "directoryrole-add-member.json": Row(
        lambda wired: wired.client.add_role_member(HELPDESK_REF, DANIEL),
        None,
        ("POST", f"/v1/customers/{TENANT}/directoryroles/{HELPDESK.microsoft_id}/usermembers"),
    ),
    "directoryrole-remove-member.json": Row(
        lambda wired: wired.client.remove_role_member(HELPDESK_REF, USER.user_id),
        None,
        (
            "DELETE",
            f"/v1/customers/{TENANT}/directoryroles/{HELPDESK.microsoft_id}/usermembers/{USER.user_id}",
        ),
    ),
    "paging-first-page-links-next.json": Row(
        first_page_then_the_following,
        ([HELPDESK], ("GET", f"/v1{INVOICES}&seekOperation=Next"), [None, "AQAAAA=="]),
    ),
    "paging-following-page.json": Row(lambda wired: wired.client.list_roles(TENANT), []),
}
