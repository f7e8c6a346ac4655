"""With a manifest only its operations run: by id, by hash, by their exact text, and over GET with caching."""

import json
from hashlib import sha256
from urllib.parse import urlencode

import httpx
import pytest

from gateway.app import create_app
from gateway.config import ConfigError, Settings
from gateway.trusted_documents import load_trusted_documents
from sandbox.app import create_app as create_sandbox
from sandbox.settings import connection_settings
from sandbox.state import SandboxState
from tests.gateway_client import SANDBOX_URL

WHO = "query Who { viewer { name kind } }"
COUNT = "query Count($search: String) { tenants(search: $search) { totalCount } }"
CHANGE = 'mutation Delete { deleteUser(input: {id: "x"}) { userErrors { code } } }'
MANIFEST = {"who": WHO, sha256(COUNT.encode()).hexdigest(): COUNT, "delete": CHANGE}
APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [
        {"id": "who", "name": "Who", "type": "query", "body": WHO},
        {"id": sha256(COUNT.encode()).hexdigest(), "name": "Count", "type": "query", "body": COUNT},
        {"id": "delete", "name": "Delete", "type": "mutation", "body": CHANGE},
    ],
}


def hash_of(text):
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256(text.encode()).hexdigest()}}


@pytest.fixture(params=[MANIFEST, APOLLO], ids=["plain", "apollo"])
async def http(request, tmp_path):
    file = tmp_path / "operations.json"
    file.write_text(json.dumps(request.param), "utf-8")
    sandbox = SandboxState()
    settings = Settings.from_env({"GATEWAY_TRUSTED_DOCUMENTS": str(file)}, sandbox=True)
    settings = settings.with_sandbox(connection_settings(SANDBOX_URL))
    app = create_app(settings, sandbox, http=httpx.ASGITransport(create_sandbox(sandbox)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        yield http


async def test_an_operation_runs_by_each_of_its_names_and_by_its_text(http):
    for body in (
        {"documentId": "who"},
        {"id": "who"},
        {"documentId": sha256(WHO.encode()).hexdigest()},
        {"extensions": hash_of(WHO)},
        {"query": WHO},
        {"query": WHO, "extensions": hash_of(WHO)},
    ):
        answer = await http.post("/graphql", json=body)
        assert answer.json()["data"] == {"viewer": {"name": "Demo partner", "kind": "PARTNER"}}
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [
        {"query": "{ viewer { name } }"},
        {"query": WHO + " "},
        {"query": "{ __typename }", "documentId": "who"},
        {"query": COUNT, "extensions": hash_of(WHO)},
        {"documentId": "who", "extensions": hash_of(COUNT)},
        {"query": "{ __typename }", "extensions": hash_of("{ __typename }")},
        {"extensions": hash_of("{ __typename }")},
        {"extensions": {"persistedQuery": {"sha256Hash": None}}},
        {"extensions": {"persistedQuery": {"sha256Hash": ["who"]}}},
        {"documentId": "WHO"},
        {"documentId": ""},
        {},
    ],
)
async def test_anything_else_is_refused_with_its_code_and_stays_refused(http, body):
    for _ in range(2):  # automatic persisted queries would have learnt it the first time
        answer = await http.post("/graphql", json=body)
        assert answer.status_code == 400
        assert [error["extensions"] for error in answer.json()["errors"]] == [{"code": "DOCUMENT_NOT_TRUSTED"}]


def url(**parameters):
    return "/graphql?" + urlencode(parameters)


async def test_an_answer_over_get_can_be_kept_by_its_client_and_asked_for_again(http):
    asked = url(documentId="who")
    answer = await http.get(asked)
    again = await http.get(asked, headers={"If-None-Match": answer.headers["etag"]})
    other = await http.get(url(extensions=json.dumps(hash_of(COUNT)), variables='{"search": "contoso"}'))

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, max-age=0, must-revalidate"
    assert answer.headers["vary"] == "Authorization, Accept"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert other.json()["data"] == {"tenants": {"totalCount": 1}}
    assert other.headers["etag"] != answer.headers["etag"]


async def test_an_answer_with_errors_is_kept_by_nobody(http):
    answer = await http.get(url(extensions=json.dumps(hash_of(COUNT)), variables='{"search": 1}'))

    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


async def test_a_change_does_not_run_by_get_whatever_it_is_named_by(http):
    answer = await http.get(url(documentId="delete"))

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"who"',
        "{}",
        '{"who": 1}',
        '{"who": "{ "}',
        '{"": "{ __typename }"}',
        json.dumps({"format": "apollo-persisted-query-manifest", "version": 2, "operations": []}),
        json.dumps({"format": "other", "version": 1, "operations": []}),
        json.dumps({"format": "apollo-persisted-query-manifest", "version": 1, "operations": {}}),
        json.dumps({"format": "apollo-persisted-query-manifest", "version": 1, "operations": [{"id": "a"}]}),
        json.dumps({sha256(WHO.encode()).hexdigest(): COUNT, "who": WHO}),
    ],
)
def test_a_manifest_that_cannot_be_used_keeps_the_gateway_from_starting(tmp_path, text):
    file = tmp_path / "operations.json"
    file.write_text(text, "utf-8")

    with pytest.raises(ConfigError, match=r"^GATEWAY_TRUSTED_DOCUMENTS "):
        load_trusted_documents(file)


def test_without_a_manifest_nothing_is_trusted_or_mistrusted():
    assert load_trusted_documents(None) is None
