"""Lists read to their end, absent things, ids of repeated writes, and passwords that show nowhere."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from services.errors import NotFound, TenantNotFound, Throttled, UpstreamError
from services.models import (
    LicenseChange,
    NewUser,
    RoleRef,
    SubscriptionRef,
    UserRef,
    UserStatus,
)
from tests.services.partner_center.scripted import BASE_URL, Wired, raw, reply

TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
USER = UserRef(TENANT, "a9ef48bb-8758-4590-a312-d4a47bfaded4")
ROLE = RoleRef(TENANT, "729827e3-9c14-49f7-bb1b-9608f156bbb8")
SUBSCRIPTION = SubscriptionRef(TENANT, "34828c05-c16c-4d6f-9cfc-4d2650ef19a1")
A_USER = {"id": USER.user_id, "userPrincipalName": "ada@contoso.com", "displayName": "Ada", "state": "active"}
USERS = f"/v1/customers/{TENANT}/users"


def person(name: str) -> dict[str, str]:
    return {"id": name, "userPrincipalName": f"{name}@contoso.com", "displayName": name, "state": "active"}


def page(*names: str, token: str | None = None, uri: str | None = None, body_token: str | None = None):
    links: dict[str, object] = {"self": {"uri": "/customers", "method": "GET", "headers": []}}
    if token is not None:
        headers = [{"key": "MS-ContinuationToken", "value": token}]
        links["next"] = {"uri": uri or "/customers/next", "method": "GET", "headers": headers}
    members: dict[str, object] = {"totalCount": len(names), "items": [person(name) for name in names]}
    return reply(200, {**members, "links": links, "continuationToken": body_token})


async def list_names(wired: Wired) -> list[str]:
    return [user.display_name for user in await wired.client.list_users(TENANT, UserStatus.ACTIVE)]


async def test_pages_are_followed_by_their_links_and_headers():
    wired = Wired()
    follow = f"/customers/{TENANT}/users?size=500&seekOperation=Next"
    wired.upstream.replies = [
        page("a", "b", token="one==", uri=follow),
        page("c", token="two,/=", uri=f"/v1{follow}"),
        page("d"),
    ]

    assert await list_names(wired) == ["a", "b", "c", "d"]
    assert wired.upstream.asked == [
        ("GET", f"{USERS}?size=500"),
        ("GET", f"{USERS}?size=500&seekOperation=Next"),
        ("GET", f"{USERS}?size=500&seekOperation=Next"),
    ]
    assert wired.upstream.sent("MS-ContinuationToken") == [None, "one==", "two,/="]
    assert len(set(wired.upstream.sent("MS-RequestId"))) == 3


async def test_users_of_all_pages_share_one_instant():
    wired = Wired()
    wired.upstream.replies = [page("a", token="one"), page("b")]

    users = await wired.client.list_users(TENANT, UserStatus.ACTIVE)

    assert users[0].as_of is users[1].as_of


async def test_a_token_in_the_body_alone_is_followed_without_size_and_filter():
    wired = Wired()
    wired.upstream.replies = [page("a", body_token="one"), page("b", body_token="")]

    assert await list_names(wired) == ["a", "b"]
    assert wired.upstream.asked[1] == ("GET", f"{USERS}?seekOperation=Next")
    assert wired.upstream.sent("MS-ContinuationToken") == [None, "one"]


async def test_a_link_wins_over_the_token_in_the_body():
    wired = Wired()
    wired.upstream.replies = [page("a", token="link", body_token="body"), page("b")]

    assert await list_names(wired) == ["a", "b"]
    assert wired.upstream.sent("MS-ContinuationToken") == [None, "link"]


async def test_a_link_to_another_host_is_followed_on_ours():
    wired = Wired()
    wired.upstream.replies = [page("a", token="one", uri="https://evil.example/v1/customers/next"), page("b")]

    assert await list_names(wired) == ["a", "b"]
    assert str(wired.upstream.requests[1].url) == f"{BASE_URL}/v1/customers/next"


async def test_headers_of_a_link_cannot_replace_ours():
    wired = Wired()
    headers = [
        {"key": "authorization", "value": "Bearer stolen"},
        {"key": "Host", "value": "evil.example"},
        {"key": "MS-RequestId", "value": "theirs"},
        {"key": "ms-continuationtoken", "value": "one"},
        {"key": None, "value": "x"},
    ]
    following = {"uri": "/customers/next", "method": "GET", "headers": headers}
    wired.upstream.replies = [
        reply(200, {"items": [person("a")], "links": {"next": following}}),
        page("b"),
    ]

    assert await list_names(wired) == ["a", "b"]
    request = wired.upstream.requests[1]
    assert request.headers["Authorization"] == "Bearer token-1"
    assert request.headers["Host"] == "partner-center.example"
    assert request.headers["MS-RequestId"] != "theirs"
    assert request.headers["MS-ContinuationToken"] == "one"


@pytest.mark.parametrize(
    ("failure", "kind", "status"),
    [
        (raw(404, b""), UpstreamError, 404),
        (reply(404, {"code": 60003, "description": "Tenant not found"}), UpstreamError, 404),
        (raw(500, b""), UpstreamError, 500),
        (reply(429, {"statusCode": 429}), Throttled, 429),
    ],
)
async def test_a_later_page_that_fails_is_an_error_and_never_the_end(failure, kind, status):
    wired = Wired()
    wired.upstream.replies = [page("a", token="one"), failure]

    with pytest.raises(UpstreamError) as caught:
        await list_names(wired)

    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(
    "pages",
    [
        [page("a", token="one"), page("b", token="one")],
        [page("a", token="one"), page("b", token="two"), page("c", token="one")],
        [page("a", body_token="one"), page("b", body_token="one")],
        [page("a", token="", uri="/x"), page("b", token="", uri="/x")],
    ],
)
async def test_pages_that_go_round_in_a_circle_are_an_error(pages):
    wired = Wired()
    wired.upstream.replies = list(pages)

    with pytest.raises(UpstreamError, match="circle"):
        await list_names(wired)

    assert len(wired.upstream.requests) == len(pages)


async def test_an_empty_page_in_the_middle_is_not_the_end():
    wired = Wired()
    wired.upstream.replies = [page("a", token="one"), page(token="two"), page("b")]

    assert await list_names(wired) == ["a", "b"]


async def test_an_ignored_filter_does_not_make_active_users_look_deleted():
    wired = Wired()
    wired.upstream.replies = [page("a", "b")]

    assert await wired.client.list_users(TENANT, UserStatus.DELETED) == []


@pytest.mark.parametrize(
    ("answer", "sku"),
    [
        (reply(200, {"skuId": "6FD2C87F-B296-42F0-B197-1E91E994B900"}), "6fd2c87f-b296-42f0-b197-1e91e994b900"),
        (reply(200, {"status": "pending"}), None),
        (reply(200, {"skuId": ""}), None),
        (reply(200, {"skuId": "00000000-0000-0000-0000-000000000000"}), None),
        (reply(404, {"code": 800007, "description": "Unable to retrieve provisioning information"}), None),
        (raw(404, b""), None),
    ],
)
async def test_a_subscription_without_provisioning_has_no_sku(answer, sku):
    wired = Wired()
    wired.upstream.replies = [answer]

    assert await wired.client.get_provisioned_sku(SUBSCRIPTION) == sku


@pytest.mark.parametrize(
    "answer",
    [raw(404, b""), reply(200, {"id": "x"}), reply(200, {"product": {}, "dynamicAttributes": None})],
)
async def test_what_the_catalog_does_not_know_has_no_sku(answer):
    wired = Wired()
    wired.upstream.replies = [answer, answer]

    assert await wired.client.get_offer_sku("BD938F12-058F-4927-BBA3-AE36B1D2501C", country="DE") is None
    assert await wired.client.get_catalog_sku(TENANT, "CFQ7TTC0LH18", "0001") is None
    assert wired.upstream.asked[0] == ("GET", "/v1/offers/BD938F12-058F-4927-BBA3-AE36B1D2501C?country=DE")


async def test_a_look_up_in_an_unknown_tenant_is_an_error_not_an_absence():
    wired = Wired()
    wired.upstream.replies = [reply(404, {"code": 60003, "description": "Tenant not found"})]

    with pytest.raises(TenantNotFound):
        await wired.client.get_provisioned_sku(SUBSCRIPTION)


async def test_an_unknown_user_is_not_found():
    wired = Wired()
    wired.upstream.replies = [reply(404, {"code": 60002, "description": "User object ID isn't found"})]

    with pytest.raises(NotFound) as caught:
        await wired.client.get_user(USER)

    assert not isinstance(caught.value, TenantNotFound)


async def test_ids_are_escaped_in_paths():
    wired = Wired()
    wired.upstream.replies = [reply(200, A_USER)]

    await wired.client.get_user(UserRef("a/b?c", "d#e f"))

    assert wired.upstream.asked == [("GET", "/v1/customers/a%2Fb%3Fc/users/d%23e%20f")]


async def test_every_write_carries_the_id_it_is_given():
    wired = Wired()
    wired.upstream.replies = [
        *(reply(200, A_USER) for _ in range(4)),
        raw(204, b""),
        reply(201, {}),
        raw(204, b""),
        raw(201, b""),
    ]
    client, new_user = wired.client, NewUser("ada@contoso.com", "Ada", "GB", None, None, "s3cret!")

    user = await client.create_user(TENANT, new_user, request_id="1")
    await client.update_user(USER, {"display_name": "Ada"}, request_id="2")
    await client.restore_user(USER, request_id="3")
    await client.reset_password(USER, "s3cret!", force_change=False, request_id="4")
    await client.delete_user(USER, request_id="5")
    await client.add_role_member(ROLE, user, request_id="6")
    await client.remove_role_member(ROLE, USER.user_id, request_id="7")
    await client.update_licenses(USER, LicenseChange(remove=("sku",)), request_id="8")

    assert wired.upstream.sent("MS-RequestId") == list("12345678")


async def test_warnings_of_a_license_change_are_logged_by_their_code_only():
    wired = Wired()
    warnings = [{"code": 12, "message": "ada@contoso.com lost Yammer", "servicePlans": []}, {"code": "x"}]
    wired.upstream.replies = [reply(201, {"licenseWarnings": warnings})]

    with capture_logs() as events:
        await wired.client.update_licenses(USER, LicenseChange(remove=("sku",)), request_id="8")

    assert events[-1] == {
        "event": "license_warnings",
        "log_level": "warning",
        "codes": ["12", "x"],
        "request_id": "8",
    }


async def test_a_password_shows_in_no_text_form_log_or_error():
    wired = Wired()
    echo = {**A_USER, "passwordProfile": {"password": "Canary456*", "forceChangePassword": False}}
    wired.upstream.replies = [
        reply(200, echo),
        reply(200, {"passwordProfile": {"password": "Canary456*"}}),
        reply(400, {"code": 3000, "description": "The specified password does not comply."}),
    ]
    new_user = NewUser("ada@contoso.com", "Ada", "GB", None, None, "Canary456*")

    with capture_logs() as events:
        user = await wired.client.create_user(TENANT, new_user)
        with pytest.raises(UpstreamError) as unreadable:
            await wired.client.reset_password(USER, "Canary456*", force_change=True)
        with pytest.raises(UpstreamError) as refused:
            await wired.client.create_user(TENANT, new_user)

    errors = [unreadable.value, refused.value, unreadable.value.__cause__]
    texts = [repr(events), repr(user), repr(new_user), *(repr(vars(error)) for error in errors), *map(str, errors)]
    assert not [text for text in texts if "Canary456*" in text]
