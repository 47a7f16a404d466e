"""Choosing rows: both ways against plain oracles, and against each other."""

import numpy as np
import pytest

from app.core.ranking import SourceHit
from app.engine.kernels.loader import Unavailable, load_library
from app.engine.kernels.topk import Exclusion, Gather, Hits, KernelTopK, NumpyTopK, Piece

N = 500


@pytest.fixture(params=["numpy", "kernel"])
def selection(request):
    if request.param == "numpy":
        return NumpyTopK(N)
    try:
        return KernelTopK(load_library(), N)
    except Unavailable as why:
        pytest.skip(str(why))


def pairs(hits):
    return list(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True))


def withouts(rng, count):
    """Nothing, rows, rows named twice, a mask, both, and everything."""
    mask = rng.random(N) < 0.3
    some = rng.integers(0, N, 20)
    kinds = [Exclusion(), Exclusion(some), Exclusion(blocked=mask), Exclusion(some, mask)]
    kinds.append(Exclusion(np.arange(N)))
    return [kinds[n % len(kinds)] for n in range(count)]


def barred(exclusion):
    mask = [] if exclusion.blocked is None else np.flatnonzero(exclusion.blocked).tolist()
    return {*exclusion.hidden.tolist(), *mask}


def best(scored, exclusion, size):
    """The oracle: [(row, score)], best first, then by row."""
    kept = [(row, score) for row, score in scored if row not in barred(exclusion)]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:size]


@pytest.mark.parametrize("distinct", [3, 40, 10**6])
@pytest.mark.parametrize("size", [0, 1, 7, 200, N, 3 * N])
def test_the_best_rows_come_in_order_and_equal_ones_by_row(selection, distinct, size):
    rng = np.random.default_rng(size)
    scores = [(rng.integers(-distinct, distinct, N) / 7).astype(np.float32) for _ in range(10)]
    scores[3][::3] = -np.inf
    scores[4][:] = 0.0
    scores[4][::2] = -0.0
    exclusion = withouts(rng, 10)
    for one, each, hits in zip(
        scores, exclusion, selection.best(scores, exclusion, [size] * 10), strict=True
    ):
        finite = [(row, s) for row, s in enumerate(one.tolist()) if s > -np.inf]
        assert pairs(hits) == best(finite, each, size)
        assert (hits.rows.dtype, hits.scores.dtype) == (np.int64, np.float32)


def test_each_request_has_its_own_size_and_number_of_scores(selection):
    rng = np.random.default_rng(5)
    scores = [rng.random(n, np.float32) for n in (0, 1, 7, 8, 9, 63, N)]
    sizes = [4, 4, 100, 3, 9, 64, 17]
    found = selection.best(scores, [Exclusion()] * 7, sizes)
    for one, size, hits in zip(scores, sizes, found, strict=True):
        assert pairs(hits) == best(enumerate(one.tolist()), Exclusion(), size)
    assert selection.best([], [], []) == []


@pytest.mark.parametrize("falling", [True, False])
def test_sorted_scores_are_no_trouble(selection, falling):
    scores = np.linspace(0, 1, N, dtype=np.float32)[:: -1 if falling else 1].copy()
    (hits,) = selection.best([scores], [Exclusion()], [200])
    assert pairs(hits) == best(enumerate(scores.tolist()), Exclusion(), 200)


def some_pieces(rng):
    """Pieces of sums; one names rows twice, one drops rows, one adds there again."""
    found = []
    for size in rng.integers(0, 120, 4).tolist():
        rows = rng.permutation(N)[:size].astype(np.int32)
        found.append((Piece(rows, rng.random(size, np.float32)), float(rng.random())))
    twice = rng.integers(0, N, (6, 30)).astype(np.int32)
    found.append((Piece(twice, rng.random((6, 30), np.float32)), 1.0))
    dropped = rng.permutation(N)[:90].astype(np.int32)
    found.append((Piece(dropped, None), 0.0))
    found.append((Piece(dropped[:20].copy(), rng.random(20, np.float32)), 0.5))
    return found


