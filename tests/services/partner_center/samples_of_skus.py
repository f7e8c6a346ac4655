"""Rows for the samples of subscribed SKUs, licenses and subscriptions."""

from __future__ import annotations

import json
from typing import Any

import httpx

from services.errors import Misconfigured, Refused, RefusedReason
from services.models import (
    CommerceKind,
    License,
    MicrosoftSubscription,
    ProductType,
    ServicePlan,
    SubscribedSku,
    SubscriptionRef,
    SubscriptionStatus,
)
from tests.services.partner_center.sample_rows import ASSIGN_POWER_BI, POWER_BI, TENANT, USER, Raises, Row, instant
from tests.services.partner_center.scripted import NOW, Wired


def subscription(microsoft_id: str, offer_id: str, name: str | None, **members: Any) -> MicrosoftSubscription:
    return MicrosoftSubscription(
        **{
            "tenant_id": TENANT,
            "microsoft_id": microsoft_id,
            "offer_id": offer_id,
            "offer_name": name,
            "friendly_name": name,
            "commerce": CommerceKind.LEGACY,
            "gives_licenses": False,
            "quantity": 1,
            "status": SubscriptionStatus.ACTIVE,
            "auto_renew": False,
            "effective_at": None,
            "commitment_ends_at": None,
            "cancellable_until": None,
            **members,
        }
    )


