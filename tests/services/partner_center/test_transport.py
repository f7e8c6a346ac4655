"""What holds for every call: host, ids, token, bounds, time, size, and exceptions of the libraries below."""

from __future__ import annotations

import asyncio
import gzip
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from services.errors import Misconfigured, SignInAgain, SignInUnavailable, Throttled, Timeout, UpstreamError
from services.partner_center.network import MAX_BODY_BYTES
from services.partner_center.paths import path_of_link
from tests.services.partner_center.scripted import BASE_URL, NOW, Wired, raw, reply
from tests.virtual_time import run_in_virtual_time

TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
NO_MFA = reply(401, {"code": 900421, "description": "", "source": "PartnerFD"})


async def ask(wired: Wired, method: str = "GET", path: str = "/customers", tenant_id: str | None = None, **rest):
    return await wired.transport.request(method, path, tenant_id=tenant_id, **rest)


async def test_a_call_carries_token_ids_and_what_it_accepts():
    wired = Wired()
    wired.upstream.replies = [reply(200, {}), reply(200, {})]

    answer = await ask(wired, headers={"MS-ContinuationToken": "abc=="}, request_id="the-request")
    await ask(wired, "POST", "/customers/x/users", body={"a": "ü"})

    first, second = wired.upstream.requests
    assert str(first.url) == f"{BASE_URL}/v1/customers"
    assert first.headers["Authorization"] == "Bearer token-1"
    assert first.headers["Accept"] == "application/json"
    assert first.headers["Accept-Encoding"] == "gzip"
    assert first.headers["MS-ContinuationToken"] == "abc=="
    assert first.headers["MS-RequestId"] == answer.request_id == "the-request"
    assert UUID(first.headers["MS-CorrelationId"]) == UUID(answer.correlation_id)
    assert "Content-Type" not in first.headers
    assert second.headers["Content-Type"] == "application/json"
    assert second.content == '{"a":"ü"}'.encode()
    assert len({UUID(second.headers["MS-RequestId"]), UUID(second.headers["MS-CorrelationId"])}) == 2
    assert answer.received_at == NOW


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/customers?size=40&seekOperation=Next", "/customers?size=40&seekOperation=Next"),
        ("/v1/customers?size=40", "/customers?size=40"),
        ("customers", "/customers"),
        ("v1/customers", "/customers"),
        ("/V1/customers", "/customers"),
        ("https://evil.example/v1/customers?x=%7B1%7D#f", "/customers?x=%7B1%7D"),
        ("//evil.example/customers", "/customers"),
        ("https://evil.example", "/"),
        ("\\\\evil.example/customers", "/\\\\evil.example/customers"),
        ("@evil.example/customers", "/@evil.example/customers"),
    ],
)
def test_a_link_is_a_path_and_never_a_host(uri, path):
    assert path_of_link(uri) == path


@pytest.mark.parametrize("uri", ["http://[evil/customers", "/../../etc", "https://evil.example/../x"])
async def test_a_link_that_leads_away_is_refused_and_nothing_is_sent(uri):
    wired = Wired()

    with pytest.raises(UpstreamError):
        await ask(wired, path=path_of_link(uri))

    assert wired.upstream.requests == []


@pytest.mark.parametrize("path", ["@evil.example/", "//evil.example/", ".evil.example/", ":80@evil.example/"])
async def test_the_token_goes_to_the_configured_host_only(path):
    wired = Wired()
    wired.upstream.replies = [reply(200, {})]

    await ask(wired, path=path)

    assert {request.url.host for request in wired.upstream.requests} == {"partner-center.example"}


async def test_a_redirect_is_not_followed():
    wired = Wired()
    wired.upstream.replies = [reply(302, None, Location="https://evil.example/")]

    with pytest.raises(UpstreamError) as caught:
        await ask(wired)

    assert caught.value.status == 302
    assert len(wired.upstream.requests) == 1


async def test_a_cookie_is_not_sent_back():
    wired = Wired()
    wired.upstream.replies = [reply(200, {}, Set_Cookie="a=b"), reply(200, {})]

    await ask(wired)
    await ask(wired)

    assert wired.upstream.sent("Cookie") == [None, None]


async def test_a_refused_token_is_renewed_and_the_call_sent_once_more_with_new_ids():
    wired = Wired()
    wired.upstream.replies = [raw(401, b""), reply(200, {"id": 1})]

    answer = await ask(wired, request_id="the-request")

    assert answer.json() == {"id": 1}
    assert wired.upstream.sent("Authorization") == ["Bearer token-1", "Bearer token-2"]
    assert len(set(wired.upstream.sent("MS-RequestId"))) == 2
    assert len(set(wired.upstream.sent("MS-CorrelationId"))) == 2


async def test_the_second_try_of_a_repeated_call_has_the_same_id_again():
    wired = Wired()
    wired.upstream.replies = [raw(401, b""), reply(200, {}), raw(401, b""), reply(200, {})]

    await ask(wired, "POST", "/customers/x/users", request_id="the-request", body={})
    await ask(wired, "POST", "/customers/x/users", request_id="the-request", body={})

    ids = wired.upstream.sent("MS-RequestId")
    assert ids[:2] == ids[2:]


