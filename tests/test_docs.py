"""What the documents say is so: the README's first steps, links, names of tenants, switches and commands."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.cli import main
from gateway.config import Settings, variables
from sandbox import settings
from sandbox.seed import CITY_POWER_ID, TREY_RESEARCH_ID
from sandbox.switches import Switches
from services import errors
from tests.gateway_client import CONTOSO, gateway, sandbox  # noqa: F401 (fixtures)

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
SANDBOX = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NO_SETTINGS = {"GATEWAY_NAME", "GATEWAY_NAME_FILE", "GATEWAY_PORT", "GATEWAY_SERVICE_HOST"}
"""Placeholders, and what Kubernetes sets in a container beside a service of this name."""
GATEWAY_URL = "http://127.0.0.1:8000"

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[file.relative_to(ROOT).as_posix() for file in DOCUMENTS]
)


def fences(text: str, language: str) -> list[str]:
    return [body for _, kind, body in FENCE.findall(text) if kind == language]


def commands(text: str) -> list[list[str]]:
    """Lines of `sh` fences, and those after `$` in `console` fences; comments left out, continued lines joined."""
    lines = "\n".join(fences(text, "sh")).replace("\\\n", " ").splitlines()
    for fence in fences(text, "console"):
        lines += [line[2:] for line in fence.splitlines() if line.startswith("$ ")]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def anchors(document: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leaves(shown: Any, answered: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Pairs of what is shown and what was answered, where they differ; a list may be shown by its beginning."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        pairs = [(name, shown[name], answered.get(name)) for name in shown]
    elif isinstance(shown, list) and isinstance(answered, list) and len(shown) <= len(answered):
        pairs = [(str(index), one, answered[index]) for index, one in enumerate(shown)]
    else:
        return {} if shown == answered else {path: (shown, answered)}
    return {where: pair for name, one, other in pairs for where, pair in leaves(one, other, f"{path}.{name}").items()}


def token_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    return capsys.readouterr().out.strip()


async def test_the_readmes_first_query_gives_what_the_readme_shows(gateway):  # noqa: F811 (fixture)
    [query] = fences(README, "graphql")
    shown = json.loads(fences(README, "json")[0])

    assert leaves(shown, await gateway.ask(query)) == {}


def test_the_readmes_first_query_is_the_first_example():
    [query] = fences(README, "graphql")
    example = min((ROOT / "examples").glob("*.graphql")).read_text(encoding="utf-8")

    assert query == re.sub(r"^#.*\n", "", example, flags=re.MULTILINE)


async def test_the_first_query_costs_nothing_when_it_follows_at_once(gateway):  # noqa: F811 (fixture)
    [query] = fences(README, "graphql")
    await gateway.ask(query)
    answer = await gateway.ask(query)

    assert answer["extensions"]["upstream"]["calls"] == 0


async def test_the_readmes_curl_commands_give_what_the_readme_shows(gateway, capsys):  # noqa: F811 (fixture)
    curls = [words for words in commands(README) if words[0] == "curl"]
    [assignment] = [words for words in commands(README) if words[0].startswith("TOKEN=")]
    assert assignment[-1] == f"{TREY_RESEARCH_ID})"
    token = token_of(["token", "--kind", "reseller", "--reseller-id", TREY_RESEARCH_ID], capsys)
    shown = [json.loads(text) for text in fences(README, "json")[1:]]

    assert len(curls) == len(shown) == 2
    for words, answer in zip(curls, shown, strict=True):
        assert f"{GATEWAY_URL}/graphql" in words
        body = json.loads(words[words.index("-d") + 1])
        headers = {"Authorization": f"Bearer {token}"} if "$TOKEN" in " ".join(words) else {}
        assert leaves(answer, await gateway.ask(body["query"], **headers)) == {}


@pytest.mark.parametrize("document", ["README.md", "docs/sandbox.md"])
def test_the_tokens_that_are_shown_can_be_had(document, capsys):
    words = [words for words in commands((ROOT / document).read_text(encoding="utf-8")) if "token" in words]
    asked = [each[each.index("token") :] for each in words if not each[0].startswith("TOKEN=")]

    assert asked
    for each in asked:
        assert len(token_of(each, capsys).split(".")) == 3


@each_document
def test_make_targets_and_commands_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *(" ".join(words) for words in commands(text))])

    assert set(re.findall(r"^make ([a-z][a-z-]*)", code, re.MULTILINE)) - targets == set()
    for command in set(re.findall(r"^(?:\S*/)?gateway ([a-z]+)", code, re.MULTILINE)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, f"{document.name} names `gateway {command}`"


@each_document
def test_settings_that_are_named_exist(document):
    named = set(re.findall(r"\bGATEWAY_[A-Z][A-Z_]*[A-Z]\b", document.read_text(encoding="utf-8")))

    assert named - set(variables()) <= NO_SETTINGS


def test_the_readme_names_what_must_be_set():
    assert all(f"`GATEWAY_{name.upper()}`" in README for name in required_settings())


def required_settings() -> list[str]:
    known = {each.name for each in fields(Settings)}
    return [
        name
        for variable in settings.connection_settings("http://127.0.0.1")
        if (name := variable.removeprefix("GATEWAY_").lower()) in known
        and not name.endswith(("_center_url", "token_url"))
    ]


@each_document
def test_links_lead_somewhere(document):
    """Inside the project only: what is elsewhere is not asked for."""
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = document.parent / unquote(path) if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@each_document
def test_no_machine_is_named(document):
    """Neither a path of somebody's machine nor a registry that only some can reach."""
    text = document.read_text(encoding="utf-8")

    assert re.findall(r"(?<![\w.:])/(?:home|work|Users|root|mnt|tmp)/[\w.-]*", text) == []
    assert re.findall(r"https?://[\w.-]*(?:pypi|npmjs|registry|artifact|mirror)[\w.-]*", text) == []


