"""Exports: the same answers as `users` and `portfolio`, as files, streamed.

All tenants are asked first, so that the head of the answer says which did not answer; then rows are written while
they are sent. Who may ask, and for which tenants, is settled as for GraphQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import cast
from urllib.parse import parse_qs

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.authentication import AuthenticationError
from gateway.disconnects import EndsWithItsCaller
from gateway.endpoint import GraphQLEndpoint, max_age_seconds
from gateway.execution import ANSWER_SECONDS
from gateway.export_query import TENANT_IDS, Given, read_scope, read_sku_filter, read_user_filter
from gateway.export_rows import SKU_COLUMNS, USER_COLUMNS, Form, Row, pieces, sku_rows, user_rows
from gateway.http_refusals import HttpRefused, error_response
from gateway.limits import LimitExceeded
from gateway.metrics import count_use
from gateway.overload import TakesTurns, Turns
from gateway.running_operations import RunningOperations
from gateway.upstream_costs import asked_by_filter, tenants_in
from resolvers.all_users import find_users
from resolvers.context import GatewayContext, Info
from resolvers.coverage import Coverage
from resolvers.portfolio import find_skus
from services.deadlines import start_deadline
from services.errors import BadInput, GatewayError, NotPermitted, Throttled, Timeout, UpstreamError

SLOWEST_READER_SECONDS = 60.0
"""A piece that is not taken within this ends the answer: it holds the rows of all tenants."""
MOST_PARAMETERS = 100

log = structlog.get_logger("gateway.requests")


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """How long all tenants together may take, and how many calls an export may need, estimated as for GraphQL."""

    seconds: float
    most_calls: int

    def check(self, given: Given, calls_a_tenant: int) -> None:
        ids = read_scope(given)
        calls = calls_a_tenant * tenants_in(None if ids is None or ids.ids is None else {"ids": ids.ids.value})
        if calls > self.most_calls:
            message = f"This may need {calls:,} calls to Microsoft, and {self.most_calls:,} are allowed. Ask for less."
            raise LimitExceeded("COST_LIMIT", message, limit=self.most_calls, asked=calls)


@dataclass(frozen=True, slots=True)
class _Asking:
    """As much of GraphQL's `info` as finding needs."""

    context: GatewayContext


@dataclass(frozen=True, slots=True)
class _Export:
    columns: Sequence[str]
    rows: Iterator[Row]
    coverage: Coverage


