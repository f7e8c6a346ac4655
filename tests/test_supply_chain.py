"""What the lock may hold: versions without the weaknesses known of them, and nothing without its sum.

`make audit` asks OSV about every locked package; this asks nobody, and says for the packages that callers' bytes
reach what they must not be older than, and why.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
SUM = re.compile(r"--hash=sha256:[0-9a-f]{64}")

SAFE_SINCE = {
    "strawberry-graphql": "0.327.2",  # CVE-2026-107727; earlier: CSRF by uploads, sockets without init, `node`'s type
    "graphql-core": "3.3.2",  # CVE-2026-75507, -75508: quadratic validation, uncounted comments; walks of fragments
    "starlette": "1.3.1",  # CVE-2026-54282, -54283: urlencoded forms; earlier: Range, Host in `url.path`, method names
    "uvicorn": "0.52.1",  # loses what was sent just before a WebSocket closed
    "h11": "0.16.0",  # CVE-2025-43859: chunked bodies let a second request through
    "h2": "4.4.1",  # CVE-2025-57804, CVE-2026-71554
    "hpack": "4.2.0",  # CVE-2026-59980
    "httpx": "0.28.1",  # the last one of its line
    "httpcore": "1.0.9",  # asks for an h11 without CVE-2025-43859
    "aiohttp": "3.14.3",  # CVE-2026-59881: reads beyond the heap in the parser of answers
    "redis": "5.0",  # CVE-2023-28858, -28859: after a cancellation answers go to the wrong question
    "pyjwt": "2.15.1",  # CVE-2026-101917 and others; tokens are checked with joserfc
    "joserfc": "1.7.2",  # CVE-2026-48990, -49852; padded encodings
    "jinja2": "3.1.6",  # CVE-2025-27516: out of the sandbox of templates
}
"""The oldest version of each without a known weakness. A package may be absent, never older."""


def locked() -> dict[str, tuple[Requirement, str]]:
    """Each entry of the lock by its name: the requirement, and the lines of its sums."""
    entries = re.split(r"(?m)^(?=\S)", LOCK.read_text("utf-8"))
    found = {}
    for entry in filter(None, entries):
        head, _, sums = entry.partition("\\")
        requirement = Requirement(head.strip())
        found[requirement.name] = requirement, sums
    return found


def test_the_lock_is_read_as_a_whole():
    names = {line.partition("==")[0] for line in LOCK.read_text("utf-8").splitlines() if "==" in line.split(";")[0]}

    assert names == set(locked())
    assert len(names) > 50


@pytest.mark.parametrize("name", SAFE_SINCE)
def test_nothing_is_locked_at_a_version_with_a_known_weakness(name):
    requirement = locked().get(name, (None, ""))[0]
    if requirement is not None:
        [pinned] = requirement.specifier
        assert Version(pinned.version) >= Version(SAFE_SINCE[name]), f"{requirement}: see make audit"


def test_what_a_gateway_stands_on_is_among_them():
    """Else a new name of a package would go unnoticed."""
    assert {"strawberry-graphql", "graphql-core", "starlette", "uvicorn", "httpx", "joserfc", "redis"} <= set(locked())


def test_every_entry_is_one_version_with_sums_and_no_address():
    """Whatever is installed has been seen when the lock was made, wherever it is fetched from."""
    for name, (requirement, sums) in locked().items():
        [pinned] = requirement.specifier
        assert (pinned.operator, requirement.url) == ("==", None), name
        assert SUM.findall(sums), name
        assert SUM.sub("", sums).replace("\\", "").strip() == "", name
    assert re.findall(r"://|^-|--(?:index|extra|find|trusted)|@ ", LOCK.read_text("utf-8"), re.MULTILINE) == []


def test_the_scan_is_part_of_the_checks_and_reads_the_lock():
    assert re.search(r"^AUDIT_MAY_BE_AWAY=1 make audit$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\naudit: ")[2].partition("\n\n")[0]
    [script] = re.findall(r"sed -n '(.+)' requirements\.lock", recipe)
    pattern = re.compile(r"^([a-z0-9][^\\]*[^ \\]) *\\$", re.MULTILINE)

    assert script == r's/^\([a-z0-9][^\\]*[^ \\]\) *\\$$/    "\1",/p'
    assert [Requirement(found).name for found in pattern.findall(LOCK.read_text("utf-8"))] == list(locked())
