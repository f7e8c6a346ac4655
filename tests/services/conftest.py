"""Fixtures of the services' tests."""

from tests.redis_server import redis, redis_server_url, redis_url  # noqa: F401  # pytest finds them by name here