async def test_many_calls_that_meet_the_same_refusal_share_one_new_token():
    wired = Wired()

    async def judge(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return raw(401, b"") if request.headers["Authorization"] == "Bearer token-1" else reply(200, {})

    wired.upstream.replies = [judge] * 40
    await asyncio.gather(*(ask(wired) for _ in range(20)))

    assert len(wired.upstream.token_requests) == 2
    assert len(wired.upstream.requests) == 40


async def test_a_second_refusal_is_final():
    wired = Wired()
    wired.upstream.replies = [raw(401, b""), raw(401, b"")]

    with pytest.raises(SignInAgain) as caught:
        await ask(wired)

    assert caught.value.status == 401
    assert len(wired.upstream.requests) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        NO_MFA,
        httpx.Response(401, extensions={"reason_phrase": b"Unauthorized - MFA required"}),
    ],
)
async def test_a_missing_second_factor_is_not_tried_again(refusal):
    wired = Wired()
    wired.upstream.replies = [refusal]

    with pytest.raises(SignInAgain, match="multifactor"):
        await ask(wired)

    assert len(wired.upstream.requests) == 1
    assert len(wired.upstream.token_requests) == 1


async def test_without_a_token_nothing_is_asked():
    wired = Wired()
    wired.upstream.token_replies = [raw(503, b"")]

    with pytest.raises(SignInUnavailable) as caught:
        await ask(wired)

    assert not caught.value.sent
    assert wired.upstream.requests == []


async def test_an_audience_that_is_no_longer_accepted_is_a_matter_of_configuration():
    wired = Wired()
    wired.upstream.replies = [reply(401, {"code": 900420, "description": "The audience …"}) for _ in range(2)]

    with pytest.raises(Misconfigured):
        await ask(wired)


@pytest.mark.parametrize(("method", "seconds"), [("GET", 20.0), ("HEAD", 20.0), ("POST", 60.0), ("DELETE", 60.0)])
async def test_reads_and_writes_have_their_own_time(method, seconds):
    wired = Wired()
    wired.upstream.replies = [reply(200, {})]

    await ask(wired, method)

    timeout = wired.upstream.requests[0].extensions["timeout"]
    assert timeout == {"connect": 3.0, "read": seconds, "write": 10.0, "pool": seconds}


class Trickle(httpx.AsyncByteStream):
    """Sends a byte now and then, for ever: httpx's own time limits never see a pause that is too long."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self):
        while True:
            await asyncio.sleep(0.005)
            yield b" "

    async def aclose(self) -> None:
        self.closed = True


async def test_an_answer_that_trickles_ends_when_the_total_time_is_over():
    wired = Wired(transport_options={"read_seconds": 0.05})
    stream = Trickle()
    wired.upstream.replies = [httpx.Response(200, stream=stream)]

    with pytest.raises(Timeout) as caught:
        await ask(wired)

    assert caught.value.sent
    assert stream.closed


def test_waiting_for_a_slot_takes_nothing_from_the_time_of_a_call():
    async def ask_four() -> list[int]:
        wired = Wired(transport_options={"max_in_flight": 1, "read_seconds": 5})

        async def slow(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(3)
            return reply(200, {})

        wired.upstream.replies = [slow] * 4
        return [answer.status for answer in await asyncio.gather(*(ask(wired) for _ in range(4)))]

    assert run_in_virtual_time(ask_four()) == [200] * 4


@pytest.mark.parametrize(("size", "fits"), [(MAX_BODY_BYTES, True), (MAX_BODY_BYTES + 1, False)])
async def test_an_answer_may_have_16_mebibytes_unpacked(size, fits):
    wired = Wired()
    packed = gzip.compress(b" " * size, compresslevel=1)
    wired.upstream.replies = [
        httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(packed))
    ]

    if fits:
        assert len((await ask(wired)).body) == size
    else:
        with pytest.raises(UpstreamError, match="larger than"):
            await ask(wired)


async def test_a_broken_encoding_is_an_answer_that_cannot_be_read():
    wired = Wired()
    wired.upstream.replies = [
        httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip"))
    ]

    with pytest.raises(UpstreamError, match="could not be read"):
        await ask(wired)


async def test_each_try_is_one_log_event_without_query_token_or_body():
    wired = Wired()
    wired.upstream.replies = [raw(401, b""), reply(200, {"passwordProfile": {"password": "Echo456*"}})]

    with capture_logs() as events:
        answer = await ask(
            wired,
            "PATCH",
            f"/customers/{TENANT}/users/u",
            params={"filter": "private"},
            body={"password": "Sent123*"},
        )

    assert [{key: event[key] for key in ("event", "log_level", "method", "path", "status")} for event in events] == [
        {
            "event": "partner_center_call",
            "log_level": "debug",
            "method": "PATCH",
            "path": f"/customers/{TENANT}/users/u",
            "status": status,
        }
        for status in (401, 200)
    ]
    assert [event["correlation_id"] for event in events] == wired.upstream.sent("MS-CorrelationId")
    assert [event["request_id"] for event in events] == wired.upstream.sent("MS-RequestId")
    everything = repr(events) + repr(answer)
    for secret in ("private", "token-", "Sent123*", "Echo456*"):
        assert secret not in everything


async def test_a_failed_try_is_logged_without_a_status():
    wired = Wired()
    wired.upstream.replies = [httpx.ReadError("Bearer token-1")]

    with capture_logs() as events, pytest.raises(UpstreamError):
        await ask(wired)

    assert [event["status"] for event in events] == [None]
    assert "token-1" not in repr(events)


async def test_a_throttled_call_raises_what_to_wait():
    wired = Wired()
    wired.upstream.replies = [reply(429, {"statusCode": 429, "message": "…"}, Retry_After="7")]

    with pytest.raises(Throttled) as caught:
        await ask(wired)

    assert caught.value.retry_after_seconds == 7
