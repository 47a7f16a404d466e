"""Similarity against a plain oracle, and what it must never bring."""

import math

import numpy as np
import pytest

from app.engine.kernels.topk import Exclusion
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.similar import Liked, Similarity
from tests.planted import random_behaviour, random_space

N = 60


def vectors_of(seed, n=N):
    return random_space(np.random.default_rng(seed), n).targets


def over(vectors, behaviour=None):
    return Similarity(vectors, FlatIndex(vectors), behaviour)


def learned(seed=3, n=N, n_learned=N):
    """Random behaviour over `n` items, the last of which came after the tables were made."""
    behaviour = random_behaviour(seed, n_learned)
    return behaviour if n == n_learned else behaviour.with_room(n_learned, n - n_learned)


def pair(vectors, behaviour, item, row, by):
    """How similar two items are, step by step."""
    content = float(vectors[item] @ vectors[row])
    if by == "content" or behaviour is None:
        return content
    table = behaviour.tables["sequential_ridge"]
    inputs = behaviour.taste.inputs
    new = max(item, row) >= len(table.rows)
    near = content if new else float(inputs[item] @ inputs[row])
    follows = 0.0
    if item < len(table.rows):
        fair = {
            int(other): float(weight) * math.exp(float(behaviour.items[0, other])) ** -0.25
            for other, weight in zip(table.rows[item], table.weights[item], strict=True)
            if weight > 0
        }
        follows = fair.get(row, 0.0) / max(fair.values(), default=1.0)
    moved = 0.35 * near + 0.2 * follows
    return moved + content if by == "both" else moved


def oracle(vectors, behaviour, liked, rows, by):
    """The score of each row, by the formulas of the module."""
    near = []
    for item, weight in zip(liked.rows.tolist(), liked.weights.tolist(), strict=True):
        line = {row: pair(vectors, behaviour, item, row, by) for row in rows}
        others = sorted(v for row, v in line.items() if row not in liked.rows.tolist())[-10:]
        scale = max(sum(others) / len(others), 0.3)
        near.append([weight * line[row] / scale for row in rows])
    return [0.75 * max(each) + 0.25 * sum(each) / len(each) for each in zip(*near, strict=True)]


@pytest.mark.parametrize("by", ["content", "behaviour", "both"])
@pytest.mark.parametrize("items", [[4], [4, 17, 9], [4, 58], [59]])
@pytest.mark.parametrize("n_learned", [N, N - 6])
def test_scores_are_the_documented_ones(by, items, n_learned):
    vectors, behaviour = vectors_of(1), learned(n_learned=n_learned)
    weights = np.linspace(1.0, 0.4, len(items)).astype(np.float32)
    liked = Liked(np.array(items), weights)
    rows = np.random.default_rng(2).permutation(N)[:40]

    scores = over(vectors, behaviour).scores(liked, rows, by)

    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx(
        oracle(vectors, behaviour, liked, rows.tolist(), by), abs=1e-5
    )


def test_without_behaviour_everything_is_content():
    vectors, rows = vectors_of(1), np.arange(N)
    liked = Liked.equally(np.array([7, 8]))
    scores = [over(vectors).scores(liked, rows, by) for by in ("content", "behaviour", "both")]
    assert scores[0].tolist() == scores[1].tolist() == scores[2].tolist()


def test_the_most_similar_rows_come_best_first():
    vectors, behaviour = vectors_of(1), learned()
    similarity, liked = over(vectors, behaviour), Liked.equally(np.array([4, 17]))
    (hits,) = similarity.similar([liked], [Exclusion(np.array([4, 17]))], 8)

    # So few rows that all of them are candidates.
    rows = np.setdiff1d(np.arange(N), [4, 17])
    scores = similarity.scores(liked, rows)
    assert hits.rows.tolist() == rows[np.argsort(-scores, kind="stable")][:8].tolist()
    assert hits.scores.tolist() == pytest.approx(np.sort(scores)[::-1][:8].tolist())


def test_excluded_and_blocked_rows_never_come_back():
    vectors, behaviour = vectors_of(1), learned()
    blocked = np.zeros(N, np.bool_)
    blocked[::3] = True
    hidden = np.array([1, 5, 7, 31])
    (hits,) = over(vectors, behaviour).similar(
        [Liked.equally(np.array([1, 3]))], [Exclusion(hidden, blocked)], N
    )
    assert set(hits.rows.tolist()) == set(range(N)) - set(range(0, N, 3)) - set(hidden.tolist())


def test_a_batch_answers_as_its_groups_alone():
    vectors, behaviour = vectors_of(1), learned()
    blocked = np.zeros(N, np.bool_)
    blocked[:20] = True
    groups = [Liked.equally(np.array(rows)) for rows in ([4], [30, 31, 32], [4, 50], [9])]
    exclusions = [
        Exclusion(np.array([4])),
        Exclusion(blocked=blocked),
        Exclusion(np.array([4, 50]), blocked),
        Exclusion(),
    ]
    similarity = over(vectors, behaviour)
    together = similarity.similar(groups, exclusions, 12)
    for hits, group, excluded in zip(together, groups, exclusions, strict=True):
        (alone,) = similarity.similar([group], [excluded], 12)
        assert hits.rows.tolist() == alone.rows.tolist()
        assert hits.scores.tolist() == pytest.approx(alone.scores.tolist(), abs=1e-6)


def test_several_items_each_have_their_near_ones():
    """Two crowds far from each other, and items between them, which are near to the mean."""
    rng = np.random.default_rng(0)
    centres = np.eye(16, dtype=np.float32)[:2]
    between = np.tile(centres.mean(axis=0), (12, 1))
    vectors = np.concatenate([np.repeat(centres, 12, axis=0), between])
    vectors = vectors + 0.1 * rng.standard_normal(vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = np.array([0, 12])
    (hits,) = over(vectors).similar([Liked.equally(items)], [Exclusion(items)], 12)
    firsts = set(hits.rows.tolist())
    assert len(firsts & set(range(12))) >= 3
    assert len(firsts & set(range(12, 24))) >= 3


def test_an_item_with_few_near_ones_is_served_beside_one_in_a_crowd():
    """Cosines of .9 in the crowd of item 0, of .5 around item 12."""
    vectors = np.zeros((24, 32), np.float32)
    for first, cosine in ((0, 0.9), (12, 0.5)):
        axis = first
        vectors[first, axis % 32] = 1.0
        for n in range(1, 12):
            vectors[first + n, axis] = cosine
            vectors[first + n, first + n] = math.sqrt(1 - cosine**2)
    items = np.array([0, 12])
    (hits,) = over(vectors).similar([Liked.equally(items)], [Exclusion(items)], 22)
    assert hits.scores.max() == pytest.approx(hits.scores.min(), abs=1e-5)
    assert len(hits.rows) == 22


def test_an_item_without_a_vector_has_its_neighbours_and_is_near_to_no_text():
    vectors, behaviour = vectors_of(1), learned()
    vectors[10] = 0.0
    similarity = over(vectors, behaviour)
    table = behaviour.strongest
    item = next(row for row in range(N) if table.weights[row].any())
    vectors[item] = 0.0
    (hits,) = over(vectors, behaviour).similar(
        [Liked.equally(np.array([item]))], [Exclusion(np.array([item]))], N
    )
    assert set(hits.rows.tolist()) == set(table.rows[item][table.weights[item] > 0].tolist())
    (nothing,) = over(vectors).similar([Liked.equally(np.array([10]))], [Exclusion()], N)
    assert nothing.rows.size == 0
    assert similarity.scores(Liked.equally(np.array([10])), np.empty(0, np.int64)).size == 0
