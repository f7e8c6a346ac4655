"""What holds for every test. Fixtures stand in the conftest.py of the folder that needs them."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what asks a real Redis, so that CI can run just that against another server."""
    for item in items:
        if "redis_url" in getattr(item, "fixturenames", ()):
            item.add_marker("redis")
