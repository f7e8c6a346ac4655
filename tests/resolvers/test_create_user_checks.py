"""What is checked before anybody is created: all of it, told together, and nothing written."""

from __future__ import annotations

import pytest

from sandbox.contoso import CONTOSO_DOMAIN
from sandbox.directory_roles import COMPANY_ADMINISTRATOR, REPORTS_READER
from sandbox.people import stable_id
from services.global_ids import encode_id
from tests.callers import bearer, without
from tests.new_users import CREATE, NOTHING, TENANT, ada, create, find, refused


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


@pytest.mark.parametrize("tenant", [TENANT[:-2] + "xx", encode_id("Tenant", stable_id("nobody")), "", "x"])
async def test_a_tenant_that_is_not_there_is_not_found(gateway, contoso, tenant):
    (error,) = await refused(gateway, contoso, tenantId=tenant)

    assert (error["code"], error["field"]) == ("NOT_FOUND", ["input", "tenantId"])
