"""A client of Redis that never waits longer than it is told, and never tries twice."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """Bounds of the shared cache.

    Attributes:
        ttl_s: life of a value, ± 10 % so that values put together do not expire together.
        timeout_s: longest time of one whole operation, waiting for a connection included.
        max_connections: most connections of this process.
    """

    ttl_s: float
    timeout_s: float
    max_connections: int


def open_client(url: str, limits: RedisLimits) -> Redis:
    """Return a client that waits at most `limits.timeout_s` for anything and never tries twice.

    The library's own defaults (5 s, 10 retries) would turn a slow cache into a slow service. They
    are overridden here rather than in `from_url`, where the query part of the URL would win.
    Nothing is connected yet.

    Raises:
        ValueError: the URL is not a Redis URL, or names an option that does not exist.
    """
    options: dict[str, Any] = dict(parse_url(url))
    options |= {
        "socket_timeout": limits.timeout_s,
        "socket_connect_timeout": limits.timeout_s,
        "timeout": limits.timeout_s,  # for a free connection of the pool
        "max_connections": limits.max_connections,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "retry_on_timeout": False,
        "health_check_interval": 0,
        "decode_responses": False,
        "protocol": 2,  # no handshake: a new connection costs no round trip
        "driver_info": None,
    }
    pool = BlockingConnectionPool(**options)
    try:
        # Not connected. Without this, a wrong option would show later, as a cache that never hits.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError as error:
        raise ValueError("the Redis URL names an unknown option") from error
    return Redis.from_pool(pool)
