"""Access tokens: renewed in time, once for all, by the newest refresh token, with errors told apart."""

from __future__ import annotations

import asyncio
import json
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from services.errors import Misconfigured, SignInAgain, SignInUnavailable
from services.partner_center.refresh_tokens import FileRefreshTokens
from services.partner_center.tokens import PartnerCredentials, TokenSource
from services.secret import Secret
from tests.services.partner_center.scripted import (
    CREDENTIALS,
    NOW,
    Clock,
    ScriptedUpstream,
    Wired,
    raw,
    reply,
    token_reply,
)


def refusal(error: str, number: int, status: int = 400, text: str = "No.", **members: object) -> httpx.Response:
    return reply(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{number}: {text}\r\nTrace ID: t\r\nTimestamp: 2026-05-04 12:00:00Z",
            "error_codes": [number],
            **members,
        },
    )


EXPIRED = ("invalid_grant", 700082)


async def test_the_v2_endpoint_is_asked_with_a_scope_and_the_tenant_in_its_address():
    wired = Wired()

    assert await wired.tokens.get() == "token-1"
    [request] = wired.upstream.token_requests
    assert str(request.url) == "https://login.example/partner-tenant/oauth2/v2.0/token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert wired.upstream.token_forms == [
        {
            "client_id": "client",
            "client_secret": "client-secret",
            "grant_type": "refresh_token",
            "refresh_token": "configured",
            "scope": "https://api.partnercenter.microsoft.com/.default offline_access",
        }
    ]


async def test_the_v1_endpoint_is_asked_with_a_resource():
    wired = Wired(token_url="https://login.example/{tenant}/oauth2/token")

    await wired.tokens.get()

    [form] = wired.upstream.token_forms
    assert form["resource"] == "https://api.partnercenter.microsoft.com"
    assert "scope" not in form


@pytest.mark.parametrize(
    ("expires_in", "served_seconds"), [(3600, 3300), ("3600", 3300), (3599.0, 3299), (400, 200), (0, 0), (-5, 0)]
)
async def test_a_token_is_renewed_five_minutes_before_its_end_or_at_half_of_a_short_life(expires_in, served_seconds):
    wired = Wired()
    wired.upstream.token_replies = [token_reply("first", expires_in=expires_in), token_reply("second")]

    assert await wired.tokens.get() == "first"
    if served_seconds:
        wired.clock.advance(seconds=served_seconds - 1)
        assert await wired.tokens.get() == "first"
        wired.clock.advance(seconds=1)
    assert await wired.tokens.get() == "second"
    assert len(wired.upstream.token_requests) == 2


@pytest.mark.parametrize("expires_in", [None, "later"])
async def test_without_a_lifetime_the_tokens_own_claim_decides(expires_in):
    claims = json.dumps({"exp": NOW.timestamp() + 1000}).encode()
    token = f"e30.{urlsafe_b64encode(claims).rstrip(b'=').decode()}.s"
    wired = Wired()
    wired.upstream.token_replies = [token_reply(token, expires_in=expires_in)]

    assert await wired.tokens.get() == token
    wired.clock.advance(seconds=699)
    assert await wired.tokens.get() == token
    wired.clock.advance(seconds=1)
    assert await wired.tokens.get() == "token-2"


async def test_a_token_that_says_nothing_of_its_life_is_used_for_five_minutes():
    wired = Wired()
    wired.upstream.token_replies = [token_reply("opaque", expires_in=None)]

    await wired.tokens.get()
    wired.clock.advance(minutes=5, seconds=-1)
    assert await wired.tokens.get() == "opaque"
    wired.clock.advance(seconds=1)
    assert await wired.tokens.get() == "token-2"


async def test_everybody_who_waits_shares_one_renewal():
    wired = Wired()

    tokens = await asyncio.gather(*(wired.tokens.get() for _ in range(50)))

    assert set(tokens) == {"token-1"}
    assert len(wired.upstream.token_requests) == 1


async def test_everybody_who_waits_gets_the_error_of_a_failed_renewal_and_the_next_try_is_a_new_one():
    wired = Wired()
    wired.upstream.token_replies = [refusal(*EXPIRED)]

    results = await asyncio.gather(*(wired.tokens.get() for _ in range(5)), return_exceptions=True)

    assert [type(result) for result in results] == [SignInAgain] * 5
    assert await wired.tokens.get() == "token-2"


async def test_who_gives_up_waiting_does_not_end_the_renewal_for_the_rest():
    wired = Wired()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await go_on.wait()
        return token_reply("slow")

    wired.upstream.token_replies = [slow]
    first = asyncio.create_task(wired.tokens.get())
    await arrived.wait()
    second = asyncio.create_task(wired.tokens.get())
    await asyncio.sleep(0)

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go_on.set()

    assert await second == "slow"
    assert len(wired.upstream.token_requests) == 1


