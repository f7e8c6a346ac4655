"""Headers of every answer, and what pages of other origins may do."""

import re
from uuid import uuid4

import httpx
import pytest

from gateway.app import create_app
from gateway.config import Settings
from gateway.metrics import REQUEST_SECONDS
from sandbox.app import create_app as create_sandbox
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from tests.callers import bearer
from tests.gateway_client import SANDBOX_URL
from tests.one_gateway import gateway  # noqa: F401  # fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EVERY_KIND_OF_ANSWER = [
    ("GET", "/health", {}, 200),
    ("GET", "/ready", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/nothing", {}, 404),
    ("DELETE", "/health", {}, 405),
    ("GET", "/graphql?query={__typename}", {}, 200),
    ("HEAD", "/graphql?query={__typename}", {}, 200),
    ("GET", "/graphql", {}, 400),
    ("PUT", "/graphql", {}, 405),
    ("POST", "/graphql", {}, 415),
    ("GET", "/graphql?query={__typename}", {"Accept": "text/css"}, 406),
    ("GET", "/graphql?query={__typename}", {"Authorization": "Bearer x"}, 401),
    ("GET", "/graphql?query={__typename}", {"Host": "evil.example"}, 403),
    ("GET", "/graphql?query=" + "x" * 9_000, {}, 414),
    ("GET", "/health", {"X": "x" * 40_000}, 431),
    ("GET", "/graphiql/nothing.js", {}, 404),
    ("GET", "/sandbox/clock", {}, 200),
    ("GET", "/sandbox/nothing", {}, 404),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), EVERY_KIND_OF_ANSWER)
async def test_every_answer_forbids_what_it_does_not_need(gateway, method, path, headers, status):  # noqa: F811
    answer = await gateway.http.request(method, path, headers=headers)

    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert GUID.fullmatch(answer.headers["x-request-id"])
    assert not {"server", "x-powered-by", "set-cookie", "access-control-allow-origin"} & set(answer.headers)


async def test_a_guid_is_taken_as_the_request_id_and_anything_else_replaced(gateway):  # noqa: F811
    given = str(uuid4())
    answer = await gateway.http.get("/health", headers={"X-Request-Id": given.upper()})
    assert answer.headers["x-request-id"] == given

    for text in ("x", "", given + "x", f"{given}, {given}", "<script>", "a\tb", "0" * 1_000):
        answer = await gateway.http.get("/health", headers={"X-Request-Id": text})
        assert answer.headers["x-request-id"] not in text
        assert GUID.fullmatch(answer.headers["x-request-id"])
    answer = await gateway.http.get("/health", headers=[("X-Request-Id", given), ("X-Request-Id", given)])
    assert answer.headers["x-request-id"] != given


async def test_an_answer_says_its_request_id_in_its_extensions_too(gateway):  # noqa: F811
    answer = await gateway.http.post("/graphql", json={"query": "{ __typename }"})

    assert answer.json()["extensions"]["requestId"] == answer.headers["x-request-id"]


async def test_what_breaks_unexpectedly_is_answered_without_a_word_of_it():
    """A defect: here an application that is asked before it was started."""
    settings = Settings.from_env({}, sandbox=True).with_sandbox(connection_settings(SANDBOX_URL))
    app = create_app(settings, SandboxState())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http:
        answer = await http.post("/graphql", json={"query": "{ __typename }"})

    [error] = answer.json()["errors"]
    assert answer.status_code == 500
    assert error["extensions"] == {"code": "INTERNAL", "requestId": answer.headers["x-request-id"]}
    assert "list index" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:8000"},
        {"Host": "evil.example@127.0.0.1"},
        {"Host": "127.0.0.1:99999"},
        {"Host": "0.0.0.0:8000"},
        {"Host": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "Cross-Site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://127.0.0.1:8000.evil.example"},
        {"Origin": "file://127.0.0.1:8000"},
    ],
)
async def test_in_a_sandbox_other_pages_and_names_are_refused_on_every_route(gateway, headers):  # noqa: F811
    gateway.calls()
    for method, path in [("POST", "/graphql"), ("GET", "/graphql"), ("POST", "/sandbox/reset"), ("GET", "/health")]:
        answer = await gateway.http.request(method, path, json={"query": "{ tenants { totalCount } }"}, headers=headers)
        assert answer.status_code == 403
    assert gateway.calls() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "localhost:8000", "Origin": "http://localhost:8000"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        {"Host": "127.0.0.2"},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_in_a_sandbox_this_machines_own_names_and_pages_are_answered(gateway, headers):  # noqa: F811
    assert (await gateway.http.get("/graphql?query={__typename}", headers=headers)).status_code == 200


