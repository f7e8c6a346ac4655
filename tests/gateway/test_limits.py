"""Every limit on a document: at its value it passes, one more is refused with its code, and nothing is asked."""

import gc
import time

import pytest
from graphql import get_introspection_query, parse, specified_rules

from gateway.document_shape import check_shape
from gateway.documents import Documents
from gateway.limits import LimitExceeded, Limits
from schema.build import build_schema
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")


def deep(fields):
    """A query so many fields deep, with pages of one item."""
    query, ends, depth = "{ tenants(first: 1) { nodes { ", "} } }", 1
    while depth + 2 < fields:
        query, ends, depth = f"{query}users(first: 1) {{ nodes {{ tenant {{ ", f"}} }} }} {ends}", depth + 2
    return f"{query}auditLog {{ totalCount }} {ends}" if depth + 2 == fields else f"{query}name {ends}"


def listed(count, text, between=" "):
    return between.join(text.replace("#", str(number)) for number in range(count))


def repeating(template, *items):
    """Documents with a number of each item, in the places of the template."""

    def write(count):
        return template % tuple(listed(count, item) for item in items)

    return write


def within(template, character="x"):
    """Documents with a text of so many characters."""
    return lambda count: template % (character * count)


def sized(template):
    return lambda number: template % number


TABLE = {
    "bytes": (lambda n: "{ __typename }".ljust(n), 64 * 1024, "TOKEN_LIMIT"),
    "tokens": (lambda n: "{ __typename }" + "#\n" * (n - 3), 2_000, "TOKEN_LIMIT"),
    "operations": (repeating("%s", "query Q# { __typename }"), 10, "OPERATION_LIMIT"),
    "variables": (
        repeating("query Q0(%s) { nodes(ids: [%s]) { id } }", '$v#: ID! = "x"', "$v#"),
        100,
        "OPERATION_LIMIT",
    ),
    "fragments": (
        repeating("query Q0 { %s } %s", "...F#", "fragment F# on Query { __typename }"),
        50,
        "OPERATION_LIMIT",
    ),
    "depth": (deep, 15, "DEPTH_LIMIT"),
    "depth of a fragment": (lambda n: f"query Q0 {{ ...F }} fragment F on Query {deep(n)}", 15, "DEPTH_LIMIT"),
    "levels": (lambda n: "{ " + "... on Query { " * (n - 1) + "__typename" + " }" * n, 40, "DEPTH_LIMIT"),
    "introspection": (repeating("{ %s }", "__schema { description }"), 1, "DEPTH_LIMIT"),
    "aliases": (repeating("{ %s }", "a#: __typename"), 20, "ALIAS_LIMIT"),
    "aliases of a fragment": (
        repeating("query Q0 { %s } fragment F on Query { a: __typename }", "...F"),
        20,
        "ALIAS_LIMIT",
    ),
    "changes": (
        repeating("mutation { %s }", 'a#: deleteUser(input: {id: "x"}) { effects { change } }'),
        5,
        "ALIAS_LIMIT",
    ),
    "directives": (repeating("{ %s }", "... @skip(if: true) { __typename }"), 50, "DIRECTIVE_LIMIT"),
    "directives of a fragment": (
        repeating(
            "query Q0 { ... @skip(if: false) { __typename } %s } fragment F on Query { __typename @skip(if: false) }",
            "...F",
        ),
        49,
        "DIRECTIVE_LIMIT",
    ),
    "one name": (repeating("{ viewer { %s } }", "name"), 20, "COST_LIMIT"),
    "page size": (sized("{ tenants(first: %d) { totalCount } }"), 500, "PAGE_SIZE_LIMIT"),
    "nodes": (sized("{ tenants(first: %d) { nodes { users(first: 199) { totalCount } } } }"), 50, "COST_LIMIT"),
    "calls": (
        sized("{ tenants(first: %d) { nodes { users { nodes { actions { name } assignedLicenseCount } } } } }"),
        49,
        "COST_LIMIT",
    ),
    "ids": (repeating("{ nodes(ids: [%s]) { id } }", '"x"'), 100, "LIST_LIMIT"),
    "a filter": (
        repeating("{ tenants(first: 0) { nodes { users(filter: {usageLocations: [%s]}) { totalCount } } } }", '"GR"'),
        100,
        "LIST_LIMIT",
    ),
    "a search": (within('{ tenants(search: "%s") { totalCount } }'), 256, "LIST_LIMIT"),
    "an id": (within('{ node(id: "%s") { id } }'), 512, "LIST_LIMIT"),
    "a cursor": (within('{ tenants(after: "%s") { totalCount } }'), 512, "LIST_LIMIT"),
}


