"""How good ranked lists are: pure functions over arrays, each with formula and worked example.

Ties count half everywhere: an item's rank, from 0, is

    rank = number of higher scores + (number of equal scores, its own included, − 1) / 2

so that neither row order nor ids can earn a place. This module does not know where scores come
from, what was held out, or how a number is shown. Intervals: `app.evaluation.intervals`.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows

Numbers: TypeAlias = npt.NDArray[np.float64]
"""float64[n]; ranks count from 0, inf = the item was not returned."""

AnyFloats: TypeAlias = npt.NDArray[np.floating]


def rank_in(scores: AnyFloats, place: int) -> float:
    """Return the rank of the item at `place` among all `scores` (of all items, or of one list).

    A score of -inf means that the item was not ranked at all: its rank is inf.

    >>> rank_in(np.array([3.0, 2.0, 2.0, 1.0]), 1)  # one higher, two equal: (1 + 2) / 2
    1.5
    >>> rank_in(np.array([3.0, -np.inf]), 1)
    inf
    """
    return float(ranks_in(scores[None, :], np.array([place]))[0])


def ranks_in(scores: AnyFloats, places: Rows) -> Numbers:
    """Return float64[n], the rank of item `places[i]` among the scores of row i of [n, m].

    >>> ranks_in(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), np.array([0, 2])).tolist()
    [2.0, 1.0]
    """
    own = scores[np.arange(len(scores)), places][:, None]
    higher = np.count_nonzero(scores > own, axis=1)
    equal = np.count_nonzero(scores == own, axis=1)
    ranks = higher + (equal - 1) / 2
    # Also NaN, which equals nothing, ends here: a broken score must not look like a first place.
    return np.where(np.isfinite(own[:, 0]), ranks, np.inf)


def recall_at(ranks: Numbers, k: int) -> Numbers:
    """Return float64[n]: 1 where the one item to find is among the first k, else 0.

        recall@k = [rank < k]

    >>> recall_at(np.array([0.0, 9.5, 10.0, np.inf]), 10).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    return (ranks < k).astype(np.float64)


