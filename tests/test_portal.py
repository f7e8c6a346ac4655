"""The example of a client works: `examples/portal` against the program as people run it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.program import running

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "examples" / "portal"
BUILT = ROOT / "build" / "portal"
STANDARD = "f245ecc8-75af-4f8e-b61f-27d8114de5f3"
PREMIUM = "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46"
BAR = re.compile(r"\[(#*\.*)\] (\d+)/(\d+), (\d+) failed, (\w+)")


@pytest.fixture(scope="module")
def url():
    with running("serve", "--sandbox", "--port", "0", "--sandbox-port", "0", lines=2) as program:
        yield program.lines[0].split()[-1]


def portal(url, *arguments, token=None):
    node = shutil.which("node")
    assert node is not None
    assert (BUILT / "dist").is_dir(), "make portal builds it"
    command = [node, str(BUILT / "dist" / "src" / "main.js"), "--url", url, *arguments]
    environment = {"GATEWAY_TOKEN": token} if token else {}
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, env=environment
    )


@pytest.mark.node
@pytest.mark.xdist_group("portal")
def test_the_portal_lists_tenants_and_unused_seats_and_says_who_did_not_answer(url):
    ended = portal(url)

    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("13 tenants: Adatum Corporation, Adventure Works, Alpine Ski House, Contoso, Fabrikam")
    assert any(re.fullmatch(r" +60  Microsoft 365 F3 in 1: Northwind Traders 60", line) for line in lines)
    assert lines[-2:] == ["12 of 13 tenants answered", "  not Adatum Corporation: ACCESS_MISSING"]


@pytest.mark.node
@pytest.mark.xdist_group("portal")
def test_the_portal_moves_people_in_bulk_and_draws_the_progress(url):
    ended = portal(url, "--tenant", "Fabrikam", "--move", PREMIUM, STANDARD)

    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert "2 hold it, 2 are to be moved" in lines
    assert "would be +2 Microsoft 365 Business Standard" in lines
    assert "would be -2 Microsoft 365 Business Premium" in lines
    bars = [found for line in lines if (found := BAR.fullmatch(line))]
    assert bars[-1].groups() == ("#" * 30, "2", "2", "0", "SUCCEEDED")
    assert [int(bar[2]) for bar in bars] == sorted(int(bar[2]) for bar in bars)
    assert lines[-1] == "the job ended: SUCCEEDED"


@pytest.mark.node
@pytest.mark.xdist_group("portal")
def test_the_portal_tells_what_stands_in_the_way(url):
    """Contoso has five seats of Office 365 E3 left, and a token that is none is refused."""
    unknown = portal(url, "--tenant", "Nobody")
    refused = portal(url, token="nonsense")

    assert unknown.returncode == 1
    assert "There is no tenant Nobody." in unknown.stderr
    assert refused.returncode == 1
    assert "UNAUTHENTICATED" in refused.stderr


def test_the_lock_of_the_portal_names_versions_and_sums_and_no_address():
    package = json.loads((SOURCES / "package.json").read_text())
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]

    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    assert all(re.fullmatch(r"[\d.]+", version) for version in wanted.values())
    for name, version in wanted.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    entries = [entry for name, entry in lock["packages"].items() if name]
    assert all("resolved" not in entry and entry["integrity"].startswith("sha512-") for entry in entries)
