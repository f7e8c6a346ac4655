"""Partner relationships: resellers of the provider, resellers of a customer, the invitation.

Sources: learn.microsoft.com/partner-center/developer/retrieve-a-list-of-indirect-resellers,
…/get-indirect-resellers-of-a-customer, …/request-reseller-relationship (via relationshiprequests).
"""

from __future__ import annotations

from sandbox import refusals
from sandbox.asks import Ask, Operation
from sandbox.filters import read_filter
from sandbox.wire import Answer, Json, attributes, collection
from sandbox.world import Reseller

_INVITATION = (
    "https://admin.microsoft.com/Adminportal/Home?invType=ResellerRelationship"
    "&partnerId={partner_id}&msppId=0&DAP=true#/BillingAccounts/partner-invitation"
)


def list_relationships(ask: Ask) -> Answer:
    """`relationship_type` is PascalCase in the query and snake case in the body."""
    kind = ask.query.first("relationship_type")
    if not kind:
        raise refusals.invalid_input("relationship_type is needed.")
    wanted = read_filter(ask.query, {"Name": ("substring", "starts_with")})
    name = kind.replace("_", "").lower()
    if name == "isindirectresellerof":
        return Answer(200, collection([]))
    if name != "isindirectcloudsolutionproviderof":
        raise refusals.unknown_enum(kind)
    return Answer(
        200,
        collection(
            [
                _relationship(reseller, whole=True)
                for reseller in ask.state.world.resellers.values()
                if wanted is None or wanted.accepts(reseller.name)
            ]
        ),
    )


def list_customer_relationships(ask: Ask) -> Answer:
    """Items lack state and location here."""
    reseller = ask.state.world.resellers.get(ask.customer.reseller_id or "")
    return Answer(200, collection([_relationship(reseller, whole=False)] if reseller else []))


def get_relationship_request(ask: Ask) -> Answer:
    url = _INVITATION.format(partner_id=ask.state.world.partner_id)
    return Answer(200, {"url": url, "attributes": attributes("CustomerRelationshipRequest")})


def _relationship(reseller: Reseller, *, whole: bool) -> Json:
    body: Json = {
        "id": reseller.id,
        "name": reseller.name,
        "relationshipType": "is_indirect_cloud_solution_provider_of",
    }
    if whole:
        body["state"] = "Active"
    body["mpnId"] = reseller.mpn_id
    if whole:
        body["location"] = reseller.location
    body["attributes"] = attributes("PartnerRelationship")
    return body


OPERATIONS = (
    Operation("GET", "/relationships", list_relationships),
    Operation("GET", "/customers/{customer_id}/relationships", list_customer_relationships),
    Operation("GET", "/customers/relationshiprequests", get_relationship_request, application=True),
)
