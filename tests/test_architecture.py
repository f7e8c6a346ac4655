"""The rules of the house that a machine can check: who imports whom, and what a file may be."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "schema", "resolvers", "loaders", "services", "sandbox", "execution")
ENVIRONMENT = re.compile(r"\bos\.(environ|getenv)|^from os import .*\b(environ|getenv)", flags=re.MULTILINE)
OURS = "partner-center-gateway"
CATCH_ALLS = {"utils", "util", "helpers", "helper", "common", "base", "misc"}

sources = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
every_file = sources + sorted((ROOT / "tests").rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_keep_the_contracts():
    """The contracts in pyproject.toml hold; what is printed names the import that breaks one."""
    program = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_file_is_empty(package):
    """`resolvers` import `schema.inputs`: a filled `schema/__init__.py` would close a circle."""
    files = list((ROOT / package).rglob("__init__.py"))

    assert files, f"{package} is not a package"
    assert [named(file) for file in files if file.read_text().strip()] == []


def test_test_folders_are_not_packages():
    assert [named(file) for file in (ROOT / "tests").rglob("__init__.py")] == []


def test_no_file_is_longer_than_four_hundred_lines():
    lengths = {named(path): len(path.read_text().splitlines()) for path in every_file}

    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_resolvers_know_the_time_from_their_context_alone():
    """There it is noted that an answer depends on it: else one might be given again that is no longer right."""
    clocks = re.compile(r"\b(utcnow|today|monotonic|perf_counter|utc_now|datetime\.now|time\.time)\(|\brandom\.")
    files = [path for path in sources if path.parent.name in ("resolvers", "schema")]

    assert {named(path): clocks.findall(path.read_text()) for path in files if clocks.search(path.read_text())} == {}


def test_no_module_is_named_for_being_shared():
    """Such a name says nothing, so everything ends up in it."""
    assert [named(path) for path in sources if path.stem in CATCH_ALLS or path.parent.name in CATCH_ALLS] == []


def test_only_the_settings_read_the_environment():
    """One place reads it, so that every variable is known, checked at start and documented."""
    readers = [named(path) for path in sources if ENVIRONMENT.search(path.read_text())]

    assert set(readers) <= {"gateway/config.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_one_of_our_names(package):
    """Two distributions with a folder `schema` would be merged on installation without a warning."""
    assert set(packages_distributions().get(package, [])) - {OURS} == set()
