"""Several processes count, and each can show the sums."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from app.core import shared_tallies
from app.core.shared_tallies import SharedTallies
from app.core.tallies import Counters, Gauges, Histograms

OTHER = """
import sys
from pathlib import Path
from app.core.shared_tallies import SharedTallies
from app.core.tallies import Counters, Gauges, Histograms

tallies = SharedTallies(Path(sys.argv[1]))
counters = Counters("n", "N.", ("kind",), tallies)
counters.labels("a").inc(5)
counters.labels("only there").inc(2)
seconds = Histograms("s", "S.", (), (0.1, 1.0), tallies).labels()
for value in (0.05, 0.5, 7.0):
    seconds.observe(value)
gauge = Gauges("g", "G.", sum, tallies).labels()
gauge.set_function(lambda: 30)
gauge.refresh()
print("counted", flush=True)
sys.stdin.read()
"""


class Other:
    """A process that has counted, and lives until it is stopped."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", OTHER, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"counted\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def tallies(tmp_path: Path) -> Iterator[SharedTallies]:
    made = SharedTallies(tmp_path)
    yield made
    made.close()


class Ours:
    def __init__(self, tallies: SharedTallies) -> None:
        self.registry, self.tallies = CollectorRegistry(), tallies
        self.counters = Counters("n", "N.", ("kind",), self.tallies)
        self.seconds = Histograms("s", "S.", (), (0.1, 1.0), self.tallies)
        self.gauges = Gauges("g", "G.", sum, self.tallies)
        for family in (self.counters, self.seconds, self.gauges):
            self.registry.register(family)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.mark.process
def test_counts_of_all_processes_are_summed_and_survive_them(
    tallies: SharedTallies, tmp_path: Path
) -> None:
    ours, others = Ours(tallies), [Other(tmp_path), Other(tmp_path)]
    ours.counters.labels("a").inc(100)
    ours.seconds.labels().observe(0.2)
    ours.gauges.labels().set_function(lambda: 1)
    assert ours.value("n_total", kind="a") == 100
    try:
        ours.tallies.refresh()

        pids = {other.process.pid for other in others}
        assert set(ours.tallies.pids()) == {os.getpid(), *pids}
        for _ in range(2):
            assert ours.value("n_total", kind="a") == 110
            assert ours.value("n_total", kind="only there") == 4
            assert [ours.value("s_bucket", le=le) for le in ("0.1", "1.0", "+Inf")] == [2, 5, 7]
            assert ours.value("s_sum") == pytest.approx(15.3)
        assert ours.value("g") == 61

        others[0].kill()
        ours.tallies.refresh()

        assert ours.value("n_total", kind="a") == 110
        assert ours.value("g") == 31
        assert len(ours.tallies.pids()) == 2
    finally:
        for other in others:
            other.kill()


def test_a_line_that_is_half_written_is_read_later(tallies: SharedTallies, tmp_path: Path) -> None:
    ours, other = Ours(tallies), tmp_path / "1.series"
    other.write_bytes(b'["n", ["a"], 1]\n["n", ["b"], ')
    (tmp_path / "1.values").write_bytes(bytes(16))
    ours.tallies.refresh()

    assert ours.value("n_total", kind="a") == 0
    assert ours.value("n_total", kind="b") is None


def test_series_beyond_the_room_are_counted_by_their_own_process(
    tallies: SharedTallies, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(tallies.cells("big", (), shared_tallies._CAPACITY)) == shared_tallies._CAPACITY
    counters = Counters("n", "N.", (), tallies)
    counters.labels().inc(3)

    assert [sample.value for metric in counters.collect() for sample in metric.samples] == [3]
    assert "too many series" in caplog.text
