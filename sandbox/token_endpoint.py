"""The token endpoint, v1 and v2, and the metadata that sign-in libraries read first.

Sources: learn.microsoft.com/partner-center/developer/enable-secure-app-model (v1), "Microsoft identity
platform and OAuth 2.0 authorization code flow" and "… client credentials flow" (v2).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from sandbox import settings, token_errors
from sandbox.state import SandboxState
from sandbox.token_errors import NO_STORE
from sandbox.tokens import GRAPH, PARTNER_CENTER
from sandbox.wire import Answer, Json

_GRANTS = ("refresh_token", "client_credentials", "authorization_code")
_SIGN_IN_SCOPES = {"openid", "profile", "email", "offline_access"}
_RESOURCES = {
    PARTNER_CENTER: PARTNER_CENTER,
    "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd": PARTNER_CENTER,
    GRAPH: GRAPH,
    "https://graph.windows.net": "https://graph.windows.net",
}
"""Resource or scope prefix to the token's audience. The GUID is Partner Center's own application id."""


def issue_token(state: SandboxState, tenant: str, form: Mapping[str, str], authorization: str, *, v2: bool) -> Answer:
    """Answers a token request, or raises TokenRefusal."""
    fields = {**_basic_credentials(authorization), **form}
    grant = _required(fields, "grant_type")
    if grant not in _GRANTS:
        raise token_errors.unsupported_grant(grant)
    client_id = _required(fields, "client_id")
    tenant_id = _tenant_id(state, tenant)
    if client_id.lower() != settings.CLIENT_ID:
        raise token_errors.unknown_application(client_id, tenant)
    _check_secret(fields)
    application_only = grant == "client_credentials"
    if grant == "refresh_token":
        _check_refresh_token(state, _required(fields, "refresh_token"))
    elif grant == "authorization_code" and _required(fields, "code") != settings.AUTHORIZATION_CODE:
        raise token_errors.malformed_grant()
    audience, sign_in = _target(fields, tenant_id, v2=v2, application_only=application_only)
    seconds = state.switches.access_token_seconds
    token = state.tokens.access_token(
        tenant_id,
        audience,
        application_only=application_only,
        multi_factor=state.switches.multi_factor,
        seconds=seconds,
    )
    body: Json = {"token_type": "Bearer"}
    if v2:
        if not application_only:
            body["scope"] = f"{audience}/user_impersonation {audience}/.default"
        body |= {"expires_in": seconds - 1, "ext_expires_in": seconds - 1}
    else:
        issued_at = int(state.clock.now().timestamp())
        if not application_only:
            body["scope"] = "user_impersonation"
        body |= {
            "expires_in": str(seconds),
            "ext_expires_in": str(seconds),
            "expires_on": str(issued_at + seconds),
            "not_before": str(issued_at - 300),
            "resource": audience,
        }
    body["access_token"] = token
    if not application_only:
        if grant == "refresh_token" or not v2 or "offline_access" in sign_in:
            body["refresh_token"] = state.tokens.new_refresh_token()
        if "openid" in sign_in:
            body["id_token"] = state.tokens.id_token(tenant_id, seconds)
    return Answer(200, body, dict(NO_STORE), traced=False)


def read_form(content: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        return {}


def openid_configuration(base_url: str, tenant: str, *, v2: bool) -> Json:
    """The metadata of this authority, as seen under the address it was asked at."""
    authority = f"{base_url}/{tenant}"
    version = "/v2.0" if v2 else ""
    tenant_id = settings.PARTNER_TENANT_ID if tenant.lower() in _SHARED_TENANTS else tenant
    return {
        "token_endpoint": f"{authority}/oauth2{version}/token",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "jwks_uri": f"{authority}/discovery{version}/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"{authority}/v2.0" if v2 else f"https://sts.windows.net/{tenant_id}/",
        "authorization_endpoint": f"{authority}/oauth2{version}/authorize",
        "device_authorization_endpoint": f"{authority}/oauth2{version}/devicecode",
        "end_session_endpoint": f"{authority}/oauth2{version}/logout",
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
    }


def instance_discovery(base_url: str, host: str) -> Json:
    """Tells sign-in libraries that this host is an authority of its own."""
    return {
        "tenant_discovery_endpoint": f"{base_url}/common/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }


_SHARED_TENANTS = ("common", "organizations")


def _basic_credentials(authorization: str) -> dict[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": unquote(client_id), "client_secret": unquote(secret)}


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise token_errors.missing_field(name)
    return value


def _tenant_id(state: SandboxState, tenant: str) -> str:
    """The tenant's id: the partner's by id or domain, a customer's by id (for Graph tokens there)."""
    name = tenant.lower()
    partner_id = state.world.partner_id
    if name in (partner_id, settings.PARTNER_TENANT_ID, settings.PARTNER_DOMAIN, *_SHARED_TENANTS):
        return partner_id
    if name in state.world.customers:
        return name
    raise token_errors.unknown_tenant(tenant)


def _check_secret(fields: Mapping[str, str]) -> None:
    secret = fields.get("client_secret", "")
    if not secret:
        raise (token_errors.unknown_certificate() if fields.get("client_assertion") else token_errors.missing_secret())
    if not hmac.compare_digest(secret.encode(), settings.CLIENT_SECRET.encode()):
        raise token_errors.wrong_secret(fields["client_id"])


def _check_refresh_token(state: SandboxState, token: str) -> None:
    issued_at = state.tokens.refresh_token_issued_at(token)
    if issued_at is None:
        raise token_errors.malformed_grant()
    if not state.tokens.use_refresh_token(token, issued_at):
        raise token_errors.inactive_refresh_token(issued_at)


def _target(fields: Mapping[str, str], tenant_id: str, *, v2: bool, application_only: bool) -> tuple[str, set[str]]:
    """The audience asked for, and the sign-in scopes beside it."""
    scopes = fields.get("scope", "").split()
    sign_in = {scope for scope in scopes if scope in _SIGN_IN_SCOPES}
    if not v2:
        resource = _required(fields, "resource")
        audience = _RESOURCES.get(resource.rstrip("/").lower())
        if audience is None:
            raise token_errors.unknown_resource(resource, tenant_id)
        return audience, sign_in
    targets = [scope for scope in scopes if scope not in _SIGN_IN_SCOPES]
    if not targets and application_only:
        raise (token_errors.missing_field("scope") if not scopes else token_errors.invalid_scope(" ".join(scopes)))
    audience = PARTNER_CENTER
    for index, scope in enumerate(targets):
        resource, _, permission = scope.rpartition("/")
        found = _RESOURCES.get(resource.rstrip("/").lower())
        allowed = permission == ".default" or (permission != "" and not application_only)
        if found == PARTNER_CENTER:
            allowed = allowed and permission in (".default", "user_impersonation")
        if found is None or not allowed or (index and found != audience):
            raise token_errors.invalid_scope(scope)
        audience = found
    return audience, sign_in
