"""The loaders of one request."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from loaders import licenses, skus, tenants, users
from loaders.read_through import Loader, Reader
from loaders.shared_reads import SharedReads
from loaders.traces import ReadTrace
from services.models import (
    Customer,
    DirectoryRole,
    License,
    MicrosoftSubscription,
    OfferRef,
    RoleRef,
    SubscribedSku,
    SubscriptionRef,
    Tenant,
    User,
    UserRef,
)
from services.partner_center.client import PartnerCenterClient


class Loaders:
    """One loader a look-up: within a request every key is asked at most once. Each is made when it is first needed.

    Make it inside the running loop. Nothing older than `max_age_seconds` is taken from the cache.
    """

    def __init__(
        self,
        partner_center: PartnerCenterClient,
        reads: SharedReads,
        max_age_seconds: float | None = None,
        trace: ReadTrace | None = None,
    ) -> None:
        self._partner_center = partner_center
        self._reader = Reader(reads, max_age_seconds, trace)

    def clear_all(self) -> None:
        """Forgets what this request has read: what follows a change reads anew."""
        for loader in self._made():
            loader.clear_all()

    def stop(self) -> None:
        """Ends what is still asked, when the request has its answer or nobody waits for it."""
        for loader in self._made():
            loader.stop()

    def _made(self) -> list[Loader[Any, Any]]:
        return [one for one in vars(self).values() if isinstance(one, Loader)]

    @cached_property
    def all_tenants(self) -> Loader[str, list[Tenant]]:
        return tenants.all_tenants(self._partner_center, self._reader)

    @cached_property
    def tenants_by_reseller(self) -> Loader[str, list[Tenant]]:
        return tenants.tenants_by_reseller(self._partner_center, self._reader)

    @cached_property
    def tenants_by_domain(self) -> Loader[str, list[Tenant]]:
        return tenants.tenants_by_domain(self._partner_center, self._reader)

    @cached_property
    def customer_by_tenant(self) -> Loader[str, Customer]:
        return tenants.customer_by_tenant(self._partner_center, self._reader)

    @cached_property
    def tenant_at_hand(self) -> Loader[str, Tenant | None]:
        return tenants.tenant_at_hand(self._reader, self.all_tenants)

    @cached_property
    def domains_by_tenant(self) -> Loader[str, list[str]]:
        return tenants.domains_by_tenant(self._partner_center, self._reader)

    @cached_property
    def active_users_by_tenant(self) -> Loader[str, list[User]]:
        return users.active_users_by_tenant(self._partner_center, self._reader)

    @cached_property
    def deleted_users_by_tenant(self) -> Loader[str, list[User]]:
        return users.deleted_users_by_tenant(self._partner_center, self._reader)

    @cached_property
    def user_by_ref(self) -> Loader[UserRef, User]:
        return users.user_by_ref(self._partner_center, self._reader, self.deleted_users_by_tenant)

    @cached_property
    def roles_by_tenant(self) -> Loader[str, list[DirectoryRole]]:
        return users.roles_by_tenant(self._partner_center, self._reader)

    @cached_property
    def members_by_role(self) -> Loader[RoleRef, list[str]]:
        return users.members_by_role(self._partner_center, self._reader)

    @cached_property
    def roles_by_user(self) -> Loader[UserRef, list[DirectoryRole]]:
        return users.roles_by_user(self._partner_center, self._reader, self.roles_by_tenant, self.members_by_role)

    @cached_property
    def licenses_by_user(self) -> Loader[UserRef, list[License]]:
        return licenses.licenses_by_user(self._partner_center, self._reader)

    @cached_property
    def subscribed_skus_by_tenant(self) -> Loader[str, list[SubscribedSku]]:
        return skus.subscribed_skus_by_tenant(self._partner_center, self._reader)

    @cached_property
    def subscriptions_by_tenant(self) -> Loader[str, list[MicrosoftSubscription]]:
        return skus.subscriptions_by_tenant(self._partner_center, self._reader)

    @cached_property
    def provisioned_sku_by_subscription(self) -> Loader[SubscriptionRef, str | None]:
        return skus.provisioned_sku_by_subscription(self._partner_center, self._reader)

    @cached_property
    def catalog_sku_by_offer(self) -> Loader[OfferRef, str | None]:
        return skus.catalog_sku_by_offer(self._partner_center, self._reader)

    @cached_property
    def subscriptions_by_sku(self) -> Loader[str, skus.SubscriptionsBySku]:
        return skus.subscriptions_by_sku(
            self.subscriptions_by_tenant, self.provisioned_sku_by_subscription, self.catalog_sku_by_offer
        )