async def codes(gateway, query, variables=None):  # noqa: F811
    body = {"query": query, "variables": variables, "operationName": "Q0" if "query Q0" in query else None}
    answer = (await gateway.http.post("/graphql", json=body)).json()
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


@pytest.mark.parametrize("limit", TABLE)
async def test_at_a_limit_a_document_passes_and_beyond_it_is_refused_with_nothing_asked(gateway, limit):  # noqa: F811
    query, most, code = TABLE[limit]
    passed = await codes(gateway, query(most))
    gateway.calls()
    started = time.process_time()
    refused = await codes(gateway, query(most + 1))
    took = time.process_time() - started

    assert [each for each in passed if each.endswith("_LIMIT") or each == "VALIDATION_FAILED"] == []
    assert refused == [code]
    assert gateway.calls() == []
    assert took < 3  # a fiftieth of it, on a machine with nothing else to do


async def test_a_refusal_names_the_limit_the_figure_and_what_weighs_most(gateway):  # noqa: F811
    query = "{ tenants(first: 200) { nodes { name users(first: 200) { nodes { id } } } } }"
    [error] = (await gateway.ask(query))["errors"]

    assert error["message"] == (
        "This may need 40,200 nodes, and 10,000 are allowed; `tenants.users` weighs most with 40,000. "
        "Ask for smaller pages."
    )
    assert error["extensions"] == {"code": "COST_LIMIT", "limit": 10_000, "asked": 40_200, "field": "tenants.users"}


async def test_five_directives_are_looked_at_and_six_at_one_place_are_not(gateway):  # noqa: F811
    assert await codes(gateway, "{ __typename " + "@skip(if: false) " * 5 + "}") == ["VALIDATION_FAILED"] * 4
    assert await codes(gateway, "{ __typename " + "@skip(if: false) " * 6 + "}") == ["DIRECTIVE_LIMIT"]
    assert await codes(gateway, "query " + "@skip(if: false) " * 6 + "{ __typename }") == ["DIRECTIVE_LIMIT"]


PAGE = "query ($n: Int) { tenants(first: $n) { totalCount } }"
PAGE_BY_DEFAULT = "query ($n: Int = 501) { tenants(first: $n) { totalCount } }"


@pytest.mark.parametrize(
    ("query", "variables", "expected"),
    [
        (PAGE, {"n": 500}, []),
        (PAGE, {"n": 501}, ["PAGE_SIZE_LIMIT"]),
        (PAGE, {"n": 501.0}, ["PAGE_SIZE_LIMIT"]),
        (PAGE, {"n": -1}, ["PAGE_SIZE_LIMIT"]),
        (PAGE, {"n": 10**15}, ["PAGE_SIZE_LIMIT"]),
        (PAGE, {"n": 1e300}, ["PAGE_SIZE_LIMIT"]),
        (PAGE, {"n": None}, []),
        (PAGE, {}, []),
        (PAGE, {"n": "1"}, ["BAD_INPUT"]),
        (PAGE, {"n": True}, ["BAD_INPUT"]),
        (PAGE, {"n": [501]}, ["BAD_INPUT"]),
        (PAGE_BY_DEFAULT, {}, ["PAGE_SIZE_LIMIT"]),
        (PAGE_BY_DEFAULT, {"n": 1}, []),
        (PAGE_BY_DEFAULT, {"n": None}, []),
        (
            "query ($n: Int = 200) { ...A } fragment A on Query { tenants(first: $n) { edges { node { ...B } } } } "
            "fragment B on Tenant { users(first: $n) { totalCount } }",
            {},
            ["COST_LIMIT"],
        ),
        (
            "{ tenants(first: 100) { nodes { ... on Tenant { ... { a: users(first: 60) { totalCount } } } "
            "b: users(first: 60) { totalCount } } } }",
            {},
            ["COST_LIMIT"],
        ),
        (
            "query ($with: Boolean!) { tenants(first: 100) { nodes { users(first: 200) @include(if: $with) "
            "{ totalCount } } } }",
            {"with": True},
            ["COST_LIMIT"],
        ),
        (
            "query ($with: Boolean!) { tenants(first: 100) { nodes { name users(first: 200) @include(if: $with) "
            "{ totalCount } } } }",
            {"with": False},
            [],
        ),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["x"] * 101}, ["LIST_LIMIT"]),
        ("query ($id: ID!) { nodes(ids: [$id]) { id } }", {"id": "x" * 513}, ["LIST_LIMIT"]),
        ("query ($by: TenantBy!) { tenant(by: $by) { id } }", {"by": {"domain": "x" * 257}}, ["LIST_LIMIT"]),
    ],
)
async def test_variables_defaults_fragments_and_aliases_are_no_disguise(gateway, query, variables, expected):  # noqa: F811
    assert await codes(gateway, query, variables) == expected