async def test_a_failed_renewal_that_nobody_waits_for_any_more_is_not_reported_as_lost():
    wired = Wired()
    go_on = asyncio.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))

    async def slow(request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return refusal(*EXPIRED)

    wired.upstream.token_replies = [slow]
    waiter = asyncio.create_task(wired.tokens.get())
    await asyncio.sleep(0)
    waiter.cancel()
    go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)

    assert complaints == []


async def test_only_the_token_in_force_can_be_invalidated():
    wired = Wired()
    await wired.tokens.get()

    wired.tokens.invalidate("another")
    assert await wired.tokens.get() == "token-1"
    wired.tokens.invalidate("token-1")
    assert await wired.tokens.get() == "token-2"
    wired.tokens.invalidate("token-1")
    assert await wired.tokens.get() == "token-2"


async def test_the_newest_refresh_token_is_used_next():
    wired = Wired()
    wired.upstream.token_replies = [token_reply("a", refresh_token="newer"), token_reply("b"), token_reply("c")]

    for _ in range(3):
        wired.tokens.invalidate(await wired.tokens.get())

    assert [form["refresh_token"] for form in wired.upstream.token_forms] == ["configured", "newer", "newer"]


async def test_a_valid_token_outlives_a_failed_renewal_and_the_endpoint_is_left_alone_for_a_while():
    wired = Wired()
    await wired.tokens.get()
    wired.upstream.token_replies = [raw(503, b""), refusal(*EXPIRED), raw(503, b"")]

    wired.clock.advance(minutes=56)
    assert [await wired.tokens.get() for _ in range(3)] == ["token-1"] * 3
    assert len(wired.upstream.token_requests) == 2
    wired.clock.advance(seconds=10)
    assert await wired.tokens.get() == "token-1"
    assert len(wired.upstream.token_requests) == 3
    wired.clock.advance(minutes=4)
    with pytest.raises(SignInUnavailable):
        await wired.tokens.get()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal("invalid_grant", 700082), SignInAgain),
        (refusal("invalid_grant", 70008), SignInAgain),
        (refusal("invalid_grant", 700084), SignInAgain),
        (refusal("invalid_grant", 50173), SignInAgain),
        (refusal("invalid_grant", 50076, suberror="basic_action"), SignInAgain),
        (refusal("interaction_required", 50079), SignInAgain),
        (refusal("invalid_grant", 53003, claims="{}"), SignInAgain),
        (refusal("invalid_grant", 50126, status=401), SignInAgain),
        (refusal("invalid_grant", 999999), SignInAgain),
        (reply(400, {"error": "invalid_grant"}), SignInAgain),
        (reply(400, {"error": "invalid_grant", "error_codes": [70002, "50126"]}), SignInAgain),
        (refusal("invalid_grant", 9002313), Misconfigured),
        (refusal("invalid_grant", 65001, suberror="consent_required"), Misconfigured),
        (refusal("invalid_client", 7000215, status=401), Misconfigured),
        (refusal("invalid_client", 7000222, status=401), Misconfigured),
        (refusal("unauthorized_client", 700016), Misconfigured),
        (refusal("invalid_scope", 28002), Misconfigured),
        (refusal("invalid_resource", 500011), Misconfigured),
        (refusal("invalid_request", 900144), Misconfigured),
        (refusal("invalid_request", 90002), Misconfigured),
        (refusal("unsupported_grant_type", 70003), Misconfigured),
        (refusal("something_else", 1), Misconfigured),
        (refusal("temporarily_unavailable", 90033, status=503), SignInUnavailable),
        (refusal("invalid_grant", 90033), SignInUnavailable),
        (refusal("temporarily_unavailable", 1, status=429), SignInUnavailable),
        (reply(500, {"error": "server_error"}), SignInUnavailable),
        (raw(502, b"<html>"), SignInUnavailable),
        (raw(404, b""), SignInUnavailable),
        (raw(200, b"<html>"), SignInUnavailable),
        (raw(200, b""), SignInUnavailable),
        (reply(200, {"token_type": "Bearer"}), SignInUnavailable),
        (token_reply("good", expires_in=[3600]), SignInUnavailable),
        (token_reply("not\nfor a header"), SignInUnavailable),
        (raw(302, b""), SignInUnavailable),
        (httpx.ConnectError("no"), SignInUnavailable),
        (httpx.ReadTimeout("no"), SignInUnavailable),
        (OSError("no"), SignInUnavailable),
    ],
)
async def test_refusals_of_the_token_endpoint_are_told_apart(answer, kind):
    wired = Wired()
    wired.upstream.token_replies = [answer]

    with pytest.raises(kind) as caught:
        await wired.tokens.get()

    assert type(caught.value) is kind
    assert not caught.value.sent
    assert "AADSTS" not in caught.value.message
    assert len(wired.upstream.token_requests) == 1


