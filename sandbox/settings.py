"""The credentials that the sandbox accepts, and the settings that point a gateway at it."""

from __future__ import annotations

from sandbox import issuer

PARTNER_TENANT_ID = "b3f2a6f0-5d0e-4c6b-8f1e-2f4c9a7d1e01"
"""The seed's partner."""
PARTNER_DOMAIN = "partner.onmicrosoft.com"
"""The partner's own verified domain; stands for the tenant id in token addresses."""
CLIENT_ID = "c0ffee00-51d3-4c1b-8a7e-3d2f1b0a9e88"
CLIENT_SECRET = "sandbox~client.secret-not-a-real-one"
REFRESH_TOKEN = "0.sandbox-refresh-token-of-the-partner-admin-agent"
AUTHORIZATION_CODE = "0.sandbox-authorization-code"
"""Redeemable any number of times, for trying the first consent."""
AGENT_OBJECT_ID = "4988e250-5aee-482a-9136-6d269cb755c0"
AGENT_UPN = f"adminagent@{PARTNER_DOMAIN}"


def connection_settings(url: str) -> dict[str, str]:
    """The environment that reaches a sandbox at `url` (no trailing slash)."""
    return {
        "GATEWAY_PARTNER_CENTER_URL": url,
        "GATEWAY_PARTNER_CENTER_TOKEN_URL": f"{url}/{{tenant}}/oauth2/v2.0/token",
        "GATEWAY_PARTNER_CENTER_TENANT_ID": PARTNER_TENANT_ID,
        "GATEWAY_PARTNER_CENTER_CLIENT_ID": CLIENT_ID,
        "GATEWAY_PARTNER_CENTER_CLIENT_SECRET": CLIENT_SECRET,
        "GATEWAY_PARTNER_CENTER_REFRESH_TOKEN": REFRESH_TOKEN,
        "GATEWAY_AUTH_ISSUER": issuer.ISSUER,
        "GATEWAY_AUTH_AUDIENCE": issuer.AUDIENCE,
        "GATEWAY_AUTH_JWKS_URL": f"{url}{issuer.JWKS_PATH}",
    }
