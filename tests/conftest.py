"""Fixtures for every folder of tests."""

from tests.redis_server import durable_redis, redis_server

__all__ = ["durable_redis", "redis_server"]
