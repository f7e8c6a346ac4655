"""Who may open a WebSocket outside the sandbox, and what of a job it shows; asked of the program itself."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from sandbox.contoso import CONTOSO_DOMAIN
from sandbox.issuer import AUDIENCE, ISSUER, sign_token
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.gateway_client import CONTOSO
from tests.program import running

PROTOCOL = Subprotocol("graphql-transport-ws")
CLOSED = 4403
ADELE = encode_id("User", CONTOSO, stable_id("user", f"adele.vance@{CONTOSO_DOMAIN}"))
FABRIKAM = stable_id("tenant", "fabrikam.onmicrosoft.com")


@pytest.fixture(scope="module")
def url(sandbox_settings):
    with running("serve", "--port", "0", lines=1, settings=sandbox_settings) as program:
        yield program.lines[0].split()[-1].replace("http://", "ws://")


@contextmanager
def opened(url, payload=None, **given):
    with connect(url, subprotocols=[PROTOCOL], **given) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": payload or {}}))
        yield socket


def heard(socket):
    return json.loads(socket.recv(timeout=60))


def close_code(socket):
    with pytest.raises(ConnectionClosed) as closed:
        heard(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "Forbidden"
    return closed.value.rcvd.code


def token(**claims):
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "kind": "partner", "iat": now, "exp": now + 60}
    return f"Bearer {sign_token(whole | claims)}"


@pytest.mark.parametrize(
    ("payload", "given"),
    [
        ({}, {}),
        ({"authorization": None}, {}),
        ({"Authorization": token()}, {}),
        ({"token": token(), "access_token": token()}, {}),
        ({"headers": {"authorization": token()}}, {}),
        ({}, {"additional_headers": {"Cookie": f"token={token()}"}}),
        ({}, {"additional_headers": [("Authorization", token()), ("Authorization", token())]}),
        ({}, {"additional_headers": {"Authorization": token(aud="other")}}),
        ({"authorization": token(aud="other")}, {"additional_headers": {"Authorization": token()}}),
        ({"authorization": token(exp=int(time.time()) - 31)}, {}),
        ({"authorization": token(iss="https://other.example")}, {}),
        ({"authorization": token(kind="admin")}, {}),
        ({"authorization": token(nonce="n")}, {}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_without_one_good_token_in_its_place_a_socket_is_closed(url, payload, given):
    """The same way for every cause: a socket has nobody to tell it to."""
    with opened(url, payload, **given) as socket:
        assert close_code(socket) == CLOSED


def test_a_token_in_the_address_is_none(url):
    with opened(f"{url}?access_token={token().split()[1]}&authorization={token().replace(' ', '%20')}") as socket:
        assert close_code(socket) == CLOSED


@pytest.mark.parametrize("place", ["header", "payload"])
def test_one_good_token_opens_it(url, place):
    given = {"additional_headers": {"Authorization": token()}} if place == "header" else {}
    with opened(url, {"authorization": token()} if place == "payload" else {}, **given) as socket:
        assert heard(socket) == {"type": "connection_ack"}


def progress(url, job_id, authorization):
    """What a socket says of a job, to its end."""
    query = "subscription ($id: ID!) { jobProgress(id: $id) { id total } }"
    with opened(url, {"authorization": authorization}) as socket:
        assert heard(socket) == {"type": "connection_ack"}
        asked = {"query": query, "variables": {"id": job_id}}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": asked}))
        said = [heard(socket)]
        while said[-1]["type"] == "next":
            said.append(heard(socket))
    return said


def test_a_job_is_followed_by_who_reaches_all_its_tenants_alone(url):
    """To everybody else it is none: another's is told from nothing by no word."""
    query = "mutation ($input: UpdateLicensesInBulkInput!) { updateLicensesInBulk(input: $input) { job { id } } }"
    given = {"users": {"ids": [ADELE]}, "remove": [stable_id("no product")]}
    answer = httpx.post(
        url.replace("ws://", "http://"),
        json={"query": query, "variables": {"input": given}},
        headers={"Authorization": bearer()},
        timeout=60,
    )
    job_id = answer.json()["data"]["updateLicensesInBulk"]["job"]["id"]
    nothing = encode_id("Job", stable_id("no job"))

    own = progress(url, job_id, bearer("direct-customer", tenant_ids=[CONTOSO]))
    assert own[0]["payload"]["data"] == {"jobProgress": {"id": job_id, "total": 1}}
    for caller in (
        bearer("direct-customer", tenant_ids=[FABRIKAM]),
        bearer("direct-customer"),
        bearer("reseller"),
        bearer(permissions=without("READ")),
    ):
        told, none = progress(url, job_id, caller), progress(url, nothing, caller)
        assert job_id not in json.dumps(told)
        assert without_ids(told) == without_ids(none)


def without_ids(said):
    for each in said:
        if isinstance(each.get("payload"), dict):
            each["payload"].get("extensions", {}).pop("requestId", None)
            each["payload"].get("extensions", {}).get("upstream", {}).pop("waitedMs", None)
    return said