EMS_PLANS = (
    ServicePlan("6c57d4b6-3b23-47a5-9bc9-69f17b4947b3", "RMS_S_PREMIUM", "Azure Information Protection Premium P1"),
    ServicePlan("c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "INTUNE_A", "Microsoft Intune A Direct"),
    ServicePlan("bea4c11e-220a-4e6d-8eb8-8ea15d019f90", "RMS_S_ENTERPRISE", "Microsoft Azure Active Directory Rights"),
    ServicePlan("41781fb2-bc02-4b7c-bd55-b576c07bb09d", "AAD_PREMIUM", "Azure Active Directory Premium P1"),
    ServicePlan("8a256a2b-b617-496d-b51b-e76466e88db0", "MFA_PREMIUM", "Microsoft Azure Multi-Factor Authentication"),
)
EMS = SubscribedSku(
    tenant_id=TENANT,
    sku_id="efccb6f7-5641-4e0e-bd10-b4976e1bf68e",
    sku_part_number="EMS",
    product_name="Enterprise Mobility + Security E3",
    product_type=ProductType.CLOUD_SERVICES,
    active_units=5,
    consumed_units=1,
    available_units=4,
    suspended_units=0,
    warning_units=0,
    total_units=5,
    capability_status="Enabled",
    license_group_id="group1",
    service_plans=EMS_PLANS,
    as_of=NOW,
)
POWER_BI_PRO = SubscribedSku(
    tenant_id=TENANT,
    sku_id=POWER_BI,
    sku_part_number="POWER_BI_PRO",
    product_name="Power BI Pro",
    product_type=ProductType.CLOUD_SERVICES,
    active_units=1,
    consumed_units=1,
    available_units=0,
    suspended_units=0,
    warning_units=0,
    total_units=1,
    capability_status="Enabled",
    license_group_id="group1",
    service_plans=(
        ServicePlan(
            "113feb6c-3fe4-4440-bddc-54d774bf0318",
            "EXCHANGE_S_FOUNDATION",
            "Exchange Foundation",
            for_users=False,
        ),
        ServicePlan("70d33638-9c74-4d01-bfd3-562de28bd4ba", "BI_AZURE_P2", "Power BI Pro"),
    ),
    as_of=NOW,
)
NCE = subscription(
    "a4c1340d-6911-4758-bba3-0c4c6007d161",
    "CFQ7TTC0LH18:0001:CFQ7TTC0K971",
    "Microsoft 365 Business Basic",
    commerce=CommerceKind.NEW_COMMERCE,
    gives_licenses=True,
    quantity=15,
    status=SubscriptionStatus.EXPIRED,
    effective_at=instant(2021, 1, 14, 16, 57, 14, 498252),
    commitment_ends_at=instant(2022, 1, 13, 23, 59, 59),
    cancellable_until=instant(2021, 1, 24, 20, 39, 17, 182697),
)
AZURE = subscription(
    "a356ac8c-e310-44f4-bf85-c7f29044af99",
    "MS-AZR-0145P",
    "Microsoft Azure",
    effective_at=instant(2016, 5, 10),
)


async def one_subscription(wired: Wired) -> MicrosoftSubscription:
    """One subscription by id has the shape of an item: it is served as a list of one."""
    served = json.loads(wired.upstream.replies[0].content)  # type: ignore[union-attr]
    wired.upstream.replies[0] = httpx.Response(200, json={"totalCount": 1, "items": [served]})
    [only] = await wired.client.list_subscriptions(TENANT)
    return only


SKUS: dict[str, Row] = {
    "subscribedskus.json": Row(
        lambda wired: wired.client.list_subscribed_skus(TENANT),
        [EMS, POWER_BI_PRO],
        ("GET", f"/v1/customers/{TENANT}/subscribedskus?licenseGroupIds=Group1&licenseGroupIds=Group2"),
    ),
    "subscribedskus-none.json": Row(lambda wired: wired.client.list_subscribed_skus(TENANT), []),
    "user-licenses.json": Row(
        lambda wired: wired.client.list_licenses(USER),
        [
            License(
                tenant_id=TENANT,
                sku_id="efccb6f7-5641-4e0e-bd10-b4976e1bf68e",
                sku_part_number="EMS",
                product_name="Enterprise Mobility + Security E3",
                license_group_id="group1",
                assigned_plans=EMS_PLANS,
            )
        ],
        (
            "GET",
            f"/v1/customers/{TENANT}/users/{USER.user_id}/licenses?licenseGroupIds=Group1&licenseGroupIds=Group2",
        ),
    ),
    "licenseupdates-assign.json": Row(
        lambda wired: wired.client.update_licenses(USER, ASSIGN_POWER_BI),
        None,
        ("POST", f"/v1/customers/{TENANT}/users/{USER.user_id}/licenseupdates"),
    ),
    "error-400-60012-no-license-left.json": Row(
        lambda wired: wired.client.update_licenses(USER, ASSIGN_POWER_BI),
        Raises(Refused, 400, 60012, RefusedReason.NO_LICENSE_LEFT),
    ),
    "error-400-900316-partner-token.json": Row(
        lambda wired: wired.client.update_licenses(USER, ASSIGN_POWER_BI), Raises(Misconfigured, 400, 900316)
    ),
    "subscriptions-list-legacy-recorded.json": Row(
        lambda wired: wired.client.list_subscriptions(TENANT),
        [
            subscription(
                "4f26a5ca-c468-4715-8fc5-a14f28bcc29b",
                "MS-AZR-0145P",
                "Microsoft Azure",
                effective_at=instant(2018, 4, 4),
            ),
            subscription(
                "b34024c7-9258-4841-bd0b-1e2a5d5c9d8d",
                "bd938f12-058f-4927-bba3-ae36b1d2501c",
                "Office 365 Business Essentials",
                gives_licenses=True,
                status=SubscriptionStatus.SUSPENDED,
                auto_renew=True,
                effective_at=instant(2018, 3, 26),
                commitment_ends_at=instant(2019, 3, 26),
            ),
        ],
        ("GET", f"/v1/customers/{TENANT}/subscriptions"),
    ),
    "subscriptions-list-software.json": Row(
        lambda wired: wired.client.list_subscriptions(TENANT),
        [
            subscription(
                "924671ba-eab9-45d7-95ed-dbd9477f182b",
                "DG7GMGF0FKZV:0003:DG7GMGF0DQLM",
                "SQL Server Enterprise - 2 Core License Pack - 3 year",
                commerce=CommerceKind.NEW_COMMERCE,
                auto_renew=True,
                effective_at=instant(2021, 10, 15, 21, 28, 18, 478684),
                commitment_ends_at=instant(2024, 10, 14),
                cancellable_until=instant(2021, 11, 14, 23, 59),
            )
        ],
    ),
    "subscriptions-by-order.json": Row(
        lambda wired: wired.client.list_subscriptions(TENANT),
        [
            subscription(
                "83ef9d05-4169-4ef9-9657-0e86b1eab1de",
                "0cca44d6-68e9-4762-94ee-31ece98783b9",
                None,
                friendly_name="Myofferpurchase",
                effective_at=instant(2015, 11, 24, 8),
                commitment_ends_at=instant(2016, 12, 12, 8),
            )
        ],
    ),
    "subscription-by-id-nce.json": Row(one_subscription, NCE),
    "subscription-by-id-azure-legacy.json": Row(one_subscription, AZURE),
    "subscription-provisioningstatus.json": Row(
        lambda wired: wired.client.get_provisioned_sku(SubscriptionRef(TENANT, "34828c05-c16c-4d6f-9cfc-4d2650ef19a1")),
        "6fd2c87f-b296-42f0-b197-1e91e994b900",
        (
            "GET",
            f"/v1/customers/{TENANT}/subscriptions/34828c05-c16c-4d6f-9cfc-4d2650ef19a1/provisioningstatus",
        ),
    ),
    "product-sku-nce.json": Row(
        lambda wired: wired.client.get_catalog_sku(TENANT, "CFQ7TTC0LH18", "0001"),
        "3b555118-da6a-4418-894f-7df1e2096870",
        ("GET", f"/v1/customers/{TENANT}/products/CFQ7TTC0LH18/skus/0001"),
    ),
    "offer-by-id-recorded.json": Row(
        lambda wired: wired.client.get_offer_sku("8bdbb60b-e526-43e9-92ef-ab760c8e0b72"),
        "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
        ("GET", "/v1/offers/8bdbb60b-e526-43e9-92ef-ab760c8e0b72?country=US"),
    ),
    "graph-error-usage-location.json": Row(
        lambda wired: wired.client.update_licenses(USER, ASSIGN_POWER_BI),
        Raises(Refused, 400, None, RefusedReason.USAGE_LOCATION),
    ),
}
