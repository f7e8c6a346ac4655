"""The cache: one behaviour in memory and in a real Redis; then what memory has of its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest
from redis import Redis

from services import lookups
from services.cache import (
    ENTRY_BYTES,
    LARGEST_ENTRY_BYTES,
    MEMORY_PER_JSON_BYTE,
    LookupCache,
    MemoryCache,
    connect_cache,
)
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

TENANT_ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
NAMESPACE = "sandbox:33333333-3333-4333-8333-333333333333"
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
    "ACTIVE_USERS": (TENANT_ID, [replace(ADELE, status=UserStatus.ACTIVE, deleted_at=None)]),
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
TEXTS: Lookup[str, str] = Lookup("texts", str, 86_400, lambda _: "", lambda key: key)


@dataclass
class Tried:
    """A cache under test, and how to let time pass for it."""

    cache: LookupCache
    pass_seconds: Callable[[float], None]


@pytest.fixture(params=["memory", "redis"])
async def tried(request: pytest.FixtureRequest) -> AsyncIterator[Tried]:
    if request.param == "memory":
        now = [1000.0]

        def move_clock(seconds: float) -> None:
            now[0] += seconds

        yield Tried(MemoryCache(clock=lambda: now[0]), move_clock)
        return
    url = request.getfixturevalue("redis_url")
    cache = connect_cache(url, NAMESPACE)
    with Redis.from_url(url) as client:

        def bring_expiries_nearer(seconds: float) -> None:
            for name in client.keys():  # noqa: SIM118  # a command, not a dict's
                client.pexpire(name, client.pttl(name) - round(seconds * 1000))

        yield Tried(cache, bring_expiries_nearer)
    await cache.close()


@pytest.fixture
def cache(tried: Tried) -> LookupCache:
    return tried.cache


async def values(cache: LookupCache, lookup: Lookup[Any, Any], *keys: object) -> list[object]:
    return [kept and kept.value for kept in await cache.get_many(lookup, keys)]


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_of_every_look_up_comes_back_as_it_was_stored(cache, name):
    lookup = getattr(lookups, name)
    key, value = VALUES[name]

    await cache.store_many(lookup, {key: value})

    [kept] = await cache.get_many(lookup, [key])
    assert kept.value == value
    assert type(kept.value) is type(value)


def test_no_look_up_is_left_out_of_these_values():
    assert {n for n, each in vars(lookups).items() if isinstance(each, Lookup)} == VALUES.keys()


async def test_answers_come_in_the_order_of_the_keys_with_none_for_a_miss(cache):
    await cache.store_many(TEXTS, {"a": "first", "b": "second"})

    assert await values(cache, TEXTS, "b", "absent", "a", "b") == ["second", None, "first", "second"]


async def test_asking_for_nothing_and_storing_nothing_is_allowed(cache):
    await cache.store_many(TEXTS, {})
    await cache.forget(TEXTS)

    assert await cache.get_many(TEXTS, []) == []


async def test_none_is_not_kept_and_ends_what_was_kept_before(cache):
    ref, other = SubscriptionRef(TENANT_ID, OTHER_ID), SubscriptionRef(OTHER_ID, OTHER_ID)
    await cache.store_many(PROVISIONED_SKU, {ref: "sku"})

    await cache.store_many(PROVISIONED_SKU, {ref: None, other: "other"})

    assert await values(cache, PROVISIONED_SKU, ref, other) == [None, "other"]


async def test_keys_with_the_same_tenant_and_id_are_one_entry(cache):
    await cache.store_many(TENANTS, {None: [TENANT]})

    assert await values(cache, TENANTS, "all") == [[TENANT]]


async def test_an_empty_list_is_a_hit(cache):
    await cache.store_many(ACTIVE_USERS, {TENANT_ID: []})

    assert await values(cache, ACTIVE_USERS, TENANT_ID, OTHER_ID) == [[], None]


async def test_a_kept_value_says_when_it_was_stored(cache):
    before = time.time()
    await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
    after = time.time()

    [kept] = await cache.get_many(DOMAINS, [TENANT_ID])

    assert before <= kept.fetched_at <= after


async def test_the_same_key_of_two_look_ups_or_two_tenants_is_two_entries(cache):
    await cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})
    await cache.store_many(ROLE_MEMBERS, {RoleRef(TENANT_ID, OTHER_ID): ["adele"]})

    assert await values(cache, DOMAINS, TENANT_ID, OTHER_ID) == [["contoso.com"], None]
    assert await values(cache, ROLE_MEMBERS, RoleRef(OTHER_ID, OTHER_ID)) == [None]


async def test_storing_again_replaces(cache):
    await cache.store_many(DOMAINS, {TENANT_ID: ["old.example"]})
    await cache.store_many(DOMAINS, {TENANT_ID: ["new.example"]})

    assert await values(cache, DOMAINS, TENANT_ID) == [["new.example"]]


async def test_a_value_is_fresh_for_nine_tenths_of_its_time_and_gone_after_eleven(tried):
    await tried.cache.store_many(DOMAINS, {TENANT_ID: ["contoso.com"]})

    tried.pass_seconds(900 * 0.9 - 1)
    assert await values(tried.cache, DOMAINS, TENANT_ID) == [["contoso.com"]]

    tried.pass_seconds(900 * 0.2 + 2)
    assert await values(tried.cache, DOMAINS, TENANT_ID) == [None]


async def test_what_is_stored_together_does_not_expire_together(tried):
    keys = [f"offer-{number}" for number in range(200)]
    await tried.cache.store_many(TEXTS, dict.fromkeys(keys, "sku"))

    tried.pass_seconds(86_400)

    left = [kept for kept in await tried.cache.get_many(TEXTS, keys) if kept]
    assert 50 < len(left) < 150


async def test_a_forgotten_key_is_a_miss_and_others_stay(cache):
    await cache.store_many(TEXTS, {"a": "1", "b": "2", "c": "3"})

    await cache.forget(TEXTS, "a", "c", "never stored")

    assert await values(cache, TEXTS, "a", "b", "c") == [None, "2", None]


async def test_after_clear_everything_is_a_miss(cache):
    await cache.store_many(TEXTS, {f"offer-{number}": "sku" for number in range(1200)})
    await cache.store_many(TENANTS, {None: [TENANT]})

    await cache.clear()

    assert await values(cache, TEXTS, "offer-0", "offer-1199") == [None, None]
    assert await values(cache, TENANTS, None) == [None]


async def test_a_value_of_over_one_mebibyte_comes_back(cache):
    ids = [f"{number:036}" for number in range(60_000)]
    assert 1024 * 1024 < len(msgspec.json.encode(ids)) < LARGEST_ENTRY_BYTES

    await cache.store_many(ROLE_MEMBERS, {RoleRef(TENANT_ID, OTHER_ID): ids})

    assert await values(cache, ROLE_MEMBERS, RoleRef(TENANT_ID, OTHER_ID)) == [ids]


async def test_a_value_of_over_eight_mebibytes_is_not_kept_and_nor_is_the_older_one(cache):
    await cache.store_many(DOMAINS, {TENANT_ID: ["old.example"]})

    await cache.store_many(DOMAINS, {TENANT_ID: ["x" * LARGEST_ENTRY_BYTES], OTHER_ID: ["small.example"]})

    assert await values(cache, DOMAINS, TENANT_ID, OTHER_ID) == [None, ["small.example"]]


async def test_a_cache_that_can_be_reached_answers_ping(cache):
    assert await cache.ping() is None


# In memory


async def test_memory_gives_what_it_holds_without_waiting():
    cache = MemoryCache()
    await cache.store_many(USER, {ADELE.ref: ADELE})

    kept = cache.look(USER, ADELE.ref)

    assert kept is not None
    assert kept.value is ADELE
    assert cache.look(USER, UserRef(OTHER_ID, OTHER_ID)) is None


async def test_memory_is_bounded_in_bytes_and_what_was_not_read_for_longest_goes_first():
    size = ENTRY_BYTES + MEMORY_PER_JSON_BYTE * 102  # a hundred letters and two quotes
    cache = MemoryCache(max_bytes=3 * size + 1)
    for key in "abc":
        await cache.store_many(TEXTS, {key: key * 100})
    cache.look(TEXTS, "a")

    await cache.store_many(TEXTS, {"d": "d" * 100})

    assert await values(cache, TEXTS, *"abcd") == ["a" * 100, None, "c" * 100, "d" * 100]
    assert cache.size_bytes == 3 * size


async def test_memory_counts_no_byte_twice_and_returns_all():
    size = ENTRY_BYTES + MEMORY_PER_JSON_BYTE * 102
    now = [0.0]
    cache = MemoryCache(clock=lambda: now[0])
    for key in "aab":
        await cache.store_many(TEXTS, {key: key * 100})
    assert cache.size_bytes == 2 * size

    await cache.forget(TEXTS, "b", "b")
    assert cache.size_bytes == size

    now[0] = 100_000.0
    assert cache.look(TEXTS, "a") is None
    assert cache.size_bytes == 0


async def test_a_value_larger_than_the_whole_memory_pushes_nothing_out():
    cache = MemoryCache(max_bytes=2000)
    await cache.store_many(TEXTS, {"small": "sku"})

    await cache.store_many(TEXTS, {"large": "x" * 2000})

    assert await values(cache, TEXTS, "small", "large") == ["sku", None]


def test_without_an_address_the_cache_is_in_memory():
    assert isinstance(connect_cache(None, NAMESPACE), MemoryCache)
