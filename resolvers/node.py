"""Fetching objects again by their global ids."""

from __future__ import annotations

import asyncio
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.jobs import find_job
from resolvers.scope import is_in_scope
from resolvers.tenants import find_tenant
from resolvers.users import find_user
from services.authorization import Permission
from services.errors import BadInput, NotFound
from services.global_ids import GlobalId, decode_id
from services.models import DirectoryRole, MicrosoftSubscription, SubscribedSku, UserRef

MOST_IDS = 100


async def resolve_node(info: Info, id: strawberry.ID) -> Any:
    info.context.caller.require(Permission.READ)
    decoded = decode_id(id)
    if decoded is None:
        return None
    if decoded.kind == "Tenant":
        return None if decoded.microsoft_id else await find_tenant(info, decoded.tenant_id)
    if decoded.kind == "Job":
        return await find_job(info, id)
    finder = _FINDERS.get(decoded.kind)
    if finder is None or not decoded.microsoft_id or not await is_in_scope(info, decoded.tenant_id):
        return None
    try:
        return await finder(info, decoded)
    except NotFound:
        return None


async def resolve_nodes(info: Info, ids: list[strawberry.ID]) -> list[Any]:
    if len(ids) > MOST_IDS:
        raise BadInput(f"ids: at most {MOST_IDS} objects can be fetched at once, and {len(ids)} were asked for.")
    # An exception among the results becomes an error at that item, and the others stand.
    return await asyncio.gather(*(resolve_node(info, id) for id in ids), return_exceptions=True)


async def _find_user(info: Info, id: GlobalId) -> Any:
    return await find_user(info, UserRef(id.tenant_id, id.microsoft_id))


async def _find_role(info: Info, id: GlobalId) -> DirectoryRole | None:
    roles = await info.context.loaders.roles_by_tenant.load(id.tenant_id)
    return next((role for role in roles if role.microsoft_id == id.microsoft_id), None)


async def _find_sku(info: Info, id: GlobalId) -> SubscribedSku | None:
    skus = await info.context.loaders.subscribed_skus_by_tenant.load(id.tenant_id)
    return next((sku for sku in skus if sku.sku_id == id.microsoft_id), None)


async def _find_subscription(info: Info, id: GlobalId) -> MicrosoftSubscription | None:
    by_sku = await info.context.loaders.subscriptions_by_sku.load(id.tenant_id)
    listed = (one for subscriptions in by_sku.values() for one in subscriptions)
    return next((one for one in listed if one.microsoft_id == id.microsoft_id), None)


_FINDERS = {
    "User": _find_user,
    "DirectoryRole": _find_role,
    "SubscribedSku": _find_sku,
    "MicrosoftSubscription": _find_subscription,
}
