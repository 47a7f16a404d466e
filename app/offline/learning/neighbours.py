"""Tables of neighbours: by words, by what follows what, by what goes together.

Arrays in, tables out; all in closed form, nothing is drawn by chance and nothing is trained. This
module does not know events, files, models or how the tables are weighed against each other.

Of a sequence s of length k every place 0 < j < k gives a row of two matrices: X holds what came
before it, Σ e^(−(j−1−a)/2) at s[a] for a < j, and Y what comes from there on, Σ w_b e^(−(b−j)) at
s[b] for b ≥ j, w_b the weight of event b. Neither is ever built. Summed over j,

    a < b, d = b − a:   X'Y gets  w_b Σ_{p<d} e^(−p/2) e^(−(d−1−p))
    a ≤ b, d = b − a:   X'X gets  e^(−d/2) Σ_{r<k−1−b} e^(−r)
                        Y'Y gets  w_a w_b e^(−d) Σ_{r<a} e^(−2r)

at (s[a], s[b]); X'X and Y'Y mirrored for a < b. Only the newest 50 events of a user count.
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
DENSE_BYTES = 6e9
NEWEST = 50
PAST, FUTURE = 2.0, 1.0
RIDGE = 50.0

# What one block of sparse work may hold: pairs of events, or products of words.
BLOCK = 2**23
# How many columns of the regression are solved at once; rows of an inverse mirrored at once.
_COLUMNS = 512
# From this many pairs for each cell on, a dense product is the faster one.
_DENSE_SHARE = 1 / 16

_Row: TypeAlias = tuple[npt.NDArray[np.int64], Vector]
"""The columns and the values of one row of a matrix."""

_Numbers: TypeAlias = npt.NDArray[np.float64]


def content_knn(words: sp.csr_matrix, m: int = TOP, *, block: int = BLOCK) -> Neighbours:
    """Return the m items of the most similar words: the cosine of their tf-idf rows.

    Time O(Σ df²) over the words; memory 8m bytes an item, and a block of some 200 MB. Words that
    stand in more than 2 % of the items and in more than 20,000 are left out of the product, as
    stop words; a million titles of six words still take 10¹⁰ steps (6 minutes on one core), and
    long descriptions far more.

    Args:
        words: float32[n, v], rows of length 1 or empty (`word_weights`).
        m: neighbours an item.
        block: products of words held at once.
    """
    n = words.shape[0]
    frequency = np.bincount(words.indices, minlength=words.shape[1])
    light = words[:, (frequency <= 0.02 * n) | (frequency <= 20_000)]
    columns = light.T.tocsr()
    steps = (light != 0) @ np.diff(columns.indptr).astype(np.float64)
    blocks = (light[start:end] @ columns for start, end in _blocks(steps, block))
    return _nearest(_sparse_rows(blocks), n, m)


def sequential_ridge(sequences: Sequences, n_items: int, m: int = TOP) -> Neighbours:
    """Return for each item the m that it most raises in the user's near future.

    Ridge regression of the decayed future on the decayed past, B = (X'X + 50)⁻¹ X'Y (X and Y: see
    the module), row i: what one event on item i adds. Close to EASE, but with order and time.

    Time O(n_items³) and O(49 events); memory 4 n_items² bytes for the inverse, once more for X'Y
    where it is not sparse (12,000 items: 0.6 GB), and 60 bytes an event.

    Source: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019 (without order).

    Raises:
        ValueError: too many items (`fits_dense`), or X'X is beyond what float32 can invert.
    """
    if not fits_dense(n_items):
        raise ValueError(f"{n_items} items are too many for an inverse in memory")
    steps = _steps(sequences)
    inverse = inverse_of(_past_gram(steps, n_items))
    cross = _cross(steps, n_items).T
    # X'X is symmetric: B = P C is (C' P)', sparse times dense, and a block of it wants one of P.
    starts = range(0, n_items, _COLUMNS)
    blocks = (np.ascontiguousarray((cross @ inverse[:, a : a + _COLUMNS]).T) for a in starts)
    return _nearest(_dense_rows(blocks), n_items, m)


def cooccurrence(
    sequences: Sequences, n_items: int, m: int = TOP, *, block: int = BLOCK
) -> Neighbours:
    """Return for each item the m that most often follow it, tempered by how common both are.

    X'Y[i, j] / ((‖X_i‖ + 1) (‖Y_j‖ + 1)), the cosine of past and future with a damping of 1 (X
    and Y: see the module).

    Time O(P log P), P pairs of events ≤ min(length, 50)/2 an event; memory 8m bytes an item, 60
    an event, and a block of 8 million pairs (500 MB), or all pairs that begin with one item where
    those are more (60 bytes each). Exact at any size: nothing is windowed or pruned.

    Args:
        sequences: the events.
        n_items: size of the catalogue.
        m: neighbours an item.
        block: pairs of events held at once.
    """
    steps = _steps(sequences)
    past, future = (1 / (np.sqrt(squares) + 1) for squares in _column_squares(steps, n_items))

    def tempered() -> Iterator[sp.csr_matrix]:
        for start, cross in _cross_blocks(steps, n_items, block):
            scale = np.repeat(past[start : start + cross.shape[0]], np.diff(cross.indptr))
            cross.data *= (scale * future[cross.indices]).astype(np.float32)
            yield cross

    return _nearest(_sparse_rows(tempered()), n_items, m)


def fits_dense(n_items: int) -> bool:
    """Return whether a square float32 matrix over the items stays below `DENSE_BYTES`."""
    return 4 * n_items**2 <= DENSE_BYTES


@dataclass(frozen=True, slots=True)
class _Steps:
    """The newest events of all users laid end to end, each with what surrounds it.

    Attributes:
        items: int64[e].
        weights: float32[e].
        place: int64[e], how many events of the user stand before it.
        left: int64[e], how many stand after it; the next `left` events are of the same user.
    """

    items: Ints
    weights: Vector
    place: Ints
    left: Ints

    def apart(self, distance: int) -> Ints:
        """Return the events that have one of the same user `distance` later."""
        return np.flatnonzero(self.left >= distance)


def _steps(sequences: Sequences) -> _Steps:
    user, place = sequences.places()
    left = sequences.lengths[user] - 1 - place
    new = left < NEWEST
    place -= np.maximum(sequences.lengths - NEWEST, 0)[user]
    return _Steps(sequences.items[new], sequences.weights[new], place[new], left[new])


def _geometric(decay: float) -> _Numbers:
    """Return Σ_{r<t} e^(−2r/decay) for t = 0 … NEWEST: t places that see an event at two ages."""
    sums: _Numbers = np.r_[0.0, np.cumsum(np.exp(-2 * np.arange(NEWEST) / decay))]
    return sums


def _past_gram(steps: _Steps, n_items: int) -> Matrix:
    """Return X'X + RIDGE, float32[n, n] in Fortran order, only the lower triangle filled."""
    items, seen = steps.items, _geometric(PAST)
    flat = np.zeros(n_items * n_items, np.float32)
    flat[:: n_items + 1] = _sums(items, seen[steps.left], n_items) + RIDGE
    for distance in range(1, NEWEST):
        first = steps.apart(distance)
        one, other = items[first], items[first + distance]
        value = np.exp(-distance / PAST) * seen[steps.left[first + distance]]
        # Where one item stands at both places, both triangles fall on the diagonal.
        value[one == other] *= 2
        cell = np.minimum(one, other) * n_items + np.maximum(one, other)
        np.add.at(flat, cell, value.astype(np.float32))
    return flat.reshape((n_items, n_items), order="F")


