"""Fixtures of the gateway's tests."""

from tests.program import sandbox_settings  # noqa: F401  # pytest finds them by name here
from tests.redis_server import redis_server_url, redis_url  # noqa: F401
from tests.token_issuer import issuer  # noqa: F401
