"""The shared cache: `Cache` over a Redis that may be slow, down, or hold values that are not ours.

Any failure is a cache miss and is counted; it is never an error. It costs the timeout at most.
After several failures in a row, a circuit breaker (`Breaker`) keeps calls away from Redis for a
while. Only commands of Redis ≤ 6.2 are used.

A stored value proves which request it answers:

    magic+version | length of fingerprint | length of payload | fingerprint | payload | checksum

Lengths are 4 bytes, big-endian. The checksum is a 16-byte BLAKE2b of everything before it. A value
is plain data, never a pickle. This module does not know what the payload means.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
import struct
from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.core.telemetry import Metrics
from app.core.types import CacheRead
from app.serving.breaker import Breaker, Permit
from app.serving.stores.redis_client import RedisLimits, address_of, cause_of
from app.serving.turn import in_a_task

_PREFIX: Final = b"recserve:1:"
_MAX_VALUE_BYTES: Final = 1_048_576
_HEAD: Final = struct.Struct(">4sII")
_MAGIC: Final = b"RSV\x01"
_CHECKSUM_BYTES: Final = 16

_log = logging.getLogger(__name__)


def pack(fingerprint: bytes, payload: bytes) -> bytes:
    """Return the value to store under the key of `fingerprint`."""
    head = _HEAD.pack(_MAGIC, len(fingerprint), len(payload))
    body = head + fingerprint + payload
    return body + _checksum(body)


def unpack(value: object, fingerprint: bytes) -> bytes | None:
    """Return the payload; None unless `value` was packed, unharmed, for this very fingerprint.

    A key is only a hash, so a value stored for another request must not be taken for an answer.
    """
    if not isinstance(value, bytes) or len(value) < _HEAD.size + _CHECKSUM_BYTES:
        return None
    body, checksum = value[:-_CHECKSUM_BYTES], value[-_CHECKSUM_BYTES:]
    magic, key_bytes, payload_bytes = _HEAD.unpack_from(body)
    start = _HEAD.size + key_bytes
    fits = magic == _MAGIC and len(body) == start + payload_bytes
    if not fits or body[_HEAD.size : start] != fingerprint or checksum != _checksum(body):
        return None
    return body[start:]


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


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
            breaker: guards this Redis and nothing else.
            metrics: where reads, failed writes and the state of the breaker are shown.
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

    async def check(self) -> None:
        """Ask for a sign of life, so that the log says at the start if there is none."""
        await self._command("PING")

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        """Return the value stored under exactly this fingerprint with this state, or a miss."""
        # GETRANGE and not GET: a foreign value may be large, and no more than this is sent.
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
        """Run one command. Return whether it succeeded, and the reply."""
        permit = None if self._closed else self._breaker.permit()
        if permit is None:
            return False, None
        try:
            reply = await self._within_time(*command)
        except Exception as error:  # noqa: BLE001 - a broken server can make the client raise anything
            self._failed(permit, error)
            return False, None
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return True, reply

    async def _within_time(self, *command: bytes | str | int) -> object:
        await in_a_task()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                return None  # Redis works; the value under this key is not ours
            raise

    def _failed(self, permit: Permit, error: Exception) -> None:
        self._breaker.failed(permit)
        _log.warning(
            "the shared cache at %s cannot be used: %s. Until it can, answers are not shared",
            *(address_of(self._client), cause_of(error)),
        )

    def _counted(self, result: str, read: CacheRead) -> CacheRead:
        self._metrics.cache_reads.labels("shared", result).inc()
        return read


def _key(fingerprint: bytes) -> bytes:
    return _PREFIX + hashlib.blake2b(fingerprint, digest_size=16).hexdigest().encode()
