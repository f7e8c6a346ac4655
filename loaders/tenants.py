"""Look-ups of tenants: the partner's list, one tenant's record, its domains."""

from __future__ import annotations

from collections.abc import Iterable

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


def tenant_at_hand(reader: Reader, every: Loader[str, list[Tenant]]) -> Loader[str, Tenant | None]:
    """A tenant's name and domain from what is kept: its record, else the partner's list. Never a call.

    Where the request has read the list already, nothing else is looked at.
    """

    async def batch(tenant_ids: list[str]) -> list[Tenant | Exception | None]:
        found = _by_id(every.known(EVERY_TENANT) or ())
        if unknown := [tenant_id for tenant_id in tenant_ids if tenant_id not in found]:
            kept = await reader.at_hand(CUSTOMER, unknown)
            found |= {one.value.tenant.microsoft_id: one.value.tenant for one in kept if one is not None}
            if any(tenant_id not in found for tenant_id in unknown):
                [tenants] = await reader.at_hand(TENANTS, [EVERY_TENANT])
                found = _by_id(tenants.value if tenants is not None else ()) | found
        return [found.get(tenant_id) for tenant_id in tenant_ids]

    return Loader(batch)


def _by_id(tenants: Iterable[Tenant]) -> dict[str, Tenant]:
    return {tenant.microsoft_id: tenant for tenant in tenants}


def domains_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> Loader[str, list[str]]:
    """The domains of a tenant as Partner Center lists them. One call a tenant."""
    return read_through(reader, DOMAINS, partner_center.list_domains)
