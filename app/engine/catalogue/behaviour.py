"""What behaviour taught of each item: neighbours, a learned space, and counts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows, Vector

RECENT = 20
"""How many of the newest items of a history are read."""


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

    inputs: Matrix
    targets: Matrix
    recency: Vector

    def user(self, recent: Rows) -> Vector:
        """Return float32[d], unit: the user who took these rows, newest first, at least one."""
        newest = recent[: len(self.recency)]
        mean = self.recency[: len(newest)] @ self.inputs[newest]
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
