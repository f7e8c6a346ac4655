"""GraphiQL in a real Chromium, against a gateway with its sandbox: nothing here is a stand-in."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from gateway.graphiql_page import load_examples
from sandbox.contoso import CONTOSO_ID

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

GATEWAY = str(Path(sys.executable).parent / "gateway")
START_SECONDS = 60
PATIENCE_MS = 60_000
FLAGS = [
    "--no-sandbox",  # Chromium refuses to start as root with its own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def address():
    """Where a gateway with its sandbox answers."""
    port = free_port()
    command = [GATEWAY, "serve", "--sandbox", "--port", str(port), "--sandbox-port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until_it_answers(server, f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}/graphql"
        finally:
            server.terminate()


def wait_until_it_answers(server, url):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, "gateway serve ended at once"
        try:
            if httpx.get(url, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url} within {START_SECONDS} seconds")


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page in a fresh profile. At the end: it asked no other host, and the console holds no complaint."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    hosts, complaints = set(), []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.get_by_label("Query Editor")).to_be_visible()
    # GraphiQL has read the schema once the documentation can be shown.
    expect(page.get_by_label("Re-fetch GraphQL schema")).to_be_enabled()
    yield page
    context.close()
    assert hosts - {""} == {urlsplit(address).netloc}  # "" is a data: address
    assert complaints == []


def is_complaint(message):
    return message.type == "error" or "Content Security Policy" in message.text


def run(page):
    """The answer shown after a click on the execute button."""
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.get_by_label("Execute query (Ctrl-Enter)").click()
    expect(page.locator(".result-window .CodeMirror-code")).to_contain_text("{")
    return shown_answer(page)


def shown_answer(page):
    script = "document.querySelector('.result-window .CodeMirror').CodeMirror.getValue()"
    page.wait_for_function(f"() => {{ try {{ return JSON.parse({script}) }} catch {{ return false }} }}")
    return json.loads(page.evaluate(script))


def write(page, query):
    page.evaluate(
        "query => document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.setValue(query)",
        query,
    )


def open_example(page, example):
    page.locator(".start-example").get_by_text(example.name, exact=True).click()


def test_the_page_opens_with_the_examples_and_says_how_to_begin(page):
    expect(page).to_have_title("Partner Center gateway · GraphiQL")
    expect(page.get_by_role("heading", name="Start here")).to_be_visible()
    expect(page.locator(".start-example")).to_have_text([example.name for example in load_examples()])
    expect(page.locator(".graphiql-tab")).to_have_count(min(6, len(load_examples())))


def test_the_first_example_runs_and_its_answer_is_shown(page):
    answer = run(page)

    assert "errors" not in answer
    assert answer["data"]


def test_another_example_runs_in_its_own_tab(page):
    example = load_examples()[1]

    open_example(page, example)
    answer = run(page)

    assert "errors" not in answer
    assert answer["data"]
    title = re.findall(r"\b(?:query|mutation|subscription) (\w+)", example.query)[0]
    expect(page.locator(".graphiql-tab-active")).to_contain_text(title)


def test_an_example_beyond_the_first_tabs_gets_a_tab_of_its_own(page):
    tabs = page.locator(".graphiql-tab")
    before = tabs.count()

    open_example(page, load_examples()[-1])
    open_example(page, load_examples()[0])
    open_example(page, load_examples()[-1])

    beyond = 1 if len(load_examples()) > before else 0
    expect(tabs).to_have_count(before + beyond)


@pytest.mark.parametrize("example", ["Manage Licenses dialog", "One person"])
def test_an_example_that_was_chosen_runs_with_ctrl_enter_at_once(page, example):
    """One has a tab from the start, the other gets a new one."""
    page.get_by_role("button", name=example, exact=True).click()
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.keyboard.press("Control+Enter")

    expect(page.locator(".result-window .CodeMirror-code")).to_contain_text('"user"')


def test_the_documentation_opens(page):
    page.get_by_label("Show Documentation Explorer").click()

    expect(page.locator(".graphiql-doc-explorer")).to_contain_text("Query")


def test_the_explorer_offers_the_fields(page):
    page.get_by_label("Show GraphiQL Explorer").click()

    expect(page.locator(".graphiql-explorer-root")).to_contain_text("viewer")


def test_a_token_in_the_headers_decides_who_asks_and_is_not_kept(page):
    command = [GATEWAY, "token", "--kind", "direct-customer", "--tenant-id", CONTOSO_ID]
    token = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Put it into this tab's Headers").click()
    expect(page.get_by_label("Headers")).to_contain_text("Authorization")
    write(page, "{ viewer { kind } }")
    page.wait_for_timeout(500)  # until the tab has heard of both; only then can they get into the history

    assert run(page)["data"] == {"viewer": {"kind": "DIRECT_CUSTOMER"}}
    page.wait_for_function("localStorage['graphiql:queries']?.includes('{ viewer { kind } }')")
    page.wait_for_timeout(1000)  # GraphiQL stores what it stores half a second later
    assert token not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")


def test_an_event_stream_is_shown_as_it_comes(page):
    """The word in the comment is enough for the page to ask for a stream, which carries queries too."""
    write(page, "# as a subscription would be\n{ viewer { kind } }")

    assert run(page)["data"] == {"viewer": {"kind": "PARTNER"}}


def test_the_dialogs_open_under_the_policy(page):
    page.get_by_label("Open settings dialog").click()
    expect(page.get_by_text("Clear storage")).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_label("Open short keys dialog").click()
    expect(page.get_by_role("heading", name="Short Keys")).to_be_visible()
