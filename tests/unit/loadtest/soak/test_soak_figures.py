"""Whether samples of a soak run are taken for flat."""

from dataclasses import replace

import numpy as np
import pytest

from loadtest.soak.figures import Sample, judged, slope

FLAT = Sample(
    seconds=0, memory_mb=200, resident_mb=300, files=57, threads=17, tasks=8, waiting=0, requests=0
)


def samples(mb_per_h: float, noise_mb: float = 0.1, n: int = 120) -> list[Sample]:
    """A sample every ten seconds, at 100 requests a second."""
    noise = np.random.default_rng(1).normal(0, noise_mb, n)
    return [
        replace(
            FLAT,
            seconds=10.0 * i,
            memory_mb=200 + mb_per_h * i / 360 + noise[i],
            requests=1000 * i,
        )
        for i in range(n)
    ]


def test_a_line_is_fitted_with_its_error() -> None:
    found = slope([0, 900, 1800, 2700, 3600], [10, 13, 15, 17, 20])
    assert found.mb_per_h == pytest.approx(9.6)
    assert 0 < found.error < 2
    exact = slope([0, 900, 1800, 3600], [10, 11, 12, 14])
    assert (exact.mb_per_h, exact.error) == (pytest.approx(4), pytest.approx(0))


def test_the_error_is_larger_if_neighbours_are_alike() -> None:
    chance = np.random.default_rng(1)
    white = chance.normal(0, 1, 200)
    slow = np.convolve(chance.normal(0, 1, 220), np.ones(21), "valid")
    slow *= white.std() / slow.std()
    seconds = list(range(200))
    assert slope(seconds, slow).error > 2 * slope(seconds, white).error


def test_too_few_samples_have_no_slope() -> None:
    with pytest.raises(ValueError, match="four samples"):
        slope([0, 1, 2], [1, 2, 3])


def test_what_is_flat_passes_and_tells_what_it_would_have_seen() -> None:
    verdict = judged(samples(0))
    assert verdict.problems == ()
    assert verdict.requests == 119_000
    assert 0 < verdict.least_visible_bytes < 10


def test_a_short_run_may_rise_by_half_a_megabyte() -> None:
    short = [replace(s, seconds=s.seconds / 10) for s in samples(0)]
    hours = (short[-1].seconds - short[0].seconds) / 3600

    def risen(megabytes: float) -> list[Sample]:
        return [
            replace(s, memory_mb=s.memory_mb + megabytes * s.seconds / 3600 / hours) for s in short
        ]

    assert judged(risen(0.3)).problems == ()
    assert "memory rises by" in judged(risen(2.0)).problems[0]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (samples(60), "memory rises by"),
        (samples(0, noise_mb=60), "memory is too restless to tell"),
        ([replace(s, files=57 + i // 10) for i, s in enumerate(samples(0))], "files rise from 62"),
        (
            [replace(s, threads=17 + i // 12) for i, s in enumerate(samples(0))],
            "threads rise",
        ),
        ([replace(s, tasks=8 + i) for i, s in enumerate(samples(0))], "tasks rise from 67 to 127"),
        ([*samples(0), replace(samples(0)[-1], waiting=3)], "3 requests wait"),
    ],
)
def test_what_rises_is_told(given: list[Sample], problem: str) -> None:
    (found,) = judged(given).problems
    assert found.startswith(problem)
