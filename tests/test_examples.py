"""The examples run, answer what they are said to answer, and together show the whole schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    parse,
    print_ast,
    type_from_ast,
    validate,
    visit,
)

from gateway.graphiql_page import load_examples
from tests.gateway_client import Gateway, gateway, sandbox  # noqa: F401 (fixtures)

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.graphql"))
SCHEMA = build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))

E3, POWER_BI = "Office 365 E3", "Power BI Pro"
SALES, EMS = "Dynamics 365 for Sales Enterprise Edition", "Enterprise Mobility + Security E3"

JOB = json.loads((ROOT / "examples" / "27-cancel-a-job.variables.json").read_text(encoding="utf-8"))["input"]["id"]
"""The job that an example begins, and others speak of."""
BEGINS_IT, FOLLOWS_IT = "24-bulk-change", "26-follow-a-job"

FACTS: dict[str, dict[str, object]] = {
    "01-contoso": {
        "tenant.users.totalCount": 32,
        "tenant.users.nodes.0.displayName": "Adele Vance",
        "tenant.users.nodes.0.licenses.*.sku.productName": [E3, POWER_BI],
        "tenant.users.nodes.0.licenses.*.sku.availableUnits": [5, 0],
        "tenant.users.nodes.0.licenses.0.sku.subscriptions.*.commerce": ["NEW_COMMERCE", "LEGACY"],
        "tenant.users.nodes.0.licenses.0.sku.subscriptions.*.quantity": [10, 15],
        "tenant.users.nodes.7.status": "DELETED",
    },
    "02-users-page": {
        "tenant.access": {"status": "FULL", "missingRoles": []},
        "tenant.users.totalCount": 32,
        "tenant.users.pageInfo.hasNextPage": True,
        "tenant.users.edges.*.node.displayName": [
            "Adele Vance",
            "Alex Wilber",
            "Allan Deyoung",
            "Brian Johnson",
            "Christie Cline",
            "Debra Berger",
            "Diego Siciliani",
            "Enrico Cattaneo",
            "Grady Archie",
            "Henrietta Mueller",
        ],
        "tenant.users.edges.*.node.assignedLicenseCount": [2, 2, 0, 0, 0, 0, 2, 0, 1, 2],
        "tenant.users.edges.5.node.usageLocation": None,
        "tenant.users.edges.7.node.deletion.daysLeft": 28,
        "tenant.users.edges.7.node.actions.*.allowed": [False, False, False, False, True],
        "tenant.users.edges.8.node.roles": [{"name": "Helpdesk Administrator", "privileged": True}],
        "tenant.users.coverage.asked": 1,
        "tenant.users.coverage.failed": [],
    },
    "03-manage-licenses": {
        "tenant.user.displayName": "Nestor Wilke",
        "tenant.user.licenseOptions.*.sku.productName": [SALES, EMS, E3, POWER_BI, "Visio Plan 2"],
        "tenant.user.licenseOptions.*.assigned": [False, True, True, False, False],
        "tenant.user.licenseOptions.*.changeable": [True, True, True, False, True],
        "tenant.user.licenseOptions.3.blockers.*.code": ["NONE_AVAILABLE"],
    },
    "04-new-user-form": {
        "tenant.domains": ["contoso.onmicrosoft.com", "contoso.com"],
        "tenant.country": "US",
        "tenant.roles.1": {
            "id": (
                "RGlyZWN0b3J5Um9sZTpiMTQ0MDBkMC1mNTZhLTU5NjEtYmM4NC00NTk2YzMwNjc4NWQ6"
                "NjJlOTAzOTQtNjlmNS00MjM3LTkxOTAtMDEyMTc3MTQ1ZTEw"
            ),
            "microsoftId": "62e90394-69f5-4237-9190-012177145e10",
            "name": "Company Administrator",
            "privileged": True,
        },
        "tenant.subscribedSkus.*.productName": [SALES, EMS, E3, "Visio Plan 2"],
        "tenant.subscribedSkus.*.availableUnits": [2, 4, 5, 2],
    },
    "05-licenses-list": {
        "tenant.subscribedSkus.*.productName": [SALES, EMS, E3, POWER_BI, "Visio Plan 2"],
        "tenant.subscribedSkus.*.productType": ["DYNAMICS", *["CLOUD_SERVICES"] * 4],
        "tenant.subscribedSkus.*.activeUnits": [6, 8, 25, 5, 4],
        "tenant.subscribedSkus.*.consumedUnits": [4, 6, 20, 5, 2],
        "tenant.subscribedSkus.*.availableUnits": [2, 4, 5, 0, 2],
        "tenant.subscribedSkus.*.suspendedUnits": [0, 3, 0, 0, 0],
        "tenant.subscribedSkus.*.warningUnits": [0, 2, 0, 0, 0],
        "tenant.heldAsAWhole": [{"productName": "Common Data Service Database Capacity", "activeUnits": 3}],
        "litware.overAssigned": [
            {
                "productName": "Microsoft 365 Business Basic",
                "activeUnits": 4,
                "consumedUnits": 6,
                "availableUnits": -2,
            }
        ],
    },
    "06-tenants": {
        "tenants.totalCount": 13,
        "tenants.nodes.0.name": "Adatum Corporation",
        "tenants.nodes.0.access.status": "NONE",
        "tenants.nodes.3.name": "Contoso",
        "found.totalCount": 2,
        "found.edges.*.node.name": ["Wingtip Toys", "Tailspin Toys"],
        "found.edges.*.node.country": ["NL", "US"],
        "found.pageInfo.hasNextPage": False,
    },
    "07-subscription-tooltip": {
        "tenant.subscribedSkus.*.productName": [EMS, E3, POWER_BI, "Visio Plan 2"],
        "tenant.subscribedSkus.1.subscriptions.*.offerName": [E3, "Office 365 Enterprise E3"],
        "tenant.subscribedSkus.1.subscriptions.*.quantity": [10, 15],
        "tenant.subscribedSkus.1.subscriptions.1.cancellableUntil": None,
        "tenant.subscribedSkus.3.subscriptions": [],
    },
    "08-users-search": {
        "tenant.named.nodes.*.displayName": ["Zoë Ångström"],
        "tenant.holders.totalCount": 2,
        "tenant.holders.nodes.*.displayName": ["Johanna Lorenz", "Lee Gu"],
        "tenant.administrators.nodes.*.displayName": ["Megan Bowen", "Grady Archie"],
        "tenant.withoutLicense.nodes.*.displayName": ["Raúl Razo", "Ελένη Παπαδοπούλου"],
        "tenant.lastChance.nodes": [{"displayName": "Irvin Sayers", "deletion": {"daysLeft": 0}}],
    },
    "09-one-user": {
        "tenant.user.firstName": "Diego",
        "tenant.user.lastName": "Siciliani",
        "tenant.user.licenses.*.sku.productName": [EMS, E3],
        "tenant.user.licenses.*.disabledServicePlans.*.name": [["MFA_PREMIUM"], ["TEAMS1", "YAMMER_ENTERPRISE"]],
        "tenant.again.displayName": "Diego Siciliani",
    },
    "10-deleted-users": {
        "tenant.users.totalCount": 2,
        "tenant.users.nodes.*.displayName": ["Enrico Cattaneo", "Irvin Sayers"],
        "tenant.users.nodes.*.deletion.daysLeft": [28, 0],
        "tenant.users.nodes.0.actions.4": {"name": "RESTORE", "allowed": True, "reason": None},
        "tenant.users.nodes.0.actions.0": {"name": "EDIT", "allowed": False, "reason": "USER_DELETED"},
    },
    "11-who-holds": {
        "node.productName": POWER_BI,
        "node.tenant.name": "Contoso",
        "node.consumedUnits": 5,
        "node.holders.totalCount": 5,
        "node.holders.nodes.*.displayName": [
            "Adele Vance",
            "Alex Wilber",
            "Johanna Lorenz",
            "Lidia Holloway",
            "Miriam Graham",
        ],
    },
    "12-fetch-again": {
        "nodes.0.name": "Contoso",
        "nodes.1.displayName": "Adele Vance",
        "nodes.2.productName": POWER_BI,
        "nodes.3.name": "Company Administrator",
        "nodes.4.offerName": "Office 365 Enterprise E3",
        "nodes.5": None,
        "tenant.name": "Contoso",
        "same.name": "Contoso",
    },
    "13-who-am-i": {
        "viewer.name": "Demo partner",
        "viewer.kind": "PARTNER",
        "viewer.tenantCount": 13,
        "tenants.totalCount": 13,
        "tenants.nodes.3.name": "Contoso",
    },
    "14-assign-licenses": {
        "updateUserLicenses.user.licenses.*.sku.productName": [E3],
        "updateUserLicenses.user.licenses.0.disabledServicePlans": [{"name": "SWAY"}],
        "updateUserLicenses.effects.*.change": [1],
        "updateUserLicenses.effects.0.consumedUnitsAfter": 21,
        "updateUserLicenses.effects.0.predicted": False,
        "updateUserLicenses.userErrors": [],
    },
    "15-edit-user": {
        "updateUser.user.displayName": "Christie Cline-Moore",
        "updateUser.user.roles": [{"name": "Helpdesk Administrator"}],
        "updateUser.changedFields": ["lastName", "displayName", "usageLocation", "roleIds"],
        "updateUser.userErrors": [],
    },
    "16-create-user": {
        "createUser.user.userPrincipalName": "robin.kline@contoso.onmicrosoft.com",
        "createUser.user.licenses.*.sku.productName": [E3],
        "createUser.user.roles": [{"name": "Helpdesk Administrator"}],
        "createUser.delivery.*.status": ["FAILED"],
        "createUser.effects.*.availableUnitsAfter": [4],
        "createUser.userErrors": [],
    },
    "17-delete-user": {
        "deleteUser.user.status": "DELETED",
        "deleteUser.user.deletion.daysLeft": 29,
        "deleteUser.effects.*.change": [-1, -1, -1, -1, -1],
        "deleteUser.userErrors": [],
    },
    "18-restore-user": {
        "restoreUser.user.displayName": "Enrico Cattaneo",
        "restoreUser.user.status": "ACTIVE",
        "restoreUser.user.licenses.*.sku.productName": [EMS, E3],
        "restoreUser.effects.*.change": [1, 1],
        "restoreUser.userErrors": [],
    },
    "19-reset-password": {
        "resetUserPassword.temporaryPassword": None,
        "resetUserPassword.delivery.*.kind": ["NOTICE"],
        "resetUserPassword.userErrors": [],
    },
    "20-audit-log": {"tenant.auditLog.totalCount": 0, "tenant.auditLog.nodes": []},
    "21-find-anywhere": {
        "users.totalCount": 2,
        "users.nodes.*.tenant.name": ["Contoso", "Fabrikam"],
        "users.coverage.asked": 13,
        "users.coverage.answered": 12,
        "users.coverage.failed": [
            {"tenant": {"name": "Adatum Corporation"}, "code": "ACCESS_MISSING", "retryAfterSeconds": None}
        ],
    },
    "22-portfolio": {
        "portfolio.coverage": {"asked": 3, "answered": 3, "failed": []},
        "portfolio.lines.0.productName": EMS,
        "portfolio.lines.0.subscribedSkus.nodes": [{"availableUnits": 4, "tenant": {"name": "Contoso"}}],
    },
    "23-bulk-preview": {
        "updateLicensesInBulk.job": None,
        "updateLicensesInBulk.preview.userCount": 20,
        "updateLicensesInBulk.preview.effects.*.sku.productName": ["Visio Plan 2", E3],
        "updateLicensesInBulk.preview.effects.*.change": [2, -4],
        "updateLicensesInBulk.preview.effects.*.predicted": [True, True],
        "updateLicensesInBulk.preview.blockers.*.code": ["NONE_AVAILABLE"] * 16,
        "updateLicensesInBulk.userErrors": [],
    },
    "24-bulk-change": {
        "updateLicensesInBulk.job.id": JOB,
        "updateLicensesInBulk.job.total": 3,
        "updateLicensesInBulk.preview": None,
        "updateLicensesInBulk.userErrors": [],
    },
    "25-job-results": {
        "node.state": "PARTLY_FAILED",
        "node.done": 3,
        "node.failed": 1,
        "node.results.nodes.*.user.displayName": ["Adele Vance", "Alex Wilber", "Christie Cline"],
        "node.results.nodes.0.effects.*.change": [1, -1],
        "node.results.nodes.*.userErrors.*.code": [[], [], ["NONE_AVAILABLE"]],
    },
    "26-follow-a-job": {"jobProgress.state": "PARTLY_FAILED", "jobProgress.done": 3},
    "27-cancel-a-job": {"cancelJob.job.total": 3, "cancelJob.preview": None, "cancelJob.userErrors": []},
}
"""By example: what stands at a path of its answer. `*` gives a list with what the rest of the path says of each."""

named = pytest.mark.parametrize("example", EXAMPLES, ids=[file.stem for file in EXAMPLES])


def text_of(example: Path) -> str:
    return example.read_text(encoding="utf-8")


def variables_of(example: Path) -> dict[str, Any] | None:
    file = example.with_suffix(".variables.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def operation_of(example: Path) -> OperationDefinitionNode:
    [operation] = [each for each in parse(text_of(example)).definitions if isinstance(each, OperationDefinitionNode)]
    return operation


def at(answer: Any, path: str) -> Any:
    step, _, rest = path.partition(".")
    if step == "*":
        return [at(each, rest) for each in answer] if rest else answer
    inner = answer[int(step)] if isinstance(answer, list) else answer[step]
    return at(inner, rest) if rest else inner


def coordinates(schema: GraphQLSchema) -> set[str]:
    """Every field, argument and input field, such as `Query.tenants`, `Query.tenants(search:)`, `TenantBy.domain`."""
    found = set()
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field, definition in kind.fields.items():
                found |= {f"{name}.{field}", *(f"{name}.{field}({argument}:)" for argument in definition.args)}
        elif isinstance(kind, GraphQLInputObjectType):
            found |= {f"{name}.{field}" for field in kind.fields}
    return found


class Uses(Visitor):
    """Collects what a document asks for."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types = types
        self.found: set[str] = set()

    def enter_field(self, node, *_):
        # With fragments on an interface's types, the interface's own field is asked for through each of them, and
        # the interface's field is that of each of its types.
        parent = self.types.get_parent_type()
        kinds = [parent]
        if isinstance(parent, GraphQLInterfaceType):
            kinds += SCHEMA.get_possible_types(parent)
        self.found |= {f"{kind}.{node.name.value}" for kind in kinds}
        self.found |= {f"{parent}.{node.name.value}({argument.name.value}:)" for argument in node.arguments or ()}

    def enter_object_field(self, node, *_):
        self.found.add(f"{get_named_type(self.types.get_parent_input_type())}.{node.name.value}")


