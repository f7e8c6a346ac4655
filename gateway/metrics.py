"""Figures for Prometheus. Never a tenant, a user or a caller as a label.

With several workers each process writes its figures into a folder, which `gateway.workers` names before anything
here is imported, and whichever answers adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response

from gateway.config import figures_are_shared
from services.upstream_use import UpstreamUse

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

REQUEST_SECONDS = Histogram(
    "gateway_request_seconds",
    "Time from a request's arrival to the end of its answer",
    ["path", "status"],
    buckets=_SECONDS,
)
ERRORS = Counter("gateway_errors", "Errors in GraphQL answers, by their code", ["code"])
REFUSED = Counter("gateway_refused_requests", "Requests that found no place: of a process, of a caller", ["reason"])
REPEATED = Counter(
    "gateway_repeated_answers", "Answers that were given again, since nothing that they rest on has changed"
)
HUNG_UP = Counter("gateway_hung_up_requests", "Requests whose caller did not wait for the answer")
UPSTREAM_CALLS = Counter(
    "gateway_upstream_calls", "Calls to Partner Center, and those that were not made, by what came of them", ["outcome"]
)
TOKEN_REQUESTS = Counter("gateway_token_requests", "Requests to the token endpoint, by what came of them", ["outcome"])
CACHE_LOOKUPS = Counter("gateway_cache_lookups", "Look-ups: hit, miss, or stale where a copy stood in", ["outcome"])
LOOP_LAG_SECONDS = Histogram(
    "gateway_loop_lag_seconds", "How much later than asked for the event loop came round", buckets=_LAGS
)
TASK_FAILURES = Counter("gateway_background_failures", "Background tasks that broke and were started again", ["task"])

GAUGES: Mapping[str, Gauge] = {
    # What all workers see alike is not to be added up.
    name: Gauge(f"gateway_{name}", text, multiprocess_mode="livemax" if name == "jobs_queued" else "livesum")
    for name, text in {
        "requests_running": "Requests that are being answered",
        "requests_waiting": "Requests that wait for their turn",
        "sockets_open": "WebSockets",
        "upstream_in_flight": "Calls to Partner Center that are under way",
        "upstream_waiting": "Calls to Partner Center that wait for a slot",
        "upstream_slots": "Calls to Partner Center that may be under way at once",
        "breaker_open": "1 while Partner Center as a whole is left alone",
        "breakers_open_tenants": "Tenants that are left alone",
        "token_breaker_open": "1 while the token endpoint is left alone",
        "gates_closed": "Throttled tenants and resources that are not asked now",
        "partner_gate_closed_seconds": "Seconds for which nothing at all is asked, since the partner is throttled",
        "mails_waiting": "Mails under way, or waiting for another try",
        "audit_waiting": "1 while audit records wait that could not be brought in",
        "changes_running": "Changes under way",
        "jobs_running": "Jobs that this process runs",
        "jobs_queued": "Jobs that wait, of all processes together",
        "draining": "1 while the process takes leave",
    }.items()
}

Sample = Callable[[], Mapping[str, float]]
"""Gives the gauges as they are now, by their names above."""


def count_use(use: UpstreamUse) -> None:
    """Adds what one operation found in the cache."""
    if use.cache_hits:
        _HITS.inc(use.cache_hits)
    if use.cache_misses:
        _MISSES.inc(use.cache_misses)
    if use.stale:
        _STALE.inc(len(use.stale))


def count_errors(codes: Iterable[str]) -> None:
    """Counts the errors of one answer. Codes are ours, and few."""
    for code in codes:
        ERRORS.labels(code=code).inc()


def set_gauges(sample: Sample) -> None:
    """Takes over how things are. Gauges are set, not asked: with several workers another process tells them."""
    for name, value in sample().items():
        GAUGES[name].set(value)


def metrics_page(sample: Sample) -> Callable[[Request], Response]:
    """The route that gives the figures as text, of this process as they are now."""

    def metrics(_: Request) -> Response:
        set_gauges(sample)
        registry = REGISTRY
        if figures_are_shared():
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # ships no types for it
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics


_HITS = CACHE_LOOKUPS.labels(outcome="hit")
_MISSES = CACHE_LOOKUPS.labels(outcome="miss")
_STALE = CACHE_LOOKUPS.labels(outcome="stale")
