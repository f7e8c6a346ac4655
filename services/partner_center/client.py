"""Partner Center as methods: one per endpoint, models in, models out, every list read to its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

import msgspec
import structlog

from services.errors import NotFound, TenantNotFound, UpstreamError
from services.models import (
    Customer,
    DirectoryRole,
    License,
    LicenseChange,
    MicrosoftSubscription,
    NewUser,
    RoleRef,
    SubscribedSku,
    SubscriptionRef,
    Tenant,
    User,
    UserRef,
    UserStatus,
)
from services.partner_center import wire, wire_skus
from services.partner_center.paths import path_of_link
from services.partner_center.transport import UNREADABLE, Answer, Transport, as_ours

T = TypeVar("T")
M = TypeVar("M")

PAGE_SIZE = "500"
"""The largest page that Partner Center gives, for customers and for users."""
MAX_PAGES = 2000
LICENSE_GROUPS = "licenseGroupIds=Group1&licenseGroupIds=Group2"
"""Without them only group1 is given, and Minecraft's licenses are missing."""
CONTINUATION = "MS-ContinuationToken"
_NOTHING_TO_QUOTE = re.compile(r"[A-Za-z0-9_-]+")
_LICENSES = wire.Page[msgspec.Raw]
"""Each is read by who knows whether it was read before."""
OWN_HEADERS = frozenset({"ms-requestid", "ms-correlationid"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PartnerCenterClient:
    """Asks and changes Partner Center. Raises what stands in `services.errors`; all of it is `UpstreamError`.

    Lists are whole or an error: a later page that fails never looks like the end. `request_id` of a write
    makes its repeat the same request to Microsoft.
    """

    transport: Transport

    async def list_customers(self) -> list[Tenant]:
        """Gives all customers with a reseller relationship to the partner."""
        return await self._list_tenants("list customers", {"size": PAGE_SIZE})

    async def list_customers_of_reseller(self, reseller_id: str) -> list[Tenant]:
        """Gives the customers of one indirect reseller, named by its tenant id."""
        reseller = wire.write_filter("IndirectReseller", reseller_id, "starts_with")
        return await self._list_tenants("list customers of a reseller", {"size": PAGE_SIZE, "filter": reseller})

    async def find_customers_by_domain(self, domain: str) -> list[Tenant]:
        """Gives the customers with a domain that starts with these letters; Partner Center has no equals."""
        starts_with = wire.write_filter("Domain", domain, "starts_with")
        return await self._list_tenants("find customers by domain", {"size": PAGE_SIZE, "filter": starts_with})

    async def get_customer(self, tenant_id: str) -> Customer:
        shape, answer = await self._get("get customer", _path(tenant_id), wire.CustomerShape, tenant_id)
        return wire.read_customer(shape, answer.received_at)

    async def list_domains(self, tenant_id: str) -> list[str]:
        """Gives the tenant's domains, the initial one among them."""
        domains, _ = await self._get("list domains", _path(tenant_id, "customDomains"), list[str], tenant_id)
        return domains

    async def list_users(self, tenant_id: str, status: UserStatus) -> list[User]:
        """Gives the active users, or the deleted ones that can still be restored."""
        params = {"size": PAGE_SIZE}
        if status is UserStatus.DELETED:
            params["filter"] = wire.write_filter("UserState", "Inactive", "equals")

        def read(shape: wire.UserShape, as_of: datetime) -> User:
            return wire.read_user(shape, tenant_id, as_of)

        path, page = _path(tenant_id, "users"), wire.Page[wire.UserShape]
        users = await self._list("list users", path, page, read, tenant_id, params)
        if status is UserStatus.ACTIVE:
            # The list without a filter holds the active users; a state that says otherwise needs a time of deletion.
            return [_active(user) for user in users if user.deleted_at is None]
        # A filter that is not understood is ignored upstream: without this, active users would look deleted.
        return [user for user in users if user.status is status]

    async def get_user(self, user: UserRef) -> User:
        shape, answer = await self._get("get user", _user_path(user), wire.UserShape, user.tenant_id)
        return wire.read_user(shape, user.tenant_id, answer.received_at)

    async def list_roles(self, tenant_id: str) -> list[DirectoryRole]:
        """Gives the roles that can be given in the tenant."""
        return await self._list_roles("list roles", _path(tenant_id, "directoryroles"), tenant_id)

    async def list_user_roles(self, user: UserRef) -> list[DirectoryRole]:
        tenant_id, path = user.tenant_id, _user_path(user, "directoryroles")
        return await self._list_roles("list roles of a user", path, tenant_id)

    async def list_role_members(self, role: RoleRef) -> list[str]:
        """Gives the ids of the users that hold the role."""
        path = _path(role.tenant_id, "directoryroles", role.role_id, "usermembers")
        page = wire.Page[wire.MemberShape]
        return await self._list("list role members", path, page, lambda shape, _: shape.id.lower(), role.tenant_id)

    async def list_subscribed_skus(self, tenant_id: str) -> list[SubscribedSku]:
        """Gives the products of the tenant with their units, of both license groups."""
        path = _path(tenant_id, "subscribedskus")
        page = wire.Page[wire_skus.SubscribedSkuShape]

        def read(shape: wire_skus.SubscribedSkuShape, as_of: datetime) -> SubscribedSku:
            return wire_skus.read_subscribed_sku(shape, tenant_id, as_of)

        return await self._list("list subscribed SKUs", path, page, read, tenant_id, LICENSE_GROUPS)

    async def list_licenses(self, user: UserRef) -> list[License]:
        """Gives the licenses that a user holds, of both license groups."""
        path = _user_path(user, "licenses")
        operation = "list licenses"
        items = await self._list(operation, path, _LICENSES, _as_it_came, user.tenant_id, LICENSE_GROUPS)
        try:
            return wire_skus.read_licenses(tuple(items), user.tenant_id)
        except UNREADABLE as error:
            raise _unreadable(operation, error) from error

    async def list_subscriptions(self, tenant_id: str) -> list[MicrosoftSubscription]:
        """Gives the subscriptions in every status, also those that give no licenses."""
        path = _path(tenant_id, "subscriptions")
        page = wire.Page[wire_skus.SubscriptionShape]

        def read(shape: wire_skus.SubscriptionShape, _: datetime) -> MicrosoftSubscription:
            return wire_skus.read_subscription(shape, tenant_id)

        return await self._list("list subscriptions", path, page, read, tenant_id)

    async def get_provisioned_sku(self, subscription: SubscriptionRef) -> str | None:
        """Gives the product SKU id that a subscription gives units of; None where nothing is provisioned."""
        tenant_id = subscription.tenant_id
        path = _path(tenant_id, "subscriptions", subscription.subscription_id, "provisioningstatus")
        shape = await self._find("get provisioning status", path, wire_skus.ProvisioningShape, tenant_id)
        return wire.read_guid(shape.sku_id) if shape else None

    async def get_catalog_sku(self, tenant_id: str, product_id: str, sku_id: str) -> str | None:
        """Gives the product SKU id behind a catalog SKU such as `0001`; None where the catalog has none.

        Microsoft may change `provisioningId` without notice.
        Source: learn.microsoft.com/partner-center/developer/product-resources
        """
        path = _path(tenant_id, "products", product_id, "skus", sku_id)
        shape = await self._find("get catalog SKU", path, wire_skus.CatalogSkuShape, tenant_id)
        return wire.read_guid(shape.dynamic_attributes.provisioning_id) if shape and shape.dynamic_attributes else None

    async def get_offer_sku(self, offer_id: str, country: str = "US") -> str | None:
        """Gives the product SKU id behind a legacy offer; None where the offer has none."""
        path = f"/offers/{quote(offer_id, safe='')}"
        shape = await self._find("get offer", path, wire_skus.OfferShape, None, {"country": country})
        return wire.read_guid(shape.product.id) if shape and shape.product else None

    async def create_user(self, tenant_id: str, user: NewUser, *, request_id: str | None = None) -> User:
        body = wire.write_new_user(user)
        path = _path(tenant_id, "users")
        return await self._write_user("create user", "POST", path, tenant_id, body, request_id)

    async def update_user(self, user: UserRef, changes: Mapping[str, str], *, request_id: str | None = None) -> User:
        """Changes names and usage location, keyed by the model's attributes. An empty text clears a name."""
        body = wire.write_user_changes(changes)
        return await self._write_user("update user", "PATCH", _user_path(user), user.tenant_id, body, request_id)

    async def delete_user(self, user: UserRef, *, request_id: str | None = None) -> None:
        """Deletes softly: the user can be restored for 30 days."""
        await self.transport.request("DELETE", _user_path(user), tenant_id=user.tenant_id, request_id=request_id)

    async def restore_user(self, user: UserRef, *, request_id: str | None = None) -> User:
        body = wire.write_restoration()
        return await self._write_user("restore user", "PATCH", _user_path(user), user.tenant_id, body, request_id)

    async def reset_password(
        self, user: UserRef, password: str, *, force_change: bool, request_id: str | None = None
    ) -> User:
        body = wire.write_password(password, force_change=force_change)
        path = _user_path(user, "resetpassword")
        return await self._write_user("reset password", "PATCH", path, user.tenant_id, body, request_id)

    async def add_role_member(self, role: RoleRef, user: User, *, request_id: str | None = None) -> None:
        path = _path(role.tenant_id, "directoryroles", role.role_id, "usermembers")
        body = wire.write_role_member(user)
        await self.transport.request("POST", path, tenant_id=role.tenant_id, body=body, request_id=request_id)

    async def remove_role_member(self, role: RoleRef, user_id: str, *, request_id: str | None = None) -> None:
        path = _path(role.tenant_id, "directoryroles", role.role_id, "usermembers", user_id)
        await self.transport.request("DELETE", path, tenant_id=role.tenant_id, request_id=request_id)

    async def update_licenses(self, user: UserRef, change: LicenseChange, *, request_id: str | None = None) -> None:
        """Assigns and removes products of one license group. Warnings are logged by their code only."""
        operation, path = "update licenses", _user_path(user, "licenseupdates")
        body = wire_skus.write_license_change(change)
        answer = await self.transport.request("POST", path, tenant_id=user.tenant_id, body=body, request_id=request_id)
        if not answer.body:
            return
        codes = wire_skus.read_warning_codes(_read(operation, answer, wire_skus.LicenseUpdateShape))
        if codes:
            log.warning("license_warnings", codes=codes, request_id=answer.request_id)

    async def _list_tenants(self, operation: str, params: Mapping[str, str]) -> list[Tenant]:
        return await self._list(operation, "/customers", wire.Page[wire.CustomerShape], wire.read_tenant, None, params)

    async def _list_roles(self, operation: str, path: str, tenant_id: str) -> list[DirectoryRole]:
        def read(shape: wire.RoleShape, _: datetime) -> DirectoryRole:
            return wire.read_role(shape, tenant_id)

        return await self._list(operation, path, wire.Page[wire.RoleShape], read, tenant_id)

    async def _write_user(
        self, operation: str, method: str, path: str, tenant_id: str, body: object, request_id: str | None
    ) -> User:
        answer = await self.transport.request(method, path, tenant_id=tenant_id, body=body, request_id=request_id)
        shape = _read(operation, answer, wire.UserShape)
        return wire.read_user(shape, tenant_id, answer.received_at)

    async def _get(
        self,
        operation: str,
        path: str,
        shape: type[T],
        tenant_id: str | None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[T, Answer]:
        answer = await self.transport.request("GET", path, tenant_id=tenant_id, params=params)
        return _read(operation, answer, shape), answer

    async def _find(
        self,
        operation: str,
        path: str,
        shape: type[T],
        tenant_id: str | None,
        params: Mapping[str, str] | None = None,
    ) -> T | None:
        """As `_get`, but None for what is not there. A tenant that is not there is an error all the same."""
        try:
            return (await self._get(operation, path, shape, tenant_id, params))[0]
        except TenantNotFound:
            raise
        except NotFound:
            return None

    async def _list(
        self,
        operation: str,
        path: str,
        page_shape: type[wire.Page[T]],
        read: Callable[[T, datetime], M],
        tenant_id: str | None,
        params: Mapping[str, str] | str | None = None,
    ) -> list[M]:
        """Gives the items of all pages, each read with the time when the first page arrived: none is older than that.

        A page that follows is asked for as the page before says: its link with its headers, or where only a
        token came, the same list with the token alone, which stands for size and filter as well.
        """
        answer = await self.transport.request("GET", path, tenant_id=tenant_id, params=params)
        as_of = answer.received_at
        items: list[M] = []
        seen: set[tuple[str, str]] = set()
        while True:
            page = _read(operation, answer, page_shape)
            items += [read(item, as_of) for item in page.items or ()]
            following = _following(page, path)
            if following is None:
                return items
            next_path, headers = following
            token = headers.get(CONTINUATION, "")
            key = (token, "" if token else next_path)
            if key in seen or len(seen) >= MAX_PAGES:
                raise UpstreamError(f"Microsoft's pages for {operation!r} go round in a circle.")
            seen.add(key)
            try:
                answer = await self.transport.request("GET", next_path, tenant_id=tenant_id, headers=headers)
            except NotFound as error:
                # In December 2021 second pages answered 404: the list is not whole, but nothing is absent.
                raise UpstreamError(
                    f"Microsoft did not give a later page for {operation!r}. Try again later.",
                    status=error.status,
                    upstream_code=error.upstream_code,
                    detail=error.detail,
                ) from error


def _as_it_came(item: msgspec.Raw, _: datetime) -> bytes:
    return bytes(item)


def _following(page: wire.Page[T], path: str) -> tuple[str, dict[str, str]] | None:
    """Gives path and headers of the next page; None on the last."""
    token_header = {CONTINUATION: page.continuation_token} if page.continuation_token else {}
    link = page.links and page.links.next
    if link and link.uri:
        return path_of_link(link.uri), token_header | _link_headers(link)
    return (f"{path}?seekOperation=Next", token_header) if token_header else None


def _link_headers(link: wire.Link) -> dict[str, str]:
    """Gives the headers to repeat: Microsoft's own only, so that no answer can replace ours or our token."""
    headers = {header.key: header.value for header in link.headers or () if header.key and header.value}
    return {
        CONTINUATION if name.lower() == CONTINUATION.lower() else name: value
        for name, value in headers.items()
        if name.lower().startswith("ms-") and name.lower() not in OWN_HEADERS
    }


def _read(operation: str, answer: Answer, shape: type[T]) -> T:
    try:
        return wire.decode(answer.body, shape)
    except UNREADABLE as error:
        raise _unreadable(operation, error) from error


def _unreadable(operation: str, error: Exception) -> UpstreamError:
    return as_ours(error, f"Microsoft's answer to {operation!r} could not be read.")


def _active(user: User) -> User:
    return user if user.status is UserStatus.ACTIVE else msgspec.structs.replace(user, status=UserStatus.ACTIVE)


def _path(tenant_id: str, *parts: str) -> str:
    steps = (tenant_id, *parts)
    if not _NOTHING_TO_QUOTE.fullmatch("".join(steps)):
        steps = tuple(quote(step, safe="") for step in steps)
    return "/customers/" + "/".join(steps)


def _user_path(user: UserRef, *parts: str) -> str:
    return _path(user.tenant_id, "users", user.user_id, *parts)