def total_of(pieces):
    total = np.zeros(N, np.float64)
    for piece, weight in pieces:
        if piece.values is None:
            total[piece.rows] = 0
        else:
            np.add.at(total, piece.rows.ravel(), weight * piece.values.ravel().astype(np.float64))
    return total


@pytest.mark.parametrize("size", [1, 30, N])
def test_the_best_sums(selection, size):
    rng = np.random.default_rng(size)
    sums = [some_pieces(rng) for _ in range(9)] + [[]]
    exclusion = withouts(rng, 10)
    for pieces, each, hits in zip(
        sums, exclusion, selection.best_sums(sums, exclusion, size), strict=True
    ):
        total = total_of(pieces)
        positive = [(row, total[row]) for row in np.flatnonzero(total > 0).tolist()]
        expected = best(positive, each, size)
        np.testing.assert_allclose(hits.scores, [score for _, score in expected], rtol=1e-5)
        np.testing.assert_allclose(total[hits.rows], hits.scores, rtol=1e-5)
        assert not barred(each) & set(hits.rows.tolist())
        assert len(set(hits.rows.tolist())) == len(hits.rows)
    assert selection.best_sums([], [], size) == []


def test_scores_are_gathered(selection):
    rng = np.random.default_rng(1)
    base, more = rng.random(N, np.float32), rng.random(N, np.float32)
    rows = [rng.permutation(N)[:size] for size in (0, 1, 50, N, 50, 50)]
    pieces = [some_pieces(rng) for _ in rows]
    asked = [
        Gather(rows[0], base, pieces[0], more),
        Gather(rows[1], base, pieces[1], None),
        Gather(rows[2], None, pieces[2], more),
        Gather(rows[3], base, (), None),
        Gather(rows[4], None, (), more),
        Gather(rows[5], None, (), None),
    ]
    for one, found in zip(asked, selection.gather(asked, 0.3), strict=True):
        expected = np.zeros(len(one.rows))
        expected += 0 if one.base is None else one.base[one.rows]
        expected += 0.3 * np.minimum(total_of(one.summands), 1)[one.rows]
        expected += 0 if one.more is None else one.more[one.rows]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert found.dtype == np.float32


def hits_of(rng):
    """Lists that overlap, one of them empty."""
    sizes = {"a": 20, "b": 7, "none": 0, "c": 300}
    return {
        name: Hits(rng.permutation(N)[:size], rng.random(size, np.float32))
        for name, size in sizes.items()
    }


def test_a_union_keeps_the_first_of_each_in_order(selection):
    rng = np.random.default_rng(2)
    asked = [[one.rows for one in hits_of(rng).values()] for _ in range(8)] + [[]]
    for lists, rows in zip(asked, selection.union(asked), strict=True):
        flat = [row for one in lists for row in one.tolist()]
        assert rows.tolist() == list(dict.fromkeys(flat))
        assert rows.dtype == np.int64


def test_places_are_those_in_each_list(selection):
    rng = np.random.default_rng(3)
    hits = [hits_of(rng) for _ in range(5)] + [{}]
    tops = [rng.permutation(N)[:k] for k in (10, 1, 0, 100, N, 3)]
    for top, lists, found in zip(tops, hits, selection.positions(tops, hits), strict=True):
        expected = [
            tuple(
                SourceHit(name, place + 1, float(one.scores[place]))
                for name, one in lists.items()
                for place in np.flatnonzero(one.rows == row).tolist()
            )
            for row in top
        ]
        assert found == expected


def test_nothing_is_left_for_the_next_call(selection):
    rng = np.random.default_rng(4)
    sums, exclusion = [some_pieces(rng)] * 5, withouts(rng, 5)
    rows = [np.arange(N)] * 5
    asked = [Gather(*each, None, sums[0], None) for each in zip(rows, strict=True)]
    first = selection.best_sums(sums, exclusion, 50), selection.gather(asked, 1.0)
    again = selection.best_sums(sums, exclusion, 50), selection.gather(asked, 1.0)
    for one, other in zip(first[0], again[0], strict=True):
        assert pairs(one) == pairs(other)
    for one, other in zip(first[1], again[1], strict=True):
        assert one.tolist() == other.tolist()
