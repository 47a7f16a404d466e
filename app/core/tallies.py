"""Counters and histograms that are cheap to count in.

Those of the Prometheus library take a lock and half a dozen calls for each count, several times a
request. These are plain numbers that belong to one thread, that of the event loop. The library's
registry reads them when it writes the metrics. Bounds of histograms are inclusive upper bounds.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Counter:
    """One number that rises."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Start at nothing."""
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Count, ≥ 0."""
        self.value += amount


class Histogram:
    """How many values there were up to each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the upper bounds, rising; there is one more bucket behind the last."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def shown(self) -> tuple[list[tuple[str, float]], float]:
        """Return (upper bound, how many up to it), rising, and the sum of all values."""
        bounds = map(floatToGoString, (*self._bounds, float("inf")))
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True)), self._sum


T = TypeVar("T")


class _Family(Collector, ABC, Generic[T]):
    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._series: dict[tuple[str, ...], T] = {}

    def labels(self, *values: str) -> T:
        """Return one series, which is shown from now on; keep it where counting must be cheap."""
        if values not in self._series:
            if len(values) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}")
            self._series[values] = self._new()
        return self._series[values]

    @abstractmethod
    def _new(self) -> T: ...


class Counters(_Family[Counter]):
    """The counters of one metric, by the values of its labels."""

    def _new(self) -> Counter:
        return Counter()

    def collect(self) -> Iterator[Metric]:
        """Show them, to the registry."""
        shown = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, counter in self._series.items():
            shown.add_metric(values, counter.value)
        yield shown


class Histograms(_Family[Histogram]):
    """The histograms of one metric, by the values of its labels, with the same bounds."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        """Take the upper bounds, rising."""
        super().__init__(name, text, labels)
        self._bounds = bounds

    def _new(self) -> Histogram:
        return Histogram(self._bounds)

    def collect(self) -> Iterator[Metric]:
        """Show them, to the registry."""
        shown = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, histogram in self._series.items():
            shown.add_metric(values, *histogram.shown())
        yield shown
