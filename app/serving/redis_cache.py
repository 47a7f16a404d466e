"""The second cache, shared by all processes: `Cache` over Redis, which may be slow, down or lying.

Any trouble is a miss and a count, never an error, and costs at most the timeout; after repeated
trouble Redis is left alone for a while. Uses commands of Redis ≤ 6.2 only. Does not know what the
values mean.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.serving.breaker import Breaker, Permit
from app.serving.cache_value import pack, unpack
from app.serving.turn import in_a_task
from app.telemetry import Metrics
from app.types import CacheRead

_PREFIX: Final = b"recserve:1:"
_MAX_VALUE_BYTES: Final = 1_048_576

_log = logging.getLogger(__name__)


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


class RedisCache:
    """`Cache` over a Redis client made by `open_client`; owns and closes it."""

    def __init__(
        self,
        client: Redis,
        limits: RedisLimits,
        breaker: Breaker,
        metrics: Metrics,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Wrap a client.

        Args:
            client: made by `open_client`.
            limits: the same that the client was made with.
            breaker: guards this Redis alone.
            metrics: where reads, failed writes and the breaker's state are shown.
            chance: a number in [0, 1) that spreads the expiry.
        """
        self._client = client
        self._limits = limits
        self._breaker = breaker
        self._metrics = metrics
        self._chance = chance
        self._closed = False
        metrics.cache_breaker_open.set_function(lambda: breaker.open)

    def __repr__(self) -> str:
        return f"<RedisCache {self._breaker!r}>"

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        """Return the value stored under exactly this fingerprint with this state, or a miss."""
        # GETRANGE, not GET: however large a foreign value is, no more than this is sent.
        done, value = await self._command("GETRANGE", _key(fingerprint), 0, _MAX_VALUE_BYTES)
        if not done:
            return self._counted("error", CacheRead(failed=True))
        if value == b"":
            return self._counted("miss", CacheRead())
        payload = unpack(value, fingerprint)
        if payload is None:
            return self._counted("foreign", CacheRead())
        if not payload.startswith(state):
            return self._counted("outdated", CacheRead())
        return self._counted("hit", CacheRead(payload[len(state) :]))

    async def put(self, fingerprint: bytes, value: bytes, state: bytes = b"") -> None:
        """Store a value for about the TTL; best effort. A value over 1 MiB is not stored."""
        packed = pack(fingerprint, state + value)
        if len(packed) > _MAX_VALUE_BYTES:
            return
        life_ms = int(1000 * self._limits.ttl_s * (0.9 + 0.2 * self._chance()))
        done, _ = await self._command("SET", _key(fingerprint), packed, "PX", life_ms)
        if not done:
            self._metrics.cache_write_errors.inc()

    async def aclose(self) -> None:
        """Close all connections; later reads are failed misses. Idempotent."""
        self._closed = True
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    async def _command(self, *command: bytes | str | int) -> tuple[bool, object]:
        """Run one command; return whether it came through, and the reply."""
        permit = None if self._closed else self._breaker.permit()
        if permit is None:
            return False, None
        try:
            reply = await self._within_time(*command)
        except Exception as error:  # noqa: BLE001 - a lying server can make the client raise anything
            self._failed(permit, error)
            return False, None
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return True, reply

    async def _within_time(self, *command: bytes | str | int) -> object:
        await in_a_task()
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                return None  # Redis is well; what lies there is not ours
            raise
        finally:
            # The client writes under `asyncio.wait_for`, which in Python 3.11 may swallow a
            # cancellation that meets the end of the write.
            if task and task.cancelling() > cancelled_before:
                raise asyncio.CancelledError

    def _failed(self, permit: Permit, error: Exception) -> None:
        was_open = self._breaker.open
        self._breaker.failed(permit)
        if self._breaker.open and not was_open:
            _log.warning("the shared cache fails and is left alone for a while: %r", error)

    def _counted(self, result: str, read: CacheRead) -> CacheRead:
        self._metrics.cache_reads.labels("shared", result).inc()
        return read


def _key(fingerprint: bytes) -> bytes:
    return _PREFIX + hashlib.blake2b(fingerprint, digest_size=16).hexdigest().encode()
