"""Our counters and histograms show what the library's own would."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from app.core.tallies import Counters, Histograms

BOUNDS = (0.1, 0.25, 1.0, 64.0)


def shown(registry: CollectorRegistry) -> set[str]:
    # The library also says when each series was made.
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if "_created" not in line}


def test_they_are_shown_as_those_of_the_library():
    ours, library = CollectorRegistry(), CollectorRegistry()
    counters, histograms = Counters("n", "How many.", ("kind",)), Histograms("s", "T.", (), BOUNDS)
    ours.register(counters)
    ours.register(histograms)
    theirs = Counter("n", "How many.", ("kind",), registry=library)
    times = Histogram("s", "T.", buckets=BOUNDS, registry=library)
    counted = histograms.labels()
    rng = random.Random(3)
    for value in (*BOUNDS, 0.0, 1e9, *(rng.expovariate(1) for _ in range(500))):
        kind = rng.choice(["a", 'quo"ted', "b\nc"])
        amount = rng.choice([1, 2, 0])
        for family in (counters, theirs):
            family.labels(kind).inc(amount)
        for histogram in (counted, times):
            histogram.observe(value)

    assert shown(ours) == shown(library)


def test_a_family_without_series_shows_only_what_it_is():
    ours, library = CollectorRegistry(), CollectorRegistry()
    ours.register(Counters("n", "How many.", ("kind",)))
    Counter("n", "How many.", ("kind",), registry=library)

    assert shown(ours) == shown(library)


def test_one_series_for_the_same_labels_and_none_for_too_few():
    counters = Counters("n", "How many.", ("tier", "result"))

    assert counters.labels("a", "b") is counters.labels("a", "b")
    with pytest.raises(ValueError, match="tier"):
        counters.labels("a")
