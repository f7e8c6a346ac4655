"""Creating people: everything checked first, then user, roles, licenses and mails, each told as it went."""

from __future__ import annotations

import pytest

from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.directory_roles import BILLING_ADMINISTRATOR, COMPANY_ADMINISTRATOR, REPORTS_READER
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.gateway_client import running_gateway
from tests.smtp_server import mail_server
from tests.upstream import Upstream

CREATE = """
mutation ($input: CreateUserInput!) {
  createUser(input: $input) {
    user { id userPrincipalName displayName firstName lastName usageLocation
           roles { name } licenses { sku { skuPartNumber } } }
    temporaryPassword
    delivery { to kind status message }
    effects { sku { skuPartNumber availableUnits } change consumedUnitsBefore consumedUnitsAfter
              availableUnitsBefore availableUnitsAfter predicted }
    userErrors {
      __typename code message field retryable
      ... on NameTakenError { holder { displayName status } suggestions }
      ... on NoneAvailableError { sku { skuPartNumber } availableUnits }
      ... on PasswordPolicyError { violations }
      ... on ThrottledError { retryAfterSeconds }
    }
  }
}
"""
TENANT = encode_id("Tenant", CONTOSO_ID)
CHOSEN = "Kp7#vWtqzR"
CUSTOMER = f"/v1/customers/{CONTOSO_ID}"
READS = [
    f"GET {CUSTOMER}/customDomains",
    f"GET {CUSTOMER}/users?filter=deleted",
    f"GET {CUSTOMER}/users?size=500",
]
NOTHING = {"user": None, "temporaryPassword": None, "delivery": [], "effects": []}


@pytest.fixture
def contoso(sandbox):
    return sandbox.world.customers[CONTOSO_ID]


@pytest.fixture
def products(sandbox):
    """Product ids by part number."""
    return {product.part_number: product.id for product in sandbox.world.products.values()}


def ada(**changes):
    """Ada, who is nobody's namesake, with a generated password."""
    given = {
        "tenantId": TENANT,
        "username": "ada.lovelace",
        "domain": CONTOSO_DOMAIN,
        "displayName": "Ada Lovelace",
        "usageLocation": "GB",
        "password": {},
        "sendPasswordTo": ["boss@example.com"],
    }
    return {"input": given | changes}


def find(contoso, username="ada.lovelace"):
    return next((u for u in contoso.users.values() if u.user_principal_name.startswith(f"{username}@")), None)


def tidy(calls):
    """Calls without the look at the tenant, side by side ones in order, filters in a word."""
    short = [f"{call.partition('?')[0]}?filter=deleted" if "filter=" in call else call for call in calls]
    return [call for call in short if call != f"GET {CUSTOMER}"]


async def create(gateway, **changes):
    return (await gateway.data(CREATE, ada(**changes)))["createUser"]


async def refused(gateway, contoso, **changes):
    """The problems of an input that is refused; nothing was written, and nobody was created."""
    people = set(contoso.users)
    payload = await create(gateway, **changes)
    errors = payload.pop("userErrors")
    assert payload == NOTHING
    assert [call for call in gateway.calls() if not call.startswith("GET ")] == []
    assert set(contoso.users) == people
    return errors


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
        settings = {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}", "GATEWAY_MAIL_FROM": "gateway@example.com"}
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


def effect(part_number, consumed, available):
    return {
        "sku": {"skuPartNumber": part_number, "availableUnits": available - 1},
        "change": 1,
        "consumedUnitsBefore": consumed,
        "consumedUnitsAfter": consumed + 1,
        "availableUnitsBefore": available,
        "availableUnitsAfter": available - 1,
        "predicted": False,
    }


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
        settings = {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}", "GATEWAY_MAIL_FROM": "gateway@example.com"}
        async with running_gateway(sandbox, **settings) as gateway:
            payload = await create(gateway, dryRun=True)

    assert payload["delivery"] == [
        {"to": "boss@example.com", "kind": "PASSWORD", "status": "NOT_SENT_DRY_RUN", "message": None}
    ]
    assert mails.asked == []


@pytest.mark.parametrize(
    "username", ["", "a b", ".ada", "ada.", "ada..l", "ada@contoso.com", "adä", "ada\n", "a" * 65, "a,b", "<a>", "a/b"]
)
async def test_a_username_that_cannot_be_is_refused(gateway, contoso, username):
    (error,) = await refused(gateway, contoso, username=username)

    assert (error["code"], error["field"], error["retryable"]) == ("INVALID", ["input", "username"], False)
    assert error["message"] == (
        "A username has 1 to 64 letters, digits or any of . - _ ! # ^ ~ ', and no dot at its ends or beside another."
    )


