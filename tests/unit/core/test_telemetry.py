"""Metrics on a registry of their own, loop lag by an injected clock, one log line a record."""

import asyncio
import logging
import sys

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from app.core.telemetry import KeyValueFormatter, LoopLag, Metrics, configure_logging
from tests.clock import Clock


def test_all_metrics_are_ours_and_none_is_global():
    metrics = Metrics(CollectorRegistry())
    names = {metric.name for metric in metrics.registry.collect()}
    assert len(names) == 29
    assert all(name.startswith("recserve_") for name in names)
    assert not names & {metric.name for metric in REGISTRY.collect()}


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


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("app.x", logging.INFO, "", 0, message, args, None)
    made.created, made.msecs = 86_400.5, 500.0
    vars(made).update(extra)
    return made


def test_a_log_line_carries_the_time_of_the_record_in_utc():
    line = KeyValueFormatter().format(record("batch %d done", 7, size=3, bundle="a b"))
    assert line == (
        "time=1970-01-02T00:00:00.500Z level=info logger=app.x "
        'message="batch 7 done" size=3 bundle="a b"'
    )


def test_a_line_break_in_a_value_cannot_forge_a_record():
    line = KeyValueFormatter().format(record("x\ntime=1 level=error message=forged"))
    assert len(line.splitlines()) == 1
    assert line.endswith('message="x\\ntime=1 level=error message=forged"')


def test_an_exception_stays_on_the_line():
    made = record("failed")
    try:
        int("no")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = KeyValueFormatter().format(made)
    assert len(line.splitlines()) == 1
    assert "ValueError: invalid literal" in line


def test_configuring_twice_logs_once_and_leaves_other_handlers_alone():
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    # An application made by another test may have set up logging already: that handler is ours.
    others = [h for h in before if not isinstance(h.formatter, KeyValueFormatter)]
    try:
        configure_logging("debug")
        configure_logging("warning")
        added = [handler for handler in root.handlers if handler not in others]
        assert len(added) == 1
        assert root.level == logging.WARNING
        assert [handler for handler in root.handlers if handler in others] == others
    finally:
        root.handlers[:] = before
        root.setLevel(level)
