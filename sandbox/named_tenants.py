"""The named tenants beside Contoso: each shows one case, under a name from Microsoft's own samples.

| tenant | shows |
|---|---|
| Fabrikam | a handful of people, one of them a namesake of Contoso's; a subscription named like another product |
| Northwind Traders | 1,200 people |
| Adventure Works | nobody in it, and nothing bought |
| Adatum Corporation | no access: neither DAP nor any role |
| Litware | a product of which more is consumed than there is |
| Wingtip Toys | a product that no table knows |
| Tailspin Toys | a product of the second license group |
| Proseware | reading only: two reader roles granted |
| Woodgrove Bank | roles without DAP; provisioning pending, failed and missing |
| Fourth Coffee | expired and suspended subscriptions |
| Alpine Ski House | an add-on, software, Azure of both kinds, a marketplace service |
| Humongous Insurance | a federated domain, everyone synced |
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

from sandbox.directory_roles import COMPANY_ADMINISTRATOR, LICENSE_ADMINISTRATOR, USER_ACCOUNT_ADMINISTRATOR
from sandbox.people import many_names, person, stable_id
from sandbox.products import UNKNOWN_PRODUCT_ID, licenses
from sandbox.purchases import azure_legacy, azure_plan, buy, hold, legacy, new_commerce, saas, software
from sandbox.world import Customer, Product, User

Parts = dict[str, Product]


def tenant(
    company_name: str,
    name: str,
    country: str,
    city: str,
    reseller_id: str | None = None,
    *,
    custom: bool = False,
) -> Customer:
    """A customer named so, with the domain `name.onmicrosoft.com` and, where `custom`, `name.com`."""
    domain = f"{name}.onmicrosoft.com"
    return Customer(
        id=stable_id("tenant", domain),
        company_name=company_name,
        initial_domain=domain,
        country=country,
        custom_domains=[domain, f"{name}.com"] if custom else [domain],
        reseller_id=reseller_id,
        commerce_id=stable_id("commerce", domain),
        address={"country": country, "city": city, "addressLine1": "1 Main Street"},
        email=f"licensing@{domain}",
    )


def settle(customer: Customer, *people: User) -> Customer:
    """The customer with these people in it."""
    customer.users = {user.id: user for user in people}
    return customer


def build_named_tenants(parts: Parts, now: datetime, first: str, second: str) -> list[Customer]:
    """All of them but Contoso. `first` and `second` are the ids of the two indirect resellers."""
    return [
        _fabrikam(parts, now, second),
        _northwind(parts, now, first),
        tenant("Adventure Works", "adventureworks", "US", "Bothell", first),
        _adatum(parts, now),
        _litware(parts, now, first),
        _wingtip(parts, now, second),
        _tailspin(parts, now, second),
        _proseware(parts, now),
        _woodgrove(parts, now, first),
        _fourth_coffee(parts, now, second),
        _alpine(parts, now, second),
        _humongous(parts, now),
    ]


def _fabrikam(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    """The legacy offer "Microsoft 365 Business Premium" gives Business Standard, whatever its name says."""
    fabrikam = tenant("Fabrikam", "fabrikam", "US", "Portland", reseller_id, custom=True)
    standard, premium = parts["O365_BUSINESS_PREMIUM"], parts["SPB"]
    misleading = legacy(fabrikam, standard, 5, now)
    misleading.offer_name = misleading.friendly_name = premium.name
    buy(fabrikam, misleading, new_commerce(fabrikam, premium, 4, now))
    hold(fabrikam, standard, 5)
    hold(fabrikam, premium, 4)
    return settle(
        fabrikam,
        *(
            person(fabrikam.initial_domain, name, licenses=licenses(parts, held), roles=roles)
            for name, held, roles in (
                ("Nicole Wagner", "SPB", {COMPANY_ADMINISTRATOR}),
                ("Alex Wilber", "SPB", set[str]()),
                ("Eva Corets", "O365_BUSINESS_PREMIUM", set[str]()),
                ("Spencer Low", "O365_BUSINESS_PREMIUM:SWAY", set[str]()),
                ("Jim Hance", "", set[str]()),
            )
        ),
    )


def _northwind(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    northwind = tenant("Northwind Traders", "northwindtraders", "US", "Seattle", reseller_id, custom=True)
    buy(
        northwind,
        new_commerce(northwind, parts["SPE_E3"], 1000, now),
        legacy(northwind, parts["SPE_F1"], 300, now),
        new_commerce(northwind, parts["MCOEV"], 150, now),
    )
    hold(northwind, parts["SPE_E3"], 1000)
    hold(northwind, parts["SPE_F1"], 300)
    hold(northwind, parts["MCOEV"], 150)
    people: list[User] = []
    for number, (given, family, country) in enumerate(islice(many_names(), 1200)):
        held = "SPE_F1" if number % 5 == 4 else "SPE_E3 MCOEV" if number % 10 == 0 else "SPE_E3"
        people.append(
            person(
                northwind.initial_domain,
                f"{given} {family}",
                sign_in=f"n{number + 1:04d}",
                usage_location=country,
                licenses=licenses(parts, held),
                roles={COMPANY_ADMINISTRATOR} if number == 0 else set(),
            )
        )
    return settle(northwind, *people)


def _adatum(parts: Parts, now: datetime) -> Customer:
    """There is something to see, and the partner may not see it."""
    adatum = tenant("Adatum Corporation", "adatum", "US", "Chicago")
    adatum.delegated_access = False
    adatum.granted_roles = frozenset()
    buy(adatum, new_commerce(adatum, parts["SPE_E5"], 3, now))
    hold(adatum, parts["SPE_E5"], 3)
    return settle(adatum, person(adatum.initial_domain, "Roxanne Kenison", licenses=licenses(parts, "SPE_E5")))


def _litware(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    """Six people hold Business Basic, and after a reduction four units are left: two too few."""
    litware = tenant("Litware", "litware", "GB", "London", reseller_id)
    basic = parts["O365_BUSINESS_ESSENTIALS"]
    buy(litware, new_commerce(litware, basic, 4, now))
    hold(litware, basic, 4)
    names = ("Amy Alberts", "Andrew Dixon", "Gail Erickson", "Kim Akers", "Simon Pearson", "Walter Harp")
    return settle(
        litware,
        *(
            person(
                litware.initial_domain,
                name,
                usage_location="GB",
                licenses=licenses(parts, basic.part_number),
                roles={USER_ACCOUNT_ADMINISTRATOR} if name == "Amy Alberts" else None,
            )
            for name in names
        ),
    )


def _wingtip(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    wingtip = tenant("Wingtip Toys", "wingtiptoys", "NL", "Utrecht", reseller_id)
    pilot = next(product for product in parts.values() if product.id == UNKNOWN_PRODUCT_ID)
    buy(wingtip, new_commerce(wingtip, pilot, 3, now))
    hold(wingtip, pilot, 3)
    return settle(
        wingtip,
        person(wingtip.initial_domain, "Sanne de Vries", usage_location="NL", licenses={pilot.id: set()}),
        person(wingtip.initial_domain, "Pieter Bakker", usage_location="NL"),
    )


def _tailspin(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    """A school: Minecraft, whose licenses may not be changed in one call with others."""
    tailspin = tenant("Tailspin Toys", "tailspintoys", "US", "Denver", reseller_id)
    minecraft, e1 = parts["CFQ7TTC0K5DR/0002"], parts["STANDARDPACK"]
    buy(tailspin, new_commerce(tailspin, minecraft, 10, now), new_commerce(tailspin, e1, 6, now))
    hold(tailspin, minecraft, 10)
    hold(tailspin, e1, 6)
    both = f"STANDARDPACK {minecraft.part_number}"
    return settle(
        tailspin,
        person(tailspin.initial_domain, "Holly Dickson", licenses=licenses(parts, both)),
        person(tailspin.initial_domain, "Terry Adams", licenses=licenses(parts, "STANDARDPACK")),
        person(tailspin.initial_domain, "Yvonne McKay", licenses=licenses(parts, minecraft.part_number)),
        person(tailspin.initial_domain, "Ty Carlson"),
    )


def _proseware(parts: Parts, now: datetime) -> Customer:
    proseware = tenant("Proseware", "proseware", "CA", "Toronto", custom=True)
    proseware.delegated_access = False
    proseware.granted_roles = frozenset({"Global Reader", "Directory Readers"})
    buy(proseware, new_commerce(proseware, parts["SPB"], 5, now))
    hold(proseware, parts["SPB"], 5)
    return settle(
        proseware,
        person(proseware.initial_domain, "Annie Chevalier", usage_location="CA", licenses=licenses(parts, "SPB")),
        person(proseware.initial_domain, "Marc Dubois", usage_location="CA"),
    )


def _woodgrove(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    """What a subscription gives is known by its provisioning, else by the catalogue; here the former mostly fails."""
    woodgrove = tenant("Woodgrove Bank", "woodgrovebank", "CH", "Zürich", reseller_id, custom=True)
    woodgrove.delegated_access = False
    part_numbers = ("SPE_E5", "AAD_PREMIUM_P2", "PROJECTPROFESSIONAL", "MCOMEETADV")
    pending = new_commerce(woodgrove, parts["SPE_E5"], 6, now, days_ago=0)
    pending.provisioning = "pending"
    missing = new_commerce(woodgrove, parts["AAD_PREMIUM_P2"], 6, now)
    missing_legacy = legacy(woodgrove, parts["PROJECTPROFESSIONAL"], 2, now)
    missing.provisioning = missing_legacy.provisioning = "missing"
    failed = new_commerce(woodgrove, parts["MCOMEETADV"], 6, now)
    failed.provisioning = "failed"
    buy(woodgrove, pending, missing, missing_legacy, failed)
    for part_number, units in zip(part_numbers, (6, 6, 2, 6), strict=True):
        hold(woodgrove, parts[part_number], units)
    return settle(
        woodgrove,
        *(
            person(
                woodgrove.initial_domain,
                name,
                usage_location="CH",
                licenses=licenses(parts, held),
                roles=roles,
            )
            for name, held, roles in (
                ("Käthe Brunner", "SPE_E5 AAD_PREMIUM_P2", {COMPANY_ADMINISTRATOR}),
                ("Luca Bernasconi", "SPE_E5 PROJECTPROFESSIONAL", {LICENSE_ADMINISTRATOR}),
                ("Reto Frei", "SPE_E5 MCOMEETADV", set[str]()),
                ("Anaïs Favre", "AAD_PREMIUM_P2", set[str]()),
            )
        ),
    )


def _fourth_coffee(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    """Expired units are usable for a while (warning), suspended ones are not."""
    coffee = tenant("Fourth Coffee", "fourthcoffee", "US", "San Francisco", reseller_id)
    apps, exchange = parts["O365_BUSINESS"], parts["EXCHANGESTANDARD"]
    expired = new_commerce(coffee, apps, 5, now, days_ago=372)
    expired.status, expired.auto_renew, expired.suspension_reasons = "expired", False, ("Expiration",)
    suspended = legacy(coffee, exchange, 4, now)
    suspended.status, suspended.suspension_reasons = "suspended", ("CustomerCancellation",)
    deleted = legacy(coffee, parts["INTUNE_A"], 2, now, days_ago=500)
    deleted.status, deleted.auto_renew = "deleted", False
    buy(coffee, expired, suspended, deleted)
    hold(coffee, apps, 0, warning_units=5, capability_status="Warning")
    hold(coffee, exchange, 0, suspended_units=4, capability_status="Suspended")
    return settle(
        coffee,
        person(coffee.initial_domain, "Lisa Miller", licenses=licenses(parts, "O365_BUSINESS")),
        person(coffee.initial_domain, "Terrence Philip", licenses=licenses(parts, "O365_BUSINESS")),
        person(coffee.initial_domain, "Carol Poland"),
    )


def _alpine(parts: Parts, now: datetime, reseller_id: str) -> Customer:
    alpine = tenant("Alpine Ski House", "alpineskihouse", "AT", "Innsbruck", reseller_id)
    e1, phone = parts["STANDARDPACK"], parts["MCOEV"]
    base = legacy(alpine, e1, 8, now)
    add_on = legacy(alpine, phone, 3, now)
    add_on.parent_id = base.id
    buy(alpine, base, add_on, software(alpine, now), azure_legacy(alpine, now), azure_plan(alpine, now))
    buy(alpine, saas(alpine, now))
    hold(alpine, e1, 8)
    hold(alpine, phone, 3)
    return settle(
        alpine,
        person(
            alpine.initial_domain,
            "Resi Gruber",
            usage_location="AT",
            licenses=licenses(parts, "STANDARDPACK MCOEV"),
        ),
        person(alpine.initial_domain, "Sepp Hölzl", usage_location="AT", licenses=licenses(parts, "STANDARDPACK")),
    )


def _humongous(parts: Parts, now: datetime) -> Customer:
    """New users can only be created in the managed domain; those of the federated one come by synchronization."""
    humongous = tenant("Humongous Insurance", "humongousinsurance", "US", "Boston", custom=True)
    humongous.federated_domains = {"humongousinsurance.com"}
    buy(humongous, new_commerce(humongous, parts["SPE_E3"], 5, now))
    hold(humongous, parts["SPE_E3"], 5)
    people = [
        person(
            "humongousinsurance.com",
            name,
            licenses=licenses(parts, "SPE_E3"),
            synced_at=now - timedelta(minutes=12),
        )
        for name in ("Karen Berg", "Oliver Kiel", "Paul West")
    ]
    admin = person(humongous.initial_domain, "Cloud Administrator", sign_in="admin", roles={COMPANY_ADMINISTRATOR})
    return settle(humongous, admin, *people)
