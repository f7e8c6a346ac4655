"""Figures: what is counted, what is never a label, and that workers are added up."""

import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.changes import order_fault
from tests.gateway_client import CONTOSO, running_gateway, sandbox  # noqa: F401 (fixture)
from tests.program import run, running

TENANTS = "{ tenants(first: 1) { nodes { name } } }"
PEOPLE = """{ tenant(by: {domain: "contoso.onmicrosoft.com"}) { users(first: 3) { nodes { displayName } } } }"""
LABELS = {"path", "status", "code", "reason", "outcome", "task", "le"}


def figures(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def test_requests_calls_and_look_ups_are_counted_by_what_came_of_them(sandbox):  # noqa: F811
    async with running_gateway(sandbox) as gateway:
        before = figures((await gateway.http.get("/metrics")).text)
        await gateway.data(TENANTS)
        await gateway.data(TENANTS)
        order_fault(sandbox, path="/v1/customers", status=429, retry_after=60)
        await gateway.ask(TENANTS, cache_control="no-cache")
        after = figures((await gateway.http.get("/metrics")).text)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more('gateway_request_seconds_count{path="/graphql",status="200"}') == 3
    assert more('gateway_upstream_calls_total{outcome="answered"}') == 1
    assert more('gateway_upstream_calls_total{outcome="throttled"}') == 1
    assert more('gateway_token_requests_total{outcome="given"}') == 1
    assert more('gateway_cache_lookups_total{outcome="hit"}') == 1
    assert more('gateway_cache_lookups_total{outcome="miss"}') == 2
    assert more('gateway_errors_total{code="THROTTLED"}') == 1
    assert after["gateway_gates_closed"] == 1
    for gauge in ("requests_running", "requests_waiting", "upstream_in_flight", "upstream_waiting", "breaker_open"):
        assert after[f"gateway_{gauge}"] == 0
    assert {"gateway_mails_waiting", "gateway_loop_lag_seconds_count", "gateway_upstream_slots"} <= set(after)


async def test_no_figure_names_a_tenant_a_user_or_a_caller(sandbox):  # noqa: F811
    async with running_gateway(sandbox) as gateway:
        order_fault(sandbox, path=f"/v1/customers/{CONTOSO}/users", status=503)
        await gateway.ask(PEOPLE)
        text = (await gateway.http.get("/metrics")).text

    ours = [line for line in text.splitlines() if line.startswith("gateway_")]
    assert CONTOSO not in text
    assert "contoso" not in text.lower()
    assert {name for line in ours for name in re.findall(r'[{,](\w+)="', line)} <= LABELS


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_any_of_several_workers_gives_the_figures_of_all(sandbox_settings):
    token = run("token", "--kind", "partner").stdout.strip()
    settings = sandbox_settings | {"GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}
    with running("serve", "--port", "0", "--workers", "2", lines=1, settings=settings) as gateway:
        url = gateway.lines[0].split()[1]
        headers = {"Authorization": f"Bearer {token}"}
        asked = {"query": TENANTS}
        statuses = [httpx.post(url, json=asked, headers=headers, timeout=60).status_code for _ in range(10)]
        until_all_are_sampled(url.replace("graphql", "metrics"))
        seen = [figures(httpx.get(url.replace("graphql", "metrics"), timeout=60).text) for _ in range(4)]
        killed = workers_of(gateway.process.pid)[0]
        os.kill(killed, signal.SIGKILL)
        until_replaced(gateway.process.pid, killed)
        assert httpx.post(url, json=asked, headers=headers, timeout=60).status_code == 200
        assert gateway.stop(signal.SIGTERM) == 0

    assert statuses == [200] * 10
    assert [each['gateway_request_seconds_count{path="/graphql",status="200"}'] for each in seen] == [10] * 4
    assert {each["gateway_upstream_slots"] for each in seen} == {64}


def until_all_are_sampled(url: str) -> None:
    """Gauges are taken twice a second, and a worker that has just started has none."""
    deadline = time.monotonic() + 60
    while figures(httpx.get(url, timeout=60).text)["gateway_upstream_slots"] < 64:
        assert time.monotonic() < deadline, "not all workers give their gauges"
        time.sleep(0.05)


def workers_of(supervisor: int) -> list[int]:
    """The processes that serve; the library that starts them has one more of its own."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def until_replaced(supervisor: int, killed: int) -> None:
    deadline = time.monotonic() + 60
    while len(workers := workers_of(supervisor)) < 2 or killed in workers:
        assert time.monotonic() < deadline, "no other worker was started"
        time.sleep(0.05)
