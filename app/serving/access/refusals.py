"""Counts what the budgets of keys refuse, in a bounded number of series."""

from typing import Final

from app.core.tallies import Counter
from app.core.telemetry import Metrics

MOST_KEYS: Final = 100
ANONYMOUS: Final = "anonymous"
OTHER: Final = "other"


class Refusals:
    """Counts in series of each of the first keys that are refused, and in one for all others."""

    def __init__(self, metrics: Metrics, most: int = MOST_KEYS) -> None:
        """Count in `metrics`; `most`: how many keys have series of their own."""
        self._metrics, self._most = metrics, most
        self._keys: set[str] = set()
        self._counters: dict[tuple[str, str], Counter] = {}

    def count(self, key_id: str, budget: str) -> None:
        """Count a refusal. `key_id`: "" = a caller without a key."""
        key = key_id or ANONYMOUS
        if key not in self._keys and len(self._keys) >= self._most:
            key = OTHER
        else:
            self._keys.add(key)
        counter = self._counters.get((key, budget))
        if counter is None:
            counter = self._counters[key, budget] = self._metrics.rate_limited.labels(key, budget)
        counter.inc()
