"""Metrics of one process, and of several together."""

import os
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from app.core.process_metrics import ProcessMetrics


def registry(*pids: int) -> CollectorRegistry:
    found = CollectorRegistry()
    found.register(ProcessMetrics(lambda: pids))
    return found


def test_of_this_process() -> None:
    value = registry().get_sample_value

    assert value("recserve_workers") == 1
    assert 1e7 < (value("process_resident_memory_bytes") or 0) < 1e12
    assert (value("process_cpu_seconds_total") or 0) > 0


@pytest.mark.process
def test_of_several_processes_together() -> None:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        one, two = registry(other.pid).get_sample_value, registry(os.getpid()).get_sample_value
        both = registry(os.getpid(), other.pid).get_sample_value

        assert both("recserve_workers") == 2
        for name in ("process_open_fds", "process_resident_memory_bytes"):
            expected = (one(name) or 0) + (two(name) or 0)
            assert both(name) == pytest.approx(expected, rel=0.1)
        start = "process_start_time_seconds"
        assert both(start) == one(start) > (two(start) or 0)
        other.stdin.close()


def test_a_process_that_is_gone_does_no_harm() -> None:
    assert registry(os.getpid(), 2**22 + 1).get_sample_value("recserve_workers") == 2
