"""One process against two: what is sent to whom, and what the page makes of the figures."""

import argparse
import json
from pathlib import Path

import pytest

from loadtest.reports import workers as workers_report
from loadtest.runners import services
from loadtest.runners.sides import Side
from loadtest.runners.trials import Chosen
from loadtest.runners.wrk import Bodies, Run
from loadtest.scenarios import bench, workers

OPTIONS = argparse.Namespace(device="cpu", rounds=2, seconds=5, connections=32, queries=9, seed=7)


class Answering(Side):
    """A side that answers at a rate of its own, and notes what it is sent."""

    rate = 100

    def load(self, bodies: Bodies | None, connections: int, seconds: int, **_: bool) -> Run:
        assert bodies is not None
        sent = self.rate * seconds
        self.checks.append({"connections": connections, "seconds": seconds, "fresh": bodies.fresh})
        return Run(sent, sent, seconds, 1e3 / self.rate, 2e3 / self.rate, errors=0)


def side(rate: int, rss_mib: float, folder: Path) -> Answering:
    class Sized(services.Service):
        def rss_mib(self) -> float:
            return rss_mib

    unique = Bodies.write(folder / f"{rate}.jsonl", [{"query": "a"}], fresh=True)
    found = Answering(Sized("recserve", [], 1, folder / "log"), unique)
    found.rate = rate
    return found


@pytest.fixture
def document(tmp_path: Path) -> dict[str, object]:
    hot = Bodies.write(tmp_path / "hot.jsonl", [{"query": "b"}])
    one, two = side(100, 400, tmp_path), side(150, 600, tmp_path)
    workers._round([one, two], hot, hot, OPTIONS)
    workers._round([two, one], hot, hot, OPTIONS)
    assert one.checks == two.checks
    assert [check["fresh"] for check in one.checks] == [True, False, False, False] * 2
    assert [check["seconds"] for check in one.checks] == [5, 5, 10, 5] * 2
    return json.loads(json.dumps(workers.document({1: one, 2: two}, OPTIONS)))


def test_better_is_what_two_have_over_one(document: dict[str, object]) -> None:
    assert document["workers"]["2"]["rounds"]["mix_per_s"] == [150, 150]
    assert document["times_better"] == {
        **{f"{load}_per_s": 1.5 for load in ("uncached", "hot", "mix")},
        **{f"{load}_p50_ms": 1.5 for load in ("uncached", "hot", "mix")},
        **{f"{load}_p99_ms": 1.5 for load in ("uncached", "hot", "mix")},
        "rss_mib": 0.667,
    }


def test_the_page_has_a_column_for_each_number_of_workers(document: dict[str, object]) -> None:
    lines = workers_report.section(document).splitlines()

    assert lines[:3] == [
        "| | 1 worker | 2 workers | times better |",
        "|---|---:|---:|---:|",
        "| unique queries, 32 connections | 100 /s (100–100) | 150 /s (150–150) | 1.50 |",
    ]
    assert "| memory after load | 400 MiB (400–400) | 600 MiB (600–600) | 0.67 |" in lines
    # What the processor can do takes more lines on one machine than on another.
    assert "- Median (lowest–highest) of 2 rounds of 5 s, on " in "\n".join(lines[-4:])


def test_peers_are_compared_with_each_number_of_workers(tmp_path: Path) -> None:
    sides = {1: side(100, 400, tmp_path), 2: side(150, 600, tmp_path)}
    slow = side(20, 900, tmp_path)
    slow.service.name = "naive"
    for each in (*sides.values(), slow):
        bench.measure(each, "uncached", each.unique, OPTIONS)
    found = workers.document(sides, OPTIONS, [Chosen(slow, {"omp_num_threads": 1}, [])])
    last = workers_report.section(found).splitlines()[-1]

    assert found["peers"]["naive"]["times_better"] == {"1": 5.0, "2": 7.5}
    assert last == (
        "- Unique queries beside naive in the same rounds (20/s): 5.00 × by 1, 7.50 × by 2 workers."
    )


def test_workers_are_asked_for_only_where_they_are_several(tmp_path: Path) -> None:
    one = services.recserve(tmp_path / "log", 80, bundle=tmp_path)
    two = services.recserve(tmp_path / "log", 80, bundle=tmp_path, workers=2)

    assert two.command == [*one.command[:-2], "--workers", "2", "--port", "80"]
    assert one.command[2:4] == ["--bundle", str(tmp_path)]
    assert "--workers" not in one.command
