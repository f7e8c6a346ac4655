"""A corpus of hostile inputs: each is refused in the right class, quickly, and a good query is answered right after.

Malformed requests stand in test_graphql_over_http.py, raw connections in test_http.py, sockets in test_sockets.py.
"""

import resource
import sys
import time

import pytest
from graphql import build_schema

from schema.build import printed
from services.global_ids import encode_id
from tests.gateway.hostile import documents, values
from tests.gateway_client import CONTOSO
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONGEST_SECONDS = 3.0
MOST_MEMORY_BYTES = 128 * 1024 * 1024
SCHEMA = build_schema(printed())


def memory_bytes():
    """The most memory that this process ever had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


async def asked(gateway, body, **headers):  # noqa: F811
    """The answer to a request, which came in time and says of no failure of ours."""
    started = time.process_time()
    answer = await gateway.http.post("/graphql", json=body, headers=headers)
    assert time.process_time() - started < LONGEST_SECONDS
    assert answer.status_code < 500, answer.text
    assert len(answer.content) < 20_000
    assert "Traceback" not in answer.text
    found = answer.json()
    for error in found.get("errors", []):
        assert len(error["message"]) <= 200
    return found


def codes(answer):
    return {error["extensions"]["code"] for error in answer.get("errors", [])}


async def answers_well(gateway):  # noqa: F811
    answer = await asked(gateway, {"query": "{ viewer { name } }"})
    assert answer["data"] == {"viewer": {"name": "Demo partner"}}


@pytest.mark.parametrize("kind", ["nesting", "floods", "fragments", "introspection", "texts", "numbers", "nonsense"])
async def test_hostile_documents_are_refused_in_their_class_before_anything_is_asked(gateway, kind):  # noqa: F811
    await answers_well(gateway)
    gateway.calls()
    before = memory_bytes()
    wrong = {}
    for what, document, expected in getattr(documents, kind)():
        answer = await asked(gateway, {"query": document})
        if not codes(answer) or not codes(answer) <= expected:
            wrong[what] = codes(answer) or answer
        await answers_well(gateway)

    assert wrong == {}
    assert gateway.calls() == []
    assert memory_bytes() - before < MOST_MEMORY_BYTES


async def test_a_wrong_value_for_any_argument_is_refused_before_anything_is_asked(gateway):  # noqa: F811
    gateway.calls()
    wrong, arguments = {}, set()
    for where, query, variables in values.wrong_arguments(SCHEMA):
        arguments.add(where)
        answer = await asked(gateway, {"query": query, "variables": variables})
        if codes(answer) != {"PAGE_SIZE_LIMIT" if _is_number_out_of(where, variables) else "BAD_INPUT"}:
            wrong[where, repr(variables)] = codes(answer) or answer

    assert wrong == {}
    assert len(arguments) > 20
    assert gateway.calls() == []
    await answers_well(gateway)


def _is_number_out_of(where, variables):
    return where.endswith(".first") and type(variables["v"]) is int


GARBAGE_IDS = [
    "",
    " ",
    "x",
    "0",
    "null",
    "VGVuYW50",
    "VGVuYW50Og==",
    "=" * 500,
    "A" * 512,
    "../../etc/passwd",
    "' OR 1=1 --",
    "\0",
    "\U0001f4a9" * 100,
    "\u202e",
    encode_id("Tenant", CONTOSO)[:-1],
    encode_id("Tenant", CONTOSO) + "A",
    encode_id("Tenant", CONTOSO).swapcase(),
    encode_id("User", CONTOSO, "../.."),
    encode_id("User", CONTOSO, "x?y=z"),
    encode_id("User", CONTOSO, CONTOSO + "/licenses"),
    encode_id("User", CONTOSO),
    encode_id("Nothing", CONTOSO, CONTOSO),
    encode_id("Query", CONTOSO),
    encode_id("Tenant", "%2e%2e"),
]


async def test_garbage_for_an_id_is_nothing_and_is_not_asked_for(gateway):  # noqa: F811
    gateway.calls()
    for query in (
        "query ($id: ID!) { node(id: $id) { id } }",
        "query ($id: ID!) { nodes(ids: [$id]) { id } }",
        "query ($id: ID!) { tenant(by: {id: $id}) { id } }",
        "mutation ($id: ID!) { deleteUser(input: {id: $id}) { user { id } userErrors { code } } }",
    ):
        for garbage in GARBAGE_IDS:
            answer = await asked(gateway, {"query": query, "variables": {"id": garbage}})
            assert codes(answer) <= {"BAD_INPUT"}, garbage
            found = next(iter((answer.get("data") or {"": None}).values()))
            assert found in (None, [None]) or found["user"] is None, garbage
    assert gateway.calls() == []


async def test_garbage_for_a_cursor_is_refused(gateway):  # noqa: F811
    for query in (
        "query ($after: String) { tenants(after: $after) { totalCount } }",
        "query ($after: String) { users(first: 1, after: $after) { totalCount } }",
    ):
        for garbage in GARBAGE_IDS:
            answer = await asked(gateway, {"query": query, "variables": {"after": garbage}})
            assert codes(answer) == {"BAD_INPUT"}, garbage


SEARCHES = [
    "\0",
    "%",
    "*",
    "(" * 256,
    "\\",
    "'\"`",
    "\U0001f4a9" * 100,
    "\u0301" * 256,
    "\u202e\u2066",
    "\ufdfa" * 256,
    "ß" * 256,
]


async def test_texts_are_taken_for_texts(gateway):  # noqa: F811
    for text in SEARCHES:
        for query in (
            "query ($t: String) { tenants(search: $t) { totalCount } }",
            "query ($t: String) { tenants(first: 2) { nodes { users(filter: {search: $t}) { totalCount } } } }",
        ):
            assert codes(await asked(gateway, {"query": query, "variables": {"t": text}})) <= {"ACCESS_MISSING"}


HEADERS = {
    "X-Request-Id": ["\x00", "x" * 5_000, "<b>", "' OR 1"],
    "Cache-Control": [
        "no-cache" + ", x" * 500,
        "max-age=" + "9" * 50,
        "max-age=-1",
        "max-age=NaN",
        "=" * 500,
        "\u00e9",
    ],
    "Accept": ["," * 3_000, "application/json;q=" + "9" * 100, "*/*" + ";a=b" * 500, "application/json, " * 300],
    "Accept-Language": ["x" * 5_000],
    "If-None-Match": ["*", "\u00e9", '"' * 500],
    "Cookie": ["token=" + "x" * 3_000],
    "Forwarded": ["for=evil.example;host=evil.example;proto=https"],
    "X-Forwarded-Host": ["evil.example"],
    "X-Original-URL": ["/sandbox/reset"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Range": ["bytes=0-0," * 500],
    "Traceparent": ["00-" + "0" * 32 + "-" + "0" * 16 + "-00", "x" * 3_000],
    "Expect": ["200-nothing"],
    "Upgrade": ["h2c"],
    "Sec-Fetch-Site": ["\u00e9"],
}


async def test_garbage_in_headers_changes_nothing(gateway):  # noqa: F811
    for name, garbage in HEADERS.items():
        for value in garbage:
            headers = [(name.encode(), value.encode("latin-1")), (b"Content-Type", b"application/json")]
            answer = await gateway.http.post("/graphql", content=b'{"query": "{ __typename }"}', headers=headers)
            assert answer.status_code in (200, 406), (name, value)
            assert "evil" not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "bearer x",
        "Basic eDp5",
        "Bearer a.b.c",
        "Bearer " + "x" * 9_000,
        "Bearer \u00e9",
        "Bearer a b",
    ],
)
async def test_a_garbled_token_is_nobodys(gateway, authorization):  # noqa: F811
    headers = {"Authorization": authorization.encode("latin-1")}
    answer = await gateway.http.post("/graphql", json={"query": "{ viewer { name } }"}, headers=headers)

    assert answer.status_code == 401
    assert list(answer.json()) == ["errors"]
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_name_that_is_given_twice_counts_once_and_does_no_harm(gateway):  # noqa: F811
    body = b'{"query": "{ nothing }", "query": "{ __typename }", "variables": {"a": 1, "a": 2}}'
    answer = await gateway.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["data"]) == (200, {"__typename": "Query"})
