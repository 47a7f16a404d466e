"""The inputs of the scorer: one implementation for training and for serving.

All of them describe a pair (what somebody took lately, a candidate). Ids, row numbers and the order
of candidates never come in: equal values share a rank. This module does not know where candidates
come from, nor what is done with the numbers.
"""

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
    """Computes features. Holds a buffer of one number an item, so one thread at a time uses it."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Prepare for a catalogue."""
        self._behaviour = behaviour
        self.names = feature_names(tuple(behaviour.tables))
        self.n_items = behaviour.items.shape[1]
        self._place = np.full(self.n_items, -1, np.int32)
        ages = np.arange(RECENT)
        taste = np.zeros(RECENT)
        recency = behaviour.taste.recency[:RECENT]
        taste[: len(recency)] = recency
        self._weights = np.stack([*(d**ages for d in behaviour.decays.values()), taste]).astype(
            np.float32
        )

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """Return float32[f, N], a column per candidate of each request, request after request.

        Args:
            recents: per request the rows taken lately, newest first, at least one; 20 are read.
            lengths: per request how many items were ever taken, ≥ 1.
            candidates: per request int64[c] rows, each once.
        """
        ends = np.cumsum([0, *map(len, candidates)])
        out = np.empty((len(self.names), int(ends[-1])), np.float32)
        for place, (recent, rows) in enumerate(zip(recents, candidates, strict=True)):
            if len(rows):
                block = out[:, ends[place] : ends[place + 1]]
                self._one(block, recent[:RECENT], lengths[place], rows)
        return out

    def _one(self, out: Array, recent: Rows, length: int, rows: Rows) -> None:
        tables, items = self._behaviour.tables, self._behaviour.items
        pairs = self._pairs(recent, rows)
        weights = self._weights[:, : len(recent)]
        totals = np.matmul(weights[:, None, :], pairs)[:, 0]
        taste = self._behaviour.taste.user(recent)
        totals[-1] = self._behaviour.taste.wanted[rows] @ taste
        out[: len(tables) * len(_TABLE) + len(_TASTE)] = _pair_features(pairs, totals)
        at = len(tables) * len(_TABLE) + len(_TASTE)
        out[at : at + len(_ITEM)] = items[:, rows]
        popularity = items[0, recent]
        context = (
            np.log(length),
            popularity[0],
            popularity.mean(),
            totals[0].max(),
            totals[-1].max(),
        )
        out[at + len(_ITEM) :] = np.array(context, np.float32)[:, None]

    def _pairs(self, recent: Rows, rows: Rows) -> Array:
        """Return float32[tables + 1, len(recent), len(rows)]: how near each pair lies."""
        tables, taste = self._behaviour.tables, self._behaviour.taste
        self._place[rows] = np.arange(len(rows), dtype=np.int32)
        # Neighbours that are no candidates have place -1: a last column that is cut off.
        pairs = np.zeros((len(tables) + 1, len(recent), len(rows) + 1), np.float32)
        line = np.arange(len(recent))[:, None]
        for table, near in enumerate(tables.values()):
            # Backwards, so that a neighbour is written after places of weight 0 that name it too.
            places = self._place[near.rows[recent][:, ::-1]]
            pairs[table][line, places] = near.weights[recent][:, ::-1]
        self._place[rows] = -1
        np.matmul(taste.given[recent], taste.wanted[rows].T, out=pairs[-1, :, :-1])
        return pairs[:, :, :-1]


def _pair_features(pairs: Array, totals: Array) -> Array:
    """Return float32[f, c]: per table its eight features, then the seven of taste."""
    second = pairs[:, 1] if pairs.shape[1] > 1 else np.zeros_like(totals)
    columns = np.stack(
        [
            totals,
            pairs[:, 0],
            second,
            pairs.max(axis=1),
            pairs[:, :3].mean(axis=1),
            pairs.mean(axis=1),
            log_ranks(totals),
            np.count_nonzero(pairs > 0, axis=1),
        ],
        axis=1,
        dtype=np.float32,
    )
    # Every item lies somewhere in the space of taste: counting the near ones says nothing there.
    return columns.reshape(-1, pairs.shape[2])[:-1]


def log_ranks(values: Array) -> Array:
    """Return log(1 + how many values of the same line are higher), float32 of the same shape.

    What differs by less than a millionth of the largest value is equal: how a product was rounded
    must not tell the places of candidates apart.

    >>> np.expm1(log_ranks(np.array([[3.0, 5.0, 3.0, 1.0]], np.float32))).round().tolist()
    [[1.0, 0.0, 1.0, 3.0]]
    """
    order = np.argsort(-values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    places = np.arange(values.shape[1])
    starts = np.zeros(values.shape, np.int64)
    least = 1e-6 * np.abs(values).max(axis=1, keepdims=True)
    starts[:, 1:] = np.where(ordered[:, :-1] - ordered[:, 1:] > least, places[1:], 0)
    higher = np.maximum.accumulate(starts, axis=1)
    ranks = np.empty(values.shape, np.float32)
    np.put_along_axis(ranks, order, np.log1p(higher).astype(np.float32), axis=1)
    return ranks
