"""Metrics on a registry of their own, and loop lag by an injected clock."""

import asyncio

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from app.core.telemetry import LoopLag, Metrics
from tests.clock import Clock


def test_all_metrics_are_ours_and_none_is_global():
    metrics = Metrics(CollectorRegistry())
    names = {metric.name for metric in metrics.registry.collect()}
    ours = {name for name in names if name.startswith("recserve_")}
    assert "recserve_requests" in ours
    assert names - ours == {
        *("process_cpu_seconds", "process_start_time_seconds", "process_open_fds"),
        *("process_max_fds", "process_resident_memory_bytes", "process_virtual_memory_bytes"),
    }
    assert not ours & {metric.name for metric in REGISTRY.collect()}


def test_two_services_in_one_process_count_apart():
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.rejected.labels("overloaded").inc()
    labels = {"reason": "overloaded"}
    assert one.registry.get_sample_value("recserve_rejected_total", labels) == 1
    assert two.registry.get_sample_value("recserve_rejected_total", labels) is None


async def test_loop_lag_is_what_the_timer_was_late():
    metrics, clock = Metrics(CollectorRegistry()), Clock()
    late, seen, lag = iter([0.0, 0.25, 0.05, 0.4]), [], LoopLag(metrics)

    async def sleep(seconds: float) -> None:
        seen.append(lag.seconds)
        try:
            clock.advance(seconds + next(late))
        except StopIteration:
            raise asyncio.CancelledError from None

    with pytest.raises(asyncio.CancelledError):
        await lag.measure(1.0, clock=clock, sleep=sleep)
    assert seen == pytest.approx([0.0, 0.0, 0.25, 0.15, 0.4])  # rises at once, falls by halves
    value = metrics.registry.get_sample_value
    assert value("recserve_event_loop_lag_seconds_count") == 4
    assert value("recserve_event_loop_lag_seconds_sum") == pytest.approx(0.7)
