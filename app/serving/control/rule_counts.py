"""Counts to how many answers each rule applied, in a bounded number of series."""

from collections.abc import Iterable
from typing import Final

from app.core.tallies import Counter
from app.core.telemetry import Metrics

MOST_SERIES: Final = 100
OTHER: Final = "other"


class RuleCounts:
    """Counts in a series for each of the first rules that apply, and in one for all others."""

    def __init__(self, metrics: Metrics, most: int = MOST_SERIES) -> None:
        """Count in `metrics`; `most`: how many rules have a series of their own."""
        self._metrics, self._most = metrics, most
        self._counters: dict[str, Counter] = {}

    def count(self, rules: Iterable[str]) -> None:
        """Count an answer to which these rules applied."""
        for rule in rules:
            self._counter(rule).inc()

    def _counter(self, rule: str) -> Counter:
        if rule not in self._counters and len(self._counters) >= self._most:
            rule = OTHER
        if rule not in self._counters:
            self._counters[rule] = self._metrics.rules_applied.labels(rule)
        return self._counters[rule]
