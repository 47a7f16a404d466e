"""The inputs of the scorer, the same for training and for serving.

Here is what they mean, in numpy; `app.engine.kernels.features` does the same in C where it can. All
of them describe a pair (what somebody took lately, a candidate). Ids, row numbers and the order of
candidates never come in: equal values share a rank. This module does not know where candidates come
from, nor what is done with the numbers.
"""

import ctypes
import math
from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, c_double, c_int64, c_void_p
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Matrix, Rows
from app.engine.catalogue.behaviour import RECENT, Behaviour
from app.engine.kernels.loader import Unavailable, address, load_library, pointer

Array: TypeAlias = npt.NDArray[np.float32]

FEATURES_VERSION = 1
"""Raise it with every change of what a feature means: older scorers are then refused."""

_TABLE = ("total", "last", "before_last", "highest", "newest_three", "mean", "rank", "count")
_TASTE = _TABLE[:-1]
_ITEM = ("popularity", "times_last", "share_last", "place")
_CONTEXT = ("history", "last_popularity", "mean_popularity", "highest_first", "highest_taste")


def feature_names(tables: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features in order, as `group.feature`."""
    return (
        *(f"{table}.{name}" for table in tables for name in _TABLE),
        *(f"taste.{name}" for name in _TASTE),
        *(f"item.{name}" for name in _ITEM),
        *(f"user.{name}" for name in _CONTEXT),
    )


class Features:
    """Computes features. Holds buffers, so one thread at a time uses it."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Prepare for a catalogue."""
        self._behaviour = behaviour
        self.names = feature_names(tuple(behaviour.tables))
        self.n_items = behaviour.items.shape[1]
        self._place = np.full(self.n_items, -1, np.int32)
        self._pairs_flat = np.empty(0, np.float32)
        self._sums = _sums(behaviour)

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """Return float32[f, N], a column per candidate of each request, request after request.

        Args:
            recents: per request the rows taken lately, newest first, at least one; 20 are read.
            lengths: per request how many items were ever taken, ≥ 1.
            candidates: per request int64[c] rows, each once.
        """
        ends = np.cumsum([0, *map(len, candidates)]).tolist()
        out = np.empty((len(self.names), ends[-1]), np.float32)
        for place, (recent, rows) in enumerate(zip(recents, candidates, strict=True)):
            if len(rows):
                block = out[:, ends[place] : ends[place + 1]]
                self._one(block, recent[:RECENT], lengths[place], rows)
        return out

    def _one(self, out: Array, recent: Rows, length: int, rows: Rows) -> None:
        tables, items = self._behaviour.tables, self._behaviour.items
        inputs = self._behaviour.taste.inputs.take(recent, axis=0)
        pairs = self._pairs(inputs, recent, rows)
        sums = np.matmul(self._sums[len(recent)], pairs)
        # As `TasteSpace.user`: the mean of the recent items at unit length.
        mean = self._sums[len(recent)][-1, 0] @ inputs
        sums[-1, 0] /= max(math.sqrt(mean @ mean), 1e-9)
        at = len(tables) * len(_TABLE) + len(_TASTE)
        # A table each, taste too: its count, which says nothing, is in the place of what follows.
        _pair_features(out[: at + 1].reshape(len(pairs), len(_TABLE), len(rows)), pairs, sums)
        out[at : at + len(_ITEM)] = items.take(rows, axis=1)
        popularity = items[0].take(recent)
        context = (
            math.log(length),
            popularity[0],
            popularity.mean(),
            sums[0, 0].max(),
            sums[-1, 0].max(),
        )
        out[at + len(_ITEM) :] = np.array(context, np.float32)[:, None]

    def _pairs(self, inputs: Matrix, recent: Rows, rows: Rows) -> Array:
        """Return float32[tables + 1, len(recent), len(rows)]: how near each pair lies.

        It is a buffer, good until the next call.
        """
        tables, width = self._behaviour.tables, len(rows) + 1
        shape = (len(tables) + 1, len(recent), width)
        size = math.prod(shape)
        if size > len(self._pairs_flat):
            self._pairs_flat = np.empty(size, np.float32)
        flat = self._pairs_flat[:size]
        flat[: -len(recent) * width] = 0.0
        self._place[rows] = np.arange(len(rows))
        # Neighbours that are no candidates have place -1: the last cell of the line before (of the
        # last line for the first one), in a column that is cut off.
        line = np.arange(0, len(recent) * width, width)[:, None]
        for near, cells in zip(tables.values(), flat.reshape(shape[0], -1), strict=False):
            rows_near, weights = near.of(recent)
            places = self._place.take(rows_near)
            # Backwards, so that a neighbour is written after places of weight 0 that name it too.
            cells[np.add(places[:, ::-1], line).ravel()] = weights[:, ::-1].ravel()
        self._place[rows] = -1
        pairs = flat.reshape(shape)[:, :, :-1]
        targets = self._behaviour.taste.targets.take(rows, axis=0)
        np.matmul(inputs, targets.T, out=pairs[-1])
        return pairs


def _sums(behaviour: Behaviour) -> list[Array]:
    """Return for 0 … 20 recent items float32[tables + 1, 3, r]: what the lines are multiplied by.

    For each table and for taste: the decayed total, the mean of the newest three, the mean of all.
    """
    ages = np.arange(RECENT)
    recency = behaviour.taste.recency[:RECENT]
    taste = np.pad(recency, (0, RECENT - len(recency)))
    totals = np.stack([*(d**ages for d in behaviour.decays.values()), taste])
    found = []
    for n in range(RECENT + 1):
        sums = np.zeros((len(totals), 3, n), np.float32)
        sums[:, 0] = totals[:, :n]
        sums[:, 1, :3] = 1 / max(min(n, 3), 1)
        sums[:, 2] = 1 / max(n, 1)
        found.append(sums)
    return found


def _pair_features(out: Array, pairs: Array, sums: Array) -> None:
    """Write float32[tables + 1, 8, c]: the features of each table, and of taste.

    Args:
        out: where to.
        pairs: float32[tables + 1, r, c].
        sums: float32[tables + 1, 3, c], see `_sums`.
    """
    out[:, 0] = sums[:, 0]
    out[:, 1] = pairs[:, 0]
    out[:, 2] = pairs[:, 1] if pairs.shape[1] > 1 else 0.0
    np.maximum.reduce(pairs, axis=1, out=out[:, 3])
    out[:, 4:6] = sums[:, 1:]
    out[:, 6] = log_ranks(sums[:, 0])
    # At most 20 lines, so a byte holds the count.
    out[:, 7] = np.add.reduce((pairs > 0).view(np.int8), axis=1, dtype=np.int8)


def log_ranks(values: Array) -> Array:
    """Return log(1 + how many values of the same line are higher), float32 of the same shape.

    What differs by less than a millionth of the largest value is equal: how a product was rounded
    must not tell the places of candidates apart.

    >>> np.expm1(log_ranks(np.array([[3.0, 5.0, 3.0, 1.0]], np.float32))).round().tolist()
    [[1.0, 0.0, 1.0, 3.0]]
    """
    n = values.shape[1]
    order = np.argsort(-values, axis=1)
    order += np.arange(0, values.size, n)[:, None]
    ordered = values.ravel().take(order)
    least = 1e-6 * np.abs(ordered[:, [0, -1]]).max(axis=1, keepdims=True)
    starts = np.zeros(values.shape, np.intp)
    places = np.arange(n)
    np.multiply(ordered[:, :-1] - ordered[:, 1:] > least, places[1:], out=starts[:, 1:])
    higher = np.maximum.accumulate(starts, axis=1)
    ranks = np.empty(values.size, np.float32)
    ranks[order.ravel()] = np.log1p(places).astype(np.float32).take(higher.ravel())
    return ranks.reshape(values.shape)


# `app.engine.kernels.features` on our own C, `features_kernel.c`: one call for a whole batch.
#
# Here live the layout that the C file reads, and the types that it counts on.


class _Table(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("rows", "weights")),
        *((name, c_int64) for name in ("items", "near")),
    ]


