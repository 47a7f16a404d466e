"""Bootstrap intervals: their ends against theory, their seeds, and what is missing."""

import math

import numpy as np
import pytest

from app.offline.metrics.intervals import (
    Estimate,
    mean_intervals,
    paired_difference,
    ratio_interval,
)

RNG = np.random.default_rng(3)


def test_the_interval_is_that_of_the_normal_law():
    values = RNG.normal(5.0, 2.0, (2000, 1))
    (found,) = mean_intervals(values, seed=1)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=half / 6)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 6)


def test_a_seed_repeats_and_another_one_differs():
    values = RNG.random((50, 2))
    assert mean_intervals(values, 1) == mean_intervals(values, 1)
    assert mean_intervals(values, 1) != mean_intervals(values, 2)


def test_the_interval_contains_the_truth_19_times_out_of_20():
    inside = 0
    for trial in range(200):
        values = np.random.default_rng(trial).random((60, 1))
        (found,) = mean_intervals(values, seed=trial, resamples=300)
        inside += found.low <= 0.5 <= found.high
    assert 0.89 <= inside / 200 <= 0.99


def test_missing_values_of_a_user_are_left_out():
    values = np.array([[1.0, np.nan], [3.0, 7.0], [np.nan, 7.0]])
    first, second = mean_intervals(values, seed=0)
    assert (first.value, second.value) == (2.0, 7.0)
    assert math.isnan(mean_intervals(np.full((2, 1), np.nan), 0)[0].value)
    assert math.isnan(mean_intervals(np.empty((0, 1)), 0)[0].low)


def test_a_ratio_is_of_the_sums_and_not_a_mean_of_ratios():
    found = ratio_interval(np.array([1.0, 10.0, np.nan]), np.array([1.0, 1.0, 5.0]), seed=0)
    assert found.value == 5.5
    assert found.low < 5.5 < found.high
    assert math.isnan(ratio_interval(np.array([np.nan]), np.array([1.0]), 0).value)


def test_paired_differences_show_what_two_intervals_cannot():
    old = RNG.random(300)
    new = old + RNG.normal(0.02, 0.05, 300)
    apart = mean_intervals(np.stack([old, new], axis=1), 0)
    assert apart[0].high > apart[1].low  # the intervals overlap …
    assert paired_difference(new, old, 0).low > 0  # … and still every sign says better
    same = paired_difference(old[::-1], old, 0)
    assert same.low < 0 < same.high


def test_json_has_no_nan():
    assert Estimate(0.5, math.nan, 1.0).document() == {"value": 0.5, "low": None, "high": 1.0}
