"""The pure parts of the bench: what is sent, what is derived, and that the page shows it."""

import json
from collections import Counter
from math import inf

import pytest

from loadtest.reports.bench import page
from loadtest.runners.overload import lag_p99_ms
from loadtest.runners.queries import beginnings, hot_mix
from loadtest.scenarios.bench import ratios

OURS = {
    "uncached_per_s": 500.0,
    "demands_per_s": 450.0,
    "demands_p50_ms": 6.0,
    "demands_p99_ms": 9.0,
    "hot_per_s": 6000.0,
    "mix_per_s": 5000.0,
    "idle_p50_ms": 3.0,
    "pass_p50_ms": 2.0,
    "over_goodput_per_s": 450.0,
    "over_undegraded_per_s": 400.0,
    "half_p50_ms": 4.0,
    "half_p99_ms": 12.0,
}
BARE = {"hot_per_s": 5000.0, "mix_per_s": 4000.0, "runner_share": 1.0}
BARE |= {"runner_late_p99_ms": 1.2, "runner_p99_ms": 2.0}
TRIAL = {"omp_num_threads": 1, "uncached_per_s": 50.0, "uncached_p99_ms": 90.0}


def side(figures: dict[str, float], **more: object) -> dict[str, object]:
    return {"median": figures, "rounds": {k: [v] for k, v in figures.items()}, **more}


@pytest.fixture
def document() -> dict[str, object]:
    found: dict[str, object] = {
        "date": "2026-01-02T03:04:05+00:00",
        "commit": "abc",
        "options": {"rounds": 1, "seconds": 1, "connections": 32},
        "machine": {"cpu": "X", "cores": 2, "cpu_features": [], "memory_gib": 1, "python": "3"},
        "versions": {"numpy": "2"},
        "recserve": side(OURS, encoded=[{"sent": 3, "encoded": 2, "answered": 1}]),
        "bare": side(BARE),
        "naive": side(
            {"uncached_per_s": 50.0, "idle_p50_ms": 9.0},
            settings={**TRIAL, "endpoint": "def", "trials": [{**TRIAL, "endpoint": "def"}]},
        ),
        "infinity": side(
            {"uncached_per_s": 100.0},
            settings={**TRIAL, "compile": True, "trials": [{**TRIAL, "compile": True}]},
        ),
    }
    return {**found, "ratio": ratios(found)}


def test_better_is_more_per_second_or_less_time(document: dict[str, object]) -> None:
    assert document["ratio"] == {
        "naive": {"uncached_per_s": 10.0, "idle_p50_ms": 3.0},
        "infinity": {"uncached_per_s": 5.0},
        "bare": {"hot_per_s": 1.2, "mix_per_s": 1.25},
        "own": {
            "demands": 0.9,
            "idle_to_pass": 1.5,
            "over_goodput": 0.9,
            "over_undegraded": 0.8,
            "half_p99_to_p50": 3.0,
        },
    }


def test_the_page_shows_every_peer_and_stays_as_it_is(document: dict[str, object]) -> None:
    text = "before <!-- bench:begin --> old <!-- bench:end --> after"

    shown = page(text, json.loads(json.dumps(document)))

    assert (
        "| unique queries, 32 connections | 500 /s (500–500) | 100 /s (100–100) | 5.00 |" in shown
    )
    assert "| the same query, 32 connections | 6,000 /s (6,000–6,000) | 5,000 /s" in shown
    assert "infinity runs at its best setting, compiled OMP_NUM_THREADS=1." in shown
    assert "| … a third of them with demands | 450 /s (450–450) |" in shown
    assert "| **rate with demands ÷ rate without** | **0.90** |" in shown
    assert "| **goodput at 3 × peak ÷ peak** | **0.90** |" in shown
    assert "(pictures/rates.svg)" in shown
    assert "(pictures/overload.svg)" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert page(shown, document) == shown


def test_a_popular_mix_repeats_its_favourites_and_some_come_with_a_history() -> None:
    texts = [f"query {n}" for n in range(3_000)]

    mix = hot_mix(5_000, 1, texts, ["1", "2", "3", "4", "5", "6"])

    assert mix == hot_mix(5_000, 1, texts, ["1", "2", "3", "4", "5", "6"])
    counts = Counter(json.dumps(ask) for ask in mix).most_common()
    assert counts[0][1] > 5_000 / 20  # one in H(3000) = 8.6 by the law
    assert len(counts) > 1_000
    with_history = sum("history" in ask for ask in mix)
    assert 0.1 < with_history / len(mix) < 0.5


def test_the_lag_is_that_of_the_run_not_of_all_time() -> None:
    before = {0.01: 500.0, 0.1: 500.0, inf: 500.0}
    after = {0.01: 590.0, 0.1: 600.0, inf: 600.0}

    assert lag_p99_ms(before, after) == 100.0
    assert beginnings("a b c") == ["a", "a b", "a b c"]
