"""The keys of callers' tokens: fetched seldom, kept while the issuer is away, refused when they are odd."""

from __future__ import annotations

import asyncio
import json

import pytest
from joserfc.jwk import ECKey

from gateway.authentication import Authenticator, IssuerUnavailable
from gateway.issuer_keys import FixedKeys, KeysUnavailable, PublishedKeys
from tests.token_issuer import (
    CLAIMS,
    EC,
    ED,
    NOW,
    RULES,
    Ticking,
    bearer,
    encode,
    sign,
)


async def test_keys_are_fetched_once_for_all_who_ask_at_once(issuer):
    issuer.delay_seconds = 0.1
    checked = Authenticator(RULES, PublishedKeys(issuer.url), now=lambda: NOW)

    callers = await asyncio.gather(*(checked.authenticate(bearer(sign(CLAIMS | {"sub": f"{i}"}))) for i in range(20)))

    assert [caller.subject for caller in callers] == [f"{i}" for i in range(20)]
    assert issuer.requests == ["/keys"]


async def test_an_unknown_key_causes_one_fetch_a_minute(issuer):
    clock = Ticking()
    keys = PublishedKeys(issuer.url, clock=clock)
    assert await keys.find("ec") is not None

    new = ECKey.generate_key("P-256", {"kid": "new"})
    issuer.body = json.dumps({"keys": [new.as_dict(private=False)]}).encode()
    assert await keys.find("new") is None
    clock.seconds += 59.9
    assert await keys.find("new") is None
    assert len(issuer.requests) == 1

    clock.seconds += 0.1
    assert await keys.find("new") is not None
    assert await keys.find("ec") is None
    assert len(issuer.requests) == 2


async def test_keys_are_fetched_again_after_an_hour_and_serve_a_day_while_that_fails(issuer):
    clock = Ticking()
    keys = PublishedKeys(issuer.url, clock=clock)
    await keys.find("ec")
    issuer.status = 500

    clock.seconds += 3599
    assert await keys.find("ec") is not None
    assert len(issuer.requests) == 1
    clock.seconds += 1
    assert await keys.find("ec") is not None
    assert await keys.find("ec") is not None
    assert len(issuer.requests) == 2

    clock.seconds += 23 * 3600 - 0.1
    assert await keys.find("ec") is not None
    clock.seconds += 6
    with pytest.raises(KeysUnavailable, match=r"^the issuer answered 500$"):
        await keys.find("ec")


async def test_nobody_can_be_checked_before_the_first_keys_are_there(issuer):
    clock = Ticking()
    issuer.status = 404
    checked = Authenticator(RULES, PublishedKeys(issuer.url, clock=clock), now=lambda: NOW, clock=clock)

    for _ in range(3):
        with pytest.raises(IssuerUnavailable) as caught:
            await checked.authenticate(bearer(sign(CLAIMS)))
    assert (caught.value.status, caught.value.code, caught.value.challenge) == (503, "UNAVAILABLE", None)
    assert len(issuer.requests) == 1

    issuer.status = 200
    clock.seconds += 5
    assert (await checked.authenticate(bearer(sign(CLAIMS)))).subject == "ann"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "the issuer answered 302"),
        ({"body": b" " * (256 * 1024 + 1)}, "the issuer's answer is larger than 256 KiB"),
        ({"headers": {"Content-Encoding": "gzip"}}, "the issuer's answer is compressed"),
        ({"body": b"<html>"}, "the issuer's answer is no JWK set"),
        ({"body": b"[]"}, "the issuer's answer is no JWK set"),
        ({"body": b"[" * 100_000}, "the issuer's answer is no JWK set"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_answer_that_is_no_key_set_is_told_by_its_reason(issuer, change, reason):
    for name, value in change.items():
        setattr(issuer, name, value)

    with pytest.raises(KeysUnavailable) as caught:
        await PublishedKeys(issuer.url).refresh()

    assert str(caught.value) == reason
    assert issuer.requests == ["/keys"]


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch):
    """Names proxies in the environment, and no others."""

    def name(**proxies: str) -> None:
        for variable in PROXIES:
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
        for variable, address in proxies.items():
            monkeypatch.setenv(variable.lower(), address)

    return name


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_keys_of_another_machine_come_through_the_proxy_that_the_environment_names(
    issuer, environment, variable, scheme
):
    environment(**{variable: scheme + issuer.url.removeprefix("http://").removesuffix("/keys")})

    assert await PublishedKeys("http://issuer.example/its/keys").refresh() > 0

    assert issuer.requests == ["http://issuer.example/its/keys"]


async def test_a_loopback_address_and_what_the_environment_exempts_are_asked_directly(issuer, environment):
    environment(HTTP_PROXY="http://127.0.0.1:1", NO_PROXY="issuer.invalid")

    assert await PublishedKeys(issuer.url).refresh() > 0
    with pytest.raises(KeysUnavailable, match="ClientConnectorDNSError"):
        await PublishedKeys("http://issuer.invalid/keys").refresh()


async def test_a_proxy_of_another_kind_is_told_without_its_address(environment):
    environment(ALL_PROXY="socks5://user:secret@127.0.0.1:1")

    with pytest.raises(KeysUnavailable) as caught:
        await PublishedKeys("http://issuer.example/keys").refresh()

    assert str(caught.value) == "the environment names a proxy of a kind that is not supported (socks5)"


async def test_an_issuer_that_does_not_listen_is_told_so():
    with pytest.raises(KeysUnavailable) as caught:
        await PublishedKeys("http://127.0.0.1:1/keys").refresh()

    assert str(caught.value) == "the issuer cannot be reached (ClientConnectorError)"


async def test_keys_for_other_uses_and_short_ones_are_passed_over():
    short = {"kty": "RSA", "kid": "short", "n": encode(b"\xff" * 128), "e": "AQAB"}
    others = [
        short,
        EC.as_dict(private=False) | {"kid": "enc", "use": "enc"},
        EC.as_dict(private=False) | {"kid": "ops", "key_ops": ["encrypt"]},
        EC.as_dict(private=False) | {"kid": "alg", "alg": "ES384"},
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        {"kty": "EC", "kid": "half", "crv": "P-256", "x": "AAAA"},
        {"kid": "nothing"},
        {"kty": "RSA", "n": [], "e": 1, "kid": "odd"},
        "text",
        ED.as_dict(private=False),
    ]
    keys = FixedKeys({"keys": others})

    assert await keys.refresh() == 1
    assert await keys.find("ed") is not None
