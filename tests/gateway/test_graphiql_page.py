"""The page as it is sent; what it does in a browser is in test_graphiql.py."""

import json
import re

import httpx
from starlette.applications import Starlette

from gateway.graphiql_page import PAGE_FOLDER, Example, graphiql_response, static_mount
from sandbox.contoso import CONTOSO_ID
from sandbox.seed import TREY_RESEARCH_ID


def text_of(response):
    return bytes(response.body).decode()


def test_an_example_cannot_end_the_script_it_stands_in():
    example = Example(name="</script><b>", query="{ a } # <!-- </script>", variables='{"a": "<"}')

    page = text_of(graphiql_response([example]))

    [holder] = re.findall(r'<script type="application/json" id="examples">(.*?)</script>', page, flags=re.DOTALL)
    assert json.loads(holder) == [
        {"name": "</script><b>", "query": "{ a } # <!-- </script>", "variables": '{"a": "<"}'}
    ]


def test_an_example_cannot_ask_for_the_nonce():
    page = text_of(graphiql_response([Example(name="{{ nonce }}", query="{ a }")]))

    assert "{{ nonce }}" in page


def test_the_policy_lets_nothing_in_from_elsewhere():
    response = graphiql_response([])

    policy = response.headers["content-security-policy"]
    [nonce] = re.findall(r'nonce="([\w-]{20,})"', text_of(response))
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert response.headers["cache-control"] == "no-store"


def test_a_nonce_is_used_once():
    policies = {graphiql_response([]).headers["content-security-policy"] for _ in range(5)}

    assert len(policies) == 5


def test_without_the_fetched_files_the_page_says_how_to_get_them(tmp_path):
    response = graphiql_response([], folder=tmp_path)

    assert response.status_code == 503
    assert response.media_type == "text/plain"
    assert "make graphiql" in text_of(response)


def test_the_commands_on_the_page_name_who_is_in_the_sandbox():
    script = (PAGE_FOLDER / "page.js").read_text()

    assert re.findall(r"--(\S+) ([0-9a-f-]{36})", script) == [
        ("reseller-id", TREY_RESEARCH_ID),
        ("tenant-id", CONTOSO_ID),
    ]


async def test_every_file_the_page_names_is_served():
    transport = httpx.ASGITransport(Starlette(routes=[static_mount()]))
    addresses = re.findall(r'(?:src|href)="(/[^"]+)"', text_of(graphiql_response([])))

    assert len(addresses) == 8
    for address in addresses:
        kind = "text/css" if address.endswith(".css") else "text/javascript"
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(address)
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
