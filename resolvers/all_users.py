"""People in any tenant of the scope."""

from __future__ import annotations

from resolvers.context import Info
from resolvers.many_tenants import ask_each, coverage_of, tenants_of_scope
from resolvers.paging import DEFAULT_PAGE_SIZE
from resolvers.user_filters import check_filter, filtered, statuses_wanted
from resolvers.users import UserPage, shown_users, user_page, user_window
from schema.inputs import TenantScope, UserFilter, UserOrder
from services.lookups import ACTIVE_USERS, DELETED_USERS
from services.models import Tenant, User


async def resolve_users(
    info: Info,
    scope: TenantScope | None = None,
    filter: UserFilter | None = None,
    order_by: UserOrder | None = None,
    first: int | None = DEFAULT_PAGE_SIZE,
    after: str | None = None,
) -> UserPage:
    window = user_window(info, order_by or UserOrder(), first, after)
    wanted = filter or UserFilter()
    check_filter(wanted)
    statuses = statuses_wanted(wanted)

    async def matching(tenant: Tenant) -> list[User]:
        users = await shown_users(info, tenant.microsoft_id, statuses)
        return await filtered(info, tenant.microsoft_id, users, wanted)

    answers = await ask_each(await tenants_of_scope(info, scope), matching)
    users = [user for _, found in answers.given for user in found]
    coverage = coverage_of(info, answers, [ACTIVE_USERS, DELETED_USERS], (user.as_of for user in users))
    return user_page(users, window, coverage)
