"""What is shipped beside the code: the lock, the page's files, the examples, the settings' template."""

import hashlib
import re
import tomllib
from dataclasses import fields
from pathlib import Path

from gateway.config import Settings, variable_of
from gateway.graphiql_page import load_examples

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
TEMPLATE = (ROOT / ".env.example").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_locked_package_has_its_hash():
    """A line without one would switch the check off for that package."""
    entries = re.split(r"\n(?=\S)", LOCK.strip())

    assert len(entries) > 50
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_names_no_address():
    """It serves behind any mirror of the package index."""
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK


def test_the_lock_holds_every_dependency():
    lists = [PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"].values()]
    names = {re.split(r"[\[<>=; ]", requirement)[0] for wanted in lists for requirement in wanted}
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCK, flags=re.MULTILINE))

    assert names - locked == set()


def test_the_page_is_made_of_the_files_whose_sums_are_committed():
    """`make graphiql` compares before it puts them in place; this catches what was changed afterwards."""
    folder = ROOT / "gateway" / "graphiql"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "vendor").iterdir()}

    assert {f"{digest}  {name}" for name, digest in found.items()} == set(lines)


def test_an_example_is_titled_by_its_first_line():
    examples = load_examples()

    assert examples
    for example in examples:
        assert example.query.startswith(f"# {example.name}\n")


def test_the_template_of_settings_changes_nothing_as_it_is():
    """Everything in it is commented out, so it can be copied whole."""
    assert [line for line in TEMPLATE.splitlines() if line and not line.startswith("#")] == []


def test_the_template_of_settings_names_every_setting_once():
    named = re.findall(r"^# (GATEWAY_[A-Z_]+)=", TEMPLATE, flags=re.MULTILINE)

    assert sorted(named) == sorted(variable_of(field.name) for field in fields(Settings))
