"""One request to Partner Center, ready to be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sandbox import refusals
from sandbox.members import Members
from sandbox.state import SandboxState
from sandbox.tokens import Principal
from sandbox.wire import Answer, is_guid
from sandbox.world import Customer, Subscription, User


def _no_customer() -> Customer:
    return Customer("", "", "", "")


class Query:
    """Query parameters, by name without regard to case."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, value in self.pairs if key.lower() == wanted]

    def first(self, *names: str) -> str | None:
        for name in names:
            values = self.all(name)
            if values:
                return values[0]
        return None

    def integer(self, name: str) -> int:
        """0 when absent, which means the same on this wire. Refuses (800002) what is no whole number."""
        text = (self.first(name) or "0").strip()
        if not (text.isascii() and text.isdigit()):
            raise refusals.invalid_input(f"{name} must be a whole number.")
        return int(text)


@dataclass(slots=True)
class Ask:
    state: SandboxState
    method: str
    path: str
    """Below /v1, as sent but without doubled and trailing slashes."""
    query: Query
    headers: Mapping[str, str]
    """By lower-case name."""
    content: bytes
    principal: Principal
    params: dict[str, str] = field(default_factory=dict)
    customer: Customer = field(default_factory=_no_customer)
    """Set for every path below a customer; its id is empty elsewhere."""
    correlation_id: str = ""

    def members(self) -> Members:
        return Members.parse(self.content)

    def guid(self, param: str, name: str) -> str:
        value = self.params[param].lower()
        if not is_guid(value):
            raise refusals.not_a_guid(name)
        return value

    def user(self, *, deleted: bool = False) -> User:
        """The user that the path names; a deleted one only when asked for."""
        return self.user_by_id(self.guid("user_id", "User Id"), deleted=deleted)

    def user_by_id(self, user_id: str, *, deleted: bool = False) -> User:
        user = self.customer.users.get(user_id)
        if user is None or (user.deleted_at is not None and not deleted):
            raise refusals.unknown_user()
        return user

    def subscription(self) -> Subscription:
        subscription_id = self.guid("subscription_id", "Subscription Id")
        subscription = self.customer.subscriptions.get(subscription_id)
        if subscription is None:
            raise refusals.unknown_subscription(self.params["subscription_id"])
        return subscription


Handler = Callable[[Ask], Answer]

DIRECTORY_READER = "Directory Readers"
DIRECTORY_WRITER = "Directory Writers"
GLOBAL_READER = "Global Reader"
GLOBAL_ADMINISTRATOR = "Global Administrator"
USER_ADMINISTRATOR = "User Administrator"
LICENSE_ADMINISTRATOR = "License Administrator"
DOMAIN_NAME_ADMINISTRATOR = "Domain Name Administrator"
PRIVILEGED_ROLE_ADMINISTRATOR = "Privileged Role Administrator"
PRIVILEGED_AUTHENTICATION_ADMINISTRATOR = "Privileged Authentication Administrator"


@dataclass(frozen=True, slots=True)
class Operation:
    """A path with a method, who may call it, and what answers.

    `application`: whether an app-only token may call it. `roles`: directory roles of which the partner needs
    one in the customer's tenant; empty when none is needed. A global administrator may do all. Source: the
    "Credentials" and GDAP notes of the operation pages, learn.microsoft.com/partner-center/developer.
    """

    method: Literal["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]
    template: str
    handler: Handler
    application: bool = False
    roles: tuple[str, ...] = ()
    throttled: bool = False

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.template.strip("/").split("/"))


def has_any_role(customer: Customer, roles: tuple[str, ...]) -> bool:
    """Whether the partner was granted one of these roles in the customer's tenant."""
    granted = customer.granted_roles
    if granted is None or not roles:
        return True
    return GLOBAL_ADMINISTRATOR in granted or not granted.isdisjoint(roles)
