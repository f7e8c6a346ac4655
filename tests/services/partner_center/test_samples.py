"""Every recorded or documented exchange in the samples folder, served to the client as it stands there.

The table says what each must come out as. A sample that stands in no row fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.errors import Throttled, UpstreamError
from tests.services.partner_center.sample_rows import Holds, Raises, Row
from tests.services.partner_center.samples_of_people import PEOPLE
from tests.services.partner_center.samples_of_skus import SKUS
from tests.services.partner_center.samples_passed_on import PASSED_ON
from tests.services.partner_center.scripted import Wired

SAMPLES = Path(__file__).parents[4] / "shared" / "partner-center" / "samples"
FILES = sorted(path.name for path in SAMPLES.glob("*.json"))


def for_each(names: list[str]) -> Callable[[Any], Any]:
    """One test a name. Without the folder there is no test at all: pytest would call an empty list a skip."""
    return pytest.mark.parametrize("name", names) if names else lambda test: None


TABLE = PEOPLE | SKUS | PASSED_ON
REQUEST_ONLY = {"subscription-suspend.json": ("Status", "suspended")}


def served(name: str) -> httpx.Response:
    """The sample's answer, with its own headers but the two that depend on how the body is written."""
    recorded = json.loads((SAMPLES / name).read_text("utf-8"))["response"]
    headers = {
        key: value
        for key, value in recorded.get("headers", {}).items()
        if key.lower() not in {"content-length", "transfer-encoding"}
    }
    body = recorded.get("body")
    return httpx.Response(
        recorded["status"],
        headers=headers,
        content=b"" if body is None else json.dumps(body).encode(),
        extensions={"reason_phrase": (recorded.get("reason") or "").encode()},
    )


async def outcome(row: Row, wired: Wired) -> Any:
    try:
        return await row.call(wired)
    except UpstreamError as error:
        return Raises(
            type(error),
            error.status or 0,
            error.upstream_code if not isinstance(error, Throttled) else None,
            getattr(error, "reason", None),
            getattr(error, "retry_after_seconds", None),
        )


@for_each(FILES)
def test_every_sample_stands_in_the_table(name):
    assert (name in TABLE) != (name in REQUEST_ONLY)


@for_each([name for name in FILES if name in TABLE])
async def test_a_sample_comes_out_as_the_table_says(name):
    row = TABLE[name]
    wired = Wired()
    wired.upstream.replies = [served(name)]

    result = await outcome(row, wired)

    if isinstance(row.gives, Holds):
        for path, value in row.gives.values.items():
            found = result
            for step in path:
                found = found[step]
            assert found == value
    else:
        assert result == row.gives
    if row.asks:
        assert wired.upstream.asked == [row.asks]


@for_each([name for name in FILES if name in REQUEST_ONLY])
async def test_a_sample_without_an_answer_is_sent_as_it_stands(name):
    request = json.loads((SAMPLES / name).read_text("utf-8"))["request"]
    wired = Wired()
    wired.upstream.replies = [httpx.Response(200, json={})]

    await wired.transport.request(
        request["method"], "/customers/x/subscriptions/y", tenant_id="x", body=request["body"]
    )

    member, value = REQUEST_ONLY[name]
    assert wired.upstream.body() == request["body"]
    assert wired.upstream.body()[member] == value
