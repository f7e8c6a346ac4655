"""The loaders of one request."""

from __future__ import annotations

from dataclasses import dataclass, fields

from loaders import licenses, skus, tenants, users
from loaders.read_through import Loader, Reader
from loaders.shared_reads import SharedReads
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


@dataclass(frozen=True, slots=True)
class Loaders:
    """One loader a look-up, built per request: within a request every key is asked at most once."""

    all_tenants: Loader[str, list[Tenant]]
    tenants_by_reseller: Loader[str, list[Tenant]]
    tenants_by_domain: Loader[str, list[Tenant]]
    customer_by_tenant: Loader[str, Customer]
    tenant_at_hand: Loader[str, Tenant | None]
    domains_by_tenant: Loader[str, list[str]]
    active_users_by_tenant: Loader[str, list[User]]
    deleted_users_by_tenant: Loader[str, list[User]]
    user_by_ref: Loader[UserRef, User]
    roles_by_tenant: Loader[str, list[DirectoryRole]]
    members_by_role: Loader[RoleRef, list[str]]
    roles_by_user: Loader[UserRef, list[DirectoryRole]]
    licenses_by_user: Loader[UserRef, list[License]]
    subscribed_skus_by_tenant: Loader[str, list[SubscribedSku]]
    subscriptions_by_tenant: Loader[str, list[MicrosoftSubscription]]
    provisioned_sku_by_subscription: Loader[SubscriptionRef, str | None]
    catalog_sku_by_offer: Loader[OfferRef, str | None]
    subscriptions_by_sku: Loader[str, skus.SubscriptionsBySku]

    def clear_all(self) -> None:
        """Forgets what this request has read: what follows a change reads anew."""
        for one in fields(self):
            getattr(self, one.name).clear_all()

    def stop(self) -> None:
        """Ends what is still asked, when the request has its answer or nobody waits for it."""
        for one in fields(self):
            getattr(self, one.name).stop()


def build_loaders(
    partner_center: PartnerCenterClient, reads: SharedReads, max_age_seconds: float | None = None
) -> Loaders:
    """Gives fresh loaders; call it inside the running loop. Nothing older than the age is taken from the cache."""
    reader = Reader(reads, max_age_seconds)
    deleted_users = users.deleted_users_by_tenant(partner_center, reader)
    roles = users.roles_by_tenant(partner_center, reader)
    members = users.members_by_role(partner_center, reader)
    subscriptions = skus.subscriptions_by_tenant(partner_center, reader)
    provisioned_sku = skus.provisioned_sku_by_subscription(partner_center, reader)
    catalog_sku = skus.catalog_sku_by_offer(partner_center, reader)
    return Loaders(
        all_tenants=tenants.all_tenants(partner_center, reader),
        tenants_by_reseller=tenants.tenants_by_reseller(partner_center, reader),
        tenants_by_domain=tenants.tenants_by_domain(partner_center, reader),
        customer_by_tenant=tenants.customer_by_tenant(partner_center, reader),
        tenant_at_hand=tenants.tenant_at_hand(reader),
        domains_by_tenant=tenants.domains_by_tenant(partner_center, reader),
        active_users_by_tenant=users.active_users_by_tenant(partner_center, reader),
        deleted_users_by_tenant=deleted_users,
        user_by_ref=users.user_by_ref(partner_center, reader, deleted_users),
        roles_by_tenant=roles,
        members_by_role=members,
        roles_by_user=users.roles_by_user(partner_center, reader, roles, members),
        licenses_by_user=licenses.licenses_by_user(partner_center, reader),
        subscribed_skus_by_tenant=skus.subscribed_skus_by_tenant(partner_center, reader),
        subscriptions_by_tenant=subscriptions,
        provisioned_sku_by_subscription=provisioned_sku,
        catalog_sku_by_offer=catalog_sku,
        subscriptions_by_sku=skus.subscriptions_by_sku(subscriptions, provisioned_sku, catalog_sku),
    )
