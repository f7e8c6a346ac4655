"""Domains: of a customer, and whether a name is taken.

Sources: learn.microsoft.com/partner-center/developer/get-customer-custom-domain,
…/verify-domain-availability.
"""

from __future__ import annotations

from sandbox import settings
from sandbox.asks import (
    DIRECTORY_WRITER,
    DOMAIN_NAME_ADMINISTRATOR,
    GLOBAL_ADMINISTRATOR,
    GLOBAL_READER,
    Ask,
    Operation,
)
from sandbox.customers import list_domains
from sandbox.wire import Answer


def get_custom_domains(ask: Ask) -> Answer:
    return Answer(200, list_domains(ask.customer))


def head_domain(ask: Ask) -> Answer:
    """200 for a domain that is taken, 404 for one that is free; no body either way."""
    return Answer(200 if _is_taken(ask, ask.params["domain"]) else 404)


def check_domain_availability(ask: Ask) -> Answer:
    """True when the prefix is free under onmicrosoft.com. The swagger names no body; a bare boolean is
    ours."""
    return Answer(200, not _is_taken(ask, f"{ask.params['prefix']}.onmicrosoft.com"))


def _is_taken(ask: Ask, domain: str) -> bool:
    name = domain.lower()
    return name == settings.PARTNER_DOMAIN or any(
        name in map(str.lower, list_domains(customer)) for customer in ask.state.world.customers.values()
    )


OPERATIONS = (
    Operation(
        "GET",
        "/customers/{customer_id}/customDomains",
        get_custom_domains,
        application=True,
        roles=(GLOBAL_ADMINISTRATOR, DIRECTORY_WRITER, GLOBAL_READER, DOMAIN_NAME_ADMINISTRATOR),
    ),
    Operation("HEAD", "/domains/{domain}", head_domain, application=True),
    Operation("GET", "/validations/checkdomainavailability/{prefix}", check_domain_availability, application=True),
)
