"""Contoso: the tenant that shows every case of products, people and deleted users, small enough to be read.

| product | active | warning | suspended | consumed | available | bought as |
|---|---|---|---|---|---|---|
| Office 365 E3 | 25 | 0 | 0 | 20 | 5 | legacy 15 + new commerce 10 |
| Power BI Pro | 5 | 0 | 0 | 5 | 0 | new commerce 5 |
| Enterprise Mobility + Security E3 | 8 | 2 | 3 | 6 | 4 | legacy 8; the rest is bought elsewhere |
| Visio Plan 2 | 4 | 0 | 0 | 2 | 2 | elsewhere |
| Dynamics 365 for Sales Enterprise Edition | 6 | 0 | 0 | 4 | 2 | new commerce 6 |
| Common Data Service Database Capacity | 3 | 0 | 0 | 1 | 2 | new commerce 3, held by the tenant as a whole |
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sandbox.directory_roles import (
    BILLING_ADMINISTRATOR,
    COMPANY_ADMINISTRATOR,
    HELPDESK_ADMINISTRATOR,
    REPORTS_READER,
    USER_ACCOUNT_ADMINISTRATOR,
)
from sandbox.people import person, stable_id
from sandbox.products import licenses
from sandbox.purchases import azure_plan, buy, hold, legacy, new_commerce
from sandbox.world import Customer, Product, User

CONTOSO_DOMAIN = "contoso.onmicrosoft.com"
CONTOSO_CUSTOM_DOMAIN = "contoso.com"
CONTOSO_ID = stable_id("tenant", CONTOSO_DOMAIN)


def build_contoso(parts: dict[str, Product], now: datetime, reseller_id: str | None) -> Customer:
    """Contoso as its table above says; `parts` are the products by part number."""
    contoso = Customer(
        id=CONTOSO_ID,
        company_name="Contoso",
        initial_domain=CONTOSO_DOMAIN,
        country="US",
        custom_domains=[CONTOSO_DOMAIN, CONTOSO_CUSTOM_DOMAIN],
        reseller_id=reseller_id,
        commerce_id=stable_id("commerce", CONTOSO_DOMAIN),
        address={
            "country": "US",
            "city": "Redmond",
            "state": "WA",
            "addressLine1": "1 Contoso Way",
            "postalCode": "98052",
        },
        email="licensing@contoso.com",
    )
    e3, power_bi, ems = parts["ENTERPRISEPACK"], parts["POWER_BI_PRO"], parts["EMS"]
    sales, capacity = parts["DYN365_ENTERPRISE_SALES"], parts["CDS_DB_CAPACITY"]
    hold(contoso, e3, 25)
    hold(contoso, power_bi, 5)
    hold(contoso, ems, 8, warning_units=2, suspended_units=3)
    hold(contoso, parts["VISIOCLIENT"], 4)
    hold(contoso, sales, 6)
    hold(contoso, capacity, 3, consumed_elsewhere=1)
    buy(
        contoso,
        legacy(contoso, e3, 15, now, days_ago=210),
        new_commerce(contoso, e3, 10, now, days_ago=2),
        new_commerce(contoso, power_bi, 5, now, days_ago=90),
        legacy(contoso, ems, 8, now, days_ago=340),
        new_commerce(contoso, sales, 6, now, days_ago=30),
        new_commerce(contoso, capacity, 3, now, days_ago=75),
        azure_plan(contoso, now),
    )
    contoso.users = {user.id: user for user in [*_active(parts, now), *_deleted(parts, now)]}
    return contoso


def _active(parts: dict[str, Product], now: datetime) -> list[User]:
    return [
        *(
            person(CONTOSO_DOMAIN, name, usage_location=country, licenses=licenses(parts, held), roles=set(roles))
            for name, country, held, *roles in _PEOPLE
        ),
        person(
            CONTOSO_DOMAIN,
            "山田 太郎",
            sign_in="taro.yamada",
            first_name="太郎",
            last_name="山田",
            usage_location="JP",
            licenses=licenses(parts, "ENTERPRISEPACK"),
        ),
        person(CONTOSO_DOMAIN, "Ελένη Παπαδοπούλου", sign_in="eleni.papadopoulou", usage_location="GR"),
        person(CONTOSO_DOMAIN, "Debra Berger", usage_location=None),
        person(
            CONTOSO_CUSTOM_DOMAIN,
            "Robert Lindqvist",
            usage_location="SE",
            licenses=licenses(parts, "EMS"),
            synced_at=now - timedelta(minutes=25),
        ),
        person(CONTOSO_DOMAIN, "Mara Lindt", sign_in="mara.lindt_fabrikam.com#EXT#", usage_location=None),
    ]


def _deleted(parts: dict[str, Product], now: datetime) -> list[User]:
    """The last one should have been purged a day ago; Partner Center is known to be late."""
    return [
        person(
            CONTOSO_DOMAIN,
            name,
            deleted_at=now - timedelta(days=days),
            licenses_at_deletion=licenses(parts, held),
        )
        for name, days, held in (
            ("Enrico Cattaneo", 1, "ENTERPRISEPACK:SWAY EMS"),
            ("Irvin Sayers", 29.9, "ENTERPRISEPACK"),
            ("Ben Walters", 31, "ENTERPRISEPACK"),
        )
    ]


_PEOPLE: tuple[tuple[str, ...], ...] = (
    ("Megan Bowen", "US", "ENTERPRISEPACK EMS", COMPANY_ADMINISTRATOR),
    ("Grady Archie", "US", "ENTERPRISEPACK", HELPDESK_ADMINISTRATOR),
    ("Isaiah Langer", "US", "ENTERPRISEPACK", USER_ACCOUNT_ADMINISTRATOR, BILLING_ADMINISTRATOR),
    ("Patti Fernandez", "US", "ENTERPRISEPACK", REPORTS_READER),
    ("Adele Vance", "US", "ENTERPRISEPACK POWER_BI_PRO"),
    ("Alex Wilber", "US", "ENTERPRISEPACK POWER_BI_PRO"),
    ("Diego Siciliani", "US", "ENTERPRISEPACK:TEAMS1,YAMMER_ENTERPRISE EMS:MFA_PREMIUM"),
    ("Henrietta Mueller", "DE", "ENTERPRISEPACK DYN365_ENTERPRISE_SALES"),
    ("Johanna Lorenz", "DE", "ENTERPRISEPACK:SWAY POWER_BI_PRO EMS VISIOCLIENT DYN365_ENTERPRISE_SALES"),
    ("Joni Sherman", "US", "ENTERPRISEPACK"),
    ("Lee Gu", "US", "ENTERPRISEPACK VISIOCLIENT"),
    ("Lidia Holloway", "US", "ENTERPRISEPACK POWER_BI_PRO"),
    ("Lynne Robbins", "US", "ENTERPRISEPACK DYN365_ENTERPRISE_SALES"),
    ("Miriam Graham", "US", "ENTERPRISEPACK POWER_BI_PRO"),
    ("Nestor Wilke", "US", "ENTERPRISEPACK EMS"),
    ("Pradeep Gupta", "IN", "ENTERPRISEPACK"),
    ("Zoë Ångström", "SE", "ENTERPRISEPACK EMS"),
    ("Łukasz Żak", "PL", "ENTERPRISEPACK"),
    ("Siobhán O'Brien", "IE", "ENTERPRISEPACK"),
    ("José Muñoz", "ES", "DYN365_ENTERPRISE_SALES"),
    ("Allan Deyoung", "US", ""),
    ("Brian Johnson", "US", ""),
    ("Christie Cline", "US", ""),
    ("Raúl Razo", "MX", ""),
    ("Svetlana Omelchenko", "US", ""),
)
"""Display name, usage location, licenses, then roles."""
