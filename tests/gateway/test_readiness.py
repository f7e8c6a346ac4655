"""`/ready`: what it says of each dependency, and that only a process that can answer nobody is not ready."""

import httpx

from gateway.app import create_app
from gateway.config import Settings
from sandbox.app import create_app as create_sandbox
from sandbox.settings import connection_settings
from tests.changes import order_fault
from tests.gateway_client import SANDBOX_URL, running_gateway, sandbox  # noqa: F401 (fixture)
from tests.served_gateway import until

TENANTS = "{ tenants(first: 1) { nodes { name } } }"


async def readiness(http):
    answer = await http.get("/ready")
    return answer.status_code, answer.json()


async def test_a_process_alone_says_what_it_does_without(sandbox):  # noqa: F811
    async with running_gateway(sandbox) as gateway:
        asked_nothing = await readiness(gateway.http)
        await gateway.data(TENANTS)
        status, body = await readiness(gateway.http)

    assert asked_nothing[0] == 200
    assert asked_nothing[1]["dependencies"]["partnerCenter"]["state"] == "unknown"
    assert asked_nothing[1]["dependencies"]["signIn"] == {"state": "unknown"}
    assert (status, body) == (
        200,
        {
            "status": "ready",
            "dependencies": {
                "redis": {"state": "off"},
                "partnerCenter": {"state": "up", "tenantsLeftAlone": 0, "gatesClosed": 0, "throttledSeconds": 0},
                "signIn": {"state": "up"},
                "issuerKeys": {"state": "up", "keys": 1},
                "mail": {"state": "off"},
                "auditJournal": {"state": "off"},
            },
        },
    )


async def test_with_redis_and_mail_it_says_so(sandbox, redis_url, tmp_path):  # noqa: F811
    settings = {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_AUDIT_JOURNAL": f"{tmp_path}/journal",
        "GATEWAY_SMTP_URL": "smtp://127.0.0.1:9",
        "GATEWAY_MAIL_FROM": "gateway@example.com",
    }
    async with running_gateway(sandbox, None, **settings) as gateway:

        async def is_complained_of() -> bool:
            return "detail" not in (await readiness(gateway.http))[1]["dependencies"]["redis"]

        await until(is_complained_of)
        status, body = await readiness(gateway.http)

    assert status == 200
    assert body["dependencies"]["redis"] == {"state": "up"}
    assert body["dependencies"]["mail"] == {"state": "configured"}
    assert body["dependencies"]["auditJournal"] == {"state": "empty"}


async def test_without_an_answer_of_redis_it_is_ready_and_says_so(sandbox, tmp_path):  # noqa: F811
    settings = {"GATEWAY_REDIS_URL": f"unix://{tmp_path}/nobody", "GATEWAY_AUDIT_JOURNAL": f"{tmp_path}/journal"}
    async with running_gateway(sandbox, None, **settings) as gateway:
        status, body = await readiness(gateway.http)
        assert (await gateway.data(TENANTS))["tenants"]["nodes"]

    assert (status, body["status"]) == (200, "ready")
    assert body["dependencies"]["redis"] == {"state": "down"}


async def test_while_partner_center_fails_it_is_ready_and_says_so(sandbox):  # noqa: F811
    async with running_gateway(sandbox) as gateway:
        order_fault(sandbox, path="/v1/", status=503)
        await gateway.ask(TENANTS)
        failing = await readiness(gateway.http)
        sandbox.faults.rules.clear()
        order_fault(sandbox, path="/v1/customers", status=429, retry_after=60)
        await gateway.ask(TENANTS)
        throttled = await readiness(gateway.http)

    assert failing[0] == 200
    assert failing[1]["dependencies"]["partnerCenter"]["state"] == "down"
    assert throttled[0] == 200
    assert throttled[1]["dependencies"]["partnerCenter"]["gatesClosed"] == 1


async def test_a_refresh_token_that_is_refused_for_good_is_shown_in_words_for_who_must_act(sandbox):  # noqa: F811
    settings = connection_settings(SANDBOX_URL) | {"GATEWAY_PARTNER_CENTER_REFRESH_TOKEN": "of-yesteryear"}
    app = create_app(
        Settings.from_env({}, sandbox=True).with_sandbox(settings),
        sandbox,
        http=httpx.ASGITransport(create_sandbox(sandbox)),
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        await http.post("/graphql", json={"query": TENANTS})
        status, body = await readiness(http)

    assert status == 200
    assert body["dependencies"]["signIn"]["state"] == "refused"
    assert "refresh token" in body["dependencies"]["signIn"]["detail"]
    assert "of-yesteryear" not in str(body)


async def test_before_it_is_wired_it_is_starting_and_lives(sandbox):  # noqa: F811
    app = create_app(Settings.from_env({}, sandbox=True).with_sandbox(connection_settings(SANDBOX_URL)), sandbox)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http:
        assert await readiness(http) == (503, {"status": "starting", "dependencies": {}})
        assert (await http.get("/health")).status_code == 200


async def test_without_the_issuers_keys_nobody_can_be_answered_until_they_come(issuer, sandbox, monkeypatch):  # noqa: F811
    monkeypatch.setattr("gateway.wiring.FIRST_FETCH_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr("gateway.issuer_keys.FIRST_FETCH_AGAIN_SECONDS", 0.05)
    settings = connection_settings(SANDBOX_URL) | {"GATEWAY_AUTH_JWKS_URL": issuer.url}
    issuer.status = 500
    app = create_app(Settings.from_env(settings, sandbox=False), http=httpx.ASGITransport(create_sandbox(sandbox)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        status, body = await readiness(http)
        assert (status, body["status"]) == (503, "unready")
        assert body["dependencies"]["issuerKeys"] == {"state": "down", "keys": 0}
        issuer.status = 200

        async def is_ready() -> bool:
            return bool((await readiness(http))[0] == 200)

        await until(is_ready)