def test_the_sandboxs_document_names_every_tenant_with_its_reseller(sandbox):  # noqa: F811 (fixture)
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in SANDBOX.splitlines()]
    told = {
        row[0]: row[1:3] for row in rows if len(row) == 4 and row[2] in ("Trey Research", "City Power & Light", "–")
    }
    resellers = {reseller.id: reseller.name for reseller in sandbox.world.resellers.values()}

    assert told == {
        customer.company_name: [
            customer.initial_domain.removesuffix(".onmicrosoft.com"),
            resellers.get(customer.reseller_id or "", "–"),
        ]
        for customer in sandbox.world.customers.values()
    }
    assert {TREY_RESEARCH_ID, CITY_POWER_ID, CONTOSO} <= set(re.findall(r"[0-9a-f-]{36}", SANDBOX))


def test_the_sandboxs_document_names_every_person_it_should(sandbox):  # noqa: F811 (fixture)
    people = {user.display_name for user in sandbox.world.customers[CONTOSO].users.values()}
    rows = re.search(r"\| who \| is \|\n\|---\|---\|\n((?:\|.*\n)+)", SANDBOX)
    assert rows is not None
    told = {name.strip() for row in rows[1].splitlines() for name in row.split("|")[1].split(",")}

    assert told - people == set()
    unusual = [
        user.display_name
        for user in sandbox.world.customers[CONTOSO].users.values()
        if user.deleted_at or user.last_directory_sync_time or user.usage_location is None
    ]
    assert set(unusual) - told == set()


def test_the_sandboxs_document_gives_contosos_units(sandbox):  # noqa: F811 (fixture)
    contoso = sandbox.world.customers[CONTOSO]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in SANDBOX.splitlines()]
    told = {row[0]: [int(cell) for cell in row[1:4]] for row in rows if len(row) == 7 and row[1].isdigit()}

    assert told == {
        sandbox.world.products[product_id].name: [held.active_units, held.warning_units, held.suspended_units]
        for product_id, held in contoso.holdings.items()
    }


def test_the_sandboxs_document_names_every_switch_with_its_default():
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", SANDBOX, re.MULTILINE))

    assert told == {name: json.dumps(value) for name, value in Switches().as_dict().items()}


def test_every_code_of_an_error_is_explained_to_callers():
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = {code for row in re.findall(r"^\| (`[A-Z_`, ]+`) \|", api, re.MULTILINE) for code in re.findall(r"\w+", row)}
    raised = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
    }

    assert raised - told == set()
