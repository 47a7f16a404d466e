"""The inputs of the scorer, the same for training and for serving.

Here is what they mean, in numpy; `app.engine.features_kernel` does the same in C where it can. All
of them describe a pair (what somebody took lately, a candidate). Ids, row numbers and the order of
candidates never come in: equal values share a rank. This module does not know where candidates come
from, nor what is done with the numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.types import Matrix, Rows, Vector

RECENT = 20
"""How many of the newest items of a history are read."""

Array: TypeAlias = npt.NDArray[np.float32]

_TABLE = ("total", "last", "before_last", "highest", "newest_three", "mean", "rank", "count")
_TASTE = _TABLE[:-1]
_ITEM = ("popularity", "times_last", "share_last", "place")
_CONTEXT = ("history", "last_popularity", "mean_popularity", "highest_first", "highest_taste")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each of n items the m others that lie nearest in some sense, nearest first.

    Attributes:
        rows: int32[n, m].
        weights: float32[n, m], ≥ 0; places that are not needed hold weight 0 and any row.
    """

    rows: npt.NDArray[np.int32]
    weights: Matrix

    def of(self, items: Rows) -> tuple[npt.NDArray[np.int32], Matrix]:
        """Return int32[r, m] rows and float32[r, m] weights, fresh arrays, of int64[r] ≥ 1 items.

        Items behind the last one came after the table was made: all their weights are 0.
        """
        rows = self.rows.take(items, axis=0, mode="clip")
        weights = self.weights.take(items, axis=0, mode="clip")
        if items.max() >= len(self.rows):
            weights[items >= len(self.rows)] = 0.0
        return rows, weights


@dataclass(frozen=True, slots=True)
class TasteSpace:
    """Learned vectors: what an item says of the user who took it, and what is wanted of it.

    Attributes:
        given: float32[n, d], unit rows; a user is a weighted mean of those of their recent items.
        wanted: float32[n, d], unit rows; its inner product with the user is the score.
        recency: float32[L], weight of the newest item, the one before it, and so on.
    """

    given: Matrix
    wanted: Matrix
    recency: Vector

    def user(self, recent: Rows) -> Vector:
        """Return float32[d], unit: the user who took these rows, newest first, at least one."""
        newest = recent[: len(self.recency)]
        mean = self.recency[: len(newest)] @ self.given[newest]
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What was learned from sequences about n items.

    Attributes:
        tables: name -> neighbours; the first is the strongest source.
        decays: name -> weight of a table's older item relative to the next newer one.
        taste: the learned vectors.
        items: float32[4, n], see `item_signals`.
    """

    tables: Mapping[str, Neighbours]
    decays: Mapping[str, float]
    taste: TasteSpace
    items: Matrix


def item_signals(items: Rows, offsets: Rows, n_items: int) -> Matrix:
    """Return float32[4, n_items]: log popularity, log times last, share of last places, mean place.

    The shares are drawn towards a prior by a few imagined events, so that an item nobody has taken
    has the values of an ordinary one.

    Args:
        items: int64[m], the rows of all users' sequences end to end, oldest first.
        offsets: int64[users + 1], where each user's begin.
        n_items: size of the catalogue.
    """
    lengths = np.diff(offsets)
    place = np.arange(len(items)) - np.repeat(offsets[:-1], lengths) + 1
    from_end = np.repeat(lengths, lengths) - place
    relative = place / np.repeat(lengths, lengths)

    def counted(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(items[chosen], minlength=n_items)

    popularity = np.bincount(items, minlength=n_items)
    signals = (
        np.log1p(popularity),
        np.log1p(counted(from_end == 0)),
        (counted(from_end < 2) + 1.0) / (popularity + 4.0),
        (np.bincount(items, relative, n_items) + 3.0) / (popularity + 5.0),
    )
    return np.stack(signals).astype(np.float32)


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
        given = self._behaviour.taste.given.take(recent, axis=0)
        pairs = self._pairs(given, recent, rows)
        sums = np.matmul(self._sums[len(recent)], pairs)
        # As `TasteSpace.user`: the mean of the recent items at unit length.
        mean = self._sums[len(recent)][-1, 0] @ given
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

    def _pairs(self, given: Matrix, recent: Rows, rows: Rows) -> Array:
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
        wanted = self._behaviour.taste.wanted.take(rows, axis=0)
        np.matmul(given, wanted.T, out=pairs[-1])
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
