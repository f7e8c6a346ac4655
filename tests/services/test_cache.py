"""The cache: one behaviour in memory and in a real Redis; then what memory has of its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import pytest
from msgspec import structs
from redis import Redis

from services import lookups
from services.cache import LARGEST_ENTRY_BYTES, Absent, LookupCache
from services.cache_memory import MemoryCache
from services.lookups import (
    ACTIVE_USERS,
    DOMAINS,
    PROVISIONED_SKU,
    ROLE_MEMBERS,
    TENANTS,
    USER,
    Lookup,
)
from services.models import (
    CommerceKind,
    Customer,
    DirectoryRole,
    License,
    MicrosoftSubscription,
    ProductType,
    RoleRef,
    ServicePlan,
    SubscribedSku,
    SubscriptionRef,
    SubscriptionStatus,
    Tenant,
    User,
    UserRef,
    UserStatus,
)
from tests.services.cache_steps import TEXTS, connect, kept, store, values

TENANT_ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
AS_OF = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)


class Offer(NamedTuple):
    offer_id: str


TENANT = Tenant(TENANT_ID, "Contoso, Ltd. “Süd”", "contoso.onmicrosoft.com", AS_OF)
ADELE = User(
    tenant_id=TENANT_ID,
    microsoft_id=OTHER_ID,
    user_principal_name="adele@contoso.com",
    display_name="Adele Vance",
    first_name="Adele",
    last_name=None,
    usage_location="DE",
    status=UserStatus.DELETED,
    directory_synced=True,
    federated=False,
    deleted_at=datetime(2026, 2, 27, tzinfo=UTC),
    as_of=AS_OF,
)
PLANS = (ServicePlan("p1", "EXCHANGE_S_STANDARD", None), ServicePlan("p2", "SHAREPOINT", "SharePoint", False))
ROLE = DirectoryRole(TENANT_ID, OTHER_ID, "User Administrator", True)
VALUES: dict[str, tuple[object, object]] = {
    "TENANTS": (None, [TENANT]),
    "RESELLER_TENANTS": (OTHER_ID, [TENANT]),
    "TENANTS_BY_DOMAIN": ("contoso.com", []),
    "CUSTOMER": (TENANT_ID, Customer(TENANT, "DE", delegated_access=False)),
    "DOMAINS": (TENANT_ID, ["contoso.onmicrosoft.com", "contoso.com"]),
    "ACTIVE_USERS": (TENANT_ID, [structs.replace(ADELE, status=UserStatus.ACTIVE, deleted_at=None)]),
    "DELETED_USERS": (TENANT_ID, [ADELE]),
    "USER": (UserRef(TENANT_ID, OTHER_ID), ADELE),
    "LICENSES": (
        UserRef(TENANT_ID, OTHER_ID),
        [License(TENANT_ID, "sku", None, "Office 365 E3", "group1", PLANS, PLANS[:1])],
    ),
    "SUBSCRIBED_SKUS": (
        TENANT_ID,
        [
            SubscribedSku(
                tenant_id=TENANT_ID,
                sku_id=OTHER_ID,
                sku_part_number="ENTERPRISEPACK",
                product_name="Office 365 E3",
                product_type=ProductType.CLOUD_SERVICES,
                active_units=5,
                consumed_units=7,
                available_units=-2,
                suspended_units=0,
                warning_units=0,
                total_units=5,
                capability_status="Enabled",
                license_group_id="group1",
                service_plans=PLANS,
                as_of=AS_OF,
            )
        ],
    ),
    "SUBSCRIPTIONS": (
        TENANT_ID,
        [
            MicrosoftSubscription(
                tenant_id=TENANT_ID,
                microsoft_id=OTHER_ID,
                offer_id="CFQ7TTC0LH16:0001:CFQ7TTC0K971",
                offer_name="Office 365 E3",
                friendly_name=None,
                commerce=CommerceKind.NEW_COMMERCE,
                gives_licenses=True,
                quantity=25,
                status=SubscriptionStatus.SUSPENDED,
                auto_renew=None,
                effective_at=AS_OF,
                commitment_ends_at=None,
                cancellable_until=AS_OF,
            )
        ],
    ),
    "PROVISIONED_SKU": (SubscriptionRef(TENANT_ID, OTHER_ID), OTHER_ID),
    "CATALOG_SKU": (Offer("CFQ7TTC0LH16:0001:CFQ7TTC0K971"), OTHER_ID),
    "ROLES": (TENANT_ID, [ROLE]),
    "USER_ROLES": (UserRef(TENANT_ID, OTHER_ID), [ROLE]),
    "ROLE_MEMBERS": (RoleRef(TENANT_ID, OTHER_ID), [OTHER_ID]),
}


@dataclass
class Tried:
    """A cache under test, and how to let time pass for it."""

    cache: LookupCache
    pass_seconds: Callable[[float], None]


@pytest.fixture(params=["memory", "redis"])
async def tried(request: pytest.FixtureRequest) -> AsyncIterator[Tried]:
    later = [0.0]

    def clock() -> float:
        return time.time() + later[0]

    if request.param == "memory":

        def move_clock(seconds: float) -> None:
            later[0] += seconds

        yield Tried(MemoryCache(clock=clock), move_clock)
        return
    url = request.getfixturevalue("redis_url")
    cache = connect(url, clock)
    with Redis.from_url(url) as client:

        def bring_expiries_nearer(seconds: float) -> None:
            later[0] += seconds
            for name in client.keys():  # noqa: SIM118  # a command, not a dict's
                client.pexpire(name, client.pttl(name) - round(seconds * 1000))

        yield Tried(cache, bring_expiries_nearer)
    await cache.close()


@pytest.fixture
def cache(tried: Tried) -> LookupCache:
    return tried.cache


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_of_every_look_up_comes_back_as_it_was_stored(cache, name):
    lookup = getattr(lookups, name)
    key, value = VALUES[name]

    await store(cache, lookup, {key: value})

    [one] = await kept(cache, lookup, key)
    assert one.value == value
    assert type(one.value) is type(value)


def test_no_look_up_is_left_out_of_these_values():
    assert {n for n, each in vars(lookups).items() if isinstance(each, Lookup)} == VALUES.keys()


async def test_answers_come_in_the_order_of_the_keys_with_none_for_a_miss(cache):
    await store(cache, TEXTS, {"a": "first", "b": "second"})

    assert await values(cache, TEXTS, "b", "absent", "a", "b") == ["second", None, "first", "second"]


async def test_users_of_several_tenants_are_asked_for_together(cache):
    refs = [UserRef(tenant, OTHER_ID) for tenant in (TENANT_ID, OTHER_ID, TENANT_ID)]
    await store(cache, USER, {refs[0]: ADELE})

    looked = await cache.look_up(USER, refs)

    assert [one.kept and one.kept.value for one in looked] == [ADELE, None, ADELE]
    assert looked[0].generation == looked[2].generation


async def test_asking_for_nothing_and_storing_nothing_is_allowed(cache):
    await cache.store_many(TEXTS, {}, {})
    await cache.release(TEXTS, {})

    assert list(await cache.look_up(TEXTS, [])) == []
    assert await cache.claim(TEXTS, {}) == set()


async def test_that_there_is_nothing_yet_is_kept_for_the_time_that_its_look_up_says(tried):
    ref, other = SubscriptionRef(TENANT_ID, OTHER_ID), SubscriptionRef(OTHER_ID, OTHER_ID)
    await store(tried.cache, PROVISIONED_SKU, {ref: "sku"})

    await store(tried.cache, PROVISIONED_SKU, {ref: None, other: "other"})

    [one, _] = await kept(tried.cache, PROVISIONED_SKU, ref, other)
    assert one is not None
    assert one.value is None
    tried.pass_seconds(300 * 1.1 + 1)
    assert await kept(tried.cache, PROVISIONED_SKU, ref) == [None]
    assert await values(tried.cache, PROVISIONED_SKU, other) == ["other"]


async def test_none_is_not_kept_where_its_look_up_keeps_none_and_ends_what_was_kept_before(cache):
    await store(cache, TEXTS, {"a": "sku", "b": "other"})

    await store(cache, TEXTS, {"a": None})

    assert await values(cache, TEXTS, "a", "b") == [None, "other"]


@pytest.mark.parametrize(("what", "seconds"), [("not_found", 15), ("tenant", 15), ("access", 60)])
async def test_that_there_is_no_such_thing_is_kept_for_a_moment_and_ends_what_was_kept_before(tried, what, seconds):
    absent = Absent(what, "There is nothing.")
    await store(tried.cache, DOMAINS, {TENANT_ID: ["contoso.com"]})

    await store(tried.cache, DOMAINS, {TENANT_ID: absent})

    [one] = await kept(tried.cache, DOMAINS, TENANT_ID)
    assert one.absent == absent
    tried.pass_seconds(seconds * 0.9 - 5)
    assert (await kept(tried.cache, DOMAINS, TENANT_ID))[0].absent == absent
    tried.pass_seconds(seconds * 0.2 + 6)
    assert await kept(tried.cache, DOMAINS, TENANT_ID) == [None]


async def test_keys_with_the_same_tenant_and_id_are_one_entry(cache):
    await store(cache, TENANTS, {None: [TENANT]})

    assert await values(cache, TENANTS, "all") == [[TENANT]]


async def test_an_empty_list_is_a_hit(cache):
    await store(cache, ACTIVE_USERS, {TENANT_ID: []})

    assert await values(cache, ACTIVE_USERS, TENANT_ID, OTHER_ID) == [[], None]


async def test_a_kept_value_says_when_it_was_stored(cache):
    before = time.time()
    await store(cache, DOMAINS, {TENANT_ID: ["contoso.com"]})
    after = time.time()

    [one] = await kept(cache, DOMAINS, TENANT_ID)

    assert before <= one.fetched_at <= after


async def test_the_same_key_of_two_look_ups_or_two_tenants_is_two_entries(cache):
    await store(cache, DOMAINS, {TENANT_ID: ["contoso.com"]})
    await store(cache, ROLE_MEMBERS, {RoleRef(TENANT_ID, OTHER_ID): ["adele"]})

    assert await values(cache, DOMAINS, TENANT_ID, OTHER_ID) == [["contoso.com"], None]
    assert await values(cache, ROLE_MEMBERS, RoleRef(OTHER_ID, OTHER_ID)) == [None]


async def test_storing_again_replaces(cache):
    await store(cache, DOMAINS, {TENANT_ID: ["old.example"]})
    await store(cache, DOMAINS, {TENANT_ID: ["new.example"]})

    assert await values(cache, DOMAINS, TENANT_ID) == [["new.example"]]


async def test_a_value_is_fresh_then_renewed_then_stands_in_and_then_gone_each_more_or_less_a_tenth(tried):
    await store(tried.cache, DOMAINS, {TENANT_ID: ["contoso.com"]})

    [one] = await kept(tried.cache, DOMAINS, TENANT_ID)
    assert 810 <= one.fresh_until - one.fetched_at <= 990
    assert 3240 <= one.renew_until - one.fetched_at <= 3960
    tried.pass_seconds(86_400 * 0.9 - 10)
    assert await values(tried.cache, DOMAINS, TENANT_ID) == [["contoso.com"]]

    tried.pass_seconds(86_400 * 0.2 + 20)
    assert await values(tried.cache, DOMAINS, TENANT_ID) == [None]


async def test_what_is_stored_together_does_not_expire_together(tried):
    keys = [f"offer-{number}" for number in range(200)]
    await store(tried.cache, TEXTS, dict.fromkeys(keys, "sku"))

    now = tried.cache.clock() + 86_400
    fresh = [one for one in await kept(tried.cache, TEXTS, *keys) if one.fresh_until > now]
    assert 50 < len(fresh) < 150
    tried.pass_seconds(86_400)
    assert 50 < len([one for one in await kept(tried.cache, TEXTS, *keys) if one]) < 150


async def test_after_clear_everything_is_a_miss(cache):
    await store(cache, TEXTS, {f"offer-{number}": "sku" for number in range(1200)})
    await store(cache, ACTIVE_USERS, {TENANT_ID: [ADELE]})

    await cache.clear()

    assert await values(cache, TEXTS, "offer-0", "offer-1199") == [None, None]
    assert await values(cache, ACTIVE_USERS, TENANT_ID) == [None]


async def test_a_reader_who_looked_before_everything_was_forgotten_keeps_nothing(cache):
    [looked] = await cache.look_up(ACTIVE_USERS, [TENANT_ID])
    await cache.clear()
    await cache.store_many(ACTIVE_USERS, {TENANT_ID: [ADELE]}, {TENANT_ID: looked.generation})

    assert await values(cache, ACTIVE_USERS, TENANT_ID) == [None]


async def test_a_value_of_over_one_mebibyte_comes_back(cache):
    ids = [f"{number:036}" for number in range(60_000)]
    assert 1024 * 1024 < len(msgspec.json.encode(ids)) < LARGEST_ENTRY_BYTES

    await store(cache, ROLE_MEMBERS, {RoleRef(TENANT_ID, OTHER_ID): ids})

    assert await values(cache, ROLE_MEMBERS, RoleRef(TENANT_ID, OTHER_ID)) == [ids]


async def test_a_value_of_over_eight_mebibytes_is_not_kept_and_nor_is_the_older_one(cache):
    await store(cache, DOMAINS, {TENANT_ID: ["old.example"]})

    await store(cache, DOMAINS, {TENANT_ID: ["x" * LARGEST_ENTRY_BYTES], OTHER_ID: ["small.example"]})

    assert await values(cache, DOMAINS, TENANT_ID, OTHER_ID) == [None, ["small.example"]]


async def test_a_cache_that_can_be_reached_answers_ping(cache):
    assert await cache.ping() is None
