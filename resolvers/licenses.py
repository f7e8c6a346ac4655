"""What licenses a user holds, and what could be done about them."""

from __future__ import annotations

import asyncio
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.ordering import folded
from resolvers.users import is_guarded
from schema.enums import UserStatus
from services.authorization import Permission
from services.license_options import HeldLicense, LicenseOption, held_license, license_options
from services.models import License


async def resolve_user_licenses(root: strawberry.Parent[Any], info: Info) -> list[HeldLicense]:
    held = await _licenses(root, info)
    if not held:
        return []
    skus = await info.context.loaders.subscribed_skus_by_tenant.load(root.tenant_id)
    licenses = [held_license(root, one, skus) for one in held]
    return sorted(licenses, key=lambda one: (folded(one.sku.product_name), one.sku.sku_id))


async def resolve_user_assigned_license_count(root: strawberry.Parent[Any], info: Info) -> int:
    return len(await _licenses(root, info))


async def resolve_user_license_options(root: strawberry.Parent[Any], info: Info) -> list[LicenseOption]:
    waiting = info.context.loaders.subscribed_skus_by_tenant.load(root.tenant_id)
    held, skus = await asyncio.gather(_licenses(root, info), waiting)
    options = license_options(root, held, skus, lacking=await _lacking(root, info))
    return sorted(options, key=lambda one: (folded(one.sku.product_name), one.sku.sku_id))


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
