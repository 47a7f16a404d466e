"""Fixtures for every folder of tests."""

import os

# As `app.cli` does, before anything loads torch or FAISS.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.redis_server import durable_redis, redis_server

__all__ = ["durable_redis", "redis_server"]