class ExportEndpoint:
    """`GET /export/<what>.<form>`. `endpoint` is GraphQL's, whose callers, caches and turns it shares."""

    def __init__(
        self, what: str, form: Form, endpoint: GraphQLEndpoint, running: RunningOperations, limits: ExportLimits
    ) -> None:
        self._find = _users if what == "users" else _portfolio
        self._name = f"{what}.{form.value}"
        self._form = form
        self._endpoint = endpoint
        self._running = running
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the body, if there is one, is of no interest; from here on it is seen who hangs up
        request = Request(scope)
        try:
            export = await self._ask(request)
        except AuthenticationError as error:
            headers = {"WWW-Authenticate": error.challenge} if error.challenge else None
            await error_response(error.status, error.message, error.extensions(), headers)(scope, receive, send)
        except HttpRefused as refused:
            await refused.response()(scope, receive, send)
        except GatewayError as failed:
            await _failure(failed)(scope, receive, send)
        else:
            head = Response(media_type=self._form.media_type, headers=self._headers(export.coverage))
            del head.headers["content-length"]
            body = pieces(self._form, export.columns, export.rows, export.coverage)
            await _stream(head, body, receive, send)

    async def _ask(self, request: Request) -> _Export:
        if request.method != "GET":
            message = "Exports are asked for by GET."
            raise HttpRefused(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": "GET, HEAD"})
        wired = self._endpoint.wired
        caller = await wired.authenticator.authenticate(request.scope["headers"])
        request.state.held.callback(await wired.callers.enter(caller))
        given = _parameters(request.scope["query_string"])
        context = self._endpoint.new_context(caller, request.state.request_id, max_age_seconds(request.headers))
        seconds = self._limits.seconds
        start_deadline(seconds)
        try:
            async with asyncio.timeout(seconds + ANSWER_SECONDS) as timeout:
                with self._running.query(timeout):
                    return await self._find(cast(Info, _Asking(context)), given, self._limits)
        except TimeoutError:
            if not timeout.expired():
                raise
            if self._running.are_cut:
                message = "The gateway is stopping. Ask again: another one answers."
                raise HttpRefused(HTTPStatus.SERVICE_UNAVAILABLE, message, code="UNAVAILABLE") from None
            raise Timeout(f"The export took more than {seconds:g} seconds. Ask for fewer tenants.") from None
        finally:
            context.loaders.stop()
            count_use(context.upstream_use)

    def _headers(self, coverage: Coverage) -> dict[str, str]:
        return {
            "Content-Disposition": f'attachment; filename="{self._name}"',
            "X-Coverage-Asked": str(coverage.asked),
            "X-Coverage-Answered": str(coverage.answered),
            "X-Coverage-Stale": str(coverage.stale),
            "X-Coverage-Failed": str(len(coverage.failed)),
        }


async def _users(info: Info, given: Given, limits: ExportLimits) -> _Export:
    wanted = read_user_filter(given)
    costly = {"licensedFor": wanted.licensed_for, "unlicensed": wanted.unlicensed, "roleIds": wanted.role_ids}
    limits.check(given, 1 + sum(asks.calls for asks in asked_by_filter(costly)))
    with _named_as_given():
        found = await find_users(info, read_scope(given), wanted)
    return _Export(USER_COLUMNS, user_rows(found), found.coverage)


async def _portfolio(info: Info, given: Given, limits: ExportLimits) -> _Export:
    wanted = read_sku_filter(given)
    limits.check(given, 1)
    with _named_as_given():
        found = await find_skus(info, read_scope(given), wanted)
    return _Export(SKU_COLUMNS, sku_rows(found), found.coverage)


@contextmanager
def _named_as_given() -> Iterator[None]:
    """Errors about an argument of GraphQL name the parameter instead."""
    try:
        yield
    except BadInput as error:
        raise BadInput(error.message.replace("scope.ids", TENANT_IDS).replace("filter.", "")) from error


def _parameters(query: bytes) -> Given:
    try:
        return parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise BadInput(f"At most {MOST_PARAMETERS} parameters can be given.") from None


async def _stream(head: Response, body: Iterator[bytes], receive: Receive, send: Send) -> None:
    """Sends piece by piece. Who hangs up, or does not read, ends it: what is cut short has no last piece."""
    gone = asyncio.create_task(_hung_up(receive))
    try:
        await send({"type": "http.response.start", "status": head.status_code, "headers": head.raw_headers})
        for piece in body:
            async with asyncio.timeout(SLOWEST_READER_SECONDS):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
            if gone.done():
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        log.info("reader of an export is too slow")
    finally:
        gone.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _failure(error: GatewayError) -> Response:
    """The whole export failed: what was asked for is wrong, or not even the list of tenants was to be had."""
    headers = None
    match error:
        case BadInput() | LimitExceeded():
            status = HTTPStatus.BAD_REQUEST
        case NotPermitted():
            status = HTTPStatus.FORBIDDEN
        case Throttled():
            status = HTTPStatus.SERVICE_UNAVAILABLE
            headers = {"Retry-After": str(ceil(error.retry_after_seconds))}
        case Timeout():
            status = HTTPStatus.GATEWAY_TIMEOUT
        case UpstreamError():
            status = HTTPStatus.BAD_GATEWAY
        case _:
            raise error
    return error_response(status, error.message, error.extensions(), headers)


def export_routes(
    endpoint: GraphQLEndpoint, running: RunningOperations, limits: ExportLimits, turns: Turns
) -> list[Route]:
    """`/export/users.csv` and the others."""
    return [
        Route(
            f"/export/{what}.{form.value}",
            TakesTurns(EndsWithItsCaller(ExportEndpoint(what, form, endpoint, running, limits)), turns),
        )
        for what in ("users", "portfolio")
        for form in Form
    ]
