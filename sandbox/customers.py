"""Customers: list, read, create, end of the relationship, deletion.

Sources: learn.microsoft.com/partner-center/developer/get-a-list-of-customers, …/get-a-customer-by-id,
…/create-a-customer, …/remove-a-reseller-relationship-with-a-customer.
"""

from __future__ import annotations

import uuid

from sandbox import refusals
from sandbox.asks import Ask, Operation
from sandbox.filters import Filter, read_filter
from sandbox.members import Members
from sandbox.paging import Listing
from sandbox.profiles import billing_profile, company_profile, read_billing_profile
from sandbox.wire import Answer, Json, attributes, link
from sandbox.world import Customer, User

_SEARCHED = {
    "CompanyName": ("starts_with",),
    "Domain": ("starts_with",),
    "IndirectReseller": ("starts_with",),
    "IndirectCloudSolutionProvider": ("starts_with",),
}
_GLOBAL_ADMINISTRATOR_ROLE = "62e90394-69f5-4237-9190-012177145e10"
_FIRST_PASSWORD = "=;;n.=s9Z"


def list_customers(ask: Ask) -> Answer:
    listing = Listing.read(ask, "/customers")
    wanted = read_filter(listing.query, _SEARCHED)
    partner_id = ask.state.world.partner_id
    page = listing.page(
        list(ask.state.world.customers.values()),
        lambda customer: (
            customer.relationship == "reseller" and (wanted is None or _matches(customer, wanted, partner_id))
        ),
        _short_customer,
        lambda customer: customer.id,
        ask.state.switches.customers_page_size,
    )
    return Answer(200, page)


def get_customer(ask: Ask) -> Answer:
    return Answer(200, whole_customer(ask.customer))


def whole_customer(customer: Customer) -> Json:
    """The by-id form; address, e-mail and domains need delegated access (DAP)."""
    body: Json = {
        "id": customer.id,
        "commerceId": customer.commerce_id or str(uuid.uuid5(uuid.NAMESPACE_OID, customer.id)),
        "companyProfile": company_profile(customer),
        "billingProfile": billing_profile(customer),
        "relationshipToPartner": customer.relationship,
        "allowDelegatedAccess": customer.delegated_access,
    }
    if customer.delegated_access:
        body["customDomains"] = list_domains(customer)
    if customer.reseller_id:
        body["associatedPartnerId"] = customer.reseller_id
    body["links"] = {"self": link(f"/customers/{customer.id}")}
    body["attributes"] = attributes("Customer")
    return body


def list_domains(customer: Customer) -> list[str]:
    """All domains of the tenant, the initial one among them."""
    if customer.initial_domain in customer.custom_domains:
        return list(customer.custom_domains)
    return [customer.initial_domain, *customer.custom_domains]