class _Facts(Structure):
    _fields_ = [
        ("tables", POINTER(_Table)),
        *((name, c_int64) for name in ("n_tables", "n_items", "dim")),
        *((name, c_void_p) for name in ("inputs", "targets", "items", "sums", "log1p", "place")),
    ]


class _Asked(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("recent", "rows")),
        *((name, c_int64) for name in ("n_recent", "n_rows")),
        ("log_length", c_double),
    ]


def features_over(behaviour: Behaviour) -> Features:
    """Return what computes features: our own C where it can run, else numpy."""
    try:
        return KernelFeatures(load_library(), behaviour)
    except Unavailable:
        return Features(behaviour)


class KernelFeatures(Features):
    """Features by a loaded library (`app.engine.kernels.loader`)."""

    def __init__(self, library: CDLL, behaviour: Behaviour) -> None:
        """Prepare for a catalogue; nothing of it is copied that is contiguous.

        Raises:
            BundleError: the parts disagree on the number of items.
        """
        super().__init__(behaviour)
        self._library = library
        self._held: list[npt.NDArray[Any]] = []  # what the facts point to lives as long as we do
        tables, taste = tuple(behaviour.tables.values()), behaviour.taste
        if not len(taste.inputs) == len(taste.targets) == self.n_items:
            raise BundleError("what was learned is of another number of items")
        sums = np.zeros((RECENT + 1, len(tables) + 1, 3, RECENT), np.float32)
        for n, each in enumerate(self._sums):
            sums[n, :, :, :n] = each
        self._facts = _Facts(
            tables=(_Table * len(tables))(
                *(
                    _Table(
                        *(self._hold(near.rows, np.int32), self._hold(near.weights, np.float32)),
                        *near.rows.shape,
                    )
                    for near in tables
                )
            ),
            n_tables=len(tables),
            n_items=self.n_items,
            dim=taste.inputs.shape[1],
            inputs=self._hold(taste.inputs, np.float32),
            targets=self._hold(taste.targets, np.float32),
            items=self._hold(behaviour.items, np.float32),
            sums=self._hold(sums, np.float32),
            log1p=self._hold(np.log1p(np.arange(self.n_items)), np.float32),
            place=self._hold(self._place, np.int32),
        )

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """See `Features`.

        Raises:
            IndexError: a row is none of the catalogue's, nothing was taken, or candidates repeat.
            MemoryError: there is none.
        """
        taken = [np.ascontiguousarray(recent[:RECENT], np.int64) for recent in recents]
        rows = [np.ascontiguousarray(each, np.int64) for each in candidates]
        asked = (_Asked * len(rows))(
            *(
                _Asked(address(recent), address(mine), len(recent), len(mine), math.log(length))
                for recent, mine, length in zip(taken, rows, lengths, strict=True)
            )
        )
        n = sum(map(len, rows))
        out = np.empty((len(self.names), n), np.float32)
        failed = self._library.describe_all(
            ctypes.byref(self._facts), asked, c_int64(len(rows)), pointer(out), c_int64(n)
        )
        if failed:
            raise MemoryError if failed == 1 else IndexError("rows that are not the catalogue's")
        return out

    def _hold(self, array: npt.NDArray[Any], kind: type[np.number[Any]]) -> int:
        held = np.ascontiguousarray(array, kind)
        self._held.append(held)
        return address(held)
