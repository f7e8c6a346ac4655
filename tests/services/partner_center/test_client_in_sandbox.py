"""The client against the sandbox: every method, on state that really changes."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from sandbox import settings
from sandbox.app import create_app
from sandbox.contoso import CONTOSO_ID
from sandbox.faults import FaultRule
from sandbox.state import SandboxState
from services.errors import NotFound, Refused, RefusedReason, SignInAgain, TenantNotFound, Throttled, UpstreamError
from services.models import LicenseAssignment, LicenseChange, NewUser, RoleRef, UserRef, UserStatus
from services.partner_center.client import PartnerCenterClient
from services.partner_center.refresh_tokens import MemoryRefreshTokens
from services.partner_center.retries import Retries
from services.partner_center.tokens import PartnerCredentials, TokenSource
from services.partner_center.transport import Transport
from services.secret import Secret

URL = "http://127.0.0.1:8010"
NOBODY = "00000000-0000-4000-8000-000000000000"
HELPDESK = RoleRef(CONTOSO_ID, "729827e3-9c14-49f7-bb1b-9608f156bbb8")


@pytest.fixture
def state() -> SandboxState:
    return SandboxState()


@pytest.fixture
def client(state: SandboxState) -> PartnerCenterClient:
    http = httpx.ASGITransport(create_app(state))
    credentials = PartnerCredentials(
        tenant_id=settings.PARTNER_TENANT_ID,
        client_id=settings.CLIENT_ID,
        client_secret=Secret(settings.CLIENT_SECRET),
        refresh_token=Secret(settings.REFRESH_TOKEN),
    )
    tokens = TokenSource(
        http,
        credentials,
        store=MemoryRefreshTokens(),
        now=state.clock.now,
        token_url=f"{URL}/{{tenant}}/oauth2/v2.0/token",
    )
    return PartnerCenterClient(Transport(http, tokens, base_url=URL, retries=Retries(most=0)))


def statuses(state: SandboxState) -> list[int | None]:
    return [call.status for call in state.calls]


async def test_every_customer_and_user_of_the_sandbox_is_listed(client, state):
    ours = [customer for customer in state.world.customers.values() if customer.relationship == "reseller"]

    tenants = await client.list_customers()

    assert sorted((tenant.microsoft_id, tenant.name, tenant.domain) for tenant in tenants) == sorted(
        (customer.id, customer.company_name, customer.initial_domain) for customer in ours
    )
    contoso = state.world.customers[CONTOSO_ID]
    for status in UserStatus:
        users = await client.list_users(CONTOSO_ID, status)
        assert {user.microsoft_id: user.user_principal_name for user in users} == {
            user.id: user.user_principal_name
            for user in contoso.users.values()
            if (user.deleted_at is None) is (status is UserStatus.ACTIVE)
        }
    assert sorted(await client.list_domains(CONTOSO_ID)) == sorted(contoso.custom_domains)
    assert (await client.get_customer(CONTOSO_ID)).country == contoso.country


async def test_small_pages_give_the_same_lists(client, state):
    whole = await client.list_customers()
    users = await client.list_users(CONTOSO_ID, UserStatus.ACTIVE)
    state.switches = state.switches.changed({"customers_page_size": 2, "users_page_size": 3})
    state.calls.clear()

    assert [tenant.microsoft_id for tenant in await client.list_customers()] == [
        tenant.microsoft_id for tenant in whole
    ]
    assert len(statuses(state)) == -(-len(whole) // 2)
    paged = await client.list_users(CONTOSO_ID, UserStatus.ACTIVE)
    assert [user.microsoft_id for user in paged] == [user.microsoft_id for user in users]


async def test_customers_are_found_by_reseller_and_by_domain(client, state):
    contoso = state.world.customers[CONTOSO_ID]
    reseller_id = next(customer.reseller_id for customer in state.world.customers.values() if customer.reseller_id)

    found = await client.find_customers_by_domain(contoso.initial_domain.upper())
    of_reseller = await client.list_customers_of_reseller(reseller_id)

    assert CONTOSO_ID in [tenant.microsoft_id for tenant in found]
    assert {tenant.microsoft_id for tenant in of_reseller} == {
        customer.id
        for customer in state.world.customers.values()
        if customer.reseller_id == reseller_id and customer.relationship == "reseller"
    }


async def test_subscriptions_lead_to_the_subscribed_skus_by_all_three_ways(client, state):
    contoso = state.world.customers[CONTOSO_ID]

    subscriptions = await client.list_subscriptions(CONTOSO_ID)
    skus = {sku.sku_id: sku for sku in await client.list_subscribed_skus(CONTOSO_ID)}

    assert {subscription.microsoft_id for subscription in subscriptions} == set(contoso.subscriptions)
    assert set(skus) == set(contoso.holdings)
    for subscription in subscriptions:
        held = contoso.subscriptions[subscription.microsoft_id]
        assert subscription.gives_licenses is (held.product is not None)
        assert subscription.quantity == held.quantity
        if held.product is None:
            continue
        sku_id = await client.get_provisioned_sku(subscription.ref)
        assert sku_id == (None if held.provisioning == "missing" else held.product.id)
        if ":" in subscription.offer_id:
            product_id, catalog_sku_id, _ = subscription.offer_id.split(":")
            assert await client.get_catalog_sku(CONTOSO_ID, product_id, catalog_sku_id) == held.product.id
        else:
            assert await client.get_offer_sku(subscription.offer_id) == held.product.id


async def test_a_user_lives_from_creation_to_restoration(client, state):
    contoso = state.world.customers[CONTOSO_ID]
    new_user = NewUser(f"ada@{contoso.initial_domain}", "Ada", "GB", "Ada", None, "Canary456*")

    created = await client.create_user(CONTOSO_ID, new_user)
    updated = await client.update_user(created.ref, {"first_name": "", "display_name": "Ada Byron"})
    reset = await client.reset_password(created.ref, "Renewed789*", force_change=True)
    await client.add_role_member(HELPDESK, created)
    roles = await client.list_user_roles(created.ref)
    members = await client.list_role_members(HELPDESK)
    await client.remove_role_member(HELPDESK, created.microsoft_id)
    roles_after = await client.list_user_roles(created.ref)

    assert (created.first_name, created.last_name, created.status) == ("Ada", None, UserStatus.ACTIVE)
    assert (updated.first_name, updated.display_name, updated.usage_location) == (None, "Ada Byron", "GB")
    assert reset.microsoft_id == created.microsoft_id
    assert contoso.users[created.microsoft_id].password == "Renewed789*"
    assert [(role.microsoft_id, role.privileged) for role in roles] == [(HELPDESK.role_id, True)]
    assert created.microsoft_id in members
    assert roles_after == []

    await client.delete_user(created.ref)
    deleted = await client.list_users(CONTOSO_ID, UserStatus.DELETED)
    assert created.microsoft_id in [user.microsoft_id for user in deleted]
    with pytest.raises(NotFound):
        await client.get_user(created.ref)
    restored = await client.restore_user(created.ref)
    assert (restored.status, restored.deleted_at) == (UserStatus.ACTIVE, None)
    assert (await client.get_user(created.ref)).display_name == "Ada Byron"


async def test_licenses_are_given_with_plans_left_off_and_taken_again(client, state):
    contoso = state.world.customers[CONTOSO_ID]
    sku = next(
        sku
        for sku in await client.list_subscribed_skus(CONTOSO_ID)
        if sku.available_units > 0 and len([plan for plan in sku.service_plans if plan.for_users]) > 1
        and sku.license_group_id == "group1" and sku.capability_status == "Enabled"
    )  # fmt: skip
    off = next(plan.id for plan in sku.service_plans if plan.for_users)
    user = await client.create_user(
        CONTOSO_ID, NewUser(f"ada@{contoso.initial_domain}", "Ada", "GB", None, None, "Canary456*")
    )

    await client.update_licenses(user.ref, LicenseChange(assign=(LicenseAssignment(sku.sku_id, (off,)),)))
    state.switches = state.switches.changed({"list_disabled_plans": True})
    [shown] = await client.list_licenses(user.ref)
    state.switches = state.switches.changed({"list_disabled_plans": False})
    [left_out] = await client.list_licenses(user.ref)
    after = {other.sku_id: other for other in await client.list_subscribed_skus(CONTOSO_ID)}[sku.sku_id]
    await client.update_licenses(user.ref, LicenseChange(remove=(sku.sku_id,)))

    assert [plan.id for plan in shown.disabled_plans] == [off]
    assert left_out.assigned_plans == shown.assigned_plans
    assert left_out.disabled_plans == ()
    assert off not in [plan.id for plan in left_out.assigned_plans]
    assert after.available_units == sku.available_units - 1
    assert await client.list_licenses(user.ref) == []


async def test_the_refusals_of_the_sandbox_have_their_reasons(client, state):
    contoso = state.world.customers[CONTOSO_ID]
    taken = next(user for user in contoso.users.values() if user.deleted_at is None)

    async def reason_of(upn: str, password: str) -> RefusedReason:
        with pytest.raises(Refused) as caught:
            await client.create_user(CONTOSO_ID, NewUser(upn, "Ada", "GB", None, None, password))
        return caught.value.reason

    assert await reason_of(taken.user_principal_name, "Canary456*") is RefusedReason.NAME_TAKEN
    assert await reason_of(f"ada@{contoso.initial_domain}", "weak") is RefusedReason.PASSWORD_POLICY
    with pytest.raises(TenantNotFound):
        await client.get_customer(NOBODY)
    with pytest.raises(TenantNotFound):
        await client.list_users(NOBODY, UserStatus.ACTIVE)
    with pytest.raises(NotFound) as caught:
        await client.get_user(UserRef(CONTOSO_ID, NOBODY))
    assert not isinstance(caught.value, TenantNotFound)


async def test_a_token_is_renewed_by_the_sandboxs_clock_before_it_ends(client, state):
    await client.list_domains(CONTOSO_ID)
    state.clock.advance(56 * 60)
    await client.list_domains(CONTOSO_ID)
    state.clock.advance(2 * 24 * 60 * 60)
    await client.list_domains(CONTOSO_ID)

    assert statuses(state) == [200] * 6
    assert abs(datetime.now(UTC) - (await client.list_customers())[0].as_of).total_seconds() < 60


async def test_without_a_second_factor_a_person_must_sign_in_again(client, state):
    state.switches = state.switches.changed({"multi_factor": False})

    with pytest.raises(SignInAgain):
        await client.list_customers()

    assert statuses(state) == [200, 401]


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (FaultRule(status=429, retry_after=7), Throttled),
        (FaultRule(status=503), UpstreamError),
        (FaultRule(truncate=True), UpstreamError),
        (FaultRule(lost_answer=True), UpstreamError),
        (FaultRule(reset=True), UpstreamError),
    ],
)
async def test_the_faults_of_the_sandbox_come_out_as_errors(client, state, rule, kind):
    await client.list_domains(CONTOSO_ID)
    state.faults.rules = [rule]

    with pytest.raises(UpstreamError) as caught:
        await client.list_domains(CONTOSO_ID)

    assert type(caught.value) is kind
    assert caught.value.sent