@pytest.mark.parametrize("username", ["a", "A.b-c_d", "o'brien", "a!b#c^d~e", "1", "a" * 64])
async def test_a_username_that_can_be_is_taken(gateway, contoso, username):
    payload = await create(gateway, username=username)

    assert payload["userErrors"] == []
    assert payload["user"]["userPrincipalName"] == f"{username}@{CONTOSO_DOMAIN}"


async def test_a_domain_has_to_be_one_of_the_tenant(gateway, contoso):
    (error,) = await refused(gateway, contoso, domain="fabrikam.com")

    assert error == {
        "__typename": "GenericError",
        "code": "INVALID",
        "field": ["input", "domain"],
        "message": "fabrikam.com is no domain of the tenant. It has: contoso.com, contoso.onmicrosoft.com.",
        "retryable": False,
    }


async def test_a_domain_is_taken_in_either_case(gateway):
    assert (await create(gateway, domain="Contoso.COM"))["user"]["userPrincipalName"] == "ada.lovelace@contoso.com"


async def test_a_federated_domain_is_microsofts_refusal_in_our_words(gateway, sandbox):
    humongous = next(c for c in sandbox.world.customers.values() if c.company_name == "Humongous Insurance")

    payload = await create(gateway, tenantId=encode_id("Tenant", humongous.id), domain="humongousinsurance.com")

    assert payload == NOTHING | {
        "userErrors": [
            {
                "__typename": "GenericError",
                "code": "INVALID",
                "field": ["input", "domain"],
                "message": "Microsoft takes no new users in humongousinsurance.com: "
                "it is federated with another sign-in service.",
                "retryable": False,
            }
        ]
    }


async def test_a_taken_name_names_its_holder_and_names_that_are_free(gateway, contoso):
    """Also in another case; the first number is taken too."""
    taken = find(contoso, "adele.vance")
    contoso.users["x"] = type(taken)(
        id=stable_id("user", "x"), user_principal_name=f"Adele.Vance2@{CONTOSO_DOMAIN}", display_name="Other"
    )

    (error,) = await refused(gateway, contoso, username="ADELE.vance")

    assert error == {
        "__typename": "NameTakenError",
        "code": "NAME_TAKEN",
        "field": ["input", "username"],
        "message": f"Adele Vance has the sign-in name ADELE.vance@{CONTOSO_DOMAIN}.",
        "retryable": False,
        "holder": {"displayName": "Adele Vance", "status": "ACTIVE"},
        "suggestions": ["ADELE.vance3", "ADELE.vance4", "ADELE.vance5"],
    }
    for name in error["suggestions"]:
        assert (await create(gateway, username=name))["userErrors"] == []


async def test_a_deleted_holder_keeps_the_name_for_30_days(gateway, contoso):
    """And not longer, even where Microsoft lists such a user still."""
    (error,) = await refused(gateway, contoso, username="enrico.cattaneo")

    assert error["holder"] == {"displayName": "Enrico Cattaneo", "status": "DELETED"}
    assert error["message"] == (
        f"Enrico Cattaneo, who is deleted and can be restored, has the sign-in name enrico.cattaneo@{CONTOSO_DOMAIN}."
    )
    assert (await create(gateway, username="ben.walters"))["userErrors"] == []


async def test_a_suggestion_is_no_longer_than_a_username_can_be(gateway, contoso):
    longest = "a" * 64
    await create(gateway, username=longest)
    gateway.calls()

    (error,) = await refused(gateway, contoso, username=longest)

    assert error["suggestions"] == [f"{'a' * 63}{number}" for number in (2, 3, 4)]


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


async def test_a_unit_has_to_be_free_before_anybody_is_created(gateway, contoso, products):
    (error,) = await refused(
        gateway, contoso, licenses=[{"skuId": products["EMS"]}, {"skuId": products["POWER_BI_PRO"]}]
    )

    assert error == {
        "__typename": "NoneAvailableError",
        "code": "NONE_AVAILABLE",
        "field": ["input", "licenses", "1", "skuId"],
        "message": "No unit of Power BI Pro is left.",
        "retryable": True,
        "sku": {"skuPartNumber": "POWER_BI_PRO"},
        "availableUnits": 0,
    }


