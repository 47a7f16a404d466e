"""Features: the numbers by which the scorer judges a candidate, the same in training and serving.

A feature describes a pair of a user's recent items (at most RECENT, newest first) and a candidate.
For each table of neighbours, and for the space of taste, there is a matrix of how near each recent
item is to each candidate: pairs[r, c], in a table the weight of the neighbour or 0, in taste an
inner product. Of it come these features, one number a candidate:

    total           Σ decay^age · pairs: older items count less
    last            pairs of the newest item
    before_last     pairs of the one before it
    highest         the maximum over the recent items
    newest_three    the mean over the newest three
    mean            the mean over all
    rank            log(1 + number of candidates with a higher total)
    count           how many recent items have the candidate as a neighbour (not of taste)

Then `item` features of the candidate alone, and `user` features, the same for all candidates.

Ids, row numbers and the order of the candidates never come in, so that an answer does not depend on
the order of a file: equal totals share a rank.

Why C (`c/features.c`): a pass has thousands of pairs, and numpy reads and writes every intermediate
matrix. C keeps them in the nearest cache, and a whole batch runs without the interpreter's lock.
`Features` is the oracle of the tests and runs where C cannot. A scorer must get the same numbers
from both: they differ by rounding alone, and a rank by nothing (see `log_ranks`).
"""

import ctypes
import math
from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, c_double, c_int, c_int64, c_void_p
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Matrix, Rows
from app.engine.catalogue.behaviour import RECENT, Behaviour, Neighbours
from app.engine.kernels.loader import (
    Signature,
    Unavailable,
    address,
    bind,
    load_library,
    struct_layout,
)

Array: TypeAlias = npt.NDArray[np.float32]

FEATURES_VERSION = 3
"""Raise it with every change of what a feature means: older scorers are then refused."""

# ---- Port ----------------------------------------------------------------------------------------

_TABLE: Final = ("total", "last", "before_last", "highest", "newest_three", "mean", "rank", "count")
_TOTAL, _LAST, _BEFORE_LAST, _HIGHEST, _NEWEST_THREE, _MEAN, _RANK, _COUNT = range(len(_TABLE))
_TASTE: Final = _TABLE[:-1]
_ITEM: Final = ("popularity", "times_last", "share_last", "place")
_USER: Final = ("history", "last_popularity", "mean_popularity", "highest_first", "highest_taste")


