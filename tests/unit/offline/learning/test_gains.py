"""What queries without a single target want: people's grades, and likeness to an item."""

import numpy as np
import pytest

from app.offline.learning.gains import AlikeGains, JudgedGains, gains_of_grades


def test_grades_of_any_scale_become_gains_as_graded_ndcg_counts_them():
    gains = gains_of_grades(np.array([1, 2, 3, 4], np.float32), 1.0, 4.0)
    np.testing.assert_allclose(gains, np.array([0, 1, 3, 7]) / 7, rtol=1e-6)
    stars = gains_of_grades(np.array([0, 50, 100], np.float32), 0.0, 100.0)
    np.testing.assert_allclose(stars, [0, (2**1.5 - 1) / 7, 1], rtol=1e-6)
    assert gains_of_grades(np.array([3, 3], np.float32), 3.0, 3.0).tolist() == [0.0, 0.0]


def test_only_judged_items_have_known_gains():
    judged = JudgedGains(np.array([2, 5]), np.array([1.0, 0.25], np.float32))
    found = judged.of(np.array([9, 5, 0, 2, 3]))
    np.testing.assert_array_equal(found, [np.nan, 0.25, np.nan, 1.0, np.nan])
    nothing = JudgedGains(np.empty(0, np.int64), np.empty(0, np.float32))
    assert np.isnan(nothing.of(np.array([0, 1]))).all()


def test_items_like_the_one_that_a_query_was_written_for_gain_most():
    angles = np.array([0.0, 0.1, 0.5, 1.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    alike = AlikeGains(vectors, 0, np.empty(0, np.int64))
    gains = alike.of(np.array([3, 0, 1, 2]))
    assert np.isnan(gains[1])  # the item itself would give the answer away
    assert gains[2] == pytest.approx(1.0)
    assert 0.0 < gains[0] < gains[3] < 1.0
    likeness = np.cos(angles[1:])
    expected = np.exp((likeness[2] - likeness[0]) / (0.5 * likeness.std()))
    assert gains[0] == pytest.approx(expected, rel=1e-4)


def test_where_all_items_are_alike_nothing_is_known():
    vectors = np.tile(np.array([1.0, 0.0], np.float32), (4, 1))
    assert np.isnan(AlikeGains(vectors, 0, np.empty(0, np.int64)).of(np.arange(4))).all()
    assert np.isnan(AlikeGains(vectors, 0, np.empty(0, np.int64)).of(np.array([0]))).all()