async def test_an_endpoint_that_does_not_answer_in_time_is_unavailable():
    upstream = ScriptedUpstream()

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    upstream.token_replies = [never]
    tokens = TokenSource(upstream, CREDENTIALS, store=Wired().store, now=Clock(), timeout_seconds=0.01)

    with pytest.raises(SignInUnavailable):
        await tokens.get()


async def test_the_detail_of_a_refusal_holds_no_secret_even_where_microsoft_repeats_it():
    secret, refresh = "s3cret/+ =", "r3fresh+/="
    credentials = PartnerCredentials("t", "c", Secret(secret), Secret(refresh))
    upstream = ScriptedUpstream()
    text = f"You sent {secret} and {refresh}, that is client_secret=s3cret%2F%2B%20%3D or s3cret%2F%2B+%3D"
    upstream.token_replies = [refusal("invalid_client", 7000215, 401, text)]
    tokens = TokenSource(upstream, credentials, store=Wired().store, now=Clock())

    with capture_logs() as events, pytest.raises(Misconfigured) as caught:
        await tokens.get()

    assert "You sent *** and ***, that is client_secret=*** or ***" in caught.value.detail
    for secret_text in ("s3cret", "r3fresh"):
        assert secret_text not in repr(events) + repr(caught.value) + repr(credentials) + repr(tokens)


def test_a_file_keeps_the_newest_token_for_the_owner_alone(tmp_path: Path):
    path = tmp_path / "refresh-token"
    store = FileRefreshTokens(path)

    assert store.load() is None
    store.save("first")
    store.save("second")

    assert FileRefreshTokens(path).load() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_token_that_cannot_be_written_leaves_the_old_file_whole(tmp_path: Path):
    path = tmp_path / "refresh-token"
    store = FileRefreshTokens(path)
    store.save("first")

    with pytest.raises(UnicodeEncodeError):
        store.save("\ud800")

    assert store.load() == "first"
    assert list(tmp_path.iterdir()) == [path]


async def test_the_kept_token_survives_a_restart(tmp_path: Path):
    store = FileRefreshTokens(tmp_path / "refresh-token")
    before = Wired(store=store)
    before.upstream.token_replies = [token_reply("a", refresh_token="newer")]
    await before.tokens.get()

    after = Wired(store=FileRefreshTokens(tmp_path / "refresh-token"))
    await after.tokens.get()

    assert [form["refresh_token"] for form in after.upstream.token_forms] == ["newer"]


@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required"])
async def test_a_refused_kept_token_gives_way_to_the_configured_one(tmp_path: Path, error):
    store = FileRefreshTokens(tmp_path / "refresh-token")
    store.save("kept")
    wired = Wired(store=store)
    wired.upstream.token_replies = [refusal(error, 50076), token_reply("fresh")]

    assert await wired.tokens.get() == "fresh"
    assert [form["refresh_token"] for form in wired.upstream.token_forms] == ["kept", "configured"]
    assert store.load() == "configured"


async def test_the_configured_token_is_tried_once_and_its_refusal_is_the_answer(tmp_path: Path):
    store = FileRefreshTokens(tmp_path / "refresh-token")
    store.save("kept")
    wired = Wired(store=store)
    wired.upstream.token_replies = [refusal(*EXPIRED), refusal("invalid_grant", 50173)]

    with pytest.raises(SignInAgain) as caught:
        await wired.tokens.get()

    assert caught.value.upstream_code == 50173
    assert len(wired.upstream.token_requests) == 2
    assert store.load() == "kept"


@pytest.mark.parametrize("answer", [raw(503, b""), refusal("invalid_client", 7000222, 401)])
async def test_a_refusal_that_is_not_about_the_kept_token_does_not_bring_in_another(tmp_path: Path, answer):
    store = FileRefreshTokens(tmp_path / "refresh-token")
    store.save("kept")
    wired = Wired(store=store)
    wired.upstream.token_replies = [answer]

    with pytest.raises((SignInUnavailable, Misconfigured)):
        await wired.tokens.get()

    assert len(wired.upstream.token_requests) == 1


async def test_a_store_that_fails_costs_no_token():
    class Broken:
        def load(self) -> str | None:
            raise PermissionError

        def save(self, token: str) -> None:
            raise OSError

    wired = Wired(store=Broken())
    wired.upstream.token_replies = [token_reply("a", refresh_token="newer"), token_reply("b")]

    with capture_logs() as events:
        wired.tokens.invalidate(await wired.tokens.get())
        await wired.tokens.get()

    assert [form["refresh_token"] for form in wired.upstream.token_forms] == ["configured", "newer"]
    assert [event["event"] for event in events] == [
        "refresh_token_not_loaded",
        "refresh_token_not_saved",
        "refresh_token_not_loaded",
    ]