def uses_of_value(kind: Any, value: Any) -> set[str]:
    """Input fields named by a variable's value."""
    if isinstance(kind, GraphQLNonNull):
        return uses_of_value(kind.of_type, value)
    if isinstance(kind, GraphQLList):
        return {use for item in value or () for use in uses_of_value(kind.of_type, item)}
    if not isinstance(kind, GraphQLInputObjectType) or value is None:
        return set()
    inner = (uses_of_value(kind.fields[name].type, each) for name, each in value.items())
    return {f"{kind.name}.{name}" for name in value}.union(*inner)


def uses(example: Path) -> set[str]:
    document = parse(text_of(example))
    types = TypeInfo(SCHEMA)
    visitor = Uses(types)
    visit(document, TypeInfoVisitor(types, visitor))
    values = variables_of(example) or {}
    for variable in operation_of(example).variable_definitions or ():
        kind = type_from_ast(SCHEMA, variable.type)
        visitor.found |= uses_of_value(kind, values.get(variable.variable.name.value))
    return visitor.found


async def answer_of(example: Path, gateway: Gateway) -> dict[str, Any]:  # noqa: F811 (fixture)
    """Its data; of a subscription the last."""
    if operation_of(example).operation is not OperationType.SUBSCRIPTION:
        return await gateway.data(text_of(example), variables_of(example))
    body = {"query": text_of(example), "variables": variables_of(example)}
    answer = await gateway.http.post("/graphql", json=body, headers={"Accept": "text/event-stream"})
    events = [
        json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:") and line[5:].strip()
    ]
    assert all("errors" not in event for event in events), events
    last: dict[str, Any] = events[-1]["data"]
    return last