def ndcg_at(ranks: Numbers, k: int) -> Numbers:
    """Return float64[n], the NDCG of one item to find; the ideal list has it first.

        ndcg@k = [rank < k] / log2(rank + 2)

    >>> ndcg_at(np.array([0.0, 2.0, 10.0]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    # inf would be fine in the logarithm, but then 0 · (1 / inf) would hide a NaN.
    found = np.where(ranks < k, ranks, 0.0)
    return np.where(ranks < k, 1.0 / np.log2(found + 2.0), 0.0)


def reciprocal_rank(ranks: Numbers) -> Numbers:
    """Return float64[n], 1 / (rank + 1); 0 where the item was not returned.

    >>> reciprocal_rank(np.array([0.0, 3.0, np.inf])).tolist()
    [1.0, 0.25, 0.0]
    """
    return 1.0 / (ranks + 1.0)


def gain_of(grade: float) -> float:
    """Return the gain of a grade from 1 (does not match) upwards: 2^(grade − 1) − 1.

    >>> [gain_of(grade) for grade in (1, 2, 3, 4)]
    [0.0, 1.0, 3.0, 7.0]
    """
    return float(2.0 ** (grade - 1.0) - 1.0)


def graded_ndcg_at(
    scores: Sequence[float] | AnyFloats,
    gains: Sequence[float] | AnyFloats,
    judged: Sequence[float] | AnyFloats,
    k: int,
) -> float:
    """Return NDCG@k of one list whose items have gains; its expected value where scores tie.

        DCG@k  = Σ_{i<k} gain_i / log2(i + 2)          i: place from 0, best score first
        NDCG@k = E[DCG@k] / DCG@k of the judged gains in falling order

    The expectation is over all orders of equal scores: every place of a tied block gets its mean.

    Args:
        scores: of the n items of the list, in any order.
        gains: of the same n items; 0 for an item that nobody judged.
        judged: the gains of all judged items, returned or not: they make the ideal list.
        k: how many places count.

    Returns:
        Between 0 and 1; 0 if no judged item has a gain.

    >>> round(graded_ndcg_at([3.0, 2.0, 1.0], [0.0, 7.0, 3.0], [7.0, 3.0, 0.0], 10), 4)
    0.6653
    >>> round(graded_ndcg_at([1.0, 1.0], [7.0, 0.0], [7.0, 0.0], 1), 4)  # first half of the time
    0.5
    """
    ideal = _dcg(np.sort(np.asarray(judged, dtype=np.float64))[::-1], k)
    if ideal <= 0.0:
        return 0.0
    score = np.asarray(scores, dtype=np.float64)
    gain = np.asarray(gains, dtype=np.float64)
    order = np.argsort(-score, kind="stable")
    _, block = np.unique(-score[order], return_inverse=True)
    means = np.bincount(block, gain[order]) / np.maximum(np.bincount(block), 1)
    return _dcg(means[block], k) / ideal


def _dcg(gains: Numbers, k: int) -> float:
    first = gains[:k]
    return float(first @ (1.0 / np.log2(np.arange(len(first)) + 2.0)))


def exposure(lists: Rows, n_items: int) -> Numbers:
    """Return float64[n_items]: how often each item stands in int64[n, k] lists; -1 = no item.

    >>> exposure(np.array([[0, 2], [2, -1]]), 4).tolist()
    [1.0, 0.0, 2.0, 0.0]
    """
    shown = lists[lists >= 0]
    return np.bincount(shown, minlength=n_items).astype(np.float64)


def coverage(counts: Numbers) -> float:
    """Return the share of the catalogue that was shown to somebody.

    >>> coverage(np.array([1.0, 0.0, 2.0, 0.0]))
    0.5
    """
    return float(np.count_nonzero(counts) / len(counts)) if len(counts) else 0.0


def gini(counts: Numbers) -> float:
    """Return how unequally exposure is spread: 0 = all items equally, towards 1 = one item only.

        G = Σ_i (2i − n − 1) · c_i / (n · Σ c)         c in rising order, i from 1

    >>> gini(np.array([5.0, 5.0])), gini(np.array([0.0, 0.0, 0.0, 8.0]))
    (0.0, 0.75)
    """
    total, n = counts.sum(), len(counts)
    if total <= 0:
        return 0.0
    return float((2.0 * np.arange(1, n + 1) - n - 1) @ np.sort(counts) / (n * total))


def novelty(lists: Rows, counts: Numbers) -> Numbers:
    """Return float64[n], the mean self-information of each list in bits; NaN for an empty list.

        novelty = mean over the list of −log2 p,   p_i = (c_i + 1) / (Σ c + n_items)

    c: how often each item occurs in the training events; the 1 lets new items count.

    >>> novelty(np.array([[0, 1]]), np.array([3.0, 0.0, 0.0, 1.0])).tolist()  # p = 1/2 and 1/8
    [2.0]
    """
    bits = -np.log2((counts + 1.0) / (counts.sum() + len(counts)))
    return mean_over(lists, bits)


def mean_over(lists: Rows, values: Numbers) -> Numbers:
    """Return float64[n], the mean of `values` over each list; -1 is skipped, NaN for an empty one.

    >>> mean_over(np.array([[0, 1], [1, -1]]), np.array([2.0, 4.0])).tolist()
    [3.0, 4.0]
    """
    there = lists >= 0
    total = np.where(there, values[np.where(there, lists, 0)], 0.0).sum(axis=1)
    size = there.sum(axis=1)
    return np.where(size > 0, total / np.maximum(size, 1), np.nan)


def diversity(lists: Rows, vectors: Matrix) -> Numbers:
    """Return float64[n], how different the items of each list are; NaN below two items.

        diversity = 1 − mean over the pairs of a list of cos(v_i, v_j)

    Args:
        lists: int64[n, k] rows; -1 = no item.
        vectors: float32[n_items, dim] of unit norm.

    >>> vectors = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    >>> diversity(np.array([[0, 1], [0, 2], [0, -1]]), vectors).tolist()
    [1.0, 0.0, nan]
    """
    there = lists >= 0
    # |Σ v|² counts every pair twice and every item once: no [n, k, k] products are needed.
    total = np.empty(len(lists))
    for row, items in enumerate(lists):
        summed = vectors[items[items >= 0]].sum(axis=0, dtype=np.float64)
        total[row] = summed @ summed
    size = there.sum(axis=1)
    pairs = size * (size - 1)
    return np.where(size > 1, 1.0 - (total - size) / np.maximum(pairs, 1), np.nan)


def popularity_lift(recommended: float, consumed: float) -> float:
    """Return by how much more popular the recommended items are than what people took themselves.

        lift = mean popularity of the lists / mean popularity of the histories − 1

    0 = the same, 1 = twice as popular, below 0 = less popular.

    >>> popularity_lift(30.0, 20.0)
    0.5
    """
    return recommended / consumed - 1.0 if consumed > 0 else float("nan")
