from tests.gateway_client import gateway, sandbox  # noqa: F401  # fixtures
from tests.license_changes import e1, e3, minecraft, power_bi, visio  # noqa: F401  # fixtures
from tests.new_users import contoso, products  # noqa: F401  # fixtures
from tests.program import sandbox_settings  # noqa: F401  # fixture
from tests.redis_server import redis, redis_server_url, redis_url  # noqa: F401  # fixtures
