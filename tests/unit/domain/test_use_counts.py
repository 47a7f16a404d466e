"""Scores of use: recent uses count more than old ones, whatever the order of counting."""

import doctest

import pytest

from app.domain import use_counts
from app.domain.use_counts import HALF_LIFE_S, UNUSED_S, added, kept_of, lowest, score_of

NOW = 1_800_000_000.0


def test_the_doctests_hold() -> None:
    assert doctest.testmod(use_counts).failed == 0


def test_a_use_counts_half_after_a_half_life() -> None:
    assert score_of(2, NOW) == pytest.approx(score_of(1, NOW + HALF_LIFE_S), abs=1e-9)
    assert score_of(3, NOW) > score_of(1, NOW + HALF_LIFE_S)


def test_the_order_of_counting_does_not_matter() -> None:
    one, two, three = score_of(5, NOW), score_of(1, NOW + 3e5), score_of(9, NOW - 2e6)
    together = added(added(one, two), three)
    assert together == pytest.approx(added(three, added(two, one)), abs=1e-9)
    assert added(score_of(1, NOW), score_of(3, NOW)) == pytest.approx(score_of(4, NOW), abs=1e-9)


def test_what_is_unused_is_below_the_lowest() -> None:
    assert score_of(1, NOW) < lowest(NOW + UNUSED_S + 1)
    assert score_of(1, NOW) > lowest(NOW + UNUSED_S - 1)


def test_a_tenth_leaves_at_a_time() -> None:
    assert [kept_of(most) for most in (1, 2, 20, 10_000)] == [1, 2, 18, 9000]
