"""Metrics of ranked lists: pure functions over arrays, each with its formula and an example.

Ties count half everywhere. The rank of an item, from 0, is

    rank = number of higher scores + (number of equal scores, its own included, − 1) / 2

so that the order of rows or ids cannot improve a result. This module does not know where scores
come from, what was held out, or how a figure is shown. Intervals are in
`app.offline.metrics.intervals`.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows

Numbers: TypeAlias = npt.NDArray[np.float64]
"""float64[n]; ranks count from 0, inf = the item was not returned."""

AnyFloats: TypeAlias = npt.NDArray[np.floating]


def rank_in(scores: AnyFloats, position: int) -> float:
    """Return the rank of the item at `position` among `scores`, of all items or of one list.

    A score of -inf means that the item was not ranked; its rank is inf.

    >>> rank_in(np.array([3.0, 2.0, 2.0, 1.0]), 1)  # one higher, two equal: (1 + 2) / 2
    1.5
    >>> rank_in(np.array([3.0, -np.inf]), 1)
    inf
    """
    return float(ranks_in(scores[None, :], np.array([position]))[0])


def ranks_in(scores: AnyFloats, positions: Rows) -> Numbers:
    """Return float64[n], the rank of item `positions[i]` among the scores of row i of [n, m].

    >>> ranks_in(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), np.array([0, 2])).tolist()
    [2.0, 1.0]
    """
    own = scores[np.arange(len(scores)), positions][:, None]
    higher = np.count_nonzero(scores > own, axis=1)
    equal = np.count_nonzero(scores == own, axis=1)
    ranks = higher + (equal - 1) / 2
    # NaN equals nothing, so its rank would be -0.5: a broken score must not look like the best.
    return np.where(np.isfinite(own[:, 0]), ranks, np.inf)


def recall_at(ranks: Numbers, k: int) -> Numbers:
    """Return float64[n]: 1 where the target is among the first k, else 0.

        recall@k = [rank < k]

    >>> recall_at(np.array([0.0, 9.5, 10.0, np.inf]), 10).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    return (ranks < k).astype(np.float64)


def ndcg_at(ranks: Numbers, k: int) -> Numbers:
    """Return float64[n], the NDCG of lists with one target; the ideal list has it first.

        ndcg@k = [rank < k] / log2(rank + 2)

    >>> ndcg_at(np.array([0.0, 2.0, 10.0]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    inside = ranks < k
    # `np.where` computes both branches: ranks outside are replaced before the logarithm sees inf.
    return np.where(inside, 1.0 / np.log2(np.where(inside, ranks, 0.0) + 2.0), 0.0)


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
    """Return NDCG@k of one list whose items have gains; the expected value where scores tie.

        DCG@k  = Σ_{i<k} gain_i / log2(i + 2)          i: position from 0, best score first
        NDCG@k = E[DCG@k] / DCG@k of the judged gains in falling order

    The expectation is over all orders of equal scores: each position of a tied block gets the mean
    gain of the block.

    Args:
        scores: scores of the n items of the list, in any order.
        gains: gains of the same n items; 0 for an item that nobody judged.
        judged: gains of all judged items, returned or not: they make the ideal list.
        k: how many positions count.

    Returns:
        A value between 0 and 1; 0 if no judged item has a gain.

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
    """Return float64[n_items]: how often each item is in int64[n, k] lists; -1 = no item.

    >>> exposure(np.array([[0, 2], [2, -1]]), 4).tolist()
    [1.0, 0.0, 2.0, 0.0]
    """
    rows = lists[lists >= 0]
    return np.bincount(rows, minlength=n_items).astype(np.float64)


def coverage(counts: Numbers) -> float:
    """Return the share of the catalogue that is in at least one list.

    >>> coverage(np.array([1.0, 0.0, 2.0, 0.0]))
    0.5
    """
    return float(np.count_nonzero(counts) / len(counts)) if len(counts) else 0.0


def gini(counts: Numbers) -> float:
    """Return the Gini coefficient of exposure: 0 = all items equally, towards 1 = one item only.

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

    c: how often each item occurs in the training events. The 1 gives new items a probability above
    0, and so a finite information.

    >>> novelty(np.array([[0, 1]]), np.array([3.0, 0.0, 0.0, 1.0])).tolist()  # p = 1/2 and 1/8
    [2.0]
    """
    bits = -np.log2((counts + 1.0) / (counts.sum() + len(counts)))
    return mean_over(lists, bits)


def mean_over(lists: Rows, values: Numbers) -> Numbers:
    """Return float64[n], the mean of `values` over each list without -1; NaN for an empty list.

    >>> mean_over(np.array([[0, 1], [1, -1]]), np.array([2.0, 4.0])).tolist()
    [3.0, 4.0]
    """
    is_item = lists >= 0
    total = np.where(is_item, values[np.where(is_item, lists, 0)], 0.0).sum(axis=1)
    size = is_item.sum(axis=1)
    return np.where(size > 0, total / np.maximum(size, 1), np.nan)


def diversity(lists: Rows, vectors: Matrix) -> Numbers:
    """Return float64[n], the diversity of each list: 1 − mean similarity; NaN below two items.

        diversity = 1 − mean over the pairs of a list of cos(v_i, v_j)

    Args:
        lists: int64[n, k] rows; -1 = no item.
        vectors: float32[n_items, dim] of unit norm.

    >>> vectors = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    >>> diversity(np.array([[0, 1], [0, 2], [0, -1]]), vectors).tolist()
    [1.0, 0.0, nan]
    """
    # |Σ v|² = Σ_i |v_i|² + 2 Σ_{i<j} v_i · v_j, and |v_i| = 1: the sum over pairs comes from one
    # sum of vectors, without [n, k, k] products.
    total = np.empty(len(lists))
    for row, items in enumerate(lists):
        summed = vectors[items[items >= 0]].sum(axis=0, dtype=np.float64)
        total[row] = summed @ summed
    size = (lists >= 0).sum(axis=1)
    pairs = size * (size - 1)
    return np.where(size > 1, 1.0 - (total - size) / np.maximum(pairs, 1), np.nan)
