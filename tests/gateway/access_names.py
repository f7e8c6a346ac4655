"""The names of things in the sandbox's tenants: a caller's own, another's, and of things that nobody has."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from sandbox.world import Customer, World
from services.global_ids import encode_id

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OPAQUE = re.compile(r"[A-Za-z0-9_-]{24,}")


@dataclass(frozen=True)
class Names:
    """What a caller can name of one tenant and of one user in it."""

    tenant: str
    company: str
    default_domain: str
    domain: str
    user: str
    sign_in_name: str
    deleted_user: str
    sku: str
    plan: str
    role: str
    subscription: str
    job: str
    idempotency_key: str
    version: str = "0" * 16
    place: str = "999999"
    """Far down in a log or in the results of a job."""

    def id(self, kind: str, *, tenant: str | None = None) -> str:
        """The global id of the thing of this kind, or the same thing of another tenant."""
        if kind == "Job":
            return encode_id("Job", self.job)
        names = {
            "Tenant": "",
            "User": self.user,
            "DirectoryRole": self.role,
            "SubscribedSku": self.sku,
            "MicrosoftSubscription": self.subscription,
        }
        return encode_id(kind, tenant or self.tenant, names[kind])

    @property
    def deleted(self) -> str:
        return encode_id("User", self.tenant, self.deleted_user)

    def cursor(self, order: str, key: str, id: str) -> str:
        """A cursor as the gateway would write it at that place."""
        text = json.dumps([order, key, id], separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    def hidden_in(self, text: str) -> str:
        """The text with everything that these names say replaced, inside of global ids and cursors, too."""

        def told(found: re.Match[str]) -> str:
            plain = _decoded(found[0])
            return found[0] if plain is None else f"<{self._hidden(plain)}>"

        return self._hidden(OPAQUE.sub(told, text))

    def _hidden(self, text: str) -> str:
        said = {value: name for name, value in vars(self).items() if name != "role"}  # a role is the same everywhere
        for value in sorted(said, key=len, reverse=True):
            for form in (value, quote(value, safe=""), quote(value)):
                text = text.replace(form, f"<{said[value]}>")
        return text


def names_of(customer: Customer, sku: str, unlike: Customer | None = None) -> Names:
    """The names of a tenant: of its first user without a role, that product, and a service plan of it that the other
    tenant has not."""
    user = next(each for each in customer.users.values() if not each.roles and each.deleted_at is None)
    deleted = next((each.id for each in customer.users.values() if each.deleted_at is not None), user.id)
    known = {plan.id for holding in unlike.holdings.values() for plan in holding.product.plans} if unlike else set()
    product = customer.holdings[sku].product
    return Names(
        tenant=customer.id,
        company=customer.company_name,
        default_domain=customer.initial_domain,
        domain=customer.custom_domains[-1],
        user=user.id,
        sign_in_name=user.user_principal_name,
        deleted_user=deleted,
        sku=sku,
        plan=next(plan.id for plan in product.plans if plan.id not in known),
        role="62e90394-69f5-4237-9190-012177145e10",
        subscription=next(iter(customer.subscriptions)),
        job=guid("job", customer.id),
        idempotency_key=f"key of {customer.company_name}",
    )


def missing_like(names: Names) -> Names:
    """Names of nothing, each as long as the other's."""
    default_domain, domain = (f"{'q' * len(stem)}.{rest}" for stem, _, rest in _parted(names))
    return Names(
        tenant=guid("tenant"),
        company="q" * len(names.company),
        default_domain=default_domain,
        domain=domain,
        user=guid("user"),
        sign_in_name=f"{'q' * len(names.sign_in_name.partition('@')[0])}@{default_domain}",
        deleted_user=guid("user") if names.deleted_user == names.user else guid("deleted"),
        sku=guid("sku"),
        plan=guid("plan"),
        role=names.role,
        subscription=guid("subscription"),
        job=guid("job"),
        idempotency_key="q" * len(names.idempotency_key),
        version="f" * len(names.version),
        place="999998",
    )


def _parted(names: Names) -> list[tuple[str, str, str]]:
    return [domain.partition(".") for domain in (names.default_domain, names.domain)]


def guid(*parts: str) -> str:
    return str(uuid5(NAMESPACE_URL, "/".join(("nothing", *parts))))


class Others:
    """What only tenants other than these have, and how it is found in an answer."""

    def __init__(self, world: World, own: Iterable[str]) -> None:
        mine = [each for each in world.customers.values() if each.id in set(own)]
        others = [each for each in world.customers.values() if each.id not in set(own)]
        known = {word for each in mine for word in _words(each)}
        self._ids = {id for each in others for id in _ids(each)} - {id for each in mine for id in _ids(each)}
        self._words = {word for each in others for word in _words(each) if not any(word in one for one in known)}

    def seen_in(self, text: str) -> set[str]:
        """What of it stands in the text, also inside of global ids and cursors."""
        whole = "\n".join([text, *(_decoded(part) or "" for part in OPAQUE.findall(text))]).lower()
        return (set(GUID.findall(whole)) & self._ids) | {word for word in self._words if word in whole}


def _ids(customer: Customer) -> set[str]:
    return {customer.id, *customer.users, *(each.lower() for each in customer.subscriptions)}


def _words(customer: Customer) -> set[str]:
    words = {customer.company_name, *customer.custom_domains, customer.initial_domain}
    words |= {user.user_principal_name for user in list(customer.users.values())[:50]}
    return {word.lower() for word in words}


def _decoded(part: str) -> str | None:
    try:
        plain = urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("utf-8")
    except ValueError:
        return None
    return plain if plain.isprintable() else None
