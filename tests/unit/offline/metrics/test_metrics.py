"""Metrics against brute force and numbers computed by hand; every check can fail."""

import itertools
import math

import numpy as np
import pytest

from app.offline.metrics import ranking as metrics

RNG = np.random.default_rng(7)


def brute_rank(scores, place):
    """The mean place over all orders of equal scores, by trying every order."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return sum(order.index(place) for order in orders) / len(orders)


def brute_ndcg(scores, gains, judged, k):
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    ideal = sum(g / math.log2(i + 2) for i, g in enumerate(sorted(judged, reverse=True)[:k]))
    dcgs = [
        sum(gains[item] / math.log2(i + 2) for i, item in enumerate(order[:k])) for order in orders
    ]
    return sum(dcgs) / len(dcgs) / ideal if ideal else 0.0


@pytest.mark.parametrize("case", range(30))
def test_a_rank_is_the_mean_over_all_orders_of_ties(case):
    scores = np.random.default_rng(case).integers(0, 4, 6).astype(np.float32)
    for place in range(6):
        assert metrics.rank_in(scores, place) == pytest.approx(brute_rank(scores, place))


def test_ranks_are_those_of_each_row():
    scores = RNG.integers(0, 5, (20, 9)).astype(np.float64)
    places = RNG.integers(0, 9, 20)
    expected = [metrics.rank_in(row, place) for row, place in zip(scores, places, strict=True)]
    assert metrics.ranks_in(scores, places).tolist() == expected


@pytest.mark.parametrize("broken", [np.nan, -np.inf])
def test_nan_and_minus_infinity_are_never_found(broken):
    ranks = metrics.ranks_in(np.array([[1.0, broken, 0.0]]), np.array([1]))
    assert np.isinf(ranks).all()
    assert metrics.recall_at(ranks, 3).tolist() == [0.0]
    assert metrics.ndcg_at(ranks, 3).tolist() == [0.0]
    assert metrics.reciprocal_rank(ranks).tolist() == [0.0]


def test_a_constant_model_gets_what_chance_gives():
    n = 101
    ranks = metrics.ranks_in(np.zeros((n, n)), np.arange(n))
    assert set(ranks.tolist()) == {50.0}  # and not 0, which is what `argmax` of it would claim
    assert metrics.recall_at(ranks, 50).sum() == 0


def test_recall_ndcg_and_mrr_by_hand():
    ranks = np.array([0.0, 1.0, 4.5, 9.0, 10.0, np.inf])
    assert metrics.recall_at(ranks, 5).tolist() == [1, 1, 1, 0, 0, 0]
    assert metrics.recall_at(ranks, 10).tolist() == [1, 1, 1, 1, 0, 0]
    expected = [1, 1 / math.log2(3), 1 / math.log2(6.5), 1 / math.log2(11), 0, 0]
    assert metrics.ndcg_at(ranks, 10) == pytest.approx(expected)
    assert metrics.reciprocal_rank(ranks) == pytest.approx([1, 0.5, 1 / 5.5, 0.1, 1 / 11, 0])


@pytest.mark.parametrize("case", range(30))
@pytest.mark.parametrize("k", [1, 3, 10])
def test_graded_ndcg_is_the_mean_over_all_orders_of_ties(case, k):
    rng = np.random.default_rng(case)
    scores, gains = rng.integers(0, 3, 6), rng.choice([0.0, 1.0, 3.0, 7.0], 6)
    judged = [*gains, 7.0]  # one judged item was not returned
    value = metrics.graded_ndcg_at(scores.astype(float), gains, judged, k)
    assert value == pytest.approx(brute_ndcg(scores, gains, judged, k))


def test_graded_ndcg_is_one_for_the_perfect_order_and_zero_without_gains():
    assert metrics.graded_ndcg_at([3, 2, 1], [7, 3, 1], [1, 3, 7], 10) == pytest.approx(1.0)
    assert metrics.graded_ndcg_at([3, 2], [0, 0], [0, 0], 10) == 0.0
    assert metrics.graded_ndcg_at([], [], [7.0], 10) == 0.0


def brute_gini(counts):
    n, mean = len(counts), np.mean(counts)
    return np.abs(np.subtract.outer(counts, counts)).sum() / (2 * n * n * mean)


def test_exposure_coverage_and_gini():
    lists = RNG.integers(-1, 30, (50, 10))
    counts = metrics.exposure(lists, 40)
    assert counts.tolist() == [float((lists == item).sum()) for item in range(40)]
    assert metrics.coverage(counts) == len({i for i in lists.ravel().tolist() if i >= 0}) / 40
    assert metrics.gini(counts) == pytest.approx(brute_gini(counts))
    assert metrics.gini(np.zeros(4)) == 0.0
    assert metrics.coverage(np.zeros(0)) == 0.0


def test_novelty_is_the_mean_information_of_a_list():
    counts = RNG.integers(0, 9, 12).astype(float)
    p = (counts + 1) / (counts.sum() + 12)
    assert p.sum() == pytest.approx(1.0)
    lists = np.array([[0, 5, -1], [-1, -1, -1]])
    first, empty = metrics.novelty(lists, counts)
    assert first == pytest.approx(-(math.log2(p[0]) + math.log2(p[5])) / 2)
    assert math.isnan(empty)


def test_diversity_is_one_minus_the_mean_cosine_of_pairs():
    vectors = RNG.standard_normal((9, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lists = np.array([[0, 3, 7, -1], [1, 2, 4, 8], [5, -1, -1, -1]])
    expected = [
        1 - np.mean([vectors[a] @ vectors[b] for a, b in itertools.combinations(row, 2)])
        for row in ([0, 3, 7], [1, 2, 4, 8])
    ]
    found = metrics.diversity(lists, vectors)
    assert found[:2] == pytest.approx(expected, abs=1e-5)
    assert math.isnan(found[2])


@pytest.mark.parametrize(
    "broken",
    [
        lambda scores, place: float((scores > scores[place]).sum()),  # ties count nothing
        lambda scores, place: float((scores >= scores[place]).sum() - 1),  # ties count whole
        lambda scores, place: float(np.argsort(-scores, kind="stable").tolist().index(place)),
    ],
)
def test_a_metric_that_forgets_ties_would_be_noticed(broken):
    scores = np.array([1.0, 1.0, 1.0, 0.0])
    assert [broken(scores, p) for p in range(3)] != [brute_rank(scores, p) for p in range(3)]
    assert [metrics.rank_in(scores, p) for p in range(3)] == [1.0, 1.0, 1.0]
