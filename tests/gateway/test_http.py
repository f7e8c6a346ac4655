"""What goes over the wire: framing, sizes and times, asked of the program through raw sockets."""

import json
import socket
import time
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest

from tests.program import running

SECONDS = 1.0
"""The times that the program is given for a head, a body and idleness."""
SOON = 9.0
"""Much more than those times, for a busy machine, and less than heads and bodies have unless told otherwise."""
BODY = b'{"query": "{ __typename }"}'
SETTINGS = {
    "GATEWAY_HEAD_TIMEOUT_SECONDS": "1",
    "GATEWAY_BODY_TIMEOUT_SECONDS": "1",
    "GATEWAY_KEEP_ALIVE_SECONDS": "1",
}


@pytest.fixture(scope="module")
def program():
    with running("serve", "--sandbox", "--port", "0", "--sandbox-port", "0", lines=2, settings=SETTINGS) as program:
        yield program


@pytest.fixture
def address(program):
    """Where it answers; at the end it still answers well."""
    url = urlsplit(program.lines[0].split()[-1])
    address = (url.hostname, url.port)
    yield address
    status, _, body = answer_to(address, post(BODY))
    assert (status, json.loads(body)["data"]) == (200, {"__typename": "Query"})


def head(method="POST", path="/graphql", *lines, host="127.0.0.1"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


def post(body, *lines, length=None):
    size = f"Content-Length: {len(body) if length is None else length}"
    return head("POST", "/graphql", "Content-Type: application/json", size, *lines) + body


def connect(address):
    return socket.create_connection(address, timeout=60)


def receive(connection):
    """All that comes until the other side closes."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def parse(raw):
    start, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = start.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def answer_to(address, request):
    with closing(connect(address)) as connection:
        connection.sendall(request.replace(b"\r\nHost:", b"\r\nConnection: close\r\nHost:", 1))
        return parse(receive(connection))


def seconds_until_closed(connection, started):
    receive(connection)
    return time.monotonic() - started


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 27", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 27"),
        ("Content-Length: 27", "Content-Length: 5"),
        ("Content-Length: 27", "Content-Length: 27"),
        ("Content-Length: 27, 27",),
        ("Content-Length: -1",),
        ("Content-Length: +27",),
        ("Content-Length: 0x1b",),
        ("Content-Length: 99999999999999999999999",),
        ("Transfer-Encoding: gzip, chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length : 27",),
        (" Folded: yes",),
        ("Bad\x00Name: 1",),
        ("X: a\x00b",),
        (": no name",),
    ],
)
def test_a_body_of_two_lengths_or_none_that_can_be_read_is_refused(address, lines):
    request = head("POST", "/graphql", "Content-Type: application/json", *lines) + BODY
    status, headers, body = answer_to(address, request)

    assert status in (400, 413)
    assert headers["x-content-type-options"] == "nosniff"
    assert json.loads(body)["errors"][0]["extensions"]["code"] in ("BAD_REQUEST", "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /graphql\r\n\r\n",
        b"GET /graphql HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\n\x00\x00\x00\x00",
        b"GET http://[::bad/graphql HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u00e9 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"),
    ],
)
def test_what_is_no_request_is_answered_400_and_the_connection_closed(address, request_):
    with closing(connect(address)) as connection:
        connection.sendall(request_)
        raw = receive(connection)

    assert raw == b"" or parse(raw)[0] in (400, 403, 404)


def test_a_smuggled_request_is_not_answered(address):
    inner = head("GET", "/health")
    chunked = b"0\r\n\r\n" + inner
    request = head("POST", "/graphql", f"Content-Length: {len(chunked)}", "Transfer-Encoding: chunked") + chunked
    with closing(connect(address)) as connection:
        connection.sendall(request)
        raw = receive(connection)

    assert raw.count(b"HTTP/1.1") == 1
    assert parse(raw)[0] == 400


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"X-{number}: 1" for number in range(94)], 200),
        ([f"X-{number}: 1" for number in range(120)], 431),
        (["X: " + "x" * 31_000], 200),
        (["X: " + "x" * 33_000], 431),
        (["X: " + "x" * 2_000_000], 431),
        (["X" * 60_000 + ": 1"], 431),
    ],
)
def test_a_head_of_too_many_lines_or_bytes_is_431(address, lines, status):
    with closing(connect(address)) as connection:
        with suppress(ConnectionError):  # it may be refused before all of it is sent
            connection.sendall(post(BODY, *lines, "Connection: close"))
        raw = receive(connection)

    assert raw == b"" or parse(raw)[0] == status
    assert raw or status != 200


def test_a_url_that_is_too_long_is_414(address):
    assert answer_to(address, head("GET", "/graphql?query=" + "x" * 8_200))[0] == 414
    assert answer_to(address, head("GET", "/" + "x" * 8_200))[0] == 414


@pytest.mark.parametrize("length", [1024 * 1024 + 1, 10**15])
def test_a_body_that_is_declared_too_large_is_413_before_it_is_sent(address, length):
    status, headers, body = answer_to(address, post(b"", length=length))

    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["errors"][0]["extensions"] == {
        "code": "BODY_TOO_LARGE",
        "limit": 1024 * 1024,
        "asked": length,
    }


def test_a_body_that_grows_too_large_is_413_while_it_is_read(address):
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with closing(connect(address)) as connection:
        connection.sendall(head("POST", "/graphql", "Content-Type: application/json", "Transfer-Encoding: chunked"))
        with suppress(ConnectionError):
            for _ in range(40):
                connection.sendall(chunk)
        raw = receive(connection)

    assert raw == b"" or parse(raw)[0] == 413


def test_a_chunked_body_is_read(address):
    request = head("POST", "/graphql", "Content-Type: application/json", "Transfer-Encoding: chunked")

    assert answer_to(address, request + b"1b\r\n" + BODY + b"\r\n0\r\n\r\n")[0] == 200


def test_who_says_nothing_is_not_waited_for(address):
    started = time.monotonic()
    with closing(connect(address)) as connection:
        assert SECONDS * 0.8 < seconds_until_closed(connection, started) < SOON


def test_a_head_that_comes_a_byte_at_a_time_is_not_waited_for(address):
    started = time.monotonic()
    with closing(connect(address)) as connection, suppress(ConnectionError):
        for byte in post(BODY):
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - started < SOON


def test_a_second_head_that_does_not_come_to_its_end_is_not_waited_for(address):
    started = time.monotonic()
    with closing(connect(address)) as connection:
        connection.sendall(post(BODY))
        assert b"200 OK" in connection.recv(65_536)
        connection.sendall(b"POST /graphql HTTP/1.1\r\n")
        assert seconds_until_closed(connection, started) < SOON


def test_a_body_that_does_not_come_is_408(address):
    with closing(connect(address)) as connection:
        connection.sendall(post(BODY[:5], length=len(BODY)))
        started = time.monotonic()
        status, headers, body = parse(receive(connection))

    assert time.monotonic() - started < SOON
    assert (status, headers["connection"]) == (408, "close")
    assert json.loads(body)["errors"][0]["extensions"] == {"code": "TIMEOUT"}


def test_a_body_that_nobody_reads_does_not_keep_a_connection(address):
    with closing(connect(address)) as connection:
        connection.sendall(head("GET", "/health", "Content-Length: 100000"))
        started = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - started < SOON:
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - started < SOON


def test_an_idle_connection_is_closed(address):
    started = time.monotonic()
    with closing(connect(address)) as connection:
        connection.sendall(post(BODY))
        assert b"200 OK" in connection.recv(65_536)
        assert SECONDS * 0.8 < seconds_until_closed(connection, started) < SOON


def test_requests_follow_one_another_on_a_connection(address):
    with closing(connect(address)) as connection:
        connection.sendall(post(BODY) + post(BODY) + post(BODY, "Connection: close"))

        assert receive(connection).count(b'{"data":{"__typename":"Query"}') == 3


@pytest.mark.parametrize(
    "path",
    [
        "/graphql/../health",
        "//graphql",
        "/graphql/",
        "/%67raphql/..%2fsandbox/reset",
        "/graphiql/..%2f..%2fconfig.py",
        "/graphiql/%2e%2e/config.py",
        "/graphiql//etc/passwd",
        "/graphiql/..\\..\\config.py",
        "/\x7f",
        "/%00",
        "/graphiql/%00",
        "/GRAPHQL",
    ],
)
def test_tricks_with_paths_lead_nowhere(address, path):
    status, _, body = answer_to(address, head("GET", path))

    assert status in (400, 404, 307)
    assert b"import" not in body
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["PROPFIND", "CONNECT", "FOO", "get", "POST\x0b"])
def test_an_unusual_method_is_refused(address, method):
    assert answer_to(address, head(method, "/graphql"))[0] in (400, 404, 405)


def test_no_answer_says_which_server_it_is(address):
    for request in (post(BODY), head("GET", "/nothing"), b"nonsense\r\n\r\n"):
        assert "server" not in answer_to(address, request)[1]
