"""Resetting passwords: chosen or generated, told by mail, and refused with the reason where it cannot be."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.gateway_client import running_gateway
from tests.smtp_server import mail_server
from tests.upstream import Upstream

RESET = """
mutation ($input: ResetUserPasswordInput!) {
  resetUserPassword(input: $input) {
    user { userPrincipalName displayName }
    temporaryPassword
    delivery { to kind status message }
    userErrors { __typename code message field retryable ... on PasswordPolicyError { violations } }
  }
}
"""
CHOSEN = "Kp7#vWtqzR"
ADELE = f"adele.vance@{CONTOSO_DOMAIN}"
NOTHING: dict[str, Any] = {"user": None, "temporaryPassword": None, "delivery": []}


@pytest.fixture
def adele(sandbox):
    return sandbox.world.customers[CONTOSO_ID].users[stable_id("user", ADELE)]


def user_id(upn, tenant_id=CONTOSO_ID):
    return encode_id("User", tenant_id, stable_id("user", upn))


async def reset(gateway, upn=ADELE, *, headers=None, tenant_id=CONTOSO_ID, **changes):
    given = {"id": user_id(upn, tenant_id), "password": {}} | changes
    return (await gateway.data(RESET, {"input": given}, **(headers or {})))["resetUserPassword"]


async def refused(gateway, upn=ADELE, **changes):
    """The problems of a reset that is refused; nothing was written."""
    payload = await reset(gateway, upn, **changes)
    errors = payload.pop("userErrors")
    assert payload == NOTHING
    assert [call for call in gateway.calls() if not call.startswith("GET ")] == []
    return errors


async def test_a_password_is_generated_set_and_told_once(gateway, adele):
    payload = await reset(gateway)

    password = payload.pop("temporaryPassword")
    assert (len(password), adele.password, adele.force_change_password) == (16, password, True)
    assert payload["user"] == {"userPrincipalName": ADELE, "displayName": "Adele Vance"}
    assert payload["userErrors"] == []
    assert gateway.calls() == [
        f"GET /v1/customers/{CONTOSO_ID}/users/{adele.id}",
        f"GET /v1/customers/{CONTOSO_ID}",
        f"PATCH /v1/customers/{CONTOSO_ID}/users/{adele.id}/resetpassword",
    ]


async def test_a_chosen_password_is_set_and_not_told(gateway, adele):
    payload = await reset(gateway, password={"value": CHOSEN, "forceChangeAtNextSignIn": False})

    assert (adele.password, adele.force_change_password) == (CHOSEN, False)
    assert payload["temporaryPassword"] is None


@pytest.mark.parametrize("send_to", [{}, {"sendPasswordTo": []}, {"sendPasswordTo": None}])
async def test_without_an_address_a_notice_goes_to_the_sign_in_name(sandbox, adele, send_to):
    """It does not hold the password, and goes out after Microsoft took the change."""
    upstream = Upstream(sandbox)
    written_at_mail = []
    with mail_server() as mails:
        mails.on_text = lambda _: written_at_mail.append((len(upstream.writes), adele.password is not None))
        async with running_gateway(sandbox, upstream, **mail_settings(mails)) as gateway:
            payload = await reset(gateway, **send_to)

    (taken,) = mails.taken
    assert payload["delivery"] == [{"to": ADELE, "kind": "NOTICE", "status": "SENT", "message": None}]
    assert taken.recipients == [ADELE]
    assert payload["temporaryPassword"].encode() not in taken.raw
    assert taken.mail["Subject"] == "Microsoft 365 password reset at Contoso"
    assert written_at_mail == [(1, True)]


async def test_each_address_gets_the_password_in_a_mail_of_its_own(sandbox, adele):
    with mail_server() as mails:
        async with running_gateway(sandbox, **mail_settings(mails)) as gateway:
            payload = await reset(gateway, sendPasswordTo=["a@example.com", "b@example.com", "a@example.com"])

    assert [(one["to"], one["kind"], one["status"]) for one in payload["delivery"]] == [
        ("a@example.com", "PASSWORD", "SENT"),
        ("b@example.com", "PASSWORD", "SENT"),
    ]
    assert sorted(taken.recipients for taken in mails.taken) == [["a@example.com"], ["b@example.com"]]
    for taken in mails.taken:
        assert adele.password in taken.part("plain")
        assert "did not confirm" not in taken.part("plain")


def mail_settings(mails):
    return {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}", "GATEWAY_MAIL_FROM": "gateway@example.com"}


async def test_a_dry_run_checks_and_writes_nothing(gateway, adele):
    payload = await reset(gateway, dryRun=True, sendPasswordTo=["a@example.com"])

    assert payload["user"] == {"userPrincipalName": ADELE, "displayName": "Adele Vance"}
    assert payload["temporaryPassword"] is None
    assert payload["userErrors"] == []
    assert [(one["to"], one["kind"], one["status"]) for one in payload["delivery"]] == [
        ("a@example.com", "PASSWORD", "FAILED")
    ]
    assert "Mail is not configured" in payload["delivery"][0]["message"]
    assert [call for call in gateway.calls() if not call.startswith("GET ")] == []
    assert adele.password is None


async def test_a_dry_run_names_the_mails_that_would_be_sent(sandbox):
    with mail_server() as mails:
        async with running_gateway(sandbox, **mail_settings(mails)) as gateway:
            payload = await reset(gateway, dryRun=True)

    assert payload["delivery"] == [{"to": ADELE, "kind": "NOTICE", "status": "NOT_SENT_DRY_RUN", "message": None}]
    assert mails.asked == []


async def test_a_synced_user_is_refused_together_with_all_else_that_is_wrong(gateway):
    errors = await refused(
        gateway,
        "robert.lindqvist@contoso.com",
        password={"value": "robert.lindqvist"},
        sendPasswordTo=[f"p{number}@example.com" for number in range(6)],
    )

    assert [(error["code"], error["field"]) for error in errors] == [
        ("DIRECTORY_SYNCED", ["input", "id"]),
        ("PASSWORD_POLICY", ["input", "password", "value"]),
        ("INVALID", ["input", "sendPasswordTo"]),
    ]
    assert errors[0]["message"] == (
        "Robert Lindqvist is mastered in the customer's own directory; the password has to be set there."
    )
    assert errors[1]["violations"] == [
        "It must mix at least three of these: lower-case letters, upper-case letters, digits, symbols.",
        "It must not contain the user's name.",
    ]
    assert errors[2]["message"] == "The password can be sent to at most 5 addresses."


async def test_a_federated_user_is_refused(sandbox, gateway):
    humongous = next(c for c in sandbox.world.customers.values() if c.company_name == "Humongous Insurance")
    paul = next(user for user in humongous.users.values() if user.display_name == "Paul West")
    paul.last_directory_sync_time, paul.domain_type = None, "federated"

    (error,) = await refused(gateway, paul.user_principal_name, tenant_id=humongous.id)

    assert (error["code"], error["field"], error["message"]) == (
        "DIRECTORY_SYNCED",
        ["input", "id"],
        "Paul West is signed in by another provider; the password has to be set there.",
    )


async def test_a_deleted_user_is_refused_together_with_all_else_that_is_wrong(gateway):
    errors = await refused(gateway, f"enrico.cattaneo@{CONTOSO_DOMAIN}", password={"value": "x"})

    assert [(error["code"], error["field"]) for error in errors] == [
        ("USER_DELETED", ["input", "id"]),
        ("PASSWORD_POLICY", ["input", "password", "value"]),
    ]
    assert errors[0]["message"] == "Enrico Cattaneo is deleted and can only be restored."


async def test_a_privileged_user_needs_the_right_to_manage_administrators(gateway):
    caller = {"authorization": bearer(permissions=without("MANAGE_ADMINS"))}

    (error,) = await refused(gateway, f"megan.bowen@{CONTOSO_DOMAIN}", headers=caller)

    assert (error["code"], error["field"], error["message"]) == (
        "PRIVILEGED_TARGET",
        ["input", "id"],
        "The user is Company Administrator. Changing such a user needs the permission MANAGE_ADMINS.",
    )
    assert (await reset(gateway, headers=caller))["userErrors"] == []


async def test_a_missing_permission_is_told_alone_and_nothing_is_asked(gateway):
    caller = {"authorization": bearer(permissions=without("RESET_PASSWORDS"))}

    payload = await reset(gateway, headers=caller, password={"value": "x"})

    assert [error["code"] for error in payload["userErrors"]] == ["NOT_PERMITTED"]
    assert gateway.calls() == []


async def test_a_user_of_another_tenant_looks_absent_and_nothing_is_asked(gateway):
    caller = {"authorization": bearer("direct-customer", tenant_ids=[stable_id("tenant", "fabrikam.onmicrosoft.com")])}

    payload = await reset(gateway, headers=caller)

    assert [(one["code"], one["field"]) for one in payload["userErrors"]] == [("NOT_FOUND", ["input", "id"])]
    assert gateway.calls() == []


@pytest.mark.parametrize(
    "value", ["", " ", "short1A", "alllowercase", "Pässword12", "Abcdefg1 ", "x" * 257, "Aa1\n" * 3]
)
async def test_a_password_against_the_policy_never_reaches_microsoft(gateway, adele, value):
    (error,) = await refused(gateway, password={"value": value})

    assert (error["__typename"], error["field"]) == ("PasswordPolicyError", ["input", "password", "value"])
    assert error["violations"]
    assert adele.password is None


@pytest.mark.parametrize("value", ["Abcdef12", "a b c D 1 2", "A1!" * 85 + "x"])
async def test_a_password_within_the_policy_is_set(gateway, adele, value):
    assert (await reset(gateway, password={"value": value}))["userErrors"] == []
    assert adele.password == value


async def test_a_password_that_microsoft_bans_is_told_as_its_word(sandbox, adele):
    class Banning(Upstream):
        async def _happen(self, word, request):
            text = "The specified password does not comply with password complexity requirements."
            return httpx.Response(400, json={"code": 3000, "description": text}, request=request)

    with mail_server() as mails:
        async with running_gateway(sandbox, Banning(sandbox), **mail_settings(mails)) as gateway:
            payload = await reset(gateway, password={"value": CHOSEN}, sendPasswordTo=["a@example.com"])

    text = "Microsoft refuses the password: it is too simple, too common, or was used before."
    assert payload == NOTHING | {
        "userErrors": [
            {
                "__typename": "PasswordPolicyError",
                "code": "PASSWORD_POLICY",
                "field": ["input", "password", "value"],
                "message": text,
                "retryable": False,
                "violations": [text],
            }
        ]
    }
    assert mails.asked == []


async def test_a_role_that_the_partner_lacks_is_named(gateway, sandbox):
    """Reading is granted in Proseware, setting passwords is not."""
    proseware = next(c for c in sandbox.world.customers.values() if c.company_name == "Proseware")

    payload = await reset(gateway, f"marc.dubois@{proseware.initial_domain}", tenant_id=proseware.id)

    assert [error["code"] for error in payload["userErrors"]] == ["TENANT_ACCESS_MISSING"]
    assert payload["temporaryPassword"] is None


async def test_a_repeat_with_the_same_key_sets_and_mails_nothing(sandbox, adele):
    upstream = Upstream(sandbox)
    with mail_server() as mails:
        async with running_gateway(sandbox, upstream, **mail_settings(mails)) as gateway:
            first = await reset(gateway, idempotencyKey="k1")
            second = await reset(gateway, idempotencyKey="k1")
            other = await reset(gateway, idempotencyKey="k1", password={"value": CHOSEN})

    assert second == first | {"temporaryPassword": None}
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert adele.password == first["temporaryPassword"]
    assert (len(upstream.writes), len(mails.taken)) == (1, 1)


async def test_a_lost_answer_is_asked_for_again_under_the_same_id(sandbox, adele):
    upstream = Upstream(sandbox, "lost")
    async with running_gateway(sandbox, upstream) as gateway:
        payload = await reset(gateway)

    assert payload["userErrors"] == []
    assert payload["temporaryPassword"] == adele.password
    assert upstream.ids == [1, 1]
    assert [record.operation_type for record in sandbox.audit.records] == ["reset_customer_user_password"]


async def test_a_password_of_which_microsoft_says_nothing_is_handed_over_marked_so(sandbox, adele):
    """It cannot be read back: answer and mails hold it, and say that it may not have been set."""
    upstream = Upstream(sandbox, "lost", "lost")
    with mail_server() as mails:
        async with running_gateway(sandbox, upstream, **mail_settings(mails)) as gateway:
            payload = await reset(gateway, sendPasswordTo=["a@example.com"])

    assert upstream.ids == [1, 1]
    assert payload["temporaryPassword"] == adele.password
    assert payload["user"] == {"userPrincipalName": ADELE, "displayName": "Adele Vance"}
    assert payload["userErrors"] == [
        {
            "__typename": "GenericError",
            "code": "OUTCOME_UNKNOWN",
            "field": ["input", "password"],
            "message": "Microsoft did not say whether the password was set. If it is not accepted at sign-in, "
            "the one before still holds: reset it again.",
            "retryable": False,
        }
    ]
    (taken,) = mails.taken
    assert adele.password in taken.part("plain")
    for form in ("plain", "html"):
        assert "Microsoft did not confirm the change." in taken.part(form)


async def test_a_repeat_after_an_unknown_outcome_hands_over_the_password_that_holds(sandbox, adele):
    """Microsoft gives the first answer to a known request id: another password takes another id."""
    upstream = Upstream(sandbox, "lost", "lost")
    async with running_gateway(sandbox, upstream) as gateway:
        first = await reset(gateway, idempotencyKey="k1")
        second = await reset(gateway, idempotencyKey="k1")
        third = await reset(gateway, idempotencyKey="k1")

    assert [error["code"] for error in first["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert second["userErrors"] == []
    assert second["temporaryPassword"] == adele.password != first["temporaryPassword"]
    assert third == second | {"temporaryPassword": None}
    assert upstream.ids == [1, 1, 2]


async def test_a_repeat_after_an_unknown_outcome_with_a_chosen_password_is_the_same_request(sandbox, adele):
    upstream = Upstream(sandbox, "lost", "lost")
    async with running_gateway(sandbox, upstream) as gateway:
        await reset(gateway, idempotencyKey="k1", password={"value": CHOSEN})
        second = await reset(gateway, idempotencyKey="k1", password={"value": CHOSEN})

    assert second["userErrors"] == []
    assert adele.password == CHOSEN
    assert upstream.ids == [1, 1, 1]
    assert len(sandbox.audit.records) == 1


@pytest.mark.parametrize(
    ("script", "ids", "code", "applied"),
    [
        (["refused"], [1, 1], None, 1),
        (["refused"] * 3, [1, 1, 1], "UPSTREAM_ERROR", 0),
        (["reset"], [1, 1], None, 1),
        (["reset", "reset"], [1, 1], "OUTCOME_UNKNOWN", 0),
        (["cut"], [1, 1], None, 1),
        (["garbled"], [1, 1], None, 1),
        (["503"], [1, 1], None, 1),
        (["503 done"], [1, 1], None, 1),
        (["502", "504"], [1, 1], "OUTCOME_UNKNOWN", 0),
        (["408"], [1, 1], None, 1),
        (["500"], [1], "OUTCOME_UNKNOWN", 0),
        (["500 done"], [1], "OUTCOME_UNKNOWN", 1),
        (["429:0"], [1, 2], None, 1),
        (["429:250"], [1], "THROTTLED", 0),
        (["409"], [1, 2], None, 1),
        (["400"], [1], "UPSTREAM_ERROR", 0),
        (["403"], [1], "TENANT_ACCESS_MISSING", 0),
    ],
)
async def test_whatever_happens_it_is_set_at_most_once(sandbox, adele, script, ids, code, applied):
    upstream = Upstream(sandbox, *script)
    async with running_gateway(sandbox, upstream) as gateway:
        payload = await reset(gateway)

    assert upstream.ids == ids
    assert len({write.correlation_id for write in upstream.writes}) == len(ids)
    assert [error["code"] for error in payload["userErrors"]] == ([code] if code else [])
    assert len(sandbox.audit.records) == applied
    if applied:
        assert payload["temporaryPassword"] == adele.password
    elif code != "OUTCOME_UNKNOWN":
        assert payload["temporaryPassword"] is None


async def test_an_answer_with_a_password_is_kept_by_nobody(gateway):
    given = {"id": user_id(ADELE), "password": {}}

    answer = await gateway.http.post("/graphql", json={"query": RESET, "variables": {"input": given}})

    assert answer.json()["data"]["resetUserPassword"]["temporaryPassword"]
    assert answer.headers["cache-control"] == "no-store"
