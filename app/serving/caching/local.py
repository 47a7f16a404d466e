"""The local cache: values in the memory of this process, least recently used evicted first (LRU).

Its size is limited in bytes. It is synchronous and not shared between threads. It does not know
what the values mean.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.telemetry import Metrics

_OVERHEAD_BYTES: Final = 350
"""Bytes of one entry beside its key and value: object headers, numbers and slots of the table."""


@dataclass(frozen=True, slots=True)
class _CacheEntry:
    value: bytes
    stored_at: float
    expires_at: float


class LocalCache:
    """Caches values for about `ttl_s` seconds, in at most `max_bytes` bytes, keys included."""

    def __init__(
        self,
        max_bytes: int,
        ttl_s: float,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Make an empty cache.

        Args:
            max_bytes: limit of keys, values and overhead together; 0 caches nothing.
            ttl_s: lifetime of a value, ± 10 % so that values do not all expire together.
            metrics: where hits and misses are counted.
            clock: monotonic seconds.
            chance: a number in [0, 1) that spreads the expiry.
        """
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._hits = metrics.cache_reads.labels("local", "hit")
        self._outdated = metrics.cache_reads.labels("local", "outdated")
        self._misses = metrics.cache_reads.labels("local", "miss")
        self.stale = metrics.cache_reads.labels("local", "stale")
        self._clock = clock
        self._chance = chance
        self._entries: OrderedDict[bytes, _CacheEntry] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<LocalCache {len(self._entries)} values, {self._bytes}/{self._max_bytes} bytes>"

    def get(
        self, key: bytes, state: bytes = b"", is_valid: Callable[[bytes], bool] = lambda _: True
    ) -> bytes | None:
        """Return a value, and mark it as most recently used; None if there is none. O(1).

        A value that has expired, was stored with another `state`, or is not valid any more by
        `is_valid` counts as none. The length of the state depends only on the key.
        """
        entry = self._entries.get(key)
        if entry is not None and entry.expires_at <= self._clock():
            self._drop(key)
            entry = None
        if entry is None:
            self._misses.inc()
            return None
        value = entry.value[len(state) :]
        if not entry.value.startswith(state) or not is_valid(value):
            self._outdated.inc()
            return None
        self._entries.move_to_end(key)
        self._hits.inc()
        return value

    def peek(self, key: bytes, max_age_s: float) -> bytes | None:
        """Return state and value, whatever the state, if not older than `max_age_s`. O(1)."""
        entry = self._entries.get(key)
        now = self._clock()
        if entry is None or entry.expires_at <= now or now - entry.stored_at > max_age_s:
            return None
        return entry.value

    def put(self, key: bytes, value: bytes, state: bytes = b"") -> None:
        """Store a value in place of any older one, unless it is larger than the whole cache."""
        self._drop(key)
        value = state + value
        size = _size(key, value)
        if size > self._max_bytes:
            return
        while self._bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
        lifetime_s = self._ttl_s * (0.9 + 0.2 * self._chance())
        now = self._clock()
        self._entries[key] = _CacheEntry(value, now, now + lifetime_s)
        self._bytes += size

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry.value)


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES
