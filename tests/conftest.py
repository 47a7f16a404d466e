"""Fixtures, markers and settings for every folder of tests."""

import os

# As `app.cli` does, before anything loads torch or FAISS.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import HealthCheck, settings

from tests.redis_server import durable_redis, redis_server

__all__ = ["durable_redis", "redis_server"]

# A busy machine is no failure: tests judge values, not times.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

_REDIS = {"redis_server", "durable_redis"}


@pytest.hookimpl(tryfirst=True)  # before `-m` reads the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a Redis server: by a fixture, or by a parameter "redis"."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        if fixtures & _REDIS or any(isinstance(v, str) and v == "redis" for v in parameters):
            item.add_marker(pytest.mark.process)
