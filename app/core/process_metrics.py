"""Metrics of the processes themselves: processor time, memory, files; over all workers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_NEWEST: Final = "process_start_time_seconds"
"""Shown of the newest process, so that a restart of any can be seen. The others are sums."""


class ProcessMetrics(Collector):
    """The usual `process_…` metrics, and how many processes they are summed over."""

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        """Take what returns the ids of the living processes; none = only this one."""
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """Show them, to the registry."""
        pids: Sequence[int | str] = self._pids() or ("self",)
        yield GaugeMetricFamily("recserve_workers", "Processes that serve.", value=len(pids))
        found: dict[str, Metric] = {}
        for pid in pids:
            for metric in _of(pid):
                if metric.name in found:
                    _add(found[metric.name], metric)
                else:
                    found[metric.name] = metric
        yield from found.values()


def _of(pid: int | str) -> Iterable[Metric]:
    collector = ProcessCollector(pid=lambda: pid, registry=None)
    return collector.collect()


def _add(total: Metric, metric: Metric) -> None:
    """Add the numbers of one more process; of the start times, keep the newest."""
    newest = total.name == _NEWEST
    total.samples = [
        mine._replace(value=max(mine.value, other.value) if newest else mine.value + other.value)
        for mine, other in zip(total.samples, metric.samples, strict=True)
    ]