def feature_names(tables: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features in order, as `group.feature`."""
    return (
        *(f"{table}.{name}" for table in tables for name in _TABLE),
        *(f"taste.{name}" for name in _TASTE),
        *(f"item.{name}" for name in _ITEM),
        *(f"user.{name}" for name in _USER),
    )


def features_over(behaviour: Behaviour) -> "Features":
    """Return what computes features: our own C where it can run, else numpy."""
    try:
        return KernelFeatures(load_library(), behaviour)
    except Unavailable:
        return Features(behaviour)


# ---- Numpy ---------------------------------------------------------------------------------------


class Features:
    """Computes features, in numpy. It owns buffers: one thread at a time.

    Attributes:
        names: of the features, in order.
        n_items: size of the catalogue.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        """Prepare for a catalogue."""
        self._behaviour = behaviour
        self.names = feature_names(tuple(behaviour.tables))
        self.n_items = behaviour.items.shape[1]
        # Of each row: its column among the candidates of a request, -1 for all others. It is reset
        # after each request.
        self._columns = np.full(self.n_items, -1, np.int32)
        self._pairs_flat = np.empty(0, np.float32)
        self._sums = _sums(behaviour)

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """Return float32[f, N], a column per candidate of each request, request after request.

        Args:
            recents: per request the rows of its recent items, newest first, at least one; the
                newest `RECENT` are read.
            lengths: per request how many items were ever taken, ≥ 1.
            candidates: per request int64[c] rows, each once.
        """
        ends = np.cumsum([0, *map(len, candidates)]).tolist()
        out = np.empty((len(self.names), ends[-1]), np.float32)
        for n, (recent, rows) in enumerate(zip(recents, candidates, strict=True)):
            if len(rows):
                block = out[:, ends[n] : ends[n + 1]]
                self._of_request(block, recent[:RECENT], lengths[n], rows)
        return out

    def _of_request(self, out: Array, recent: Rows, length: int, rows: Rows) -> None:
        tables, items = self._behaviour.tables, self._behaviour.items
        inputs = self._behaviour.taste.inputs.take(recent, axis=0)
        pairs = self._pairs(inputs, recent, rows)
        sums = np.matmul(self._sums[len(recent)], pairs)
        # As `TasteSpace.user`: the mean of the recent items at unit length.
        mean = self._sums[len(recent)][-1, 0] @ inputs
        sums[-1, 0] /= max(math.sqrt(mean @ mean), 1e-9)
        at = len(tables) * len(_TABLE) + len(_TASTE)
        # Taste is written as if it had a count too, so that all are one array; its count lands in
        # the first line of the item features, which overwrite it.
        _pair_features(out[: at + 1].reshape(len(pairs), len(_TABLE), len(rows)), pairs, sums)
        out[at : at + len(_ITEM)] = items.take(rows, axis=1)
        popularity = items[0].take(recent)
        user = (
            math.log(length),
            popularity[0],
            popularity.mean(),
            sums[0, 0].max(),
            sums[-1, 0].max(),
        )
        out[at + len(_ITEM) :] = np.array(user, np.float32)[:, None]

    def _pairs(self, inputs: Matrix, recent: Rows, rows: Rows) -> Array:
        """Return float32[tables + 1, len(recent), len(rows)]: how near each pair lies.

        It is a buffer, good until the next call.
        """
        # One column more than candidates: what is not needed is written there, and cut off.
        tables, width = self._behaviour.tables, len(rows) + 1
        shape = (len(tables) + 1, len(recent), width)
        size = math.prod(shape)
        if size > len(self._pairs_flat):
            self._pairs_flat = np.empty(size, np.float32)
        flat = self._pairs_flat[:size]
        flat[: -len(recent) * width] = 0.0  # all but taste, which is written whole
        self._columns[rows] = np.arange(len(rows))
        # A neighbour that is no candidate has column -1: the cell before the start of its line, so
        # the extra column of the line before (for the first line, of the last one).
        line = np.arange(0, len(recent) * width, width)[:, None]
        for near, cells in zip(tables.values(), flat.reshape(shape[0], -1), strict=False):
            rows_near, weights = near.of(recent)
            columns = self._columns.take(rows_near)
            # Backwards: padding of weight 0 may name the row of a neighbour, which comes before it
            # in the table and is therefore written last.
            cells[np.add(columns[:, ::-1], line).ravel()] = weights[:, ::-1].ravel()
        self._columns[rows] = -1
        pairs = flat.reshape(shape)[:, :, :-1]
        targets = self._behaviour.taste.targets.take(rows, axis=0)
        np.matmul(inputs, targets.T, out=pairs[-1])
        return pairs


def _sums(behaviour: Behaviour) -> list[Array]:
    """Return for r = 0 … RECENT recent items float32[tables + 1, 3, r], the weights of three sums.

    For each table and for taste: of the decayed total, of the mean of the newest three, of the mean
    of all. They depend on r alone, so they are computed once.
    """
    ages = np.arange(RECENT)
    recency = behaviour.taste.recency[:RECENT]
    taste = np.pad(recency, (0, RECENT - len(recency)))
    totals = np.stack([*(d**ages for d in behaviour.decays.values()), taste])
    by_length = []
    for n in range(RECENT + 1):
        sums = np.zeros((len(totals), 3, n), np.float32)
        sums[:, 0] = totals[:, :n]
        sums[:, 1, :3] = 1 / max(min(n, 3), 1)
        sums[:, 2] = 1 / max(n, 1)
        by_length.append(sums)
    return by_length


def _pair_features(out: Array, pairs: Array, sums: Array) -> None:
    """Write float32[tables + 1, 8, c]: the features of each table, and of taste.

    Args:
        out: where to.
        pairs: float32[tables + 1, r, c].
        sums: float32[tables + 1, 3, c], see `_sums`.
    """
    out[:, _TOTAL] = sums[:, 0]
    out[:, _LAST] = pairs[:, 0]
    out[:, _BEFORE_LAST] = pairs[:, 1] if pairs.shape[1] > 1 else 0.0
    np.maximum.reduce(pairs, axis=1, out=out[:, _HIGHEST])
    out[:, _NEWEST_THREE] = sums[:, 1]
    out[:, _MEAN] = sums[:, 2]
    out[:, _RANK] = log_ranks(sums[:, 0])
    # Summed as bytes, which numpy adds fastest: a count is at most RECENT, far below 127.
    out[:, _COUNT] = np.add.reduce((pairs > 0).view(np.int8), axis=1, dtype=np.int8)


def log_ranks(values: Array) -> Array:
    """Return log(1 + how many values of the same line are higher), float32 of the same shape.

    Neighbouring values that differ by less than a millionth of the largest one count as equal. The
    rounding of a float32 sum differs between numpy and C, and with the order of candidates: without
    this, equal candidates would get different ranks from one computation to the next.

    >>> np.expm1(log_ranks(np.array([[3.0, 5.0, 3.0, 1.0]], np.float32))).round().tolist()
    [[1.0, 0.0, 1.0, 3.0]]
    """
    n = values.shape[1]
    order = np.argsort(-values, axis=1)
    order += np.arange(0, values.size, n)[:, None]
    ordered = values.ravel().take(order)
    least = 1e-6 * np.abs(ordered[:, [0, -1]]).max(axis=1, keepdims=True)
    starts = np.zeros(values.shape, np.intp)
    positions = np.arange(n)
    # Where a run of equal values starts, its position; 0 inside a run. The running maximum then
    # gives each value the start of its run, which is how many values are higher.
    np.multiply(ordered[:, :-1] - ordered[:, 1:] > least, positions[1:], out=starts[:, 1:])
    higher = np.maximum.accumulate(starts, axis=1)
    ranks = np.empty(values.size, np.float32)
    ranks[order.ravel()] = np.log1p(positions).astype(np.float32).take(higher.ravel())
    return ranks.reshape(values.shape)


# ---- Binding of c/features.c ---------------------------------------------------------------------


class _NeighbourTable(Structure):
    """`NeighbourTable` in C: int32 and float32[n_rows, n_neighbours]."""

    _fields_ = [
        ("rows", c_void_p),
        ("weights", c_void_p),
        ("n_rows", c_int64),
        ("n_neighbours", c_int64),
    ]


class _Catalogue(Structure):
    """`Catalogue` in C: what all requests share; shapes stand there."""

    _fields_ = [
        ("tables", POINTER(_NeighbourTable)),
        ("n_tables", c_int64),
        ("n_items", c_int64),
        ("dim", c_int64),
        ("inputs", c_void_p),
        ("targets", c_void_p),
        ("items", c_void_p),
        ("sums", c_void_p),
        ("log1p", c_void_p),
        ("columns", c_void_p),
    ]


class _Request(Structure):
    """`Request` in C: rows of recent items and of candidates."""

    _fields_ = [
        ("recent", c_void_p),
        ("rows", c_void_p),
        ("n_recent", c_int64),
        ("n_rows", c_int64),
        ("log_length", c_double),
    ]


_SHARED: Final = {
    **struct_layout(_NeighbourTable, _Catalogue, _Request),
    **{name.upper(): n for n, name in enumerate(_TABLE)},
    "RECENT": RECENT,
    "TABLE_FEATURES": len(_TABLE),
    "TASTE_FEATURES": len(_TASTE),
    "ITEM_FEATURES": len(_ITEM),
    "USER_FEATURES": len(_USER),
    "OUT_OF_MEMORY": 1,
    "INVALID_ROWS": 2,
}
_FUNCTIONS: Final[dict[str, Signature]] = {
    # catalogue, requests, number of them, out, columns of out
    "features_batch": (c_int, (c_void_p, c_void_p, c_int64, c_void_p, c_int64)),
}


class KernelFeatures(Features):
    """Features by a loaded library (`app.engine.kernels.loader`)."""

    def __init__(self, library: CDLL, behaviour: Behaviour) -> None:
        """Prepare for a catalogue; contiguous arrays are not copied.

        Raises:
            BundleError: the parts disagree on the number of items.
            KernelMismatch: C and this file disagree.
        """
        super().__init__(behaviour)
        bind(library, "features", _FUNCTIONS, _SHARED)
        self._library = library
        # The structs have only addresses: the arrays must live as long as this object.
        self._arrays: list[npt.NDArray[Any]] = []
        tables, taste = tuple(behaviour.tables.values()), behaviour.taste
        if not len(taste.inputs) == len(taste.targets) == self.n_items:
            raise BundleError("what was learned is of another number of items")
        # The weights of the sums, padded to RECENT items so that C can index them.
        sums = np.zeros((RECENT + 1, len(tables) + 1, 3, RECENT), np.float32)
        for n, each in enumerate(self._sums):
            sums[n, :, :, :n] = each
        self._catalogue = _Catalogue(
            tables=(_NeighbourTable * len(tables))(*map(self._table, tables)),
            n_tables=len(tables),
            n_items=self.n_items,
            dim=taste.inputs.shape[1],
            inputs=self._keep(taste.inputs, np.float32),
            targets=self._keep(taste.targets, np.float32),
            items=self._keep(behaviour.items, np.float32),
            sums=self._keep(sums, np.float32),
            # A look-up instead of a logarithm a candidate; it is the same number as in numpy.
            log1p=self._keep(np.log1p(np.arange(self.n_items)), np.float32),
            columns=self._keep(self._columns, np.int32),
        )
        self._catalogue_at = ctypes.addressof(self._catalogue)

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """See `Features`.

        Raises:
            IndexError: a row is not in the catalogue, there is no recent item, or candidates
                repeat.
            MemoryError: there is none left.
        """
        newest = [np.ascontiguousarray(recent[:RECENT], np.int64) for recent in recents]
        rows = [np.ascontiguousarray(each, np.int64) for each in candidates]
        requests = (_Request * len(rows))(
            *(
                _Request(address(recent), address(each), len(recent), len(each), math.log(length))
                for recent, each, length in zip(newest, rows, lengths, strict=True)
            )
        )
        n = sum(map(len, rows))
        out = np.empty((len(self.names), n), np.float32)
        failure = self._library.features_batch(
            self._catalogue_at,
            ctypes.addressof(requests),
            len(rows),
            address(out),
            n,
        )
        if failure == _SHARED["OUT_OF_MEMORY"]:
            raise MemoryError
        if failure:
            raise IndexError("rows that are not the catalogue's")
        return out

    def _table(self, near: Neighbours) -> _NeighbourTable:
        n_rows, n_neighbours = near.rows.shape
        return _NeighbourTable(
            rows=self._keep(near.rows, np.int32),
            weights=self._keep(near.weights, np.float32),
            n_rows=n_rows,
            n_neighbours=n_neighbours,
        )

    def _keep(self, array: npt.NDArray[Any], kind: type[np.number[Any]]) -> int:
        """Keep an array of a type alive; return its address."""
        contiguous = np.ascontiguousarray(array, kind)
        self._arrays.append(contiguous)
        return address(contiguous)
