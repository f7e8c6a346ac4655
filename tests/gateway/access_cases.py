"""A request for every argument and input field by which something can be named.

Each is asked with names of the caller's own, of another tenant's and of nothing. `CASES` has to name every
place of the schema that takes an id, a GUID or a text: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, get_named_type

from services.global_ids import encode_id
from tests.gateway.access_names import Names

NAMING_TYPES = frozenset({"ID", "UUID", "String"})
"""What can name something. Numbers, enumerations, countries and times cannot."""

NAMES_NOTHING = {
    "AssignLicenseInput.disabledServicePlanIds": "service plans belong to a product; tried with it",
    "CreateUserInput.username": "the name of somebody new; whoever has it is in the same tenant",
    "CreateUserInput.displayName": "a text to keep",
    "CreateUserInput.firstName": "a text to keep",
    "CreateUserInput.lastName": "a text to keep",
    "UpdateUserInput.displayName": "a text to keep",
    "UpdateUserInput.firstName": "a text to keep",
    "UpdateUserInput.lastName": "a text to keep",
    "CreateUserInput.roleIds": "role templates, the same in every tenant",
    "UpdateUserInput.roleIds": "role templates, the same in every tenant",
    "UserFilter.roleIds": "role templates, the same in every tenant",
    "PasswordInput.value": "a secret to set",
}
"""Places of the same types that name nothing of a tenant, and why."""

Variables = Callable[[Names, Names], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One request. `variables` gets the caller's own names and those that are tried.

    `tells` is False where even one's own name changes nothing in the answer. `shared_when_warm` names the callers who
    can see in the figures of an answer that somebody else has asked the same a short while ago.
    """

    takes: str
    query: str
    variables: Variables
    note: str = ""
    tells: bool = True
    shared_when_warm: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.takes} {self.note}".strip()


USERS = "{ totalCount nodes { id userPrincipalName } coverage { asked answered failed { code } } }"
ERRORS = """userErrors { __typename code message field retryable
  ... on StaleVersionError { current { id displayName } } ... on NameTakenError { holder { id } suggestions } }"""
NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"
USER_BY = "query ($tenant: UUID!, $by: UserBy!) { tenant(by: {microsoftId: $tenant}) { user(by: $by) { id } } }"
TENANT_BY = """query ($by: TenantBy!) { tenant(by: $by) { id name domains roles { id } subscribedSkus { id }
  users { totalCount } auditLog { totalCount } } }"""
FILTERED = f"query ($filter: UserFilter!) {{ users(filter: $filter, first: 3) {USERS} }}"
BEHIND = "query ($tenant: UUID!, $after: String!) { tenant(by: {microsoftId: $tenant}) { %s } }"
KINDS = ("Tenant", "User", "DirectoryRole", "SubscribedSku", "MicrosoftSubscription", "Job")
BULK = f"""mutation ($input: UpdateLicensesInBulkInput!) {{ updateLicensesInBulk(input: $input) {{ {ERRORS}
  preview {{ userCount effects {{ change sku {{ id }} }} blockers {{ code message field }} }} }} }}"""
CANCEL = f"mutation ($input: CancelJobInput!) {{ cancelJob(input: $input) {{ job {{ total }} {ERRORS} }} }}"
PROGRESS = "subscription ($id: ID!) { jobProgress(id: $id) { state total results { nodes { user { id } } } } }"
NAME_ORDER, USER_ORDER = "tenants NAME ASC", "users DISPLAY_NAME ASC"
UNITS_ORDER = "subscribed SKUs by available units"


def change(name: str, shown: str = "") -> str:
    input_type = f"{name[0].upper()}{name[1:]}Input"
    return f"mutation ($input: {input_type}!) {{ {name}(input: $input) {{ user {{ id }} {shown} {ERRORS} }} }}"


def given(**fields: Any) -> dict[str, Any]:
    return {"input": fields}


def create(own: Names, **fields: Any) -> dict[str, Any]:
    whole = {
        "tenantId": own.id("Tenant"),
        "username": "ada.lovelace",
        "domain": own.domain,
        "displayName": "Ada Lovelace",
        "usageLocation": "GB",
        "password": {},
        "sendPasswordTo": ["ada@example.com"],
        "dryRun": True,
    }
    return {"input": whole | fields}