@named
async def test_an_example_answers_as_it_should(example, gateway):  # noqa: F811 (fixture)
    if JOB in json.dumps(variables_of(example)):
        others = {each.stem: each for each in EXAMPLES}
        await answer_of(others[BEGINS_IT], gateway)
        if example.stem == "25-job-results":
            await answer_of(others[FOLLOWS_IT], gateway)
    data = await answer_of(example, gateway)

    facts = FACTS[example.stem]
    assert {path: at(data, path) for path in facts} == facts


def test_every_example_has_facts():
    assert sorted(FACTS) == [example.stem for example in EXAMPLES]


def test_every_field_argument_and_input_field_stands_in_an_example():
    shown = set().union(*(uses(example) for example in EXAMPLES))

    missing = sorted(coordinates(SCHEMA) - shown)
    assert not missing, f"no example shows {', '.join(missing)}"


@named
def test_an_example_is_valid_and_holds_one_named_operation(example):
    assert validate(SCHEMA, parse(text_of(example))) == []
    assert operation_of(example).name is not None


@named
def test_an_example_begins_with_a_title_and_an_explanation_and_is_formatted(example):
    """The body is as graphql-core prints it, with nothing after it and no comment within."""
    lines = text_of(example).splitlines(keepends=True)
    head = [line for line in lines if line.startswith("#")]

    assert 2 <= len(head) <= 6
    assert len(head[0]) <= 50, "the title stands in a narrow list"
    assert max(len(line.rstrip("\n")) for line in head) <= 72, "the editor is narrow too, and does not wrap"
    body = "".join(lines[len(head) :])
    assert body == print_ast(parse(body)) + "\n"


@named
def test_an_example_has_a_variables_file_exactly_when_it_has_variables(example):
    names = [variable.variable.name.value for variable in operation_of(example).variable_definitions or ()]

    assert sorted(variables_of(example) or {}) == sorted(names)
    if names:
        written = example.with_suffix(".variables.json").read_text(encoding="utf-8")
        assert written == json.dumps(variables_of(example), indent=2, ensure_ascii=False) + "\n"


def test_titles_and_operations_are_told_apart_and_no_file_is_astray():
    titles = [example.name for example in load_examples()]
    operations = [name.value for example in EXAMPLES if (name := operation_of(example).name)]
    files = {file.name for file in (ROOT / "examples").iterdir()}

    assert len(set(titles)) == len(titles) == len(EXAMPLES)
    assert len(set(operations)) == len(operations)
    expected = {example.name for example in EXAMPLES}
    assert files - expected <= {example.with_suffix(".variables.json").name for example in EXAMPLES}
