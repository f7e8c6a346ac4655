"""GraphQL over a WebSocket: who asks, what is malformed, and how much at once; asked of the program itself."""

import json
import threading
import time
from contextlib import ExitStack, contextmanager
from socket import SHUT_RDWR
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from sandbox.issuer import AUDIENCE, ISSUER, sign_token
from tests.callers import bearer
from tests.gateway_client import CONTOSO
from tests.program import running

PROTOCOL = Subprotocol("graphql-transport-ws")
SETTINGS = {"GATEWAY_WEBSOCKET_INIT_TIMEOUT_SECONDS": "3"}
PATIENCE_SECONDS = 60
INIT = {"type": "connection_init"}
WHO = {"id": "1", "type": "subscribe", "payload": {"query": "{ viewer { name kind } }"}}
FAR_TOO_DEEP = "[" * 20_000


@pytest.fixture(scope="module")
def program():
    with running("serve", "--sandbox", "--port", "0", "--sandbox-port", "0", lines=2, settings=SETTINGS) as program:
        yield program


@pytest.fixture
def url(program):
    return program.lines[0].split()[-1].replace("http://", "ws://")


@contextmanager
def opened(url, *, init=INIT, protocol=PROTOCOL, **given):
    with connect(url, subprotocols=[protocol], **given) as socket:
        if init is not None:
            tell(socket, init)
            assert heard(socket) == {"type": "connection_ack"}
        yield socket


def tell(socket, message):
    socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))


def heard(socket):
    return json.loads(socket.recv(timeout=PATIENCE_SECONDS))


def answer(socket, message=WHO):
    tell(socket, message)
    first = heard(socket)
    if first["type"] == "next":
        assert heard(socket) == {"id": message["id"], "type": "complete"}
    return first["payload"]


def read_to_the_end(socket):
    while True:
        socket.recv(timeout=PATIENCE_SECONDS)


def closed_with(socket):
    with pytest.raises(ConnectionClosed) as closed:
        read_to_the_end(socket)
    return closed.value.rcvd and closed.value.rcvd.code


def test_queries_and_refusals_are_answered_on_one_socket(url):
    with opened(url) as socket:
        found = answer(socket)
        assert found["data"] == {"viewer": {"name": "Demo partner", "kind": "PARTNER"}}
        assert found["extensions"]["cost"] == {"nodes": 0, "calls": 0}
        refused = answer(socket, {"id": "2", "type": "subscribe", "payload": {"query": "{ secret-text }"}})
        assert [(error["message"], error["extensions"]) for error in refused] == [
            ("Syntax Error: Invalid number.", {"code": "PARSE_FAILED"})
        ]
        assert answer(socket)["data"] is not None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ nothing }", "VALIDATION_FAILED"),
        ("{ tenants(first: 501) { totalCount } }", "PAGE_SIZE_LIMIT"),
        ("{ tenants(first: 500) { nodes { users(first: 500) { totalCount } } } }", "COST_LIMIT"),
        ("{ " + " ".join(f"a{number}: __typename" for number in range(21)) + " }", "ALIAS_LIMIT"),
        ("{ __typename " + "#\n" * 2_000 + "}", "TOKEN_LIMIT"),
        ("subscription { nothing }", "VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "BAD_REQUEST"),
    ],
)
def test_the_limits_of_documents_hold(url, query, code):
    with opened(url) as socket:
        errors = answer(socket, {"id": "1", "type": "subscribe", "payload": {"query": query}})

        assert {error["extensions"]["code"] for error in errors} == {code}
        assert answer(socket)["data"] is not None


def test_errors_of_fields_are_told_in_our_words(url):
    with opened(url) as socket:
        payload = {"query": '{ tenants(after: "x") { totalCount } }'}
        [error] = answer(socket, {"id": "1", "type": "subscribe", "payload": payload})["errors"]

    assert error["extensions"] == {"code": "BAD_INPUT"}
    assert error["message"].startswith("after: this is no cursor")


