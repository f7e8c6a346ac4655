"""GraphQL over HTTP: media types, statuses, methods, and the shape of what is asked and answered.

The public checks are those of the npm package `graphql-http`; the eight that a stock Strawberry fails stand here as
our own tests as well, so that they run without node.
"""

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.one_gateway import gateway  # noqa: F401  # fixture
from tests.program import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUDIT = Path(__file__).parent / "audit"
JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
CHANGE = 'mutation { deleteUser(input: {id: "x"}) { user { id } } }'


def public_checks():
    node = shutil.which("node")
    assert node is not None
    with running("serve", "--sandbox", "--port", "0", "--sandbox-port", "0", lines=2) as program:
        url = program.lines[0].split()[-1]
        command = [node, "checks.mjs", url]
        checks = subprocess.run(command, cwd=AUDIT, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(checks.stdout)


@pytest.mark.node
async def test_all_public_checks_of_graphql_over_http_pass():
    """Every MUST, SHOULD and MAY, against the program as people run it."""
    results = public_checks()

    assert [each for each in results if each["status"] != "ok"] == []
    assert len(results) == 61


async def post(gateway, body, **headers):  # noqa: F811
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-type": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.http.post("/graphql", content=content, headers=named)


def media_type(answer):
    return answer.headers["content-type"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        ("application/json; charset=utf-8", JSON),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, application/json;q=0.9", GRAPHQL_RESPONSE),
        (f"application/json;q=0.9, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.5, application/json", JSON),
        (f"{GRAPHQL_RESPONSE};q=0, */*", JSON),
        (f"{GRAPHQL_RESPONSE};q=0.5, */*;q=0.4", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE.upper()}", GRAPHQL_RESPONSE),
        ("text/html, application/json;q=0.2", JSON),
        ("multipart/mixed, application/json", JSON),
    ],
)
async def test_accept_decides_the_media_type_of_the_answer(gateway, accept, expected):  # noqa: F811
    headers = {} if accept is None else {"accept": accept}
    answer = await post(gateway, {"query": "{ __typename }"}, **headers)

    assert (answer.status_code, media_type(answer)) == (200, f"{expected}; charset=utf-8")
    assert answer.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "image/*", "application/json;q=0", "application/jsonp", "*/*;q=0"]
)
async def test_who_takes_nothing_that_we_have_is_answered_406(gateway, accept):  # noqa: F811
    answer = await post(gateway, {"query": "{ __typename }"}, accept=accept)

    assert answer.status_code == 406
    assert answer.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; a=application/json",
        "text/plain;application/json",
        "application/x-www-form-urlencoded; application/json",
        "multipart/form-data; boundary=application/json",
        "application/json+evil",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/json, text/plain",
        "application/graphql",
        "application/graphql+json",
        "application /json",
        "json",
        "",
        ";",
    ],
)
async def test_a_body_of_another_type_is_refused_whatever_words_it_holds(gateway, content_type):  # noqa: F811
    gateway.calls()
    answer = await post(gateway, {"query": "{ __typename }"}, content_type=content_type)

    assert answer.status_code == 415
    assert gateway.calls() == []


@pytest.mark.parametrize(
    "content_type", ["Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"']
)
async def test_json_in_utf8_is_taken_however_it_is_spelled(gateway, content_type):  # noqa: F811
    assert (await post(gateway, {"query": "{ __typename }"}, content_type=content_type)).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip"])
async def test_a_compressed_body_is_refused(gateway, encoding):  # noqa: F811
    assert (await post(gateway, {"query": "{ __typename }"}, content_encoding=encoding)).status_code == 415


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "a trailing comma": b'{"query": "{ __typename }",}',
    "something after it": b'{"query": "{ __typename }"} x',
    "not UTF-8": b'{"query": "\xff"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "half a surrogate pair": b'{"query": "\\ud800"}',
    "a NUL": b'{"query": "{ __typename }"\x00}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "infinity": b'{"query": "{ __typename }", "variables": {"a": Infinity}}',
    "a number beyond all range": b'{"query": "{ __typename }", "variables": {"a": 1e999}}',
    "a number of 6,000 digits": b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 6000 + b"}}",
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b'{"a":' * 100_000,
    "a number": b"1",
    "a text": b'"{ __typename }"',
    "null": b"null",
    "true": b"true",
    "a query that is a number": b'{"query": 1}',
    "a query that is a list": b'{"query": ["{ __typename }"]}',
    "no query": b'{"variables": {}}',
    "an empty query": b'{"query": ""}',
    "a null query": b'{"query": null}',
    "variables in a list": b'{"query": "{ __typename }", "variables": []}',
    "variables in a text": b'{"query": "{ __typename }", "variables": "{}"}',
    "an operation name that is an object": b'{"query": "{ __typename }", "operationName": {}}',
    "extensions in a number": b'{"query": "{ __typename }", "extensions": 0}',
    "variables 33 deep": json.dumps(
        {"query": "{ __typename }", "variables": {"a": json.loads("[" * 32 + "]" * 32)}}
    ).encode(),
    "a batch": b'[{"query": "{ __typename }"}]',
    "an empty batch": b"[]",
}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
@pytest.mark.parametrize("what", MALFORMED)
async def test_what_is_malformed_is_answered_400(gateway, what, accept):  # noqa: F811
    answer = await post(gateway, MALFORMED[what], accept=accept)

    assert (answer.status_code, media_type(answer)) == (400, f"{accept}; charset=utf-8")
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_REQUEST"]
    assert "data" not in answer.json()


