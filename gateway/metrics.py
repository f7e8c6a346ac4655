"""Figures for Prometheus. Never a tenant, a user or a caller as a label."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

REQUEST_SECONDS = Histogram(
    "gateway_request_seconds", "Time from a request's arrival to the end of its answer", ["path", "status"]
)
UPSTREAM_CALLS = Counter("gateway_upstream_calls", "Calls to Partner Center, token requests aside")
CACHE_LOOKUPS = Counter("gateway_cache_lookups", "Look-ups in the cache", ["outcome"])


async def metrics(_: Request) -> Response:
    """The figures as text."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
