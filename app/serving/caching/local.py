"""The first cache: bytes in this process, bounded in bytes, least recently used goes first.

Synchronous and not shared between threads. Does not know what the bytes mean.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.telemetry import Metrics

_OVERHEAD_BYTES: Final = 350
"""What an entry costs beside its key and value: two bytes headers, entry, number, table slots."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    put: float
    expires: float


class LocalCache:
    """Keeps values for about `ttl_s` seconds, in at most `max_bytes` bytes, keys included."""

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
            max_bytes: bound of keys, values and overhead together; 0 keeps nothing.
            ttl_s: life of a value, ± 10 % so that values put together do not expire together.
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
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<LocalCache {len(self._entries)} values, {self._bytes}/{self._max_bytes} bytes>"

    def get(
        self, key: bytes, state: bytes = b"", holds: Callable[[bytes], bool] = lambda _: True
    ) -> bytes | None:
        """Return the value, now the most recently used one; None if absent or expired. O(1).

        It has to have been put with this very `state`, whose length goes with the key, and to hold
        still, by what `holds` says of it.
        """
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._clock():
            self._drop(key)
            entry = None
        if entry is None:
            self._misses.inc()
            return None
        value = entry.value[len(state) :]
        if not entry.value.startswith(state) or not holds(value):
            self._outdated.inc()
            return None
        self._entries.move_to_end(key)
        self._hits.inc()
        return value

    def peek(self, key: bytes, max_age_s: float) -> bytes | None:
        """Return state and value, whatever the state, if put within so many seconds. O(1)."""
        entry = self._entries.get(key)
        now = self._clock()
        if entry is None or entry.expires <= now or now - entry.put > max_age_s:
            return None
        return entry.value

    def put(self, key: bytes, value: bytes, state: bytes = b"") -> None:
        """Keep a value in place of any older one; one larger than the whole cache is not kept."""
        self._drop(key)
        value = state + value
        size = _size(key, value)
        if size > self._max_bytes:
            return
        while self._bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
        life = self._ttl_s * (0.9 + 0.2 * self._chance())
        now = self._clock()
        self._entries[key] = _Entry(value, now, now + life)
        self._bytes += size

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry.value)


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES
