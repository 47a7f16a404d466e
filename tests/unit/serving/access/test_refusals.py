"""Refusals are counted by key, and no number of keys makes more series than there may be."""

from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.serving.access.refusals import Refusals


def test_refusals_are_counted_by_key_and_budget() -> None:
    metrics = Metrics(CollectorRegistry())
    refusals = Refusals(metrics, most=2)
    for key, budget in (("0a", "requests"), ("0a", "requests"), ("0a", "language"), ("", "x")):
        refusals.count(key, budget)
    for n in range(1000):
        refusals.count(f"{n:08x}", "requests")
    value = metrics.registry.get_sample_value
    counted = {
        (key, budget): value("recserve_rate_limited_total", {"key": key, "budget": budget})
        for key, budget in (
            *(("0a", "requests"), ("0a", "language"), ("anonymous", "x"), ("other", "requests")),
        )
    }
    assert list(counted.values()) == [2, 1, 1, 1000]
