"""Metrics that say what is being served: version, bundle and catalogue."""

import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.core.ports import Engine

_STAMP: Final = "%Y%m%dT%H%M%S%f"
_STAMP_CHARACTERS: Final = 21


class ServedInfo(Collector):
    """Shows them of the engine that serves now, in the process that is asked."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine that stands for whichever serves."""
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Show them, to the registry."""
        info = self._engine.info
        version = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("recserve_build", "What runs.", value=version)
        bundle = {
            "bundle": info.bundle_name,
            "generation": info.bundle,
            "encoder": info.encoder,
            "index": info.index,
            "scorer": info.scorer,
        }
        yield InfoMetricFamily("recserve_bundle", "What is served.", value=bundle)
        for name, text, value in (
            ("catalogue_items", "Items of the catalogue.", info.n_items),
            ("catalogue_change", "Number of the newest change of items.", info.catalogue),
            ("bundle_users", "Users of the bundle.", info.n_users),
            ("bundle_events", "Events that the bundle was built from.", info.n_events),
            ("bundle_built_timestamp_seconds", "When it was built.", built_at(info.bundle)),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"recserve_{name}", text, value=value)


def built_at(generation: str) -> float | None:
    """Return the unix seconds in the name of a generation; None if it has none.

    >>> built_at("20261130T092204282232Z-b3b28d06"), built_at("by-hand")
    (1796030524.282232, None)
    """
    try:
        moment = datetime.strptime(generation[:_STAMP_CHARACTERS], _STAMP)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC).timestamp()
