"""A Redis client with strict limits: it never waits longer than its timeout, and never retries."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """Limits of a Redis client.

    Attributes:
        ttl_s: lifetime of a cached value, ± 10 % so that values do not all expire together.
        timeout_s: longest time of one operation, including the wait for a connection.
        max_connections: most connections of this process.
    """

    ttl_s: float
    timeout_s: float
    max_connections: int


def open_client(url: str, limits: RedisLimits) -> Redis:
    """Return a client that waits at most `limits.timeout_s` for anything and never retries.

    The library's own defaults (5 s, 10 retries) would turn a slow cache into a slow service. They
    are overridden here and not by `from_url`, where the query part of the URL would win.
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
        # This connects nothing. It shows a wrong option now; later it would look like cache misses.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError as error:
        raise ValueError("the Redis URL names an unknown option") from error
    return Redis.from_pool(pool)
