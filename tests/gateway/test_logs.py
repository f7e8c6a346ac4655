"""The log: one event a line, libraries quiet, and no secret by any of its usual names."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.program import ROOT

CANARY = "c4n4ry"
SCRIPT = """
import logging, sys, warnings
import structlog
from gateway.logs import configure_logging
from services.secret import Secret

configure_logging(sys.argv[1], sys.argv[2] or None)
log = structlog.get_logger("gateway.example")
canary = "c4n4ry"
"""


def written(code: str, level: str = "info", form: str = "json") -> str:
    """What a process of its own writes to its log: logging is set up once in a process."""
    command = [sys.executable, "-c", SCRIPT + code, level, form]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert answer.stdout == ""
    return answer.stderr


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_one_line_with_level_logger_time_and_the_running_requests_id():
    [event] = events(
        written("""
structlog.contextvars.bind_contextvars(request_id="r-1")
log.info("something happened", count=2, text="two\\nlines")
""")
    )

    assert str(event.pop("timestamp")).endswith("Z")
    assert event == {
        "event": "something happened",
        "count": 2,
        "text": "two\nlines",
        "level": "info",
        "logger": "gateway.example",
        "request_id": "r-1",
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_named_like_a_secret_is_masked_at_any_depth_and_errors_keep_their_codes(form):
    text = written(
        """
log.info(
    "masked", authorization=canary, password=canary, value=canary, code=canary, refresh_token=canary,
    client_assertion=canary, deep={"Set-Cookie": canary, "list": {"client-secret": canary}},
    redis_url="redis://user:c4n4ry@host:1/0?password=c4n4ry", any_secret=Secret(canary), plain=Secret(canary),
    error_code="E-7", upstream_code=900420,
)
""",
        form=form,
    )

    assert CANARY not in text
    assert "E-7" in text
    assert "900420" in text
    assert "redis://host:1/0" in text


def test_libraries_speak_from_warning_on_and_the_executor_not_at_all():
    code = """
for name in ("httpx", "httpcore.http11", "websockets.server", "uvicorn.error", "uvicorn.access", "aiosmtplib"):
    logging.getLogger(name).debug(canary)
    logging.getLogger(name).info(canary)
logging.getLogger("strawberry.execution").error(canary)
logging.getLogger("redis.client").warning("the %s is away", "server")
logging.getLogger("services.example").debug("ours")
"""
    assert [event["event"] for event in events(written(code, level="debug"))] == ["the server is away", "ours"]
    assert [event["event"] for event in events(written(code))] == ["the server is away"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_stack_comes_without_the_variables_of_its_frames(form):
    text = written(
        """
def fail(password):
    raise ValueError("broken")
try:
    fail("c4n" + "4ry")
except ValueError:
    log.exception("it broke")
    logging.getLogger("uvicorn.error").exception("it broke there too")
""",
        form=form,
    )

    assert CANARY not in text.replace('canary = "c4n4ry"', "")
    assert text.count("ValueError: broken") == 2
    if form == "json":
        assert [event["event"] for event in events(text)] == ["it broke", "it broke there too"]


def test_without_a_form_what_is_no_terminal_gets_json():
    [event] = events(written('log.info("plain")', form=""))

    assert event["event"] == "plain"
