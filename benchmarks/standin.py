"""A stand-in for Partner Center that costs next to nothing: the same bytes at each start, made once and kept.

Its records have the members that Microsoft's have, also those that nobody reads: who keeps them pays for them.
It knows no writes, no faults and no filters; for those there is the sandbox. `POST /__config?latency_ms=20` holds every
answer back, `GET /__calls` says how many were given, the stand-in's own and tokens aside, and `/__jwks` are the keys of
whoever signs the callers' tokens.

    python -m benchmarks.standin PORT JWKS_FILE [TENANTS]
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TENANTS, USERS, GIANT_USERS, SKUS, SUBSCRIPTIONS, PLANS, PAGE = 200, 50, 10_000, 8, 10, 8, 500
GIANT = 0xFFFE
"""The tenant with many people. It stands in no list."""
TENANT, USER, PRODUCT, PLAN, SUBSCRIPTION, OFFER = range(1, 7)
PRODUCTS = ("Office 365 E3", "Exchange Online (Plan 1)", "Visio Plan 2", "Power BI Pro", "Project Plan 3")
PARTS = ("ENTERPRISEPACK", "EXCHANGESTANDARD", "VISIOCLIENT", "POWER_BI_PRO", "PROJECTPROFESSIONAL")
FIRST_NAMES = ("Ada", "Grace", "Alan", "Barbara", "Ken", "Margaret", "Radia", "Hedy")
LAST_NAMES = ("Lovelace", "Hopper", "Turing", "Liskov", "Thompson", "Hamilton", "Perlman", "Lamarr")
TOKEN = {"token_type": "Bearer", "expires_in": 3599, "access_token": "bench.bench.bench", "refresh_token": "bench"}


def guid(kind: int, owner: int, number: int = 0) -> str:
    return f"{kind:08x}-{owner:04x}-4000-8000-{number:012x}"


def tenant(number: int) -> dict[str, Any]:
    profile = {
        "tenantId": guid(TENANT, number),
        "domain": f"contoso{number}.onmicrosoft.com",
        "companyName": f"Contoso {number}",
        "attributes": {"objectType": "CustomerCompanyProfile"},
    }
    attributes = {"objectType": "Customer"}
    return {
        "id": guid(TENANT, number),
        "companyProfile": profile,
        "relationshipToPartner": "reseller",
        "attributes": attributes,
    }


def user(owner: int, number: int) -> dict[str, Any]:
    first, last = FIRST_NAMES[number % 8], LAST_NAMES[number // 8 % 8]
    return {
        "usageLocation": ("US", "DE", "GB", "NL")[number % 4],
        "id": guid(USER, owner, number),
        "userPrincipalName": f"{first}.{last}{number}@contoso{owner}.onmicrosoft.com",
        "firstName": first,
        "lastName": last,
        "displayName": f"{first} {last} {number}",
        "immutableId": None,
        "lastDirectorySyncTime": "2025-11-01T08:30:00Z" if number % 3 == 0 else None,
        "userDomainType": "managed",
        "state": "active",
        "softDeletionTime": None,
        "links": {"self": link(f"/customers/{guid(TENANT, owner)}/users/{guid(USER, owner, number)}")},
        "attributes": {"objectType": "CustomerUser"},
    }


def link(uri: str) -> dict[str, Any]:
    return {"uri": uri, "method": "GET", "headers": []}


def product(number: int) -> dict[str, Any]:
    name = f"{PRODUCTS[number % 5]}{f' {number}' if number >= 5 else ''}"
    return {
        "productSku": {
            "id": guid(PRODUCT, 0, number),
            "name": name,
            "skuPartNumber": f"{PARTS[number % 5]}_{number}",
            "targetType": "User",
            "licenseGroupId": "group1",
        },
        "servicePlans": [
            {
                "displayName": f"Plan {plan} of {name}",
                "serviceName": f"SERVICE_{plan}",
                "id": guid(PLAN, number, plan),
                "capabilityStatus": "Enabled",
                "targetType": "User",
            }
            for plan in range(PLANS)
        ],
    }


def subscribed_sku(owner: int, number: int) -> dict[str, Any]:
    active = 20 + (owner * 31 + number * 17) % 180
    used = (owner * 13 + number * 7) % (active + 1)
    units = {"activeUnits": active, "consumedUnits": used, "availableUnits": active - used, "totalUnits": active}
    rest = {"suspendedUnits": 0, "warningUnits": 0, "capabilityStatus": "Enabled"}
    return {**units, **rest, **product(number), "attributes": {"objectType": "SubscribedSku"}}


def subscription(owner: int, number: int) -> dict[str, Any]:
    in_catalog = f"/products/CFQ7TTC0LH{number:02}"
    links = {
        "product": link(f"{in_catalog}?country=US"),
        "sku": link(f"{in_catalog}/skus/0001?country=US"),
        "availability": link(f"{in_catalog}/skus/0001/availabilities/CFQ7TTC0K971?country=US"),
        "self": link(f"/customers/{guid(TENANT, owner)}/subscriptions/{guid(SUBSCRIPTION, owner, number)}"),
    }
    return {
        "id": guid(SUBSCRIPTION, owner, number),
        "offerId": guid(OFFER, 0, number % SKUS),
        "offerName": PRODUCTS[number % 5],
        "friendlyName": f"{PRODUCTS[number % 5]} #{number}",
        "productType": {"id": "OnlineServicesNCE", "displayName": "OnlineServicesNCE"},
        "quantity": 5 + (owner * 7 + number * 3) % 60,
        "unitType": "Licenses",
        "hasPurchasableAddons": False,
        "creationDate": "2025-03-01T16:57:15.0966728Z",
        "effectiveStartDate": "2025-03-01T00:00:00Z",
        "commitmentEndDate": "2026-02-28T00:00:00Z",
        "commitmentEndDateTime": "2026-02-28T23:59:59Z",
        "status": "active",
        "autoRenewEnabled": True,
        "isTrial": False,
        "billingType": "license",
        "billingCycle": "monthly",
        "termDuration": "P1Y",
        "renewalTermDuration": "",
        "refundOptions": [{"type": "Full", "expiresAt": "2025-03-02T00:00:00Z"}],
        "isMicrosoftProduct": True,
        "partnerId": "",
        "attentionNeeded": False,
        "actionTaken": False,
        "contractType": "subscription",
        "links": links,
        "publisherName": "Microsoft Corporation",
        "orderId": f"{owner:06x}{number:06x}",
        "attributes": {"objectType": "Subscription"},
    }


def provisioning(number: int) -> dict[str, Any]:
    return {
        "skuId": guid(PRODUCT, 0, number % SKUS).upper(),
        "status": "success",
        "quantity": 5,
        "endDate": "2026-02-28T00:00:00Z",
        "attributes": {"objectType": "SubscriptionProvisioningStatus"},
    }


def collection(items: list[dict[str, Any]], path: str, next_page: int = 0) -> dict[str, Any]:
    links: dict[str, Any] = {"self": link(path)}
    if next_page:
        header = {"key": "MS-ContinuationToken", "value": str(next_page)}
        links["next"] = {"uri": f"{path}?seekOperation=Next", "method": "GET", "headers": [header]}
    return {"totalCount": len(items), "items": items, "links": links, "attributes": {"objectType": "Collection"}}


def page(make: Any, total: int, token: str, path: str) -> dict[str, Any]:
    start = int(token or 0)
    end = min(start + PAGE, total)
    return collection([make(number) for number in range(start, end)], path, end if end < total else 0)


def number_of(text: str) -> tuple[int, int]:
    """Owner and number in an id, whatever its kind."""
    parts = text.split("-")
    return int(parts[1], 16), int(parts[4], 16)


def found(path: str, query: str, token: str) -> Any:
    """What the stand-in answers; None for what it does not know."""
    match path.removeprefix("/v1").strip("/").split("/"):
        case ["customers"]:
            return page(tenant, StandIn.tenants, token, path)
        case ["customers", one]:
            return tenant(number_of(one)[0])
        case ["customers", one, "users"]:
            owner = number_of(one)[0]
            total = GIANT_USERS if owner == GIANT else USERS
            # The only filter that a gateway uses here asks for deleted people: there are none.
            return page(lambda number: user(owner, number), 0 if "filter=" in query else total, token, path)
        case ["customers", one, "subscribedskus"]:
            return collection([subscribed_sku(number_of(one)[0], number) for number in range(SKUS)], path)
        case ["customers", one, "subscriptions"]:
            return collection([subscription(number_of(one)[0], number) for number in range(SUBSCRIPTIONS)], path)
        case ["customers", _, "subscriptions", one, "provisioningstatus"]:
            return provisioning(number_of(one)[1])
        case ["customers", _, "users", one]:
            return user(*number_of(one))
        case ["customers", _, "users", one, "licenses"]:
            owner, number = number_of(one)
            return collection([product((owner + number + k) % SKUS) for k in range((owner + number) % 4)], path)
    return None


@cache
def answer(path: str, query: str, token: str) -> bytes:
    body = found(path, query, token)
    return response(404, {"code": 404, "description": "not found"}) if body is None else response(200, body)


def response(status: int, body: Any) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class StandIn(asyncio.Protocol):
    """One connection. Nobody here sends a second request before the first is answered."""

    calls = 0
    tenants = TENANTS
    latency_seconds = 0.0
    jwks = b""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        method, target, _ = head.decode("latin-1").split(" ", 2)
        headers = head.lower()
        if len(rest) < int(_header(headers, b"content-length") or 0):
            return
        self._received = b""
        url = urlsplit(target)
        if url.path.startswith("/__"):
            self._transport.write(self._control(url.path, url.query))
        elif method == "POST":
            self._transport.write(response(200, TOKEN))
        else:
            StandIn.calls += 1
            content = answer(url.path, url.query, _header(headers, b"ms-continuationtoken"))
            if self.latency_seconds:
                asyncio.get_running_loop().call_later(self.latency_seconds, self._transport.write, content)
            else:
                self._transport.write(content)

    def _control(self, path: str, query: str) -> bytes:
        if path == "/__jwks":
            return response(200, json.loads(self.jwks))
        if path == "/__config":
            StandIn.latency_seconds = float(parse_qs(query)["latency_ms"][0]) / 1000
        return response(200, {"calls": self.calls})


def _header(headers: bytes, name: bytes) -> str:
    _, found, rest = headers.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip().decode() if found else ""


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(StandIn, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    StandIn.jwks = Path(sys.argv[2]).read_bytes()
    StandIn.tenants = int(sys.argv[3]) if len(sys.argv) > 3 else TENANTS
    uvloop.run(serve(int(sys.argv[1])))
