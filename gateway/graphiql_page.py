"""The page at `GET /graphql` for a browser: GraphiQL, served from our own files alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

HERE = Path(__file__).parent
PAGE_FOLDER = HERE / "graphiql"
EXAMPLE_FOLDERS = (HERE / "examples", HERE.parent / "examples")
"""In the wheel the examples lie inside the package, in a checkout beside it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The nonce is for the one style element that GraphiQL's dialogs write: docs/decisions/0004."""


@dataclass(frozen=True, slots=True)
class Example:
    """An operation that the page offers. `variables` is JSON text, or empty."""

    name: str
    query: str
    variables: str = ""


def graphiql_response(examples: Sequence[Example], folder: Path = PAGE_FOLDER) -> Response:
    """The page with its examples, or what to do where GraphiQL's own files have not been fetched."""
    if not files_are_there(folder):
        return PlainTextResponse(
            "GraphiQL's browser files are not here yet: run `make graphiql` in the project's folder, "
            "then load this page again. The API itself answers here all the same: POST /graphql.\n",
            status_code=503,
        )
    nonce = secrets.token_urlsafe(16)
    page = (folder / "page.html").read_text(encoding="utf-8")
    page = page.replace("{{ nonce }}", nonce).replace("{{ examples }}", _as_script(examples))
    return HTMLResponse(page, headers=graphiql_headers(nonce))


def graphiql_headers(nonce: str) -> dict[str, str]:
    """What every answer carries, but with a policy under which the page can work."""
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY.format(nonce=nonce),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def static_mount() -> Mount:
    """The files that the page loads, at `/graphiql`."""
    return Mount("/graphiql", StaticFiles(directory=PAGE_FOLDER), name="graphiql")


def files_are_there(folder: Path = PAGE_FOLDER) -> bool:
    """True once `make graphiql` has run here, and in every wheel."""
    return (folder / "vendor" / "graphiql.js").is_file()


def load_examples() -> list[Example]:
    """The operations of `examples/`, in the order of their file names."""
    for folder in EXAMPLE_FOLDERS:
        if files := sorted(folder.glob("*.graphql")):
            return [_read_example(file) for file in files]
    return []


def _read_example(file: Path) -> Example:
    query = file.read_text(encoding="utf-8")
    first_line = query.partition("\n")[0]
    title = first_line.lstrip("# ").rstrip() if first_line.startswith("#") else ""
    variables = file.with_suffix(".variables.json")
    return Example(
        name=title or file.stem.replace("-", " ").replace("_", " "),
        query=query,
        variables=variables.read_text(encoding="utf-8") if variables.is_file() else "",
    )


def _as_script(examples: Sequence[Example]) -> str:
    """JSON inside a script element: without `<` nothing in it can end the element."""
    return json.dumps([asdict(example) for example in examples]).replace("<", "\\u003c")