def inverse_of(gram: Matrix) -> Matrix:
    """Return the inverse of float32[n, n], given by its lower triangle, in its place (Cholesky).

    `gram`: in Fortran order. Time O(n³). Raises `ValueError` where float32 cannot invert it.
    """
    factor, failed = sl.lapack.spotrf(gram, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ValueError("events on few items outweigh the ridge: float32 cannot invert X'X")
    inverse: Matrix = sl.lapack.spotri(factor, lower=1, overwrite_c=1)[0]
    # Only the lower half was computed; mirror it in blocks, without a second matrix.
    for start in range(0, len(inverse), _COLUMNS):
        end = start + _COLUMNS
        corner = inverse[start:end, start:end]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
        inverse[start:end, end:] = inverse[end:, start:end].T
    return inverse


def _cross(steps: _Steps, n_items: int) -> sp.csr_matrix | Matrix:
    """Return X'Y, float32[n, n], sparse unless too full for that to pay."""
    if int(steps.left.sum()) <= _DENSE_SHARE * n_items**2:
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
    decay = np.convolve(np.exp(-ages / PAST), np.exp(-ages / FUTURE))[:NEWEST].astype(np.float32)
    of_item = np.argsort(steps.items, kind="stable")
    bounds = offsets_of(np.bincount(steps.items, minlength=n_items))
    for start, end in _blocks(_sums(steps.items, steps.left, n_items), size):
        event = of_item[bounds[start] : bounds[end]]
        first, step = _ramps(event, steps.left[event])
        then = first + 1 + step
        value = decay[step] * steps.weights[then]
        where = steps.items[first] - start, steps.items[then]
        yield start, sp.csr_matrix((value, where), shape=(end - start, n_items))


def _ramps(values: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Return each value repeated, and beside it 0, 1, 2 … up to its length.

    >>> [part.tolist() for part in _ramps(np.array([7, 8, 9]), np.array([2, 0, 1]))]
    [[7, 7, 9], [0, 1, 0]]
    """
    starts = np.repeat(offsets_of(lengths)[:-1], lengths)
    return np.repeat(values, lengths), np.arange(len(starts)) - starts


def _column_squares(steps: _Steps, n_items: int) -> tuple[_Numbers, _Numbers]:
    """Return float64[n] ‖X_i‖² and float64[n] ‖Y_i‖², the diagonals of X'X and Y'Y."""
    items, weights = steps.items, steps.weights.astype(np.float64)
    past_seen, future_seen = _geometric(PAST), _geometric(FUTURE)
    past = _sums(items, past_seen[steps.left], n_items)
    future = _sums(items, weights**2 * future_seen[steps.place], n_items)
    for distance in range(1, NEWEST):
        first = steps.apart(distance)
        first = first[items[first] == items[first + distance]]
        then = first + distance
        twice_x = 2 * np.exp(-distance / PAST) * past_seen[steps.left[then]]
        twice_y = 2 * np.exp(-distance / FUTURE) * future_seen[steps.place[first]]
        np.add.at(past, items[first], twice_x)
        np.add.at(future, items[first], twice_y * weights[first] * weights[then])
    return past, future


def _sums(items: Ints, values: Ints | _Numbers, n_items: int) -> _Numbers:
    return np.bincount(items, values, minlength=n_items).astype(np.float64)


def _blocks(costs: _Numbers, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs of rows that cost at most `size` together, or are one row."""
    upto, start = np.cumsum(costs), 0
    while start < len(costs):
        limit = (upto[start - 1] if start else 0) + size
        end = max(start + 1, int(np.searchsorted(upto, limit, side="right")))
        yield start, end
        start = end


def _sparse_rows(blocks: Iterable[sp.csr_matrix]) -> Iterator[_Row]:
    for block in blocks:
        for start, end in pairwise(block.indptr.tolist()):
            yield block.indices[start:end], block.data[start:end]


def _dense_rows(blocks: Iterable[Matrix]) -> Iterator[_Row]:
    for block in blocks:
        every = np.arange(block.shape[1])
        for row in block:
            yield every, row


def _nearest(rows: Iterable[_Row], n_items: int, m: int) -> Neighbours:
    """Return the m highest positive values of each row but its own; among equals lower columns."""
    table = Neighbours(np.zeros((n_items, m), np.int32), np.zeros((n_items, m), np.float32))
    for row, (columns, values) in enumerate(rows):
        kept = np.flatnonzero((values > 0) & (columns != row))
        if len(kept) > m:
            # All that reach the m-th value, so that equals are told apart below, not by chance.
            least = np.partition(values[kept], -m)[-m]
            kept = kept[values[kept] >= least]
        kept = kept[np.lexsort((columns[kept], -values[kept]))[:m]]
        table.rows[row, : len(kept)] = columns[kept]
        table.weights[row, : len(kept)] = values[kept]
    return table
