"""The features of who and where, and those of requests without a history."""

import numpy as np
import pytest

from app.engine.kernels.features import Features, feature_names
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.scoring.history_features import HistoryFeatures
from tests.planted import DECAYS, random_behaviour, with_random_sides

N = 60
PLAIN = random_behaviour(3, N)
SIDED = with_random_sides(PLAIN)
ROWS = np.array([4, 9, 30, 2, 59])


def codes(*some):
    return np.array(some, np.int32)


def lines(features, columns, group):
    chosen = [n for n, name in enumerate(features.names) if name.startswith(f"{group}.")]
    return columns[chosen]


@pytest.fixture(params=["numpy", "kernel"])
def features(request):
    if request.param == "numpy":
        return HistoryFeatures(Features(SIDED), SIDED)
    return HistoryFeatures.over(SIDED)


def test_without_sides_the_features_are_those_of_recent_items():
    features = HistoryFeatures.over(PLAIN)
    assert features.names == feature_names(tuple(DECAYS))
    request = ResolvedRequest(recent=np.array([1, 2]), length=2, sides=codes(0))
    expected = Features(PLAIN).compute([request.recent], [2], [ROWS])
    np.testing.assert_allclose(features.compute([request], [ROWS]), expected, atol=1e-5)


def test_the_features_of_who_and_where(features):
    request = ResolvedRequest(recent=np.array([1, 2]), length=2, sides=codes(0, 2, 3))
    columns = features.compute([request], [ROWS])
    score, who, where, rank, taste, known = lines(features, columns, "side")
    sums = np.zeros((2, N), np.float32)
    SIDED.sides.add_lifts(codes(0, 2), sums[0])
    SIDED.sides.add_lifts(codes(3), sums[1])
    np.testing.assert_array_equal(who, sums[0, ROWS])
    np.testing.assert_array_equal(where, sums[1, ROWS])
    np.testing.assert_allclose(score, SIDED.items[0, ROWS] + who + where, rtol=1e-6)
    assert np.expm1(rank).round().tolist() == [int((score > each).sum()) for each in score]
    vector = SIDED.sides.vectors[[0, 2, 3]].sum(axis=0)
    np.testing.assert_allclose(taste, SIDED.taste.targets[ROWS] @ vector, rtol=1e-4, atol=1e-5)
    assert known.tolist() == [3.0] * len(ROWS)


def test_requests_of_all_kinds_share_a_batch(features):
    """Each gets what it would get alone."""
    requests = [
        ResolvedRequest(sides=codes(0, 4)),
        ResolvedRequest(recent=np.array([7]), length=1),
        ResolvedRequest(recent=np.array([7, 8]), length=2, sides=codes(2)),
        ResolvedRequest(sides=codes(1)),
    ]
    candidates = [ROWS, ROWS[:3], ROWS[1:], np.array([5])]
    together = features.compute(requests, candidates)
    alone = [features.compute([one], [rows]) for one, rows in zip(requests, candidates)]  # noqa: B905
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))


def test_an_empty_history_has_only_the_features_of_the_items(features):
    columns = features.compute([ResolvedRequest(sides=codes(0))], [ROWS])
    np.testing.assert_array_equal(lines(features, columns, "item"), SIDED.items[:, ROWS])
    for group in (*DECAYS, "taste", "user"):
        assert not lines(features, columns, group).any()


def test_where_nothing_is_known_the_features_of_sides_are_0(features):
    columns = features.compute([ResolvedRequest(recent=np.array([7]), length=1)], [ROWS])
    assert not lines(features, columns, "side").any()
