"""Counters, gauges and histograms that are cheap to count in.

Those of the Prometheus library take a lock and half a dozen calls for each count, several times a
request. These are plain numbers that belong to one thread, that of the event loop. The library's
registry reads them when it writes the metrics. Bounds of histograms are inclusive upper bounds.

The numbers lie in the cells of a `Tallies`. Those of `LocalTallies` are lists. Those of
`app.core.shared_tallies` are memory that other processes read, so that one process can show the
sums over all.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf
from typing import Generic, Protocol, TypeAlias, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Cells: TypeAlias = "list[float] | memoryview[float]"
Series: TypeAlias = Mapping[tuple[str, ...], Sequence[float]]
"""Values of labels -> numbers."""


class Tallies(Protocol):
    """Where the numbers of all metrics lie."""

    def cells(self, name: str, labels: tuple[str, ...], n: int) -> Cells:
        """Return `n` numbers for one series of a metric, all 0."""

    def others(self, name: str, *, living: bool) -> Sequence[Series]:
        """Return the series of a metric in other processes, `living` ones only or all."""

    def refresh(self) -> None:
        """Read what other processes have counted, for `others` and `pids`."""

    def pids(self) -> Sequence[int]:
        """Return the ids of the living processes, this one among them."""


class LocalTallies:
    """The `Tallies` of a process that shows its own numbers only."""

    def cells(self, _name: str, _labels: tuple[str, ...], n: int) -> Cells:
        """Return a list."""
        return [0.0] * n

    def others(self, _name: str, *, living: bool) -> Sequence[Series]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return ()

    def refresh(self) -> None:
        """Do nothing: there is nobody else."""

    def pids(self) -> Sequence[int]:
        """Return no ids: the process is asked as itself."""
        return ()


class Counter:
    """One number that rises."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Cells) -> None:
        """Count in one cell."""
        self._cells = cells

    @property
    def value(self) -> float:
        """What was counted."""
        return self._cells[0]

    def inc(self, amount: float = 1) -> None:
        """Count, ≥ 0."""
        self._cells[0] += amount


class Histogram:
    """How many values there were up to each bound, and their sum."""

    __slots__ = ("_bounds", "_cells")

    def __init__(self, bounds: Sequence[float], cells: Cells) -> None:
        """Take the upper bounds, rising, and a cell for the sum, for each bound, and for more."""
        # The first bound is below all values, so that they count from the second cell on.
        self._bounds = (-inf, *bounds)
        self._cells = cells

    def observe(self, value: float) -> None:
        """Count a value."""
        cells = self._cells
        cells[0] += value
        cells[bisect_left(self._bounds, value)] += 1


class Gauge:
    """A number that is asked for whenever it is shown."""

    def __init__(self, cells: Cells) -> None:
        """Put the number into one cell, for others."""
        self._cells = cells
        self._ask: Callable[[], float] = lambda: 0.0

    def set_function(self, ask: Callable[[], float]) -> None:
        """Ask this from now on."""
        self._ask = ask

    def refresh(self) -> None:
        """Put what the number is now into its cell."""
        self._cells[0] = float(self._ask())


T = TypeVar("T")


class _Family(Collector, ABC, Generic[T]):
    def __init__(
        self, name: str, text: str, labels: Sequence[str], tallies: Tallies | None = None
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._tallies = tallies or LocalTallies()
        self._cells: dict[tuple[str, ...], Cells] = {}
        self._series: dict[tuple[str, ...], T] = {}

    def labels(self, *values: str) -> T:
        """Return one series, which is shown from now on; keep it where counting must be cheap."""
        if values not in self._series:
            if len(values) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}")
            self._cells[values] = self._tallies.cells(self._name, values, self._n)
            self._series[values] = self._new(self._cells[values])
        return self._series[values]

    @property
    @abstractmethod
    def _n(self) -> int:
        """How many cells a series has."""

    @abstractmethod
    def _new(self, cells: Cells) -> T: ...

    def _summed(self) -> dict[tuple[str, ...], list[float]]:
        """Return the numbers of each series, over all processes that there were."""
        sums = {values: list(cells) for values, cells in self._cells.items()}
        for series in self._tallies.others(self._name, living=False):
            for values, cells in series.items():
                mine = sums.get(values)
                both = cells if mine is None else map(sum, zip(mine, cells, strict=True))
                sums[values] = list(both)
        return sums


class Counters(_Family[Counter]):
    """The counters of one metric, by the values of its labels."""

    _n = 1

    def _new(self, cells: Cells) -> Counter:
        return Counter(cells)

    def collect(self) -> Iterator[Metric]:
        """Show them, to the registry."""
        shown = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, cells in self._summed().items():
            shown.add_metric(values, cells[0])
        yield shown


class Histograms(_Family[Histogram]):
    """The histograms of one metric, by the values of its labels, with the same bounds."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        tallies: Tallies | None = None,
    ) -> None:
        """Take the upper bounds, rising."""
        super().__init__(name, text, labels, tallies)
        self._bounds = bounds

    @property
    def _n(self) -> int:
        return len(self._bounds) + 2

    def _new(self, cells: Cells) -> Histogram:
        return Histogram(self._bounds, cells)

    def collect(self) -> Iterator[Metric]:
        """Show them, to the registry."""
        shown = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        names = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*self._bounds, inf)
        ]
        for values, cells in self._summed().items():
            buckets = list(zip(names, accumulate(cells[1:]), strict=True))
            shown.add_metric(values, buckets, cells[0])
        yield shown


class Gauges(_Family[Gauge]):
    """A gauge; `join` makes one number of those of all living processes: sum, min or max."""

    _n = 1

    def __init__(
        self,
        name: str,
        text: str,
        join: Callable[[Sequence[float]], float],
        tallies: Tallies | None = None,
    ) -> None:
        """Take how several are joined."""
        super().__init__(name, text, (), tallies)
        self._join = join

    def _new(self, cells: Cells) -> Gauge:
        return Gauge(cells)

    def collect(self) -> Iterator[Metric]:
        """Show it, to the registry."""
        self.labels().refresh()
        others = self._tallies.others(self._name, living=True)
        found = [self._cells[()][0], *(series[()][0] for series in others if () in series)]
        yield GaugeMetricFamily(self._name, self._text, value=self._join(found))
