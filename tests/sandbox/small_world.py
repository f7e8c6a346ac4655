"""A small world made by hand, for exact expectations, and what asks the sandbox about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx

from sandbox import settings
from sandbox.world import Customer, Holding, Plan, Product, Reseller, Subscription, User, World

CONTOSO = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
FABRIKAM = "c501c3c4-d776-40ef-9ecf-9cefb59442c1"
RESELLER = "484e548c-f5f3-4528-93a9-c16c6373cb59"

DANIEL = "a9ef48bb-8758-4590-a312-d4a47bfaded4"
HOMELESS = "6e668259-1f09-479d-bcb8-d9b03e826b8d"
SYNCED = "554526aa-cf5e-46fa-95df-98dbc55d8a1e"
ADMIN = "705cd3c1-028f-41eb-9ffb-16ee8c5ae3af"
DELETED = "a45f1416-3300-4f65-9e8d-f123b397a4ea"
EXPIRED = "95794928-9abe-4548-8b43-50ffc20b9404"

EMS = "efccb6f7-5641-4e0e-bd10-b4976e1bf68e"
POWER_BI = "f8a1db68-be16-40ed-86d5-cb42ce701560"
MINECRAFT = "cfq7ttc0k5dr/0002"
TENANT_WIDE = "b126b073-72db-4a9d-87a4-b17afe41d4ab"
PLAN_RMS = "6c57d4b6-3b23-47a5-9bc9-69f17b4947b3"
PLAN_INTUNE = "c1ec4a95-1f05-45b3-a911-aa3fa01094f5"

GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
HELPDESK = "729827e3-9c14-49f7-bb1b-9608f156bbb8"

NCE = "a4c1340d-6911-4758-bba3-0c4c6007d161"
LEGACY = "b34024c7-9258-4841-bd0b-1e2a5d5c9d8d"
AZURE_LEGACY = "4f26a5ca-c468-4715-8fc5-a14f28bcc29b"
SOFTWARE = "924671ba-eab9-45d7-95ed-dbd9477f182b"
AZURE_PLAN = "1f0e8f1a-5b7e-4a55-9a3b-0d5b9a2f6c11"

PRODUCTS = (
    Product(
        EMS,
        "EMS",
        "Enterprise Mobility + Security E3",
        (
            Plan(PLAN_RMS, "RMS_S_PREMIUM", "Azure Information Protection Premium P1"),
            Plan(PLAN_INTUNE, "INTUNE_A", "Microsoft Intune A Direct"),
        ),
        catalog_product="CFQ7TTC0LH18",
        catalog_sku="0001",
        legacy_offer="79c29af7-3cd0-4a6f-b182-a81e31dec84e",
    ),
    Product(
        POWER_BI,
        "POWER_BI_PRO",
        "Power BI Pro",
        (Plan("70d33638-9c74-4d01-bfd3-562de28bd4ba", "BI_AZURE_P2", "Power BI Pro"),),
    ),
    Product(MINECRAFT, "CFQ7TTC0K5DR/0002", "Minecraft Education", license_group="group2"),
    Product(TENANT_WIDE, "VIVA", "Held by the tenant", target_type="Tenant"),
)
ROLES = {GLOBAL_ADMINISTRATOR: "Company Administrator", HELPDESK: "Helpdesk Administrator"}


def small_world(now: Callable[[], datetime], tenants: int = 0, users: int = 0) -> World:
    products = {product.id: product for product in PRODUCTS}
    contoso = Customer(
        CONTOSO,
        "Contoso",
        "contoso.onmicrosoft.com",
        "US",
        custom_domains=["contoso.onmicrosoft.com", "contoso.com", "federated.contoso.com"],
        federated_domains={"federated.contoso.com"},
        reseller_id=RESELLER,
        commerce_id="99e6a635-48e7-424d-9059-c9db944e3c54",
        address={
            "country": "US",
            "city": "Redmond",
            "state": "WA",
            "addressLine1": "1 Microsoft Way",
            "postalCode": "98052",
            "phoneNumber": "4255555555",
        },
        email="info@contoso.com",
    )
    for user in _people(now()):
        contoso.users[user.id] = user
    contoso.holdings = {
        EMS: Holding(products[EMS], 5),
        POWER_BI: Holding(products[POWER_BI], 1),
        MINECRAFT: Holding(products[MINECRAFT], 3),
        TENANT_WIDE: Holding(products[TENANT_WIDE], 1, consumed_elsewhere=1),
    }
    for subscription in _purchases(now(), products):
        contoso.subscriptions[subscription.id] = subscription
    fabrikam = Customer(FABRIKAM, "Fabrikam", "fabrikam.onmicrosoft.com", "GB", delegated_access=False)
    world = World(now, settings.PARTNER_TENANT_ID, products=products, roles=dict(ROLES))
    world.customers = {CONTOSO: contoso, FABRIKAM: fabrikam}
    world.resellers = {RESELLER: Reseller(RESELLER, "First Up Consultants", "4847383", "US")}
    return world


def _people(now: datetime) -> list[User]:
    domain = "contoso.onmicrosoft.com"
    return [
        User(DANIEL, f"daniel@{domain}", "Daniel Tsai", "Daniel", "Tsai", "US", licenses={EMS: {PLAN_INTUNE}}),
        User(HOMELESS, f"homeless@{domain}", "Without Location"),
        User(
            SYNCED,
            f"synced@{domain}",
            "Synced Person",
            "Synced",
            "Person",
            "US",
            immutable_id="abc==",
            last_directory_sync_time=now - timedelta(hours=1),
        ),
        User(
            ADMIN,
            f"admin@{domain}",
            "Admin Istrator",
            usage_location="US",
            licenses={POWER_BI: set()},
            roles={GLOBAL_ADMINISTRATOR},
        ),
        User(
            DELETED,
            f"ferdinand@{domain}",
            "Ferdinand",
            "Ferdinand",
            "Filibuster",
            "US",
            deleted_at=now - timedelta(days=1),
            licenses_at_deletion={EMS: set(), POWER_BI: set()},
        ),
        User(
            EXPIRED,
            f"expired@{domain}",
            "Expired",
            "Ex",
            "Pired",
            "US",
            deleted_at=now - timedelta(days=31),
        ),
    ]


def _purchases(now: datetime, products: dict[str, Product]) -> list[Subscription]:
    year = timedelta(days=365)
    bought = now - timedelta(days=100)
    shared: dict[str, Any] = {
        "status": "active",
        "created_at": bought,
        "starts_at": bought,
        "commitment_ends_at": bought + year,
    }
    ems = products[EMS]
    return [
        Subscription(
            NCE,
            "nce",
            "CFQ7TTC0LH18:0001:CFQ7TTC0K971",
            ems.name,
            ems.name,
            3,
            order_id="34b37d7340cc",
            product=ems,
            **shared,
        ),
        Subscription(
            LEGACY,
            "legacy",
            "79c29af7-3cd0-4a6f-b182-a81e31dec84e",
            "Enterprise Mobility Suite",
            "EMS",
            2,
            order_id="06035d39-e52a-4b00-a0b4-4d2eb96e131b",
            product=ems,
            term=None,
            version=2,
            **shared,
        ),
        Subscription(
            AZURE_LEGACY,
            "azure_legacy",
            "MS-AZR-0145P",
            "Microsoft Azure",
            "Microsoft Azure",
            1,
            order_id="89babbf2-afbb-42c6-82f9-fcd14668304d",
            term=None,
            **{**shared, "commitment_ends_at": None},
        ),
        Subscription(
            SOFTWARE,
            "software",
            "DG7GMGF0FKZV:0003:DG7GMGF0DQLM",
            "SQL Server",
            "SQL Server",
            1,
            order_id="12345678901",
            term="P3Y",
            billing_cycle="triennial",
            cancellable_until=bought + timedelta(days=30),
            **shared,
        ),
        Subscription(
            AZURE_PLAN,
            "azure_plan",
            "DZH318Z0BPS6:0001:DZH318Z0BMTX",
            "Azure plan",
            "Azure plan",
            1,
            order_id="abcdef123456",
            **{**shared, "commitment_ends_at": None},
        ),
    ]


def token_form(**changes: str) -> dict[str, str]:
    """A v2 refresh request that succeeds; empty values are left out."""
    form = {
        "client_id": settings.CLIENT_ID,
        "client_secret": settings.CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": settings.REFRESH_TOKEN,
        "scope": "https://api.partnercenter.microsoft.com/.default",
        **changes,
    }
    return {name: value for name, value in form.items() if value}


V1_TOKEN = f"/{settings.PARTNER_TENANT_ID}/oauth2/token"
V2_TOKEN = f"/{settings.PARTNER_TENANT_ID}/oauth2/v2.0/token"


def fault(answer: httpx.Response) -> tuple[int, int, str]:
    """Status, code and text of a refusal."""
    body = answer.json()
    return answer.status_code, body["code"], body["description"]
