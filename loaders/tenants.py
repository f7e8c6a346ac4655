"""Look-ups of tenants: the partner's list, one tenant's record, its domains."""

from __future__ import annotations

from aiodataloader import DataLoader

from loaders.read_through import Reader, read_through
from services.lookups import CUSTOMER, DOMAINS, RESELLER_TENANTS, TENANTS, TENANTS_BY_DOMAIN
from services.models import Customer, Tenant
from services.partner_center.client import PartnerCenterClient

EVERY_TENANT = "all"
"""The one key of `all_tenants`."""


def all_tenants(partner_center: PartnerCenterClient, reader: Reader) -> DataLoader[str, list[Tenant]]:
    """Every customer of the partner, in name order. One call for each 500."""

    async def fetch(_: str) -> list[Tenant]:
        return await partner_center.list_customers()

    return read_through(reader, TENANTS, fetch)


def tenants_by_reseller(partner_center: PartnerCenterClient, reader: Reader) -> DataLoader[str, list[Tenant]]:
    """The customers of an indirect reseller, by the reseller's Microsoft tenant id."""
    return read_through(reader, RESELLER_TENANTS, partner_center.list_customers_of_reseller)


def tenants_by_domain(partner_center: PartnerCenterClient, reader: Reader) -> DataLoader[str, list[Tenant]]:
    """The customers that Partner Center finds under a domain: candidates, since it compares beginnings."""
    return read_through(reader, TENANTS_BY_DOMAIN, partner_center.find_customers_by_domain)


def customer_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> DataLoader[str, Customer]:
    """One customer's record. One call a tenant."""
    return read_through(reader, CUSTOMER, partner_center.get_customer)


def domains_by_tenant(partner_center: PartnerCenterClient, reader: Reader) -> DataLoader[str, list[str]]:
    """The domains of a tenant as Partner Center lists them. One call a tenant."""
    return read_through(reader, DOMAINS, partner_center.list_domains)
