"""Creating people: user, roles, licenses and mails in this order, each told as it went."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.directory_roles import BILLING_ADMINISTRATOR, REPORTS_READER
from services.global_ids import encode_id
from tests.gateway_client import running_gateway
from tests.new_users import CHOSEN, CREATE, CUSTOMER, NOTHING, READS, TENANT, ada, create, effect, find, tidy
from tests.smtp_server import mail_server
from tests.upstream import Upstream


async def test_a_plain_user_is_created_and_the_password_told_once(gateway, contoso):
    payload = await create(gateway)

    password = payload.pop("temporaryPassword")
    user = find(contoso)
    assert payload == {
        "user": {
            "id": encode_id("User", CONTOSO_ID, user.id),
            "userPrincipalName": f"ada.lovelace@{CONTOSO_DOMAIN}",
            "displayName": "Ada Lovelace",
            "firstName": None,
            "lastName": None,
            "usageLocation": "GB",
            "roles": [],
            "licenses": [],
        },
        "delivery": [
            {
                "to": "boss@example.com",
                "kind": "PASSWORD",
                "status": "FAILED",
                "message": "Mail is not configured, so nothing was sent. "
                "Whoever runs the gateway can set GATEWAY_SMTP_URL and GATEWAY_MAIL_FROM.",
            }
        ],
        "effects": [],
        "userErrors": [],
    }
    assert len(password) == 16
    assert (user.password, user.force_change_password) == (password, True)
    calls = tidy(gateway.calls())
    assert sorted(calls[:3]) == READS
    assert calls[3] == f"POST {CUSTOMER}/users"
    assert not [call for call in calls[4:] if not call.startswith("GET ")]


async def test_a_chosen_password_is_not_told_and_need_not_be_changed_if_so_asked(gateway, contoso):
    payload = await create(gateway, password={"value": CHOSEN, "forceChangeAtNextSignIn": False})

    assert payload["temporaryPassword"] is None
    assert (find(contoso).password, find(contoso).force_change_password) == (CHOSEN, False)


@pytest.mark.parametrize("force", [{}, {"forceChangeAtNextSignIn": True}, {"forceChangeAtNextSignIn": None}])
async def test_a_password_is_changed_at_the_next_sign_in_unless_refused_outright(gateway, contoso, force):
    await create(gateway, password={"value": CHOSEN} | force)

    assert find(contoso).force_change_password is True


async def test_user_roles_licenses_and_mail_come_in_this_order(sandbox, contoso, products):
    """And the payload shows all of it, with the units as they are afterwards."""
    upstream = Upstream(sandbox)
    written_at_mail = []
    with mail_server() as mails:
        mails.on_text = lambda _: written_at_mail.append(len(upstream.writes))
        settings: dict[str, Any] = {
            "GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}",
            "GATEWAY_MAIL_FROM": "gateway@example.com",
        }
        async with running_gateway(sandbox, upstream, **settings) as gateway:
            payload = await create(
                gateway,
                firstName="Ada",
                lastName="Lovelace",
                roleIds=[REPORTS_READER, BILLING_ADMINISTRATOR],
                licenses=[{"skuId": products["ENTERPRISEPACK"]}, {"skuId": products["EMS"]}],
                sendPasswordTo=["boss@example.com", "ada@home.example.com", "boss@example.com"],
            )

    user = find(contoso)
    assert [(write.method, write.path) for write in upstream.writes] == [
        ("POST", "users"),
        ("POST", f"directoryroles/{REPORTS_READER}/usermembers"),
        ("POST", f"directoryroles/{BILLING_ADMINISTRATOR}/usermembers"),
        ("POST", f"users/{user.id}/licenseupdates"),
    ]
    assert upstream.ids == [1, 2, 3, 4]
    assert written_at_mail == [4, 4]
    assert user.roles == {REPORTS_READER, BILLING_ADMINISTRATOR}
    assert set(user.licenses) == {products["ENTERPRISEPACK"], products["EMS"]}
    assert payload["userErrors"] == []
    assert sorted(role["name"] for role in payload["user"]["roles"]) == ["Billing Administrator", "Reports Reader"]
    assert sorted(one["sku"]["skuPartNumber"] for one in payload["user"]["licenses"]) == ["EMS", "ENTERPRISEPACK"]
    assert payload["effects"] == [
        effect("ENTERPRISEPACK", 20, 5),
        effect("EMS", 6, 4),
    ]
    assert [(one["to"], one["kind"], one["status"]) for one in payload["delivery"]] == [
        ("boss@example.com", "PASSWORD", "SENT"),
        ("ada@home.example.com", "PASSWORD", "SENT"),
    ]
    assert sorted(taken.recipients for taken in mails.taken) == [["ada@home.example.com"], ["boss@example.com"]]
    for taken in mails.taken:
        assert taken.mail["Subject"] == "New Microsoft 365 account at Contoso"
        assert payload["temporaryPassword"] in taken.part("plain")
        assert f"ada.lovelace@{CONTOSO_DOMAIN}" in taken.part("plain")


async def test_a_dry_run_says_everything_and_writes_nothing(gateway, contoso, products):
    people = set(contoso.users)

    payload = await create(gateway, licenses=[{"skuId": products["EMS"]}], roleIds=[REPORTS_READER], dryRun=True)

    assert payload["user"] is None
    assert payload["temporaryPassword"] is None
    assert payload["userErrors"] == []
    assert payload["effects"] == [effect("EMS", 6, 4) | {"predicted": True}]
    assert [(one["status"], one["message"][:27]) for one in payload["delivery"]] == [
        ("FAILED", "Mail is not configured, so ")
    ]
    assert [call for call in gateway.calls() if not call.startswith("GET ")] == []
    assert set(contoso.users) == people


async def test_a_dry_run_with_mail_says_that_it_would_be_sent(sandbox):
    with mail_server() as mails:
        settings = mail_settings(mails)
        async with running_gateway(sandbox, **settings) as gateway:
            payload = await create(gateway, dryRun=True)

    assert payload["delivery"] == [
        {"to": "boss@example.com", "kind": "PASSWORD", "status": "NOT_SENT_DRY_RUN", "message": None}
    ]
    assert mails.asked == []


async def test_a_name_taken_meanwhile_is_told_with_its_holder(sandbox, contoso):
    """Somebody takes it outside the gateway between our look and our request."""
    other = find(contoso, "adele.vance")

    class Racing(Upstream):
        async def _happen(self, word, request):
            other.user_principal_name = f"ada.lovelace@{CONTOSO_DOMAIN}"
            return await super()._happen(word, request)

    async with running_gateway(sandbox, Racing(sandbox)) as gateway:
        payload = await create(gateway)

    (error,) = payload.pop("userErrors")
    assert payload == NOTHING
    assert (error["code"], error["holder"]) == ("NAME_TAKEN", {"displayName": "Adele Vance", "status": "ACTIVE"})
    assert error["suggestions"] == ["ada.lovelace2", "ada.lovelace3", "ada.lovelace4"]


async def test_a_role_that_fails_does_not_hide_the_user(sandbox, contoso, products):
    """The other roles, the licenses and the mail follow all the same."""
    upstream = Upstream(sandbox, "ok", "403", "ok", "ok")
    async with running_gateway(sandbox, upstream) as gateway:
        payload = await create(
            gateway, roleIds=[REPORTS_READER, BILLING_ADMINISTRATOR], licenses=[{"skuId": products["EMS"]}]
        )

    assert payload["user"]["roles"] == [{"name": "Billing Administrator"}]
    assert payload["effects"] == [effect("EMS", 6, 4)]
    assert len(payload["delivery"]) == 1
    assert find(contoso).password == payload["temporaryPassword"]
    assert payload["userErrors"] == [
        {
            "__typename": "GenericError",
            "code": "TENANT_ACCESS_MISSING",
            "field": ["input", "roleIds", "0"],
            "message": "The user was created, but the role Reports Reader was not given: "
            "The partner lacks the Microsoft role for this in the tenant. Ask the customer to grant it.",
            "retryable": False,
        }
    ]


async def test_a_license_that_fails_does_not_hide_the_user(sandbox, contoso, products):
    """The last unit goes to another between our look and our request: the effects are those that came about."""

    class Racing(Upstream):
        async def _happen(self, word, request):
            if request.url.path.endswith("/licenseupdates"):
                contoso.holdings[products["VISIOCLIENT"]].active_units = 2
            return await super()._happen(word, request)

    async with running_gateway(sandbox, Racing(sandbox)) as gateway:
        payload = await create(gateway, licenses=[{"skuId": products["VISIOCLIENT"]}])

    assert payload["user"]["licenses"] == []
    assert payload["effects"] == []
    assert payload["temporaryPassword"] == find(contoso).password
    assert payload["userErrors"] == [
        {
            "__typename": "NoneAvailableError",
            "code": "NONE_AVAILABLE",
            "field": ["input", "licenses", "0", "skuId"],
            "message": "The user was created, but not assigned Visio Plan 2: No unit of Visio Plan 2 is left.",
            "retryable": False,
            "sku": {"skuPartNumber": "VISIOCLIENT"},
            "availableUnits": 0,
        }
    ]


async def test_the_user_and_their_roles_are_seen_at_once(gateway):
    """In lists that were read, and cached, right before."""
    listed = "query ($id: ID!) { tenant(by: {id: $id}) { users { nodes { displayName roles { name } } } } }"
    before = (await gateway.data(listed, {"id": TENANT}))["tenant"]["users"]["nodes"]
    await create(gateway, roleIds=[REPORTS_READER])

    after = (await gateway.data(listed, {"id": TENANT}))["tenant"]["users"]["nodes"]

    new = [one for one in after if one not in before]
    assert new == [{"displayName": "Ada Lovelace", "roles": [{"name": "Reports Reader"}]}]


async def test_a_repeat_with_the_same_key_gives_the_first_answer_without_the_password(sandbox, contoso):
    upstream = Upstream(sandbox)
    with mail_server() as mails:
        settings = mail_settings(mails)
        async with running_gateway(sandbox, upstream, **settings) as gateway:
            first = await create(gateway, idempotencyKey="k1")
            second = await create(gateway, idempotencyKey="k1")
            other = await create(gateway, idempotencyKey="k1", displayName="Ada King")

    assert first["temporaryPassword"]
    assert second == first | {"temporaryPassword": None}
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert len(upstream.writes) == 1
    assert len(mails.taken) == 1


async def test_an_answer_with_a_password_is_kept_by_nobody(gateway):
    answer = await gateway.http.post("/graphql", json={"query": CREATE, "variables": ada()})

    assert answer.json()["data"]["createUser"]["temporaryPassword"]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_user_of_whom_microsoft_says_nothing_has_the_password_that_was_told(sandbox, contoso):
    """Nothing is mailed; a repeat with the same key finds the user, and says that its password is not known to it."""
    upstream = Upstream(sandbox, "lost", "lost")
    upstream.reads_fail = True
    with mail_server() as mails:
        async with running_gateway(sandbox, upstream, **mail_settings(mails)) as gateway:
            first = await create(gateway, idempotencyKey="k1", roleIds=[REPORTS_READER])
            upstream.reads_fail = False
            second = await create(gateway, idempotencyKey="k1", roleIds=[REPORTS_READER])

    (unknown,) = first.pop("userErrors")
    assert (unknown["code"], first["user"], first["delivery"]) == ("OUTCOME_UNKNOWN", None, [])
    assert first["temporaryPassword"] == find(contoso).password
    assert second["user"]["roles"] == [{"name": "Reports Reader"}]
    assert second["temporaryPassword"] is None
    assert [(one["code"], one["field"]) for one in second["userErrors"]] == [("OUTCOME_UNKNOWN", ["input", "password"])]
    assert upstream.ids == [1, 1, 2]
    assert mails.asked == []


def mail_settings(mails) -> dict[str, Any]:
    return {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}", "GATEWAY_MAIL_FROM": "gateway@example.com"}