def create_customer(ask: Ask) -> Answer:
    """Makes a tenant with its first administrator, who gets a password of Microsoft's making."""
    members = ask.members()
    domain = ((members.members("companyProfile") or Members({})).text("domain") or "").strip()
    billing = members.members("billingProfile")
    if not domain or "." not in domain or billing is None:
        raise refusals.invalid_input("companyProfile.domain and billingProfile are needed.")
    world = ask.state.world
    if any(domain.lower() in map(str.lower, list_domains(other)) for other in world.customers.values()):
        raise refusals.invalid_property(f"The domain {domain} is not available.")
    profile = read_billing_profile(billing)
    address = profile["defaultAddress"]
    assert isinstance(address, dict)
    if not profile.get("companyName") or not address.get("country"):
        raise refusals.invalid_input("billingProfile.companyName and defaultAddress.country are needed.")
    customer = Customer(
        id=str(uuid.uuid4()),
        company_name=str(profile["companyName"]),
        initial_domain=domain,
        country=str(address["country"]),
        custom_domains=[domain],
        delegated_access=not members.flag("enableGDAPByDefault"),
        reseller_id=(members.text("associatedPartnerId") or "").lower() or None,
        commerce_id=str(uuid.uuid4()),
        address={name: str(value) for name, value in address.items()},
        email=str(profile.get("email", "")),
        billing_profile=profile,
    )
    administrator = User(str(uuid.uuid4()), f"admin@{domain}", customer.company_name, password=_FIRST_PASSWORD)
    administrator.roles.add(_GLOBAL_ADMINISTRATOR_ROLE)
    customer.users[administrator.id] = administrator
    world.customers[customer.id] = customer
    ask.state.audit.record(ask, "customer", "add_customer", customer=customer)
    billed = billing_profile(customer)
    billed.pop("links")
    company: Json = {
        "tenantId": customer.id,
        "domain": domain,
        "attributes": attributes("CustomerCompanyProfile"),
    }
    body: Json = {
        "id": customer.id,
        "commerceId": customer.commerce_id,
        "companyProfile": company,
        "billingProfile": billed,
        "enableGDAPByDefault": bool(members.flag("enableGDAPByDefault")),
        # The documented trace says "none" here, though the relationship is there from now on.
        "relationshipToPartner": "none",
        "userCredentials": {"userName": "admin", "password": _FIRST_PASSWORD},
        "attributes": attributes("Customer"),
    }
    return Answer(201, body)


def end_relationship(ask: Ask) -> Answer:
    """Answers with an echo in PascalCase, nulls included: the one operation that does."""
    wanted = ask.members().text("relationshipToPartner")
    if wanted is None:
        raise refusals.invalid_input("relationshipToPartner is needed.")
    if wanted.lower() != "none":
        raise refusals.invalid_property(f"relationshipToPartner cannot be set to {wanted}.")
    if any(subscription.status == "active" for subscription in ask.customer.subscriptions.values()):
        raise refusals.invalid_input("All subscriptions of the customer must be suspended first.")
    ask.customer.relationship = "none"
    ask.state.audit.record(ask, "customer", "remove_partner_customer_relationship")
    body: Json = {
        "Id": None,
        "CommerceId": None,
        "CompanyProfile": None,
        "BillingProfile": None,
        "RelationshipToPartner": "none",
        "AllowDelegatedAccess": None,
        "UserCredentials": None,
        "CustomDomains": None,
        "AssociatedPartnerId": None,
        "Attributes": {"ObjectType": "Customer"},
    }
    return Answer(200, body)


def delete_customer(ask: Ask) -> Answer:
    if not ask.state.switches.customers_deletable:
        raise refusals.Refusal(403, 600006, "The requested action is not allowed")
    ask.state.audit.record(ask, "customer", "delete_customer")
    del ask.state.world.customers[ask.customer.id]
    return Answer(204)


def _matches(customer: Customer, wanted: Filter, partner_id: str) -> bool:
    if wanted.field == "companyname":
        return wanted.accepts(customer.company_name)
    if wanted.field == "domain":
        return any(wanted.accepts(domain) for domain in list_domains(customer))
    if wanted.field == "indirectreseller":
        return customer.reseller_id is not None and wanted.accepts(customer.reseller_id)
    return wanted.accepts(partner_id)


def _short_customer(customer: Customer) -> Json:
    return {
        "id": customer.id,
        "companyProfile": company_profile(customer, short=True),
        "relationshipToPartner": customer.relationship,
        "links": {"self": link(f"/customers/{customer.id}")},
        "attributes": attributes("Customer"),
    }


OPERATIONS = (
    Operation("GET", "/customers", list_customers, application=True, throttled=True),
    Operation("POST", "/customers", create_customer, application=True, throttled=True),
    Operation("GET", "/customers/{customer_id}", get_customer, application=True, throttled=True),
    Operation("PATCH", "/customers/{customer_id}", end_relationship, throttled=True),
    Operation("DELETE", "/customers/{customer_id}", delete_customer, application=True, throttled=True),
)
