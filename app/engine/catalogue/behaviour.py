"""What behaviour taught of each item: tables of neighbours, a space of taste, and counts.

`app.offline.learning.learn` makes it. How it lies in a bundle, and how it grows when items are
added while serving, is written here too, so that a new learned part is added in this one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_below, are_finite, is_plain
from app.core.errors import BundleError
from app.core.types import Matrix, Rows, Vector
from app.domain.columns import Arrays, prefixed
from app.engine.catalogue.side_values import SideValues, side_arrays, side_values_of

RECENT = 20
"""How many of the newest items of a history are read."""

_SIDES = "sides/"
_N_SIGNALS = 4
"""Numbers of an item; see `item_signals`."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each of n items the m others that lie nearest in some sense, nearest first.

    Attributes:
        rows: int32[n, m].
        weights: float32[n, m], ≥ 0; positions that are not needed have weight 0 and any row.
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
    """The two-tower space: users and items as vectors; a high inner product means a good match.

    Attributes:
        inputs: float32[n, d], unit rows; a user is a weighted mean of those of their recent items.
        targets: float32[n, d], unit rows; its inner product with the user is the score of an item.
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
        sides: of who users are, and where; None where that taught nothing.
    """

    tables: Mapping[str, Neighbours]
    decays: Mapping[str, float]
    taste: TasteSpace
    items: Matrix
    sides: SideValues | None = None

    @property
    def n_learned(self) -> int:
        """How many items there were when this was learned; rows behind them came later."""
        return len(self.strongest.rows)

    @property
    def strongest(self) -> Neighbours:
        """The first table."""
        return next(iter(self.tables.values()))

    def with_room(self, used: int, room: int) -> "Behaviour":
        """Return a copy of the first `used` items with `room` for more, which nobody took yet.

        The tables of neighbours, by far the largest, are shared: a new item has no neighbours.
        """
        inputs, targets = self.taste.inputs[:used], self.taste.targets[:used]
        free = np.zeros((room, inputs.shape[1]), np.float32)
        taste = TasteSpace(
            inputs=np.concatenate([inputs, free]),
            targets=np.concatenate([targets, free]),
            recency=self.taste.recency,
        )
        untaken = item_signals(np.empty(0, np.int64), np.zeros(1, np.int64), room)
        items = np.concatenate([self.items[:, :used], untaken], axis=1)
        return replace(self, taste=taste, items=items)


def behaviour_arrays(behaviour: Behaviour) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `behaviour.safetensors`; the decays are in the manifest."""
    arrays: dict[str, npt.NDArray[Any]] = {"items": behaviour.items}
    for name, near in behaviour.tables.items():
        arrays |= prefixed(name, {"rows": near.rows, "weights": near.weights})
    taste = behaviour.taste
    vectors = {"inputs": taste.inputs, "targets": taste.targets, "recency": taste.recency}
    arrays |= prefixed("taste", vectors)
    if behaviour.sides is not None:
        arrays |= {f"{_SIDES}{n}": array for n, array in side_arrays(behaviour.sides).items()}
    return arrays


def behaviour_of(arrays: Arrays, decays: Mapping[str, float], n_items: int) -> Behaviour:
    """Return what `behaviour_arrays` wrote; `decays` names the tables.

    Raises:
        BundleError: an array is missing, or the arrays do not fit each other or the items.
    """
    try:
        tables = {
            name: Neighbours(arrays[f"{name}/rows"], arrays[f"{name}/weights"]) for name in decays
        }
        taste = TasteSpace(arrays["taste/inputs"], arrays["taste/targets"], arrays["taste/recency"])
        behaviour = Behaviour(tables, decays, taste, arrays["items"])
    except KeyError as error:
        raise BundleError(f"the bundle lacks what was learned: {error}") from error
    if not _fits(behaviour, n_items):
        raise BundleError("what the bundle has learned does not fit its items or its features")
    of_sides = {n[len(_SIDES) :]: array for n, array in arrays.items() if n.startswith(_SIDES)}
    if not of_sides:
        return behaviour
    return replace(behaviour, sides=side_values_of(of_sides, n_items, taste.inputs.shape[1]))


def _fits(behaviour: Behaviour, n_items: int) -> bool:
    """Tell whether all shapes fit each other and all rows are rows of the catalogue."""
    taste, items = behaviour.taste, behaviour.items
    dim = taste.inputs.shape[-1] if taste.inputs.ndim == 2 else 0
    return (
        "content_knn" in behaviour.tables
        and all(_table_fits(near, n_items) for near in behaviour.tables.values())
        and dim > 0
        and is_plain(taste.inputs, np.float32, n_items, dim)
        and is_plain(taste.targets, np.float32, n_items, dim)
        and is_plain(taste.recency, np.float32)
        and len(taste.recency) > 0
        and is_plain(items, np.float32, _N_SIGNALS, n_items)
        and all(map(are_finite, (taste.inputs, taste.targets, taste.recency, items)))
    )


def _table_fits(near: Neighbours, n_items: int) -> bool:
    shape = near.rows.shape
    if len(shape) != 2 or shape[0] != n_items or not shape[1]:
        return False
    plain = is_plain(near.rows, np.int32, *shape) and is_plain(near.weights, np.float32, *shape)
    return plain and are_below(near.rows, n_items) and are_finite(near.weights)


def item_signals(items: Rows, offsets: Rows, n_items: int) -> Matrix:
    """Return float32[4, n_items]: four numbers of each item, in the order below.

    The logarithm of how often it was taken, and of how often it was a user's last item; the share
    of its events among the last two of a user; its mean position in a history, from 0 to 1.
    The shares are drawn towards a prior by a few imagined events, so that an item nobody has taken
    has the values of an ordinary one.

    Args:
        items: int64[m], the rows of all users' sequences end to end, oldest first.
        offsets: int64[users + 1], where each user's begin.
        n_items: size of the catalogue.
    """
    lengths = np.diff(offsets)
    position = np.arange(len(items)) - np.repeat(offsets[:-1], lengths) + 1
    from_end = np.repeat(lengths, lengths) - position
    relative = position / np.repeat(lengths, lengths)

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
