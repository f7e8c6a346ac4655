"""Any number of tenants of any size beside the named ones: for load, paging and long lists. No chance involved."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import islice

from sandbox.named_tenants import tenant
from sandbox.people import ascii_sign_in, many_names, stable_id
from sandbox.purchases import azure_plan, buy, hold, legacy, new_commerce
from sandbox.world import Customer, Product, User

Parts = dict[str, Product]

_FIRST_WORDS = (
    "Amber Birch Cobalt Copper Crimson Delta Ember Fern Golden Granite Harbor Indigo Ivory Jasper Juniper Lunar "
    "Maple Meadow Nova Ocean Onyx Orchid Pacific Pine Prairie Quartz River Ruby Saffron Silver"
)
_SECOND_WORDS = "Analytics Bakery Biotech Builders Logistics Media Motors Partners Pharma Robotics Textiles Travel"
_LAST = ("Inc.", "GmbH", "Ltd.", "SA", "AB", "BV", "LLC")
_PLACES = (
    ("US", "Austin"),
    ("DE", "Hamburg"),
    ("GB", "Leeds"),
    ("FR", "Lyon"),
    ("SE", "Malmö"),
    ("NL", "Breda"),
)

_BASES = (
    "ENTERPRISEPACK",
    "SPE_E3",
    "SPB",
    "O365_BUSINESS_PREMIUM",
    "SPE_E5",
    "STANDARDPACK",
)
_SECOND_BASES = (
    "DESKLESSPACK",
    "SPE_F1",
    "O365_BUSINESS_ESSENTIALS",
    "EXCHANGESTANDARD",
)
_EXTRAS = (
    "POWER_BI_PRO EMS VISIOCLIENT PROJECTPROFESSIONAL MCOEV MCOMEETADV AAD_PREMIUM INTUNE_A ATP_ENTERPRISE "
    "Microsoft_365_Copilot POWERAPPS_PER_USER DYN365_ENTERPRISE_SALES DYN365_BUSCENTRAL_ESSENTIAL DYN365_TEAM_MEMBERS"
)
_EXTRAS_A_TENANT = 5


def build_generated_tenants(
    parts: Parts,
    now: datetime,
    reseller_ids: tuple[str | None, ...],
    tenants: int,
    users: int,
) -> list[Customer]:
    """So many tenants with so many people each, eight products and ten subscriptions."""
    return [_tenant(parts, now, reseller_ids[number % len(reseller_ids)], number, users) for number in range(tenants)]


def _tenant(parts: Parts, now: datetime, reseller_id: str | None, number: int, users: int) -> Customer:
    firsts, seconds, more = _FIRST_WORDS.split(), _SECOND_WORDS.split(), _EXTRAS.split()
    first = firsts[number % len(firsts)]
    second = seconds[(number // len(firsts) + number) % len(seconds)]
    country, city = _PLACES[number % len(_PLACES)]
    round_ = number // (len(firsts) * len(seconds))
    words = f"{first} {second}" + (f" {round_ + 1}" if round_ else "")
    customer = tenant(
        f"{words} {_LAST[number % len(_LAST)]}",
        words.lower().replace(" ", ""),
        country,
        city,
        reseller_id,
    )
    base = parts[_BASES[number % len(_BASES)]]
    second_base = parts[_SECOND_BASES[number % len(_SECOND_BASES)]]
    extras = [parts[more[(number * 3 + turn) % len(more)]] for turn in range(_EXTRAS_A_TENANT)]
    customer.users, held = _people(customer, base, second_base, extras, users)
    _sell(customer, parts, base, [second_base, *extras], held, now, number)
    return customer


def _people(
    customer: Customer,
    base: Product,
    second_base: Product,
    extras: list[Product],
    users: int,
) -> tuple[dict[str, User], Counter[str]]:
    """Three of four hold the first base product, the next extra goes to every third, fifth, seventh … person."""
    people: dict[str, User] = {}
    held: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for number, (given, family, country) in enumerate(islice(many_names(), users)):
        sign_in = ascii_sign_in(given, family)
        taken[sign_in] += 1
        if taken[sign_in] > 1:
            sign_in += str(taken[sign_in])
        upn = f"{sign_in}@{customer.initial_domain}"
        products = [second_base if number % 4 == 3 else base]
        products += [extra for turn, extra in enumerate(extras) if number % (2 * turn + 3) == 0]
        held.update(product.id for product in products)
        user = User(
            id=stable_id("user", upn),
            user_principal_name=upn,
            display_name=f"{given} {family}",
            first_name=given,
            last_name=family,
            usage_location=country,
            licenses={product.id: set() for product in products},
        )
        people[user.id] = user
    return people, held


def _sell(
    customer: Customer,
    parts: Parts,
    base: Product,
    others: list[Product],
    held: Counter[str],
    now: datetime,
    number: int,
) -> None:
    """Some units are always left. The first product comes from two subscriptions, and Azure gives no license."""
    days = 10 + number % 300
    once = held[base.id] // 2 + 2
    buy(
        customer,
        legacy(customer, base, once, now, days_ago=days + 20),
        new_commerce(customer, base, once, now, days_ago=days),
    )
    hold(customer, base, 2 * once)
    for turn, product in enumerate(others):
        units = held[product.id] + held[product.id] // 10 + 1 + turn
        sell = legacy if product.legacy_offer and (turn + number) % 3 == 0 else new_commerce
        buy(customer, sell(customer, product, units, now, days_ago=days + turn))
        hold(customer, product, units)
    capacity = parts["CDS_DB_CAPACITY"]
    buy(
        customer,
        new_commerce(customer, capacity, 2, now, days_ago=days),
        azure_plan(customer, now),
    )
    hold(customer, capacity, 2, consumed_elsewhere=1)
