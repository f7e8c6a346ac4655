"""Who a request comes from: tokens that are let in, what is remembered of them, and the sandbox."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.authentication import Authenticator, Unauthenticated, build_authenticator
from gateway.caller_tokens import ClaimNames, TokenRules
from gateway.config import Settings
from gateway.issuer_keys import FixedKeys
from sandbox.issuer import AUDIENCE as SANDBOX_AUDIENCE
from sandbox.issuer import ISSUER as SANDBOX_ISSUER
from sandbox.issuer import sign_token
from sandbox.settings import connection_settings
from services.authorization import DEMO_PARTNER, Caller, Permission, ViewerKind
from tests.token_issuer import (
    AUDIENCE,
    CLAIMS,
    EC,
    ED,
    ISSUER,
    KEYS,
    NOW,
    RSA,
    RULES,
    SECONDS,
    TENANT,
    Ticking,
    accept,
    authenticator,
    bearer,
    refuse,
    sign,
)

# ── who is let in ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("PS256", RSA), ("ES256", EC), ("EdDSA", ED)])
async def test_a_token_is_taken_with_each_of_four_algorithms(algorithm, key):
    assert await accept(sign(CLAIMS, {"alg": algorithm}, key)) == Caller(
        subject="ann",
        issuer=ISSUER,
        name="Ann",
        kind=ViewerKind.PARTNER,
        permissions=frozenset({Permission.READ}),
        tenant_ids=None,
        reseller_id=None,
    )


async def test_a_reseller_has_its_tenant_id_in_lower_case_and_others_have_none():
    reseller = CLAIMS | {"kind": "reseller", "reseller_id": TENANT.upper()}

    assert (await accept(sign(reseller))).reseller_id == TENANT
    assert (await accept(sign(reseller | {"kind": "partner"}))).reseller_id is None
    assert (await accept(sign(CLAIMS | {"kind": "reseller"}))).reseller_id is None


async def test_a_direct_customer_has_its_tenants_and_without_them_none_at_all():
    customer = CLAIMS | {"kind": "direct-customer"}

    assert (await accept(sign(customer | {"tenant_ids": [TENANT.upper()]}))).tenant_ids == frozenset({TENANT})
    assert (await accept(sign(customer))).tenant_ids == frozenset()


async def test_tenant_ids_narrow_a_partner_also_to_nothing():
    assert (await accept(sign(CLAIMS | {"tenant_ids": [TENANT]}))).tenant_ids == frozenset({TENANT})
    assert (await accept(sign(CLAIMS | {"tenant_ids": []}))).tenant_ids == frozenset()


async def test_unknown_permissions_are_ignored_and_missing_ones_are_none():
    caller = await accept(sign(CLAIMS | {"permissions": ["READ", "FLY", 7, "WRITE_USERS"]}))
    assert caller.permissions == frozenset({Permission.READ, Permission.WRITE_USERS})

    without = {name: value for name, value in CLAIMS.items() if name != "permissions"}
    assert (await accept(sign(without))).permissions == frozenset()


async def test_a_caller_without_a_name_goes_by_the_subject():
    for name in (None, "", "  ", 7, "a\nb"):
        assert (await accept(sign(CLAIMS | {"name": name}))).name == "ann"


async def test_claims_may_have_other_names():
    names = ClaimNames(name="n", kind="k", reseller_id="r", tenant_ids="t", permissions="https://x/roles")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": SECONDS + 1}
    claims |= {"n": "Bo", "k": "reseller", "r": TENANT, "t": [TENANT], "https://x/roles": ["READ_AUDIT"]}

    caller = await accept(sign(claims), TokenRules(ISSUER, AUDIENCE, claims=names))

    assert (caller.name, caller.kind, caller.reseller_id) == ("Bo", ViewerKind.RESELLER, TENANT)
    assert caller.permissions == frozenset({Permission.READ_AUDIT})


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", AUDIENCE]},
        {"exp": SECONDS - 29},
        {"nbf": SECONDS + 30, "iat": SECONDS + 30},
        {"iat": SECONDS - 86_400 - 30},
        {"exp": SECONDS + 0.5},
        {"sub": "x" * 256},
    ],
    ids=str,
)
async def test_what_is_just_within_the_rules_is_taken(changes):
    assert (await accept(sign(CLAIMS | changes))).issuer == ISSUER


async def test_typ_may_be_written_as_a_whole_media_type_and_jwt_only_by_setting():
    assert (await accept(sign(CLAIMS, {"typ": "application/AT+JWT"}))).subject == "ann"
    both = TokenRules(ISSUER, AUDIENCE, types=("at+jwt", "JWT"))
    assert (await accept(sign(CLAIMS, {"typ": "JWT"}), both)).subject == "ann"
    assert await refuse(bearer(sign(CLAIMS, {"typ": "JWT"}))) == "typ"


# ── what is remembered ───────────────────────────────────────────────────────────────────────────


async def test_a_good_token_is_remembered_for_a_minute_and_no_longer_than_it_lasts():
    clock, now, keys = Ticking(), [NOW], FixedKeys(KEYS)
    checked = Authenticator(RULES, keys, now=lambda: now[0], clock=clock)
    token = bearer(sign(CLAIMS))
    await checked.authenticate(token)
    keys._keys = {}  # whoever is checked anew is refused from here on

    clock.seconds += 59.9
    assert (await checked.authenticate(token)).subject == "ann"
    clock.seconds += 0.1
    with pytest.raises(Unauthenticated):
        await checked.authenticate(token)

    checked = Authenticator(RULES, FixedKeys(KEYS), now=lambda: now[0], clock=clock)
    await checked.authenticate(token)
    now[0] = NOW + timedelta(seconds=600 + 30)
    with pytest.raises(Unauthenticated):
        await checked.authenticate(token)


async def test_a_connection_learns_when_its_token_ends():
    assert (await authenticator().identify(bearer(sign(CLAIMS)))).expires_at == SECONDS + 600
    assert (await authenticator().identify_by(b"bearer " + sign(CLAIMS).encode())).caller.subject == "ann"


# ── the sandbox ──────────────────────────────────────────────────────────────────────────────────


def in_sandbox(now: datetime) -> Authenticator:
    settings = Settings.from_env({}, sandbox=True).with_sandbox(connection_settings("http://127.0.0.1:1"))
    return build_authenticator(settings, now=lambda: now, sandbox=True)


async def test_in_sandbox_mode_nobody_is_the_demo_partner_and_a_bad_token_is_still_refused():
    now = datetime.now(UTC)
    claims = CLAIMS | {"iss": SANDBOX_ISSUER, "aud": SANDBOX_AUDIENCE, "exp": int(now.timestamp()) + 60}
    checked = in_sandbox(now)

    assert await checked.authenticate([]) is DEMO_PARTNER
    assert (await checked.authenticate(bearer(sign_token(claims)))).subject == "ann"
    for bad in (b"", b"Bearer x", b"Basic YTpi", b"Bearer " + sign(claims).encode()):
        with pytest.raises(Unauthenticated):
            await checked.authenticate([(b"authorization", bad)])


async def test_in_sandbox_mode_tokens_end_by_the_sandboxs_clock():
    claims = CLAIMS | {"iss": SANDBOX_ISSUER, "aud": SANDBOX_AUDIENCE, "exp": int(time.time()) + 60}

    with pytest.raises(Unauthenticated):
        await in_sandbox(datetime.now(UTC) + timedelta(days=31)).authenticate(bearer(sign_token(claims)))


async def test_outside_sandbox_mode_the_sandboxs_issuer_is_unknown():
    claims = CLAIMS | {"iss": SANDBOX_ISSUER, "aud": SANDBOX_AUDIENCE}

    assert await refuse(bearer(sign_token(claims))) == "key unknown"
