"""Open-loop runs at three times the peak and at half of it, as a part of the bench.

The peak is the closed-loop rate that was measured in the same round.
"""

from dataclasses import dataclass
from math import inf

from loadtest.runners import open_loop
from loadtest.runners.open_loop import Offer
from loadtest.runners.sides import Side

OVER, _HALF = 3, 0.5
"""Offered rates, as multiples of the peak."""

LAG = "recserve_event_loop_lag_seconds"


@dataclass(frozen=True)
class OpenLoop:
    """Runs of `seconds` each; `bare` is the service that proves the speed of the generator."""

    seconds: int
    bare: Side

    def round(self, side: Side) -> None:
        """Measure one service at three times and at half of its latest closed-loop peak.

        Raises:
            RuntimeError: the unique queries ran out, or an answer was neither 200, 429 nor 504.
        """
        peak = side.series["uncached_per_s"][-1]
        lag = side.service.buckets(LAG)
        over = self._run(side, peak * OVER)
        side.add(
            over_goodput_per_s=over.goodput_per_s,
            over_undegraded_per_s=over.undegraded_per_s,
            over_p50_ms=over.p50_ms,
            over_p99_ms=over.p99_ms,
            over_degraded_p99_ms=over.degraded_p99_ms,
            over_refused_per_s=over.refused_per_s,
            over_refused_p99_ms=over.refused_p99_ms,
            over_retry_after_ms=over.retry_after_p50_ms,
            over_timed_out=over.timed_out,
            over_late_p99_ms=over.late_p99_ms,
            over_loop_lag_p99_ms=lag_p99_ms(lag, side.service.buckets(LAG)),
        )
        half = self._run(side, peak * _HALF)
        side.add(
            half_p50_ms=half.p50_ms, half_p99_ms=half.p99_ms, half_late_p99_ms=half.late_p99_ms
        )
        self._prove(peak * OVER)

    def _run(self, side: Side, rate: float) -> open_loop.Report:
        if side.paced is None:
            raise RuntimeError(f"{side.service.name} has no unique queries")
        bodies = side.paced.take(int(rate * self.seconds))
        report = open_loop.measure(side.service.port, bodies, Offer(rate, self.seconds))
        if report.errors:
            raise RuntimeError(f"{report.errors} errors at {rate:.0f}/s from {side.service.name}")
        return report

    def _prove(self, rate: float) -> None:
        """Offer the same rate to the bare route, to show that the generator keeps up."""
        report = open_loop.measure(
            self.bare.service.port, [b'{"query":"x","k":10}'], Offer(rate, 3)
        )
        self.bare.add(
            runner_share=report.goodput_per_s / rate,
            runner_late_p99_ms=report.late_p99_ms,
            runner_p99_ms=report.p99_ms,
        )


def lag_p99_ms(before: dict[float, float], after: dict[float, float]) -> float:
    """Return the upper bound, in ms, of the bucket with the 99th percentile between two readings.

    >>> lag_p99_ms({0.01: 5, 0.1: 5, inf: 5}, {0.01: 10, 0.1: 105, inf: 105})
    100.0
    """
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    rank = 0.99 * counts[inf]
    return 1e3 * next(bound for bound, count in counts.items() if count >= rank)