async def test_everything_that_is_wrong_is_told_together(gateway, contoso, products):
    """What the input shows by itself, and what only Microsoft's lists show."""
    unknown = "00000000-0000-0000-0000-000000000001"

    errors = await refused(
        gateway,
        contoso,
        username="ada lovelace",
        domain="fabrikam.com",
        displayName=" ",
        firstName="x" * 65,
        lastName="two\nlines",
        usageLocation="XX",
        roleIds=[REPORTS_READER, unknown],
        licenses=[
            {"skuId": products["POWER_BI_PRO"]},
            {"skuId": unknown},
            {"skuId": products["CDS_DB_CAPACITY"]},
            {"skuId": products["EMS"], "disabledServicePlanIds": [unknown]},
            {"skuId": products["EMS"]},
        ],
        password={"value": " short"},
        sendPasswordTo=[f"p{number}@example.com" for number in range(6)],
    )

    assert sorted((error["code"], ".".join(error["field"])) for error in errors) == [
        ("INVALID", "input.displayName"),
        ("INVALID", "input.domain"),
        ("INVALID", "input.firstName"),
        ("INVALID", "input.lastName"),
        ("INVALID", "input.licenses.2.skuId"),
        ("INVALID", "input.licenses.3.disabledServicePlanIds.0"),
        ("INVALID", "input.licenses.4.skuId"),
        ("INVALID", "input.sendPasswordTo"),
        ("INVALID", "input.usageLocation"),
        ("INVALID", "input.username"),
        ("NONE_AVAILABLE", "input.licenses.0.skuId"),
        ("NOT_FOUND", "input.licenses.1.skuId"),
        ("NOT_FOUND", "input.roleIds.1"),
        ("PASSWORD_POLICY", "input.password.value"),
    ]


async def test_an_address_is_needed(gateway, contoso):
    (error,) = await refused(gateway, contoso, sendPasswordTo=[])

    assert (error["code"], error["field"]) == ("INVALID", ["input", "sendPasswordTo"])
    assert error["message"] == "Say where the password goes: at least one address is needed for a new user."


async def test_every_rule_that_a_password_breaks_is_told(gateway, contoso):
    (error,) = await refused(gateway, contoso, username="ada", password={"value": " ada "})

    assert error["__typename"] == "PasswordPolicyError"
    assert error["violations"] == [
        "It must have at least 8 characters.",
        "It must mix at least three of these: lower-case letters, upper-case letters, digits, symbols.",
        "It must neither begin nor end with a blank.",
        "It must not contain the user's name.",
    ]


@pytest.mark.parametrize(
    ("lacking", "changes", "field"),
    [
        ("WRITE_USERS", {}, None),
        ("WRITE_ROLES", {"roleIds": [REPORTS_READER]}, None),
        ("WRITE_LICENSES", {"licenses": [{"skuId": "6fd2c87f-b296-42f0-b197-1e91e994b900"}]}, None),
        ("MANAGE_ADMINS", {"roleIds": [REPORTS_READER, COMPANY_ADMINISTRATOR]}, ["input", "roleIds", "1"]),
    ],
)
async def test_a_missing_permission_is_told_alone_and_nothing_is_asked(gateway, contoso, lacking, changes, field):
    payload = (
        await gateway.data(
            CREATE,
            ada(**changes, username="not a name"),
            authorization=bearer(permissions=without(lacking)),
        )
    )["createUser"]

    (error,) = payload.pop("userErrors")
    assert payload == NOTHING
    assert (error["code"], error["field"]) == ("NOT_PERMITTED", field)
    assert lacking in error["message"]
    assert gateway.calls() == []


async def test_permissions_that_are_not_used_are_not_needed(gateway, contoso):
    caller = bearer(permissions=("READ", "WRITE_USERS"))

    payload = (await gateway.data(CREATE, ada(), authorization=caller))["createUser"]

    assert payload["userErrors"] == []


async def test_a_plain_role_needs_no_right_to_manage_administrators(gateway, contoso):
    caller = bearer(permissions=without("MANAGE_ADMINS"))

    payload = (await gateway.data(CREATE, ada(roleIds=[REPORTS_READER]), authorization=caller))["createUser"]

    assert payload["userErrors"] == []
    assert find(contoso).roles == {REPORTS_READER}


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
        settings = {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}", "GATEWAY_MAIL_FROM": "gateway@example.com"}
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


@pytest.mark.parametrize("tenant", [TENANT[:-2] + "xx", encode_id("Tenant", stable_id("nobody")), "", "x"])
async def test_a_tenant_that_is_not_there_is_not_found(gateway, contoso, tenant):
    (error,) = await refused(gateway, contoso, tenantId=tenant)

    assert (error["code"], error["field"]) == ("NOT_FOUND", ["input", "tenantId"])
