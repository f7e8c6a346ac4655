"""Look-ups of tenants: the partner's list, one tenant's record, its domains."""

from __future__ import annotations

from loaders.read_through import Loader, Reader, read_through
from services.lookups import CUSTOMER, DOMAINS, RESELLER_TENANTS, TENANTS, TENANTS_BY_DOMAIN
from services.models import Customer, Tenant
from services.partner_center.client import PartnerCenterClient

EVERY_TENANT = "all"
"""The one key of `all_tenants`."""


def all_tenants(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[Tenant]]:
    """Every customer of the partner. One call for each 500."""

    async def fetch(_: str) -> list[Tenant]:
        return await partner_center.list_customers()

    return read_through(reader, TENANTS, fetch)


def tenants_by_reseller(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[Tenant]]:
    """The customers of an indirect reseller, by the reseller's Microsoft tenant id."""
    return read_through(reader, RESELLER_TENANTS, partner_center.list_customers_of_reseller)


def tenants_by_domain(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[Tenant]]:
    """The customers that Partner Center finds under a domain: candidates, since it compares beginnings."""
    return read_through(reader, TENANTS_BY_DOMAIN, partner_center.find_customers_by_domain)


def customer_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, Customer]:
    """One customer's record. One call a tenant."""
    return read_through(reader, CUSTOMER, partner_center.get_customer)


def tenant_at_hand(reader: Reader) -> Loader[str, Tenant | None]:
    """A tenant's name and domain from what is kept: its record, else the partner's list. Never a call."""

    async def batch(tenant_ids: list[str]) -> list[Tenant | Exception | None]:
        kept = await reader.at_hand(CUSTOMER, tenant_ids)
        found = {one.value.tenant.microsoft_id: one.value.tenant for one in kept if one is not None}
        if len(found) < len(tenant_ids):
            [tenants] = await reader.at_hand(TENANTS, [EVERY_TENANT])
            for tenant in tenants.value if tenants is not None else ():
                found.setdefault(tenant.microsoft_id, tenant)
        return [found.get(tenant_id) for tenant_id in tenant_ids]

    return Loader(batch)


def domains_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[str]]:
    """The domains of a tenant as Partner Center lists them. One call a tenant."""
    return read_through(reader, DOMAINS, partner_center.list_domains)
