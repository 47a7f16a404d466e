"""One service in a comparison: its queries, its measured figures, and how load is run on it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from loadtest.runners import wrk
from loadtest.runners.services import Service
from loadtest.runners.wrk import Bodies

SETTLE_S = 2.0
_ENCODED = "recserve_batch_size_sum"  # queries that went through the engine, each encoded once

Series = dict[str, list[float]]


@dataclass
class Side:
    """One service, its unique queries, and its figures so far.

    `paced`: other unique queries, for the open loop. `encodes`: whether its metrics count encoded
    texts, so that `load` can check that no cache answered.
    """

    service: Service
    unique: Bodies | None = None
    paced: Bodies | None = None
    encodes: bool = False
    series: Series = field(default_factory=dict)
    checks: list[dict[str, int]] = field(default_factory=list)

    def add(self, **figures: float | None) -> None:
        """Append one figure to each named series; skip None (nothing was measured)."""
        for name, value in figures.items():
            if value is not None:
                self.series.setdefault(name, []).append(round(value, 4))

    def medians(self) -> dict[str, float]:
        """Return the median of each series."""
        return {name: median(values) for name, values in self.series.items()}

    def load(
        self, bodies: Bodies | None, connections: int, seconds: int, *, stages: bool = False
    ) -> wrk.Run:
        """Run wrk after a pause, in which the service finishes the requests that wrk abandoned.

        Raises:
            RuntimeError: an answer was an error, or unique queries met a cache.
        """
        if bodies is None:
            raise RuntimeError(f"{self.service.name} has no unique queries")

        def run() -> wrk.Run:
            time.sleep(SETTLE_S)
            return bodies.run(
                self.service.port, connections=connections, seconds=seconds, stages=stages
            )

        return self._counted(run) if bodies.fresh and self.encodes else run()

    def _counted(self, measure: Callable[[], wrk.Run]) -> wrk.Run:
        """Run, and check that every text was encoded, so that no cache answered.

        At the end of its time wrk abandons the open requests, and the service may skip a request
        whose caller has left. So the number of encoded texts lies between answered and sent ones.
        """
        time.sleep(SETTLE_S)
        before = self.service.metric(_ENCODED)
        run = measure()
        time.sleep(SETTLE_S)
        texts = int(self.service.metric(_ENCODED) - before)
        self.checks.append({"answered": run.answered, "encoded": texts, "sent": run.sent})
        if not run.answered <= texts <= run.sent:
            raise RuntimeError(
                f"{run.answered} answers to {run.sent} requests, but {texts} encoded"
            )
        return run
