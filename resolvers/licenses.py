"""What licenses a user holds, and what could be done about them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

import strawberry

from execution.many import for_many
from loaders.joined import Joined
from resolvers.context import Info
from resolvers.ordering import folded
from resolvers.users import is_guarded
from schema.enums import UserStatus
from services.authorization import Permission
from services.license_options import HeldLicense, LicenseOption, held_license, license_options
from services.models import License, SubscribedSku, User

SURELY_HELD_BY: Final = 8
"""Of so many people of a tenant hardly none has a license: its products are asked for beside theirs, not after."""

_HELD: Joined[list[HeldLicense]] = Joined(most=8_192)
"""By the list of licenses, which people who hold the same have in common."""


async def _many_licenses(users: Sequence[User], info: Info) -> list[list[HeldLicense] | Exception]:
    people = Counter(user.tenant_id for user in users if user.status is UserStatus.ACTIVE)
    beside = _skus_of_many([tenant_id for tenant_id, count in people.items() if count >= SURELY_HELD_BY], info)
    _, lists = await asyncio.gather(beside, _licenses_of_many(users, info))
    tenant_ids = {user.tenant_id for user, held in zip(users, lists, strict=True) if held}
    skus_of = dict(zip(tenant_ids, await _skus_of_many(tenant_ids, info), strict=True))
    return [
        held if isinstance(held, Exception) else _with_skus(user, held, skus_of[user.tenant_id]) if held else []
        for user, held in zip(users, lists, strict=True)
    ]


@for_many(_many_licenses)
async def resolve_user_licenses(root: strawberry.Parent[Any], info: Info) -> list[HeldLicense]:
    held = await _licenses(root, info)
    if not held:
        return []
    return _held_licenses(root, held, await info.context.loaders.subscribed_skus_by_tenant.load(root.tenant_id))


async def _many_license_counts(users: Sequence[User], info: Info) -> list[int | Exception]:
    lists = await _licenses_of_many(users, info)
    return [held if isinstance(held, Exception) else len(held) for held in lists]


@for_many(_many_license_counts)
async def resolve_user_assigned_license_count(root: strawberry.Parent[Any], info: Info) -> int:
    return len(await _licenses(root, info))


async def resolve_user_license_options(root: strawberry.Parent[Any], info: Info) -> list[LicenseOption]:
    waiting = info.context.loaders.subscribed_skus_by_tenant.load(root.tenant_id)
    held, skus = await asyncio.gather(_licenses(root, info), waiting)
    options = license_options(root, held, skus, lacking=await _lacking(root, info))
    return sorted(options, key=lambda one: (folded(one.sku.product_name), one.sku.sku_id))


def _with_skus(user: User, held: list[License], skus: list[SubscribedSku] | Exception) -> list[HeldLicense] | Exception:
    return skus if isinstance(skus, Exception) else _held_licenses(user, held, skus)


def _held_licenses(user: User, held: list[License], skus: list[SubscribedSku]) -> list[HeldLicense]:
    """The user's licenses with their products, in product name order."""
    found = _HELD.find(id(held), held, skus)
    if found is not None:
        return found
    licenses = [held_license(user, one, skus) for one in held]
    licenses.sort(key=lambda one: (folded(one.sku.product_name), one.sku.sku_id))
    # A product that the tenant does not list is made up for this user.
    listed = {sku.sku_id for sku in skus}
    are_listed = all(one.sku_id in listed for one in held)
    return _HELD.keep(id(held), licenses, held, skus) if are_listed else licenses


async def _licenses_of_many(users: Sequence[User], info: Info) -> list[list[License] | Exception]:
    """The licenses of each user, in order. A deleted user holds none, and is not asked for."""
    refs = [user.ref for user in users if user.status is UserStatus.ACTIVE]
    found = iter(await info.context.loaders.licenses_by_user.many(refs))
    return [next(found) if user.status is UserStatus.ACTIVE else [] for user in users]


async def _skus_of_many(tenant_ids: Collection[str], info: Info) -> list[list[SubscribedSku] | Exception]:
    return await info.context.loaders.subscribed_skus_by_tenant.many(list(tenant_ids))


async def _lacking(root: Any, info: Info) -> Permission | None:
    """The permission without which the caller cannot change the user's licenses."""
    if not info.context.caller.may(Permission.WRITE_LICENSES):
        return Permission.WRITE_LICENSES
    return Permission.MANAGE_ADMINS if await is_guarded(root, info) else None


async def _licenses(root: Any, info: Info) -> list[License]:
    # Deleting a user frees the licenses at once, so there is nothing to ask for.
    if root.status is UserStatus.DELETED:
        return []
    return await info.context.loaders.licenses_by_user.load(root.ref)
