"""What an answer took and lacked, as metrics."""

from app.telemetry import Metrics
from app.types import StageTimings


class Observed:
    """Counts answers."""

    def __init__(self, metrics: Metrics) -> None:
        """Count in these metrics."""
        self._metrics = metrics
        # Looked up once: finding a series costs more than counting in it.
        seconds = metrics.stage_seconds
        self._total_seconds = seconds.labels("total")
        self._stages = [seconds.labels(name) for name in ("queue", "encode", "retrieve", "rerank")]

    def count(
        self,
        total_s: float,
        queue_ms: float,
        stages: StageTimings,
        degraded: tuple[str, ...],
        *,
        worked: bool,
    ) -> None:
        """Count one answer; its stages only if it had to be `worked` for."""
        self._total_seconds.observe(total_s)
        if worked:
            spent = (queue_ms, stages.encode_ms, stages.retrieve_ms, stages.rerank_ms)
            for seconds, ms in zip(self._stages, spent, strict=True):
                seconds.observe(ms / 1e3)
        for reason in degraded:
            self._metrics.degraded.labels(reason).inc()