def _nodes() -> list[Case]:
    # Besides, something of another tenant under the caller's own, and something of its own under another tenant.
    own_users: Variables = lambda own, tried: {"id": encode_id("User", tried.tenant, own.user)}  # noqa: E731
    return [
        *(_node(kind) for kind in KINDS),
        *(_node_in_own_tenant(kind) for kind in ("User", "SubscribedSku", "MicrosoftSubscription")),
        Case("Query.node(id)", NODE, own_users, "own user"),
    ]


def _node(kind: str) -> Case:
    return Case("Query.node(id)", NODE, lambda own, tried: {"id": tried.id(kind)}, kind)


def _node_in_own_tenant(kind: str) -> Case:
    place = f"own tenant's {kind}"
    return Case("Query.node(id)", NODE, lambda own, tried: {"id": tried.id(kind, tenant=own.tenant)}, place)


def _keyed(mutation: str, **more: Any) -> Case:
    def variables(own: Names, tried: Names) -> dict[str, Any]:
        return given(id=tried.id("User"), idempotencyKey=tried.idempotency_key, dryRun=tried is own, **more)

    takes = f"{mutation[0].upper()}{mutation[1:]}Input.idempotencyKey"
    return Case(takes, change(mutation), variables, tells=False)


CASES = [
    *_nodes(),
    Case(
        "Query.nodes(ids)",
        "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }",
        lambda own, tried: {"ids": [tried.id(kind) for kind in KINDS] + [tried.deleted]},
    ),
    Case("TenantBy.id", TENANT_BY, lambda own, tried: {"by": {"id": tried.id("Tenant")}}),
    Case("TenantBy.microsoftId", TENANT_BY, lambda own, tried: {"by": {"microsoftId": tried.tenant}}),
    Case(
        "TenantBy.microsoftId",
        "query ($by: TenantBy!) { tenant(by: $by) { users { totalCount } user(by: {microsoftId: "
        '"00000000-0000-4000-8000-000000000000"}) { id } } }',
        lambda own, tried: {"by": {"microsoftId": tried.tenant.upper()}},
        "without its record",
    ),
    Case(
        "TenantBy.domain",
        TENANT_BY,
        lambda own, tried: {"by": {"domain": tried.domain}},
        # Partner Center is asked who has the domain, and that answer is kept for everybody.
        shared_when_warm=("reseller", "other reseller"),
    ),
    Case("TenantBy.domain", TENANT_BY, lambda own, tried: {"by": {"domain": tried.default_domain}}, "by default"),
    Case("UserBy.microsoftId", USER_BY, lambda own, tried: {"tenant": own.tenant, "by": {"microsoftId": tried.user}}),
    Case(
        "UserBy.userPrincipalName",
        USER_BY,
        lambda own, tried: {"tenant": own.tenant, "by": {"userPrincipalName": tried.sign_in_name}},
    ),
    Case(
        "TenantScope.ids",
        f"query ($scope: TenantScope!) {{ users(scope: $scope, first: 3) {USERS} }}",
        lambda own, tried: {"scope": {"ids": [tried.id("Tenant")]}},
        "of users",
    ),
    Case(
        "TenantScope.ids",
        """query ($scope: TenantScope!) { portfolio(scope: $scope) { coverage { asked }
           lines { skuId tenantCount subscribedSkus { nodes { id } } } } }""",
        lambda own, tried: {"scope": {"ids": [own.id("Tenant"), tried.id("Tenant")]}},
        "of the portfolio",
        tells=False,
    ),
    Case("UserFilter.search", FILTERED, lambda own, tried: {"filter": {"search": tried.sign_in_name}}),
    Case(
        "UserFilter.licensedFor",
        BEHIND.replace("$after: String!", "$filter: UserFilter!") % f"users(filter: $filter, first: 3) {USERS}",
        lambda own, tried: {"tenant": own.tenant, "filter": {"licensedFor": [tried.sku]}},
    ),
    Case(
        "Query.tenants(search)",
        "query ($text: String!) { tenants(search: $text) { totalCount nodes { id name } } }",
        lambda own, tried: {"text": tried.company},
    ),
    Case(
        "Query.tenants(after)",
        "query ($after: String!) { tenants(after: $after) { totalCount nodes { id } pageInfo { hasPreviousPage } } }",
        lambda own, tried: {"after": tried.cursor(NAME_ORDER, "f", tried.tenant)},
        tells=False,
    ),
    Case(
        "Query.users(after)",
        f"query ($after: String!) {{ users(after: $after, first: 3) {USERS} }}",
        lambda own, tried: {"after": tried.cursor(USER_ORDER, "eva", tried.user)},
        tells=False,
    ),
    Case(
        "Tenant.users(after)",
        BEHIND % f"users(after: $after, first: 3) {USERS}",
        lambda own, tried: {"tenant": own.tenant, "after": tried.cursor(USER_ORDER, "eva", tried.user)},
        tells=False,
    ),
    Case(
        "Tenant.auditLog(after)",
        BEHIND % "auditLog(after: $after) { totalCount nodes { actor action changes } }",
        lambda own, tried: {"tenant": own.tenant, "after": tried.place},
        tells=False,
    ),
    Case(
        "SubscribedSku.holders(after)",
        "query ($id: ID!, $after: String!) { node(id: $id) { ... on SubscribedSku { holders(after: $after) "
        "{ totalCount nodes { id } } } } }",
        lambda own, tried: {"id": own.id("SubscribedSku"), "after": tried.cursor(USER_ORDER, "eva", tried.user)},
        tells=False,
    ),
    Case(
        "PortfolioLine.subscribedSkus(after)",
        "query ($after: String!) { portfolio { lines { skuId subscribedSkus(after: $after) { nodes { id } } } } }",
        lambda own, tried: {"after": tried.cursor(UNITS_ORDER, "00999999999995", tried.tenant)},
        tells=False,
    ),
    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────
    Case("CreateUserInput.tenantId", change("createUser"), lambda own, tried: create(own, tenantId=tried.id("Tenant"))),
    Case("CreateUserInput.domain", change("createUser"), lambda own, tried: create(own, domain=tried.domain)),
    Case(
        "AssignLicenseInput.skuId",
        change("createUser"),
        lambda own, tried: create(own, licenses=[{"skuId": tried.sku, "disabledServicePlanIds": [tried.plan]}]),
        "of createUser",
    ),
    Case(
        "AssignLicenseInput.skuId",
        change("updateUserLicenses"),
        lambda own, tried: given(
            userId=own.id("User"),
            dryRun=True,
            assign=[{"skuId": tried.sku, "disabledServicePlanIds": [tried.plan]}],
        ),
    ),
    Case(
        "AssignLicenseInput.skuId",
        change("updateUserLicenses"),
        lambda own, tried: given(
            userId=own.id("User"), dryRun=True, assign=[{"skuId": own.sku, "disabledServicePlanIds": [tried.plan]}]
        ),
        "with its service plan",
    ),
    Case(
        "UpdateUserLicensesInput.remove",
        change("updateUserLicenses", "effects { change sku { id } }"),
        lambda own, tried: given(userId=own.id("User"), remove=[tried.sku], dryRun=True),
    ),
    Case(
        "UpdateUserLicensesInput.userId",
        change("updateUserLicenses"),
        lambda own, tried: given(userId=tried.id("User"), remove=[tried.sku], dryRun=tried is own),
    ),
    Case(
        "UpdateUserLicensesInput.userId",
        change("updateUserLicenses"),
        lambda own, tried: given(userId=tried.id("User", tenant=own.tenant), assign=[{"skuId": own.sku}], dryRun=True),
        "in the own tenant",
    ),
    Case(
        "UpdateUserInput.id",
        change("updateUser", "changedFields"),
        lambda own, tried: given(id=tried.id("User"), firstName="Ada", dryRun=tried is own),
    ),
    Case(
        "UpdateUserInput.id",
        change("updateUser", "changedFields"),
        lambda own, tried: given(id=tried.id("User", tenant=own.tenant), firstName="Ada", dryRun=tried is own),
        "in the own tenant",
    ),
    Case(
        "UpdateUserInput.expectedVersion",
        change("updateUser", "changedFields"),
        lambda own, tried: given(id=own.id("User"), firstName="Ada", expectedVersion=tried.version, dryRun=True),
    ),
    Case(
        "DeleteUserInput.id", change("deleteUser"), lambda own, tried: given(id=tried.id("User"), dryRun=tried is own)
    ),
    Case("RestoreUserInput.id", change("restoreUser"), lambda own, tried: given(id=tried.deleted, dryRun=tried is own)),
    Case(
        "ResetUserPasswordInput.id",
        change("resetUserPassword", "delivery { status }"),
        lambda own, tried: given(id=tried.id("User"), password={}, dryRun=tried is own),
    ),
    *(_keyed(mutation) for mutation in ("updateUser", "deleteUser", "restoreUser")),
    _keyed("resetUserPassword", password={}),
    Case(
        "BulkUsersInput.ids",
        BULK,
        lambda own, tried: given(
            users={"ids": [own.id("User"), tried.id("User")]}, remove=[own.sku], dryRun=tried is own
        ),
    ),
    Case(
        "BulkUsersInput.ids",
        BULK,
        lambda own, tried: given(users={"ids": [tried.id("User", tenant=own.tenant)]}, remove=[own.sku], dryRun=True),
        "in the own tenant",
    ),
    Case(
        "TenantScope.ids",
        BULK,
        lambda own, tried: given(
            users={"matching": {"scope": {"ids": [tried.id("Tenant")]}, "filter": {"search": "alex"}}},
            remove=[own.sku],
            dryRun=tried is own,
        ),
        "of a change of many",
    ),
    Case(
        "UpdateLicensesInBulkInput.remove",
        BULK,
        lambda own, tried: given(users={"ids": [own.id("User")]}, remove=[tried.sku], dryRun=True),
    ),
    Case(
        "AssignLicenseInput.skuId",
        BULK,
        lambda own, tried: given(
            users={"ids": [own.id("User")]},
            assign=[{"skuId": tried.sku, "disabledServicePlanIds": [tried.plan]}],
            dryRun=True,
        ),
        "of a change of many",
    ),
    Case(
        "UpdateLicensesInBulkInput.idempotencyKey",
        BULK,
        lambda own, tried: given(
            users={"ids": [tried.id("User")]},
            remove=[own.sku],
            idempotencyKey=tried.idempotency_key,
            dryRun=tried is own,
        ),
        tells=False,
    ),
    Case("CancelJobInput.id", CANCEL, lambda own, tried: given(id=tried.id("Job"))),
    Case(
        "Job.results(after)",
        "query ($id: ID!, $after: String!) { node(id: $id) { ... on Job { results(after: $after) "
        "{ totalCount nodes { user { id } } } } } }",
        lambda own, tried: {"id": own.id("Job"), "after": tried.place},
        tells=False,
    ),
    Case("Subscription.jobProgress(id)", PROGRESS, lambda own, tried: {"id": tried.id("Job")}),
    Case(
        "UpdateUserInput.idempotencyKey",
        change("updateUser", "changedFields"),
        lambda own, tried: given(id=own.id("User"), idempotencyKey=tried.idempotency_key),
        "for an own user",
        tells=False,
    ),
    Case(
        "UpdateUserLicensesInput.idempotencyKey",
        change("updateUserLicenses"),
        lambda own, tried: given(userId=own.id("User"), idempotencyKey=tried.idempotency_key),
        tells=False,
    ),
    Case(
        "CreateUserInput.idempotencyKey",
        change("createUser"),
        lambda own, tried: create(own, tenantId=tried.id("Tenant"), idempotencyKey=tried.idempotency_key),
        tells=False,
    ),
]


def naming_places(schema: GraphQLSchema) -> set[str]:
    """Every argument, as `Type.field(argument)`, and input field, as `Type.field`, whose value can name something."""
    found = set()
    for kind in schema.type_map.values():
        if kind.name.startswith("__"):
            continue
        if isinstance(kind, GraphQLObjectType):
            for field_name, field in kind.fields.items():
                for name, argument in field.args.items():
                    if get_named_type(argument.type).name in NAMING_TYPES:
                        found.add(f"{kind.name}.{field_name}({name})")
        elif isinstance(kind, GraphQLInputObjectType):
            for name, member in kind.fields.items():
                if get_named_type(member.type).name in NAMING_TYPES:
                    found.add(f"{kind.name}.{name}")
    return found