@pytest.fixture
async def portal():
    """A gateway that needs tokens, with one page of another origin allowed."""
    sandbox = SandboxState()
    environ = connection_settings(SANDBOX_URL) | {"GATEWAY_CORS_ORIGINS": "https://portal.example"}
    settings = Settings.from_env({"GATEWAY_CORS_ORIGINS": "https://portal.example"}, sandbox=True)
    settings = settings.with_sandbox({name: value for name, value in environ.items() if "CORS" not in name})
    app = create_app(settings, sandbox, http=httpx.ASGITransport(create_sandbox(sandbox)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        yield http


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


async def test_a_page_of_a_listed_origin_may_ask_and_read(portal):
    origin = {"Origin": "https://portal.example", "Sec-Fetch-Site": "cross-site"}
    asked = await portal.options("/graphql", headers=origin | PREFLIGHT)
    answer = await portal.get("/graphql?query={__typename}", headers=origin | {"Authorization": bearer()})

    assert asked.status_code == 204
    assert asked.headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    for each in (asked, answer):
        assert each.headers["access-control-allow-origin"] == "https://portal.example"
        assert each.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in each.headers
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        "https://portal.example.evil.example",
        "https://evil-portal.example",
        "http://portal.example",
        "https://portal.example:8443",
        "https://PORTAL.example",
        "https://portal.example/",
    ],
)
async def test_a_page_of_another_origin_may_not(portal, origin):
    asked = await portal.options("/graphql", headers={"Origin": origin} | PREFLIGHT)
    answer = await portal.get("/graphql?query={__typename}", headers={"Origin": origin})

    assert (asked.status_code, answer.status_code) == (403, 403)
    assert "access-control-allow-origin" not in {*asked.headers, *answer.headers}


async def test_where_the_schema_cannot_be_asked_for_no_message_suggests_a_name():
    settings = Settings.from_env({"GATEWAY_INTROSPECTION": "off"}, sandbox=True)
    sandbox = SandboxState()
    app = create_app(
        settings.with_sandbox(connection_settings(SANDBOX_URL)),
        sandbox,
        http=httpx.ASGITransport(create_sandbox(sandbox)),
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        for query in (
            "{ viewr { name } }",
            "{ viewer { nam } }",
            "{ tenants(frst: 1) { totalCount } }",
            "{ tenants(orderBy: {field: NAM}) { totalCount } }",
            "{ tenants(orderBy: {fild: NAME}) { totalCount } }",
            "query ($a: TenantOrdr) { tenants(orderBy: $a) { totalCount } }",
            "{ ... on Tenat { id } }",
            "{ __schema { types { name } } }",
            '{ __type(name: "User") { name } }',
        ):
            answer = await http.post("/graphql", json={"query": query})
            assert {error["extensions"]["code"] for error in answer.json()["errors"]} == {"VALIDATION_FAILED"}
            assert "Did you mean" not in answer.text
        variables = {"a": {"field": "NAM"}}
        query = "query ($a: TenantOrder) { tenants(orderBy: $a) { totalCount } }"
        answer = await http.post("/graphql", json={"query": query, "variables": variables})
        assert "Did you mean" not in answer.text
        assert (await http.post("/graphql", json={"query": "{ __typename }"})).status_code == 200


async def test_paths_and_methods_of_callers_are_no_labels_of_metrics(gateway):  # noqa: F811
    await gateway.http.request("EVIL", "/evil-path")

    labels = {tuple(sample.labels.values()) for metric in REQUEST_SECONDS.collect() for sample in metric.samples}
    assert not [each for each in labels if "evil" in " ".join(each).lower()]