MALFORMED = {
    "no JSON": "{",
    "nothing": "",
    "nested without end": FAR_TOO_DEEP,
    "NaN": '{"type": "ping", "payload": NaN}',
    "half a surrogate pair": '{"type": "\\ud800"}',
    "a number": "1",
    "null": "null",
    "a list": "[]",
    "a text": '"ping"',
    "binary": b"\x00\x01",
    "binary JSON": b'{"type": "ping"}',
    "no type": {},
    "a type that is a list": {"type": ["ping"]},
    "a type that is null": {"type": None},
    "an unknown type": {"type": "x" * 500},
    "the type of an older protocol": {"type": "start", "id": "1", "payload": WHO["payload"]},
    "a payload that is a text": {"type": "ping", "payload": "x"},
    "a payload that is a list": {"type": "pong", "payload": []},
    "no id": {"type": "subscribe", "payload": WHO["payload"]},
    "an empty id": {"type": "subscribe", "id": "", "payload": WHO["payload"]},
    "an id that is a number": {"type": "subscribe", "id": 1, "payload": WHO["payload"]},
    "an endless id": {"type": "subscribe", "id": "x" * 1_000, "payload": WHO["payload"]},
    "no payload": {"type": "subscribe", "id": "1"},
    "a query that is a number": {"type": "subscribe", "id": "1", "payload": {"query": 1}},
    "variables in a list": {"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}},
    "an operation name that is a list": {
        "type": "subscribe",
        "id": "1",
        "payload": {"query": "{ a }", "operationName": []},
    },
    "variables 33 deep": {
        "type": "subscribe",
        "id": "1",
        "payload": {"query": "{ a }", "variables": {"a": json.loads("[" * 32 + "]" * 32)}},
    },
    "complete without an id": {"type": "complete"},
    "complete with a list": {"type": "complete", "id": []},
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("init", [INIT, None], ids=["after init", "at once"])
def test_a_malformed_message_closes_the_socket_with_4400(url, what, init):
    with opened(url, init=init) as socket:
        tell(socket, MALFORMED[what])
        code = closed_with(socket)

    # Whatever is wrong in the payload of an operation, it comes too early without connection_init.
    assert code == 4400 or (code == 4401 and init is None and "payload" in MALFORMED[what])


def test_a_message_that_is_too_large_closes_the_socket_with_1009(url):
    with opened(url) as socket:
        tell(socket, {**WHO, "payload": {"query": "{ __typename }".ljust(64 * 1024)}})

        assert closed_with(socket) == 1009


def test_a_socket_on_which_nobody_says_who_he_is_is_closed_with_4408(url):
    with opened(url, init=None) as socket:
        assert closed_with(socket) == 4408


def test_nothing_is_answered_before_connection_init(url):
    with opened(url, init=None) as socket:
        tell(socket, WHO)

        assert closed_with(socket) == 4401


def test_connection_init_comes_once_and_an_id_is_used_once_at_a_time(url):
    with opened(url) as socket:
        tell(socket, INIT)
        assert closed_with(socket) == 4429
    slow = {**WHO, "payload": {"query": "{ users { nodes { roles { name } } } }"}}
    with opened(url) as socket:
        tell(socket, slow)
        tell(socket, slow)
        assert closed_with(socket) == 4409


@pytest.mark.parametrize("protocol", ["graphql-ws", "graphql-sse", "soap"])
def test_other_protocols_are_not_spoken(url, protocol):
    with connect(url, subprotocols=[Subprotocol(protocol)]) as socket:
        assert closed_with(socket) == 4406


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_a_page_of_another_origin_gets_no_socket(url, origin):
    with pytest.raises(InvalidStatus) as refused, connect(url, subprotocols=[PROTOCOL], origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_pages_of_the_gateway_itself_get_one(url):
    with opened(url, origin=f"http://{urlsplit(url).netloc}") as socket:
        assert answer(socket)["data"] is not None


def direct_customer(**claims):
    return bearer("direct-customer", ("READ",), tenant_ids=[CONTOSO], **claims)


def test_who_asks_is_said_in_the_payload_or_in_a_header(url):
    by_payload = {"init": {**INIT, "payload": {"authorization": direct_customer()}}}
    by_header = {"additional_headers": {"Authorization": direct_customer()}}
    for given in (by_payload, by_header):
        with opened(url, **given) as socket:
            assert answer(socket)["data"]["viewer"]["kind"] == "DIRECT_CUSTOMER"


@pytest.mark.parametrize("authorization", ["Bearer x", "", "x", 1, [], {"a": 1}, "Bearer " + "x" * 9_000, "\u0141"])
def test_a_bad_token_closes_the_socket_with_4403(url, authorization):
    with opened(url, init=None) as socket:
        tell(socket, {**INIT, "payload": {"authorization": authorization}})

        assert closed_with(socket) == 4403


def test_the_socket_ends_with_the_token(url):
    now = int(time.time())
    # Tokens are taken for 30 seconds more: this one for three or four.
    claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now - 100, "exp": now - 26, "sub": "short", "kind": "partner"}
    token = f"Bearer {sign_token(claims)}"
    with opened(url, init={**INIT, "payload": {"authorization": token}}) as socket:
        assert closed_with(socket) == 4403


def test_a_caller_has_ten_sockets_and_one_that_ends_makes_room(url):
    init = {**INIT, "payload": {"authorization": direct_customer()}}
    with ExitStack() as sockets:
        for _ in range(9):
            sockets.enter_context(opened(url, init=init))
        with opened(url, init=init), opened(url, init=None) as one_more:
            tell(one_more, init)
            assert closed_with(one_more) == 4429
        with opened(url):  # another caller
            pass
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_let_in(url, init):  # nobody tells when the other's end is noticed
            assert time.monotonic() < deadline, "no room was made"


def is_let_in(url, init):
    with opened(url, init=None) as socket:
        tell(socket, init)
        try:
            return heard(socket) == {"type": "connection_ack"} and answer(socket)["data"] is not None
        except ConnectionClosed:
            return False


def test_a_socket_has_twenty_operations_at_once(url):
    slow = "{ users(first: 200) { nodes { licenses { sku { id } } } } }"
    with opened(url) as socket:
        for number in range(30):
            tell(socket, {"id": str(number), "type": "subscribe", "payload": {"query": slow}})
        refused = [each for each in (heard(socket) for _ in range(10)) if each["type"] == "error"]

    assert {error["extensions"]["code"] for each in refused for error in each["payload"]} == {"THROTTLED"}


def test_many_sockets_that_are_left_alone_disturb_nobody(url):
    def abandon():
        with connect(url, subprotocols=[PROTOCOL]) as socket:
            tell(socket, INIT)
            tell(socket, WHO)
            socket.socket.shutdown(SHUT_RDWR)

    threads = [threading.Thread(target=abandon) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.5)
    with opened(url) as socket:
        assert answer(socket)["data"] is not None
