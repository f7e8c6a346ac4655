from tests.gateway_client import gateway, sandbox  # noqa: F401  # fixtures
