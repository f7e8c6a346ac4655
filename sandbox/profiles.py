"""What is told of a customer's company: profiles, organization, validation, managed services.

Sources: learn.microsoft.com/partner-center/developer/get-a-customer-s-company-profile,
…/get-all-of-a-customer-s-billing-profiles, …/update-a-customer-s-billing-profile,
…/get-customer-organization, …/retrieve-validation-status, …/get-the-managed-services-for-a-customer-by-id.
"""

from __future__ import annotations

import hashlib
import uuid

from sandbox import refusals
from sandbox.asks import (
    DIRECTORY_WRITER,
    GLOBAL_ADMINISTRATOR,
    GLOBAL_READER,
    Ask,
    Operation,
)
from sandbox.members import Members
from sandbox.wire import Answer, Json, attributes, link
from sandbox.world import Customer

_ADDRESS_MEMBERS = (
    "country",
    "region",
    "city",
    "state",
    "district",
    "addressLine1",
    "addressLine2",
    "addressLine3",
    "postalCode",
    "firstName",
    "lastName",
    "middleName",
    "emailAddress",
    "phoneNumber",
)
_BILLING_MEMBERS = ("firstName", "lastName", "email", "culture", "language", "companyName")
_PORTAL = "https://portal.office.com/Partner/BeginClientSession.aspx"
_SERVICES = (("Exchange", "Exchange"), ("MicrosoftCommunicationsOnline", "SkypeforBusiness"))


def company_profile(customer: Customer, *, short: bool = False) -> Json:
    body: Json = {
        "tenantId": customer.id,
        "domain": customer.initial_domain,
        "companyName": customer.company_name,
    }
    if customer.delegated_access and not short:
        company = ("country", "region", "city", "addressLine1", "addressLine2", "postalCode", "phoneNumber")
        address = {"country": customer.country, **customer.address}
        address.setdefault("region", address.get("state", ""))
        body["address"] = {name: address[name] for name in company if address.get(name)}
        body["email"] = customer.email
    body["links"] = {"self": link(f"/customers/{customer.id}/profiles/company")}
    body["attributes"] = attributes("CustomerCompanyProfile")
    return body


def billing_profile(customer: Customer) -> Json:
    stored = customer.billing_profile or _first_billing_profile(customer)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"billing {customer.id}")),
        **stored,
        "links": {"self": link(f"/customers/{customer.id}/profiles/billing")},
        "attributes": attributes("CustomerBillingProfile", billing_etag(customer)),
    }


def billing_etag(customer: Customer) -> str:
    """A signed 64-bit number as text, as seen on the wire."""
    digest = hashlib.sha256(f"{customer.id} {customer.billing_version}".encode()).digest()
    return str(int.from_bytes(digest[:8], "big", signed=True))


def read_billing_profile(members: Members) -> Json:
    """The stored members of a billing profile that was sent."""
    profile: Json = {name: text for name in _BILLING_MEMBERS if (text := members.text(name)) is not None}
    address = members.members("defaultAddress") or Members({})
    profile["defaultAddress"] = {name: text for name in _ADDRESS_MEMBERS if (text := address.text(name)) is not None}
    return profile


def get_company_profile(ask: Ask) -> Answer:
    return Answer(200, company_profile(ask.customer))


def get_billing_profile(ask: Ask) -> Answer:
    return Answer(200, billing_profile(ask.customer))


def put_billing_profile(ask: Ask) -> Answer:
    members = ask.members()
    etag = ask.headers.get("if-match", "").strip('"') or (
        (members.members("attributes") or Members({})).text("etag") or ""
    )
    if etag and etag not in ("*", billing_etag(ask.customer)):
        raise refusals.Refusal(400, 2055, "Etag is no longer valid")
    profile = read_billing_profile(members)
    address = profile["defaultAddress"]
    assert isinstance(address, dict)
    if not (address.get("country") and address.get("city") and address.get("addressLine1")):
        raise refusals.Refusal(400, 2007, '{"status":"InvalidAddress","message":"The address is not valid."}')
    if not profile.get("companyName"):
        raise refusals.invalid_input("companyName is needed.")
    ask.customer.billing_profile = profile
    ask.customer.billing_version += 1
    ask.state.audit.record(ask, "customer", "update_customer_billing_profile")
    return Answer(200, billing_profile(ask.customer))


def get_organization(ask: Ask) -> Answer:
    customer, address = ask.customer, ask.customer.address
    organization: Json = {
        "street": address.get("addressLine1", ""),
        "countryLetterCode": customer.country,
        "postalCode": address.get("postalCode", ""),
        "city": address.get("city", ""),
        "state": address.get("state") or address.get("region", ""),
        "displayName": customer.company_name,
        "technicalNotificationMails": [customer.email] if customer.email else [],
    }
    return Answer(200, [organization])


def get_validation_status(ask: Ask) -> Answer:
    kind = ask.query.first("type") or ""
    if kind.lower() != "account":
        raise refusals.unknown_enum(kind)
    return Answer(200, {"type": "account", "status": "Allowed", "lastUpdateDateTime": "2021-07-14T18:02:00"})


def list_managed_services(ask: Ask) -> Answer:
    """The recorded collection carries neither links nor attributes of its own."""
    base = f"{_PORTAL}?CTID={ask.customer.id}&CSDEST="
    items: list[Json] = [
        {
            "id": service_id,
            "name": name,
            "groupName": "Office",
            "links": {
                "adminService": link(base + service_id),
                "serviceHealth": link(base + "ServiceStatus"),
                "serviceTicket": link(base + "Support"),
            },
            "attributes": attributes("ManagedService"),
        }
        for service_id, name in _SERVICES
    ]
    return Answer(200, {"totalCount": len(items), "items": items})


def _first_billing_profile(customer: Customer) -> Json:
    address = {"country": customer.country, **customer.address}
    address.setdefault("firstName", "Accounts")
    address.setdefault("lastName", "Payable")
    return {
        "firstName": address["firstName"],
        "lastName": address["lastName"],
        "email": customer.email,
        "culture": "en-US",
        "language": "en",
        "companyName": customer.company_name,
        "defaultAddress": {name: address[name] for name in _ADDRESS_MEMBERS if address.get(name)},
    }


_COMPANY = "/customers/{customer_id}/profiles/company"
_BILLING = "/customers/{customer_id}/profiles/billing"

OPERATIONS = (
    Operation("GET", _COMPANY, get_company_profile, throttled=True),
    Operation("GET", _BILLING, get_billing_profile, application=True, throttled=True),
    Operation("PUT", _BILLING, put_billing_profile, application=True, throttled=True),
    Operation(
        "GET",
        "/customers/{customer_id}/organization",
        get_organization,
        application=True,
        roles=(GLOBAL_ADMINISTRATOR, DIRECTORY_WRITER, GLOBAL_READER),
    ),
    Operation("GET", "/customers/{customer_id}/validationStatus", get_validation_status),
    Operation("GET", "/customers/{customer_id}/managedservices", list_managed_services),
)
