"""Diversity: unlike items first, likeness to earlier pages, items without a vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.types import Matrix, Rows
from app.engine.arranging.diversity import Before, diverse
from app.engine.kernels.topk import Hits

NOTHING = Before(np.empty(0, np.int64))


def unit(*rows: list[float]) -> Matrix:
    vectors = np.array(rows, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def hits_of(n: int) -> Hits:
    return Hits(np.arange(n), np.linspace(1.0, 0.0, n, dtype=np.float32))


def order(vectors: Matrix, k: int, weight: float, before: Before = NOTHING) -> list[int]:
    rows: list[int] = diverse(hits_of(len(vectors)), k, weight, vectors, before).rows.tolist()
    return rows


def distance(vectors: Matrix, rows: list[int]) -> float:
    cosines = vectors[rows] @ vectors[rows].T
    return float(1.0 - cosines[np.triu_indices(len(rows), 1)].mean())


def random_vectors(seed: int, n: int, dim: int = 8) -> Matrix:
    return unit(*np.random.default_rng(seed).standard_normal((n, dim)).tolist())


# Two pairs of twins, and one item that is like nothing else.
TWINS = unit([1, 0, 0], [1, 0.01, 0], [0, 1, 0], [0.01, 1, 0], [0, 0, 1])


def test_twins_come_last_and_the_best_item_first() -> None:
    assert order(TWINS, 5, 0.0) == [0, 1, 2, 3, 4]
    assert order(TWINS, 5, 0.6)[:3] == [0, 2, 4]
    assert order(TWINS, 3, 1.0)[0] == 0
    assert set(order(TWINS, 3, 1.0)) >= {0, 4}


def test_what_earlier_pages_have_shown_counts_as_chosen() -> None:
    vectors = np.concatenate([TWINS, unit([1, 0, 0])])
    shown = Before(np.array([5]))
    assert diverse(hits_of(5), 2, 0.9, vectors, shown).rows[0] == 2


def test_titles_keep_their_places_and_count_as_chosen() -> None:
    assert order(TWINS, 4, 0.9, Before(np.empty(0, np.int64), fixed=2))[:4] == [0, 1, 2, 4]


def test_an_item_without_a_vector_is_neither_like_nor_unlike_others() -> None:
    # All cosines are alike, so only the item without a vector could gain or lose.
    base = random_vectors(3, 1, 4).tolist() * 9
    vectors = unit(*base[:4], [0.0] * 4, *base[4:])
    for weight in (0.2, 0.5, 0.9):
        assert order(vectors, 10, weight) == list(range(10))


def test_without_any_vector_the_order_stays() -> None:
    assert order(np.zeros((6, 4), np.float32), 4, 1.0) == [0, 1, 2, 3, 4, 5]


def test_candidates_behind_the_pool_are_never_preferred() -> None:
    vectors = random_vectors(1, 150)
    chosen = order(vectors, 10, 1.0)
    assert max(chosen[:10]) < 100
    assert chosen[10:] == [row for row in range(150) if row not in chosen[:10]]


@given(
    st.integers(0, 10_000),
    st.integers(1, 130),
    st.integers(1, 30),
    st.floats(0, 1),
    st.integers(0, 3),
)
def test_nothing_is_lost_or_doubled(seed: int, n: int, k: int, weight: float, n_shown: int) -> None:
    vectors = random_vectors(seed, n + n_shown)
    shown: Rows = np.arange(n, n + n_shown)
    found = diverse(hits_of(n), k, weight, vectors, Before(shown))
    assert sorted(found.rows.tolist()) == list(range(n))
    assert found.scores.tolist() == hits_of(n).scores[found.rows].tolist()


@given(st.integers(0, 10_000))
def test_zero_is_the_order_as_it_is_and_one_raises_the_mean_distance(seed: int) -> None:
    # The best items are much alike, as they are where all fit one query.
    centres = random_vectors(seed, 6).repeat(10, axis=0)
    vectors = unit(*(centres + 0.3 * random_vectors(seed + 1, 60)).tolist())
    assert order(vectors, 10, 0.0) == list(range(60))
    assert distance(vectors, order(vectors, 10, 1.0)[:10]) > distance(vectors, list(range(10)))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, -8.0), (1e4, 500.0)])
def test_the_scale_of_the_scores_does_not_count(scale: float, shift: float) -> None:
    vectors = random_vectors(5, 50)
    hits = hits_of(50)
    scaled = Hits(hits.rows, hits.scores * np.float32(scale) + np.float32(shift))
    assert diverse(scaled, 10, 0.5, vectors, NOTHING).rows.tolist() == order(vectors, 10, 0.5)


def test_good_candidates_are_not_left_for_bad_ones_that_are_unlike_them() -> None:
    good = random_vectors(8, 1).repeat(8, axis=0) + 0.7 * random_vectors(9, 8)
    vectors = unit(*np.concatenate([good, random_vectors(10, 40)]).tolist())
    cliff = Hits(np.arange(48), np.r_[np.full(8, 0.9), np.full(40, 0.1)].astype(np.float32))
    assert set(diverse(cliff, 6, 0.3, vectors, NOTHING).rows[:6].tolist()) <= set(range(8))


def test_behind_a_few_exact_titles_the_rest_still_has_an_order() -> None:
    vectors = random_vectors(11, 60)
    scores = np.linspace(1.0, 0.0, 60, dtype=np.float32)
    outliers = Hits(np.arange(60), np.r_[[100.0, 99.0], scores[2:]].astype(np.float32))
    chosen = diverse(outliers, 10, 0.4, vectors, NOTHING).rows[:10].tolist()
    assert chosen[:2] == [0, 1]
    assert np.mean(chosen) < 15