async def test_variables_may_nest_32_deep(gateway):  # noqa: F811
    nested = json.loads("[" * 31 + "]" * 31)

    assert (await post(gateway, {"query": "{ __typename }", "variables": {"a": nested}})).status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ ", "PARSE_FAILED"),
        ("{ nothing }", "VALIDATION_FAILED"),
        ("query ($id: ID!) { node(id: $id) { id } }", "BAD_INPUT"),
        ("query A { __typename } query B { __typename }", "BAD_REQUEST"),
        ("{ " + "... on Query { " * 60 + "__typename" + " }" * 61, "DEPTH_LIMIT"),
    ],
)
async def test_a_document_that_is_refused_has_no_data_and_its_status_is_the_media_types(gateway, query, code):  # noqa: F811
    """The checks 865D, 556A, D586, 51FE, 74FF, 5E5B and 86EE."""
    older = await post(gateway, {"query": query}, accept=JSON)
    newer = await post(gateway, {"query": query}, accept=GRAPHQL_RESPONSE)

    assert (older.status_code, newer.status_code) == (200, 400)
    for answer in (older.json(), newer.json()):
        assert "data" not in answer
        assert [error["extensions"]["code"] for error in answer["errors"]] == [code]


async def test_an_answer_with_errors_in_its_fields_is_200(gateway):  # noqa: F811
    """The check 22EB is that the type is answered in; whatever ran is 200, also in parts."""
    query = '{ viewer { name } node(id: "x") { id } tenants(after: "x") { totalCount } }'
    answer = await post(gateway, {"query": query}, accept=GRAPHQL_RESPONSE)

    assert (answer.status_code, media_type(answer)) == (200, f"{GRAPHQL_RESPONSE}; charset=utf-8")
    assert "data" in answer.json()


async def test_an_operation_is_chosen_by_its_name(gateway):  # noqa: F811
    query = "query A { a: __typename } query B { b: __typename }"
    chosen = await post(gateway, {"query": query, "operationName": "B"})
    unknown = await post(gateway, {"query": query, "operationName": "C"})

    assert chosen.json()["data"] == {"b": "Query"}
    assert unknown.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


def url(**parameters):
    return "/graphql?" + urlencode(parameters)


async def test_queries_are_answered_to_get_and_head(gateway):  # noqa: F811
    asked = url(
        query="query A($n: Int) { tenants(first: $n) { nodes { name } } }", variables='{"n": 1}', operationName="A"
    )
    answer = await gateway.http.get(asked)
    head = await gateway.http.head(asked)

    assert (answer.status_code, len(answer.json()["data"]["tenants"]["nodes"])) == (200, 1)
    assert (head.status_code, head.content, media_type(head)) == (200, b"", media_type(answer))


async def test_a_change_by_get_is_405_and_nothing_is_changed(gateway):  # noqa: F811
    gateway.calls()
    for method in ("GET", "HEAD"):
        answer = await gateway.http.request(method, url(query=CHANGE))
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert gateway.calls() == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"])
async def test_other_methods_are_405(gateway, method):  # noqa: F811
    answer = await gateway.http.request(method, url(query="{ __typename }"))

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_a_method_cannot_be_overridden(gateway, header):  # noqa: F811
    gateway.calls()
    answer = await gateway.http.get(url(query=CHANGE, _method="POST"), headers={header: "POST"})

    assert answer.status_code == 405
    assert gateway.calls() == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "query=",
        "query=%7B__typename%7D&query=%7B__typename%7D",
        "query=%7B__typename%7D&variables=%7B",
        "query=%7B__typename%7D&variables=[]",
        "query=%7B__typename%7D&variables=%7B%7D&variables=%7B%7D",
        "query=%7B__typename%7D&extensions=1",
        "query=%FF",
        "query=%7B__typename%7D&variables=%FF",
        "variables=%7B%7D",
        "query=%7B__typename%7D" + "&a=1" * 200,
    ],
)
async def test_broken_parameters_are_400(gateway, query):  # noqa: F811
    answer = await gateway.http.get("/graphql?" + query, headers={"accept": JSON})

    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")


async def test_a_url_of_over_8_kib_is_414(gateway):  # noqa: F811
    query = "{ __typename }"
    fits = url(query=query, pad="x" * (8192 - len(url(query=query, pad="")) + 1))

    assert (await gateway.http.get(fits)).status_code == 200
    assert (await gateway.http.get(fits + "x")).status_code == 414


EVERYTHING = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream"


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        (EVERYTHING, "{ viewer { name } }", GRAPHQL_RESPONSE),
        ("text/event-stream, application/json", "{ viewer { name } }", JSON),
        ("text/event-stream, multipart/mixed", "{ viewer { name } }", "text/event-stream"),
        (EVERYTHING, 'subscription { jobProgress(id: "x") { state } }', "text/event-stream"),
        ("text/event-stream", 'subscription { jobProgress(id: "x") { state } }', "text/event-stream"),
    ],
)
async def test_event_streams_are_for_subscriptions_and_for_who_takes_nothing_else(gateway, accept, query, expected):  # noqa: F811
    """urql, for one, names event streams in every request and reads JSON for a query."""
    answer = await post(gateway, {"query": query}, accept=accept)

    assert (answer.status_code, media_type(answer).partition(";")[0]) == (200, expected)