async def test_a_page_size_that_is_refused_once_is_refused_again_and_another_passes(gateway):  # noqa: F811
    """What an operation costs is remembered by the variables that it depends on."""
    query = "query ($n: Int, $m: Int = 1) { tenants(first: $n) { nodes { users(first: $m) { totalCount } } } }"
    asked = [(1, 1), (200, 200), (1, 1), (200, 200), (500, 1), (500, 100), (1, 500)]
    found = [await codes(gateway, query, {"n": n, "m": m}) for n, m in asked]

    assert ["COST_LIMIT" in each for each in found] == [False, True, False, True, False, True, False]


async def test_the_standard_introspection_query_passes(gateway):  # noqa: F811
    assert await codes(gateway, get_introspection_query()) == []


def shape(query, **limits):
    try:
        check_shape(parse(query), Limits(**limits))
    except LimitExceeded as exceeded:
        return exceeded.code, exceeded.asked
    return None


async def test_a_bomb_of_fragments_is_counted_without_being_unfolded():
    """Fifty fragments, each spreading the next twice: 2⁴⁸ fields."""
    parts = [f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(48)]
    bomb = " ".join(["{ ...F0 }", *parts, "fragment F48 on Query { __typename }"])
    started = time.process_time()

    assert shape(bomb) == ("COST_LIMIT", 10**9)
    assert time.process_time() - started < 5


async def test_fields_are_counted_at_every_spread():
    document = "{ ...F ...F } fragment F on Query { __typename viewer { name } }"

    assert shape(document, max_fields=6) is None
    assert shape(document, max_fields=5) == ("COST_LIMIT", 6)


async def test_a_circle_of_fragments_is_left_to_validation(gateway):  # noqa: F811
    circle = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"

    assert shape(circle) is None
    assert await codes(gateway, circle) == ["VALIDATION_FAILED"]


async def test_at_most_ten_errors_are_told_of_one_document(gateway):  # noqa: F811
    answer = await gateway.ask("{ " + listed(100, "x#") + " }")

    assert len(answer["errors"]) == 10


async def test_only_short_documents_that_change_nothing_are_remembered():
    documents = Documents(build_schema()._schema, Limits(max_remembered_documents=3), suggestions=True)
    rules = tuple(specified_rules)
    short = [f"{{ a{number}: __typename }}" for number in range(5)]
    for text in [
        *short,
        "{ __typename }".ljust(9_000),
        'mutation { deleteUser(input: {id: "x"}) { effects { change } } }',
    ]:
        documents.read(text, rules)

    assert list(documents._remembered) == short[2:]
    assert documents.read(short[2], rules) is documents.read(short[2], rules)


async def test_200_long_documents_keep_memory_flat(gateway):  # noqa: F811
    def document(number):
        comments = f"# {'x' * 98}\n" * 150
        return f"{{ {comments} a{number}: __typename }}"

    async def ask(numbers):
        for number in numbers:
            assert await codes(gateway, document(number)) == []
        gc.collect()
        return len(gc.get_objects())

    assert len(document(0)) > 15_000
    before = await ask(range(20))

    assert await ask(range(20, 220)) - before < 5_000  # a document has hundreds of its own
