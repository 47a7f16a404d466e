"""Neighbour tables: content k-NN, sequential ridge regression, and co-occurrence.

    content_knn        items with similar words
    sequential_ridge   items that an event on this item makes more likely soon after
    cooccurrence       items that often follow this one, relative to how common both are

All three are computed in closed form: nothing is random and nothing is trained step by step. This
module does not know event logs, files or models, nor how the tables are combined.

The last two use two matrices, X (the past) and Y (the future), which are never built. Every
position 0 < j < k of a sequence s of length k gives a row of both:

    X, what came before j:      Σ e^(−(j−1−a)/2) at column s[a], over a < j
    Y, what comes from j on:    Σ w_b e^(−(b−j)) at column s[b], over b ≥ j, w_b = event weight

Only their products are needed. Summed over all positions j, and over all pairs of events a, b of
one sequence at distance d = b − a, these are

    a < b:   X'Y at (s[a], s[b]) gets  w_b Σ_{p<d} e^(−p/2) e^(−(d−1−p))
    a ≤ b:   X'X at (s[a], s[b]) gets  e^(−d/2) Σ_{r<k−1−b} e^(−r)
             Y'Y at (s[a], s[b]) gets  w_a w_b e^(−d) Σ_{r<a} e^(−2r)

X'X and Y'Y are symmetric, so the cells for a < b are mirrored. Only the newest 50 events of a user
count: it bounds the number of pairs, and older events weigh next to nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.linalg as sl
import scipy.sparse as sp

from app.core.types import Matrix, Vector
from app.domain.columns import offsets_of
from app.engine.catalogue.behaviour import Neighbours
from app.offline.learning.sequences import Ints, Sequences

TOP = 300
"""Neighbours an item."""
DENSE_BYTES = 6e9
NEWEST = 50
PAST, FUTURE = 2.0, 1.0
"""Decay lengths in events: a weight falls to 1/e over so many events."""
RIDGE = 50.0
"""Regularisation: an item with few events compared with 50 gets weights close to 0."""

# Pairs of events, or products of words, in one block of sparse work: bounds the memory.
BLOCK = 2**23
# Columns of the regression that are solved at once; rows of an inverse that are mirrored at once.
_COLUMNS = 512
# With this many pairs of events per cell or more, a dense product is faster than a sparse one.
_DENSE_SHARE = 1 / 16
# Words of more than 2 % of the items, and of more than 20,000 items, are stop words.
_STOP_SHARE, _STOP_ITEMS = 0.02, 20_000

_Row: TypeAlias = tuple[npt.NDArray[np.int64], Vector]
"""The columns and the values of one row of a matrix."""

_Numbers: TypeAlias = npt.NDArray[np.float64]


def content_knn(words: sp.csr_matrix, m: int = TOP, *, block: int = BLOCK) -> Neighbours:
    """Return for each item the m items with the most similar words: cosine of the tf-idf rows.

    Time is O(Σ df²) over the words, df = the number of items with the word. Memory is 8m bytes an
    item and one block of about 200 MB. Words of more than 2 % of the items and of more than 20,000
    items are left out of the product as stop words. A million titles of six words still take 10¹⁰
    steps (6 minutes on one core), and long descriptions far more.

    Args:
        words: float32[n, v], rows of length 1 or empty (`word_weights`).
        m: neighbours an item.
        block: products of words computed at once.
    """
    n = words.shape[0]
    frequency = np.bincount(words.indices, minlength=words.shape[1])
    light = words[:, (frequency <= _STOP_SHARE * n) | (frequency <= _STOP_ITEMS)]
    columns = light.T.tocsr()
    steps = (light != 0) @ np.diff(columns.indptr).astype(np.float64)
    blocks = (light[start:end] @ columns for start, end in _blocks(steps, block))
    return _nearest(_sparse_rows(blocks), n, m)


def sequential_ridge(sequences: Sequences, n_items: int, m: int = TOP) -> Neighbours:
    """Return for each item the m items that an event on it makes most likely soon after.

    Ridge regression of the decayed future on the decayed past in closed form, B = (X'X + 50)⁻¹ X'Y
    (X and Y: see the module). Row i of B is what one event on item i adds to the expected future.
    Close to EASE, but with order and time.

    Time is O(n_items³) and O(49 events). Memory is 4 n_items² bytes for the inverse, once more for
    X'Y where it is not sparse (12,000 items: 0.6 GB), and 60 bytes an event.

    Source: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019 (without order).

    Raises:
        ValueError: too many items (`fits_dense`), or X'X is beyond what float32 can invert.
    """
    if not fits_dense(n_items):
        raise ValueError(f"{n_items} items are too many for an inverse in memory")
    steps = _steps(sequences)
    inverse = inverse_of(_past_gram(steps, n_items))
    cross = _cross(steps, n_items).T
    # The inverse P is symmetric, so B = P C = (C' P)': sparse times dense instead of dense times
    # dense, and a block of rows of B needs only a block of columns of P.
    starts = range(0, n_items, _COLUMNS)
    blocks = (np.ascontiguousarray((cross @ inverse[:, a : a + _COLUMNS]).T) for a in starts)
    return _nearest(_dense_rows(blocks), n_items, m)


def cooccurrence(
    sequences: Sequences, n_items: int, m: int = TOP, *, block: int = BLOCK
) -> Neighbours:
    """Return for each item the m items that most often follow it, relative to how common both are.

    X'Y[i, j] / ((‖X_i‖ + 1) (‖Y_j‖ + 1)): the cosine of past and future (X and Y: see the module).
    The 1 is frequency shrinkage: without it a pair of items with one event each, side by side,
    would have the highest possible value.

    Time is O(P log P) for P pairs of events, at most min(length, 50)/2 pairs an event. Memory is 8m
    bytes an item, 60 an event, and a block of 8 million pairs (500 MB). Where one item begins more
    pairs than that, its block is larger (60 bytes a pair). Exact at any size: no pair is left out.

    Args:
        sequences: the events.
        n_items: size of the catalogue.
        m: neighbours an item.
        block: pairs of events computed at once.
    """
    steps = _steps(sequences)
    past, future = (1 / (np.sqrt(squares) + 1) for squares in _column_squares(steps, n_items))

    def shrunk_cosines() -> Iterator[sp.csr_matrix]:
        for start, cross in _cross_blocks(steps, n_items, block):
            scale = np.repeat(past[start : start + cross.shape[0]], np.diff(cross.indptr))
            cross.data *= (scale * future[cross.indices]).astype(np.float32)
            yield cross

    return _nearest(_sparse_rows(shrunk_cosines()), n_items, m)


def fits_dense(n_items: int) -> bool:
    """Return whether a square float32 matrix over the items stays below `DENSE_BYTES`."""
    return 4 * n_items**2 <= DENSE_BYTES


@dataclass(frozen=True, slots=True)
class _Steps:
    """The newest events of all users, end to end.

    Attributes:
        items: int64[e].
        weights: float32[e].
        n_earlier: int64[e], how many events of the same user come before it here.
        n_later: int64[e], how many come after it: the next `n_later` events are of the same user.
    """

    items: Ints
    weights: Vector
    n_earlier: Ints
    n_later: Ints

    def with_later(self, distance: int) -> Ints:
        """Return the events that are followed by one of the same user, `distance` events later."""
        return np.flatnonzero(self.n_later >= distance)


def _steps(sequences: Sequences) -> _Steps:
    user, position = sequences.positions()
    n_later = sequences.lengths[user] - 1 - position
    is_new = n_later < NEWEST
    n_earlier = position - np.maximum(sequences.lengths - NEWEST, 0)[user]
    return _Steps(
        items=sequences.items[is_new],
        weights=sequences.weights[is_new],
        n_earlier=n_earlier[is_new],
        n_later=n_later[is_new],
    )


def _geometric(decay: float) -> _Numbers:
    """Return Σ_{r<t} e^(−2r/decay) for t = 0 … NEWEST.

    An event is in the rows of t positions, one event older in each; the sum is that of the squares
    of its weights there.
    """
    sums: _Numbers = np.r_[0.0, np.cumsum(np.exp(-2 * np.arange(NEWEST) / decay))]
    return sums


def _past_gram(steps: _Steps, n_items: int) -> Matrix:
    """Return X'X + RIDGE on the diagonal, float32[n, n] in Fortran order, the lower triangle only.

    Fortran order and one triangle are what the Cholesky routines of LAPACK work on in place.
    """
    items, squares = steps.items, _geometric(PAST)
    flat = np.zeros(n_items * n_items, np.float32)
    flat[:: n_items + 1] = _sums(items, squares[steps.n_later], n_items) + RIDGE
    for distance in range(1, NEWEST):
        first = steps.with_later(distance)
        one, other = items[first], items[first + distance]
        value = np.exp(-distance / PAST) * squares[steps.n_later[first + distance]]
        # Where both events are on one item, the cell and its mirror image are one diagonal cell.
        value[one == other] *= 2
        cell = np.minimum(one, other) * n_items + np.maximum(one, other)
        np.add.at(flat, cell, value.astype(np.float32))
    return flat.reshape((n_items, n_items), order="F")


def inverse_of(gram: Matrix) -> Matrix:
    """Return the inverse of a symmetric matrix by Cholesky factors; it overwrites the input.

    Args:
        gram: float32[n, n] in Fortran order; only the lower triangle is read. Time is O(n³).

    Raises:
        ValueError: float32 cannot invert it.
    """
    factor, failed = sl.lapack.spotrf(gram, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ValueError("events on few items outweigh the ridge: float32 cannot invert X'X")
    inverse: Matrix = sl.lapack.spotri(factor, lower=1, overwrite_c=1)[0]
    # LAPACK fills the lower triangle only. Mirror it in blocks, without a second matrix.
    for start in range(0, len(inverse), _COLUMNS):
        end = start + _COLUMNS
        corner = inverse[start:end, start:end]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
        inverse[start:end, end:] = inverse[end:, start:end].T
    return inverse


def _cross(steps: _Steps, n_items: int) -> sp.csr_matrix | Matrix:
    """Return X'Y, float32[n, n]: sparse, or dense where many cells are filled."""
    if int(steps.n_later.sum()) <= _DENSE_SHARE * n_items**2:
        return sp.vstack([block for _, block in _cross_blocks(steps, n_items)], format="csr")
    cross = np.empty((n_items, n_items), np.float32)
    for start, block in _cross_blocks(steps, n_items):
        block.toarray(out=cross[start : start + block.shape[0]])
    return cross


def _cross_blocks(
    steps: _Steps, n_items: int, size: int = BLOCK
) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Yield (first row, float32[rows, n_items]): X'Y in blocks of rows that cover all items."""
    ages = np.arange(NEWEST)
    # Σ_{p<d} e^(−p/2) e^(−(d−1−p)) for all distances d at once is a convolution.
    decay = np.convolve(np.exp(-ages / PAST), np.exp(-ages / FUTURE))[:NEWEST].astype(np.float32)
    of_item = np.argsort(steps.items, kind="stable")
    bounds = offsets_of(np.bincount(steps.items, minlength=n_items))
    for start, end in _blocks(_sums(steps.items, steps.n_later, n_items), size):
        event = of_item[bounds[start] : bounds[end]]
        first, gap = _ramps(event, steps.n_later[event])
        later = first + 1 + gap
        value = decay[gap] * steps.weights[later]
        cells = steps.items[first] - start, steps.items[later]
        yield start, sp.csr_matrix((value, cells), shape=(end - start, n_items))


def _ramps(values: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Return each value repeated as often as its length says; beside it, the repeats numbered.

    >>> [part.tolist() for part in _ramps(np.array([7, 8, 9]), np.array([2, 0, 1]))]
    [[7, 7, 9], [0, 1, 0]]
    """
    starts = np.repeat(offsets_of(lengths)[:-1], lengths)
    return np.repeat(values, lengths), np.arange(len(starts)) - starts


def _column_squares(steps: _Steps, n_items: int) -> tuple[_Numbers, _Numbers]:
    """Return float64[n] ‖X_i‖² and float64[n] ‖Y_i‖², the diagonals of X'X and Y'Y."""
    items, weights = steps.items, steps.weights.astype(np.float64)
    past_squares, future_squares = _geometric(PAST), _geometric(FUTURE)
    past = _sums(items, past_squares[steps.n_later], n_items)
    future = _sums(items, weights**2 * future_squares[steps.n_earlier], n_items)
    for distance in range(1, NEWEST):
        first = steps.with_later(distance)
        # Only repeats of one item fall on the diagonal; each pair does so twice, as (a, b), (b, a).
        first = first[items[first] == items[first + distance]]
        later = first + distance
        twice_x = 2 * np.exp(-distance / PAST) * past_squares[steps.n_later[later]]
        twice_y = 2 * np.exp(-distance / FUTURE) * future_squares[steps.n_earlier[first]]
        np.add.at(past, items[first], twice_x)
        np.add.at(future, items[first], twice_y * weights[first] * weights[later])
    return past, future


def _sums(items: Ints, values: Ints | _Numbers, n_items: int) -> _Numbers:
    return np.bincount(items, values, minlength=n_items).astype(np.float64)


def _blocks(costs: _Numbers, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs of rows that cost at most `size` together, at least one row."""
    total, start = np.cumsum(costs), 0
    while start < len(costs):
        limit = (total[start - 1] if start else 0) + size
        end = max(start + 1, int(np.searchsorted(total, limit, side="right")))
        yield start, end
        start = end


def _sparse_rows(blocks: Iterable[sp.csr_matrix]) -> Iterator[_Row]:
    for block in blocks:
        for start, end in pairwise(block.indptr.tolist()):
            yield block.indices[start:end], block.data[start:end]


def _dense_rows(blocks: Iterable[Matrix]) -> Iterator[_Row]:
    for block in blocks:
        columns = np.arange(block.shape[1])
        for row in block:
            yield columns, row


def _nearest(rows: Iterable[_Row], n_items: int, m: int) -> Neighbours:
    """Return the m highest positive values of each row, without the row's own item.

    Among equal values the lower column comes first, so the table is the same in every run.
    """
    table = Neighbours(np.zeros((n_items, m), np.int32), np.zeros((n_items, m), np.float32))
    for row, (columns, values) in enumerate(rows):
        chosen = np.flatnonzero((values > 0) & (columns != row))
        if len(chosen) > m:
            # Keep every value equal to the m-th: the sort below then chooses among equals.
            lowest = np.partition(values[chosen], -m)[-m]
            chosen = chosen[values[chosen] >= lowest]
        chosen = chosen[np.lexsort((columns[chosen], -values[chosen]))[:m]]
        table.rows[row, : len(chosen)] = columns[chosen]
        table.weights[row, : len(chosen)] = values[chosen]
    return table
