"""The world at start: what each named tenant shows, that it is always the same, and that it holds together."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.contoso import CONTOSO_ID
from sandbox.seed import CITY_POWER_ID, PARTNER_ID, TREY_RESEARCH_ID, build_world
from sandbox.world import Customer, Holding, User, World

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOW = datetime(2026, 3, 31, 12, 30, 15, 987654, tzinfo=UTC)
STARTED_AT = NOW.replace(microsecond=0)


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(clock)


@pytest.fixture(scope="module")
def contoso(world: World) -> Customer:
    return world.customers[CONTOSO_ID]


def named(world: World, company_name: str) -> Customer:
    return next(each for each in world.customers.values() if each.company_name == company_name)


def active(customer: Customer) -> list[User]:
    return [user for user in customer.users.values() if user.deleted_at is None]


def someone(customer: Customer, display_name: str) -> User:
    return next(user for user in customer.users.values() if user.display_name == display_name)


def consumed(customer: Customer, holding: Holding) -> int:
    people = sum(holding.product.id in user.licenses for user in active(customer))
    return people + holding.consumed_elsewhere


def units(customer: Customer) -> dict[str, tuple[int, int, int, int, int]]:
    """Active, warning, suspended, consumed and available units by product name."""
    return {
        holding.product.name: (
            holding.active_units,
            holding.warning_units,
            holding.suspended_units,
            consumed(customer, holding),
            holding.active_units + holding.warning_units - consumed(customer, holding),
        )
        for holding in customer.holdings.values()
    }


def bought(customer: Customer) -> list[tuple[str, str, int]]:
    return [
        (each.product.name if each.product else each.offer_name, each.kind, each.quantity)
        for each in customer.subscriptions.values()
    ]


class TestContoso:
    def test_it_holds_six_products(self, contoso: Customer) -> None:
        assert units(contoso) == {
            "Office 365 E3": (25, 0, 0, 20, 5),
            "Power BI Pro": (5, 0, 0, 5, 0),
            "Enterprise Mobility + Security E3": (8, 2, 3, 6, 4),
            "Visio Plan 2": (4, 0, 0, 2, 2),
            "Dynamics 365 for Sales Enterprise Edition": (6, 0, 0, 4, 2),
            "Common Data Service Database Capacity": (3, 0, 0, 1, 2),
        }

    def test_one_product_comes_from_two_subscriptions_and_one_from_none(self, contoso: Customer) -> None:
        assert bought(contoso) == [
            ("Office 365 E3", "legacy", 15),
            ("Office 365 E3", "nce", 10),
            ("Power BI Pro", "nce", 5),
            ("Enterprise Mobility + Security E3", "legacy", 8),
            ("Dynamics 365 for Sales Enterprise Edition", "nce", 6),
            ("Common Data Service Database Capacity", "nce", 3),
            ("Azure plan", "azure_plan", 1),
        ]

    def test_it_has_an_initial_and_a_custom_domain(self, contoso: Customer) -> None:
        assert contoso.initial_domain == "contoso.onmicrosoft.com"
        assert contoso.custom_domains == ["contoso.onmicrosoft.com", "contoso.com"]

    def test_thirty_people_are_active_and_three_deleted(self, contoso: Customer) -> None:
        assert (len(active(contoso)), len(contoso.users)) == (30, 33)

    def test_the_holders_of_the_product_without_a_unit_left_are_plain(self, contoso: Customer, world: World) -> None:
        power_bi = next(product for product in world.products.values() if product.part_number == "POWER_BI_PRO")
        holders = [user for user in active(contoso) if power_bi.id in user.licenses]

        assert len(holders) == 5
        assert all(not user.roles and user.usage_location for user in holders)

    def test_administrators_hold_their_roles(self, contoso: Customer, world: World) -> None:
        assert {
            user.display_name: sorted(world.roles[role_id] for role_id in user.roles)
            for user in active(contoso)
            if user.roles
        } == {
            "Megan Bowen": ["Company Administrator"],
            "Grady Archie": ["Helpdesk Administrator"],
            "Isaiah Langer": ["Billing Administrator", "User Account Administrator"],
            "Patti Fernandez": ["Reports Reader"],
        }

    def test_somebody_has_neither_a_usage_location_nor_licenses(self, contoso: Customer) -> None:
        debra = someone(contoso, "Debra Berger")

        assert (debra.usage_location, debra.licenses) == (None, {})

    def test_somebody_is_synced(self, contoso: Customer) -> None:
        robert = someone(contoso, "Robert Lindqvist")

        assert robert.user_principal_name == "robert.lindqvist@contoso.com"
        assert robert.last_directory_sync_time == STARTED_AT - timedelta(minutes=25)
        assert robert.immutable_id

    def test_somebody_is_a_guest(self, contoso: Customer) -> None:
        guest = someone(contoso, "Mara Lindt")

        assert guest.user_principal_name == "mara.lindt_fabrikam.com#EXT#@contoso.onmicrosoft.com"

    @pytest.mark.parametrize(
        ("display_name", "sign_in", "first_name", "last_name"),
        [
            ("Zoë Ångström", "zoe.angstrom", "Zoë", "Ångström"),
            ("Łukasz Żak", "lukasz.zak", "Łukasz", "Żak"),
            ("Siobhán O'Brien", "siobhan.o'brien", "Siobhán", "O'Brien"),
            ("山田 太郎", "taro.yamada", "太郎", "山田"),
            ("Ελένη Παπαδοπούλου", "eleni.papadopoulou", "Ελένη", "Παπαδοπούλου"),
        ],
    )
    def test_names_are_written_as_people_write_them(
        self, contoso: Customer, display_name: str, sign_in: str, first_name: str, last_name: str
    ) -> None:
        user = someone(contoso, display_name)

        assert user.user_principal_name == f"{sign_in}@contoso.onmicrosoft.com"
        assert (user.first_name, user.last_name) == (first_name, last_name)

    def test_somebody_holds_five_licenses_with_a_plan_switched_off(self, contoso: Customer) -> None:
        johanna = someone(contoso, "Johanna Lorenz")

        assert len(johanna.licenses) == 5
        assert johanna.licenses["6fd2c87f-b296-42f0-b197-1e91e994b900"] == {"a23b959c-7ce8-4e57-9140-b90eb88a9e97"}

    def test_people_were_deleted_1_29_9_and_31_days_ago(self, contoso: Customer) -> None:
        deleted = [user for user in contoso.users.values() if user.deleted_at is not None]

        assert [(user.display_name, STARTED_AT - user.deleted_at) for user in deleted if user.deleted_at] == [
            ("Enrico Cattaneo", timedelta(days=1)),
            ("Irvin Sayers", timedelta(days=29.9)),
            ("Ben Walters", timedelta(days=31)),
        ]
        assert all(user.licenses == {} and user.licenses_at_deletion for user in deleted)


class TestOtherNamedTenants:
    def test_northwind_has_1200_people(self, world: World) -> None:
        assert len(active(named(world, "Northwind Traders"))) == 1200

    def test_nobody_and_nothing_is_in_adventure_works(self, world: World) -> None:
        tenant = named(world, "Adventure Works")

        assert (tenant.users, tenant.holdings, tenant.subscriptions) == ({}, {}, {})

    def test_adatum_gives_no_access(self, world: World) -> None:
        tenant = named(world, "Adatum Corporation")

        assert (tenant.relationship, tenant.delegated_access, tenant.granted_roles) == (
            "reseller",
            False,
            frozenset(),
        )

    def test_litware_has_more_people_than_units(self, world: World) -> None:
        assert units(named(world, "Litware")) == {"Microsoft 365 Business Basic": (4, 0, 0, 6, -2)}

    def test_wingtip_holds_a_product_that_no_table_knows(self, world: World) -> None:
        holdings = named(world, "Wingtip Toys").holdings.values()

        assert [holding.product.part_number for holding in holdings] == ["WINGTIP_PILOT_2031"]

    def test_tailspin_holds_products_of_both_license_groups(self, world: World) -> None:
        holdings = named(world, "Tailspin Toys").holdings.values()

        assert [holding.product.license_group for holding in holdings] == ["group2", "group1"]

    def test_proseware_may_only_be_read(self, world: World) -> None:
        tenant = named(world, "Proseware")

        assert not tenant.delegated_access
        assert tenant.granted_roles == frozenset({"Global Reader", "Directory Readers"})

    def test_woodgrove_gives_every_role_without_delegated_access(self, world: World) -> None:
        tenant = named(world, "Woodgrove Bank")

        assert (tenant.delegated_access, tenant.granted_roles) == (False, None)
        assert [(each.kind, each.provisioning) for each in tenant.subscriptions.values()] == [
            ("nce", "pending"),
            ("nce", "missing"),
            ("legacy", "missing"),
            ("nce", "failed"),
        ]

    def test_fabrikam_has_a_subscription_named_like_a_product_that_it_does_not_give(self, world: World) -> None:
        fabrikam = named(world, "Fabrikam")
        misleading = next(each for each in fabrikam.subscriptions.values() if each.kind == "legacy")

        assert misleading.offer_name == "Microsoft 365 Business Premium"
        assert misleading.product is not None
        assert misleading.product.name == "Microsoft 365 Business Standard"
        assert "Microsoft 365 Business Premium" in units(fabrikam)

    def test_fabrikam_and_contoso_both_have_an_alex_wilber(self, world: World, contoso: Customer) -> None:
        namesake = someone(named(world, "Fabrikam"), "Alex Wilber")

        assert namesake.id != someone(contoso, "Alex Wilber").id

    def test_fourth_coffee_has_expired_suspended_and_deleted_subscriptions(self, world: World) -> None:
        coffee = named(world, "Fourth Coffee")

        assert [each.status for each in coffee.subscriptions.values()] == ["expired", "suspended", "deleted"]
        assert units(coffee) == {
            "Microsoft 365 Apps for Business": (0, 5, 0, 2, 3),
            "Exchange Online (Plan 1)": (0, 0, 4, 0, 0),
        }

    def test_alpine_has_every_kind_of_subscription_that_gives_no_license(self, world: World) -> None:
        alpine = named(world, "Alpine Ski House")
        base, add_on, *others = alpine.subscriptions.values()

        assert add_on.parent_id == base.id
        assert [each.kind for each in others] == ["software", "azure_legacy", "azure_plan", "saas"]
        assert all(each.product is None for each in others)

    def test_new_people_of_humongous_can_not_be_in_its_federated_domain(self, world: World) -> None:
        assert named(world, "Humongous Insurance").federated_domains == {"humongousinsurance.com"}


def test_two_resellers_share_most_tenants_and_some_belong_to_neither(world: World) -> None:
    by_reseller: dict[str | None, list[str]] = {}
    for customer in world.customers.values():
        by_reseller.setdefault(customer.reseller_id, []).append(customer.company_name)

    assert set(world.resellers) == {TREY_RESEARCH_ID, CITY_POWER_ID}
    assert by_reseller == {
        TREY_RESEARCH_ID: ["Contoso", "Northwind Traders", "Adventure Works", "Litware", "Woodgrove Bank"],
        CITY_POWER_ID: ["Fabrikam", "Wingtip Toys", "Tailspin Toys", "Fourth Coffee", "Alpine Ski House"],
        None: ["Adatum Corporation", "Proseware", "Humongous Insurance"],
    }


def test_ids_stay_the_same_for_good(world: World, contoso: Customer) -> None:
    """They stand in examples and in what people have written down."""
    assert world.partner_id == PARTNER_ID == "b3f2a6f0-5d0e-4c6b-8f1e-2f4c9a7d1e01"
    assert contoso.id == "b14400d0-f56a-5961-bc84-4596c306785d"
    assert named(world, "Fabrikam").id == "539c806a-ffcb-553d-a7af-cdce99a24e3d"
    assert TREY_RESEARCH_ID == "da19381a-5c96-53ec-9fb1-d7d4c15ea539"
    assert CITY_POWER_ID == "b7e2b260-f3ad-5dbb-9c0e-4f3716d51899"


def test_two_worlds_of_one_time_are_equal_and_share_nothing() -> None:
    one, other = build_world(clock, 3, 20), build_world(clock, 3, 20)

    assert one == other
    one.customers[CONTOSO_ID].users.clear()
    next(iter(one.products.values())).name = "changed"
    assert one != other
    assert other == build_world(clock, 3, 20)


def test_another_time_moves_the_times_and_nothing_else() -> None:
    later = build_world(lambda: NOW + timedelta(days=400))

    assert [(user.id, user.licenses) for user in later.customers[CONTOSO_ID].users.values()] == [
        (user.id, user.licenses) for user in build_world(clock).customers[CONTOSO_ID].users.values()
    ]


def test_users_without_tenants_change_nothing(world: World) -> None:
    assert build_world(clock, users=500).customers == world.customers


@pytest.mark.parametrize(("tenants", "users"), [(40, 60), (1, 5000), (3, 0), (450, 1)])
def test_generated_tenants_stand_beside_the_named_ones(tenants: int, users: int) -> None:
    generated = list(build_world(clock, tenants, users).customers.values())[13:]

    assert len(generated) == tenants
    assert len({customer.company_name for customer in generated}) == tenants
    for customer in generated:
        assert (len(customer.users), len(customer.holdings), len(customer.subscriptions)) == (users, 8, 10)


def test_ids_domains_and_sign_in_names_are_unique() -> None:
    customers = build_world(clock, 60, 300).customers.values()
    users = [user for customer in customers for user in customer.users.values()]
    subscriptions = [each for customer in customers for each in customer.subscriptions.values()]

    for values in (
        [user.id for user in users],
        [user.user_principal_name.lower() for user in users],
        [each.id for each in subscriptions],
        [each.order_id for each in subscriptions],
        [domain for customer in customers for domain in customer.custom_domains],
        [customer.commerce_id for customer in customers] + [customer.id for customer in customers],
    ):
        assert not [value for value, times in Counter(values).items() if times > 1]


def test_every_record_is_kept_under_its_own_lower_case_id() -> None:
    world = build_world(clock, 2, 20)
    kept = [(key, each.id) for key, each in world.customers.items()]
    kept += [(key, each.id) for key, each in world.resellers.items()]
    kept += [(key, each.id) for key, each in world.products.items()]
    for customer in world.customers.values():
        kept += [(key, each.id) for key, each in customer.users.items()]
        kept += [(key, each.id) for key, each in customer.subscriptions.items()]
        kept += [(key, each.product.id) for key, each in customer.holdings.items()]

    assert all(key == record_id and GUID.fullmatch(key) for key, record_id in kept)


def test_sign_in_names_take_ascii_alone_and_a_domain_of_the_tenant() -> None:
    for customer in build_world(clock, 30, 200).customers.values():
        for user in customer.users.values():
            name, _, domain = user.user_principal_name.partition("@")
            assert re.fullmatch(r"[a-z0-9.'_-]+(#EXT#)?", name), name
            assert domain in customer.custom_domains


def test_licenses_are_of_products_that_the_tenant_holds_and_plans_of_those_products() -> None:
    for customer in build_world(clock, 14, 30).customers.values():
        for user in customer.users.values():
            assert not user.licenses or user.usage_location
            for product_id, off in user.licenses.items():
                product = customer.holdings[product_id].product
                assert product.target_type == "User"
                assert off < {plan.id for plan in product.plans} or not off


def test_only_litware_consumes_more_than_it_holds() -> None:
    short = {
        customer.company_name
        for customer in build_world(clock, 30, 100).customers.values()
        for holding in customer.holdings.values()
        if consumed(customer, holding) > holding.active_units + holding.warning_units
    }

    assert short == {"Litware"}


def test_what_was_bought_adds_up_to_the_active_units() -> None:
    """But where units come from elsewhere: Contoso's Visio, which the partner does not sell it."""
    for customer in build_world(clock, 30, 40).customers.values():
        for holding in customer.holdings.values():
            sold = sum(
                each.quantity
                for each in customer.subscriptions.values()
                if each.product is holding.product and each.status == "active"
            )
            elsewhere = holding.product.part_number == "VISIOCLIENT" and customer.id == CONTOSO_ID
            assert sold == (0 if elsewhere else holding.active_units), (customer.company_name, holding)


def test_a_running_subscription_has_begun_and_has_not_ended() -> None:
    for customer in build_world(clock, 320, 0).customers.values():
        for each in customer.subscriptions.values():
            assert each.starts_at <= each.created_at <= STARTED_AT
            if each.status == "active" and each.commitment_ends_at is not None:
                assert each.commitment_ends_at > STARTED_AT, (customer.company_name, each.offer_name)
