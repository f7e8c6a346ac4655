"""Partner Center itself: finds the operation, lets the caller in or not, answers.

Paths and query names are matched without regard to case; a trailing slash and doubled slashes after /v1 are
accepted. Order of the checks: rate limit (it counts refused calls too), bearer token, MFA, app-only, request
id, customer, role. Sources: learn.microsoft.com/partner-center/developer/headers,
…/partner-center-authentication, …/gdap-and-secure-application-model.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import parse_qsl

from sandbox import (
    audit_records,
    catalog,
    customers,
    domains,
    license_updates,
    licenses,
    profiles,
    refusals,
    relationships,
    roles,
    subscription_updates,
    subscriptions,
    user_changes,
    users,
)
from sandbox.asks import Ask, Operation, Query, has_any_role
from sandbox.refusals import GatewayRefusal, Refusal
from sandbox.state import SandboxState
from sandbox.tokens import PARTNER_CENTER, Principal
from sandbox.wire import Answer, is_guid, trace_headers
from sandbox.world import Customer

OPERATIONS: tuple[Operation, ...] = (
    *customers.OPERATIONS,
    *profiles.OPERATIONS,
    *domains.OPERATIONS,
    *relationships.OPERATIONS,
    *users.OPERATIONS,
    *user_changes.OPERATIONS,
    *roles.OPERATIONS,
    *licenses.OPERATIONS,
    *license_updates.OPERATIONS,
    *subscriptions.OPERATIONS,
    *subscription_updates.OPERATIONS,
    *catalog.OPERATIONS,
    *audit_records.OPERATIONS,
)

_WRITES = ("POST", "PATCH", "PUT", "DELETE")
_logger = logging.getLogger(__name__)


def answer_partner_center(
    state: SandboxState,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    content: bytes,
    request_id: str,
    correlation_id: str,
) -> Answer:
    """The answer to a request below /v1, refusals and failures included. `path` is decoded, header names
    lower case."""
    try:
        answer = _dispatch(state, method, path, query, headers, content, request_id, correlation_id)
    except Refusal as refusal:
        answer = refusal.answer()
    except Exception:
        _logger.exception("The sandbox failed on %s %s", method, path)
        answer = Refusal(500, 800003, refusals.UNEXPECTED).answer()
    if answer.traced:
        answer.headers = {**answer.headers, **trace_headers(request_id, correlation_id)}
    if headers.get("validatemfa", "").lower() == "true":
        principal = _principal(state, headers.get("authorization", ""))
        if principal is not None:
            answer.headers = {**answer.headers, "isMfaCompliant": str(principal.multi_factor).lower()}
    return answer


def _dispatch(
    state: SandboxState,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    content: bytes,
    request_id: str,
    correlation_id: str,
) -> Answer:
    segments = [segment.strip() for segment in path.split("/") if segment.strip()][1:]
    operation, params = _find_operation(method, segments)
    if state.throttled and operation.throttled:
        seconds = state.throttle.admit(state.switches.throttle_per_minute)
        if seconds is not None:
            raise refusals.throttled(seconds)
    principal = _admit(state, headers, operation)
    canonical = "/" + "/".join(segments)
    key = (state.world.partner_id, method, canonical.lower(), request_id.lower())
    remembered = method in _WRITES and "ms-requestid" in headers
    if remembered:
        kept = state.request_ids.recall(key, state.switches.request_id_memory_seconds)
        if kept is not None:
            return Answer(kept.status, kept.body, dict(kept.headers), kept.traced)
    ask = Ask(
        state=state,
        method=method,
        path=canonical,
        query=Query(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        content=content,
        principal=principal,
        params=params,
        correlation_id=correlation_id,
    )
    try:
        answer = _answer(ask, operation)
    except Refusal as refusal:
        answer = refusal.answer()
    if remembered:
        state.request_ids.keep(key, answer)
    return answer


def _answer(ask: Ask, operation: Operation) -> Answer:
    if "customer_id" in ask.params:
        ask.customer = _find_customer(ask)
        if not has_any_role(ask.customer, operation.roles):
            raise refusals.insufficient_privileges()
    if ask.method in ("POST", "PATCH", "PUT") and ask.content:
        kind = ask.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind not in ("application/json", "text/json"):
            raise GatewayRefusal(415, f"The request entity's media type '{kind}' is not supported.")
    return operation.handler(ask)


def _find_customer(ask: Ask) -> Customer:
    switches = ask.state.switches
    customer_id = ask.params["customer_id"].lower()
    if not is_guid(customer_id):
        raise refusals.not_a_guid("Tenant Id", switches.invalid_customer_id_code)
    partner_id = ask.state.world.partner_id
    customer = ask.state.world.customers.get(customer_id)
    if customer is None and switches.unknown_customer_status == 404:
        raise refusals.unknown_customer()
    if customer is None or customer.relationship != "reseller":
        raise refusals.no_relationship(partner_id, customer_id)
    return customer


def _admit(state: SandboxState, headers: Mapping[str, str], operation: Operation) -> Principal:
    authorization = headers.get("authorization", "")
    principal = _principal(state, authorization)
    if principal is None or principal.expires_at <= state.clock.now().timestamp():
        raise refusals.unauthorized()
    if principal.audience != PARTNER_CENTER:
        text = "The audience in the token is invalid and is no longer supported in Partner Center API."
        raise refusals.unauthorized(900420, text)
    if principal.tenant_id != state.world.partner_id:
        raise refusals.unauthorized()
    if principal.application_only:
        if not operation.application:
            raise refusals.application_only()
    elif not principal.multi_factor:
        raise refusals.unauthorized(
            900421, "The token does not contain the required multi-factor authentication claim."
        )
    return principal


def _principal(state: SandboxState, authorization: str) -> Principal | None:
    scheme, _, token = authorization.partition(" ")
    return state.tokens.recognize(token.strip()) if scheme.lower() == "bearer" else None


def _find_operation(method: str, segments: list[str]) -> tuple[Operation, dict[str, str]]:
    others = False
    for operation, template in _BY_LENGTH.get(len(segments), ()):
        params = _match(template, segments)
        if params is None:
            continue
        if operation.method == method:
            return operation, params
        others = True
    if others:
        raise GatewayRefusal(405, f"The requested resource does not support http method '{method}'.")
    raise GatewayRefusal(404, "Resource not found")


def _match(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            params[expected[1:-1]] = segment
        elif expected != segment.lower():
            return None
    return params


def _by_length() -> dict[int, list[tuple[Operation, tuple[str, ...]]]]:
    """Literal segments before parameters, so that /customers/relationshiprequests is no customer."""
    table: defaultdict[int, list[tuple[Operation, tuple[str, ...]]]] = defaultdict(list)
    for operation in sorted(OPERATIONS, key=lambda operation: operation.template.count("{")):
        template = tuple(part if part.startswith("{") else part.lower() for part in operation.segments)
        table[len(template)].append((operation, template))
    return table


_BY_LENGTH = _by_length()
